"""`python -m tests.e2e.fortnight_child worker|web`: a process of the office that lives by the rehearsed clock.

`worker`: the command `madoguchi`, once for each line of its input, JSON with `arguments` and whether it `is_scheduled`;
each answer is a line of JSON with exit code and summary. `web`: the web part. The clock's file is MADOGUCHI_TEST_CLOCK.
"""

import io
import json
import os
import sys
import traceback
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from tasks import wiring
from tests.e2e.fortnight_clock import machine_clock

CRASHED = 70

wiring.real_clock = machine_clock(os.environ["MADOGUCHI_TEST_CLOCK"])


def work():
    from madoguchi.cli import main
    from tests.e2e.day_child import warm_up

    answers = sys.stdout
    # Whoever prints past the command would spoil the answers.
    with redirect_stdout(sys.stderr):
        warm_up()
        from prefect import tags

        for line in sys.stdin:
            said = io.StringIO()
            try:
                order = json.loads(line)
                # As Prefect's own scheduler marks its runs.
                marks = tags("auto-scheduled") if order["is_scheduled"] else nullcontext()
                with redirect_stdout(said), marks:
                    code = main(order["arguments"])
            except Exception:  # noqa: BLE001 — a process of its own would have ended here
                traceback.print_exc()
                code = CRASHED
            answers.write(json.dumps({"code": code, "summary": _summary(said.getvalue())}) + "\n")
            answers.flush()
    os._exit(0)


def _summary(said):
    if folder := os.environ.get("MADOGUCHI_TEST_SAID"):
        with Path(folder).open("a", encoding="utf-8") as file:
            file.write(said)
    try:
        return json.loads(said)
    except ValueError:
        return None


def serve():
    from madoguchi.commands.web import main

    sys.exit(main())


if __name__ == "__main__":
    {"worker": work, "web": serve}[sys.argv[1]]()
