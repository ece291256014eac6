# Every target does its own set-up: a machine needs Python 3.11, make and a package index, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Files are shared out among this many: most tests wait for processes and servers. 0: one after another.
WORKERS ?= 4

.PHONY: help setup demo test lint check up bench chaos fortnight scale lock clean
SEED ?= 1

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

setup: $(READY)  ## create .venv with the locked dependencies

# --no-deps: the lock is whole, and pip does not recognise a pinned package by another spelling of its extras.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed" && exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(READY)

demo: $(READY)   ## three exports become confirmed sessions, with a failure and its repair (DEMO_KEEP=1 leaves it running)
	$(BIN)/python -m madoguchi.commands.demo

test: $(READY)   ## every test, on SQLite and PostgreSQL
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY)   ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(READY)  ## what is configured, reachable and permitted
	$(BIN)/madoguchi check

up: $(READY)     ## Prefect server, schedules and the sandbox
	$(BIN)/madoguchi up

bench: $(READY)  ## the figures of docs/performance.md
	$(BIN)/python -m benchmarks

chaos: $(READY)  ## kill -9 at many moments, on SQLite and PostgreSQL; long
	$(BIN)/python -m pytest tests/e2e tests/flows tests/commands -m chaos --override-ini addopts="--import-mode=importlib -p no:cacheprovider"

fortnight: $(READY)  ## fourteen simulated days with disasters, unattended, and what the checker finds (SEED=1)
	$(BIN)/python -m tests.e2e.fortnight --seed $(SEED)

scale: $(READY)  ## three workers on PostgreSQL and Redis under load, one killed, then the server (SEED=1); needs redis-server
	$(BIN)/python -m tests.e2e.scale --seed $(SEED)

lock:            ## resolve the dependencies again (needs uv)
	uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-strip-extras \
	  --extra dev --extra scale pyproject.toml -o requirements.lock

clean:           ## remove .venv and caches; var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
