"""What deploy/ names exists: commands, paths, users, variables, ports; systemd looks at its unit where there is one."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from config.settings import ROOT, Settings, WebSettings
from madoguchi import cli

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "madoguchi.service").read_text(encoding="utf-8")
CONTAINER = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["madoguchi"]
EXAMPLE = (DEPLOY / "madoguchi.env.example").read_text(encoding="utf-8")
HOME, STATE = "/opt/madoguchi", "/var/lib/madoguchi"
EXIT_OF_UNUSABLE_SETTINGS = 2


def unit():
    """Sections and keys; of a key that stands twice the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str
    parser.read_string(UNIT)
    return parser


def instructions(name):
    return [line.split(None, 1)[1] for line in CONTAINER.splitlines() if line.startswith(f"{name} ")]


def is_setting(name):
    """Whether the settings know a variable, down to its last part."""
    model = Settings
    for part in name.removeprefix("MADOGUCHI_").lower().split("__"):
        if part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def names_in(text):
    return [line.partition("=")[0] for line in text.splitlines() if re.match(r"[A-Z_]+=", line)]


def test_the_unit_starts_the_command_that_the_project_installs():
    service = unit()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == f"{HOME}/.venv/bin/madoguchi"
    assert (ROOT / ".venv" / "bin" / "madoguchi").exists() or shutil.which("madoguchi")
    assert cli._parser().parse_args(arguments).command == "up"
    assert service["WorkingDirectory"] == HOME
    assert f"/var/lib/{service['StateDirectory']}" == STATE


def test_the_unit_waits_for_readiness_and_watches_for_life_and_never_gives_up():
    service = unit()["Service"]
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert int(service["WatchdogSec"]) > 120, "a part may take so long to get ready"
    assert int(service["RestartPreventExitStatus"]) == EXIT_OF_UNUSABLE_SETTINGS == cli.WRONG_USE
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_finds_nothing_wrong_with_it(tmp_path):
    here = tmp_path / "madoguchi.service"
    # Everything but the place of the program, which no machine of ours has.
    here.write_text(UNIT.replace(f"{HOME}/.venv/bin/madoguchi", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, timeout=60, check=False)
    found = [line for line in done.stderr.splitlines() if "madoguchi.service" in line]
    assert found == []


def test_what_is_copied_into_the_image_exists_and_nothing_private_is(tmp_path):
    copied = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert set(copied) >= {"requirements.lock", "pyproject.toml", "config", "flows", "tasks", "templates", "madoguchi"}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    shown = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert shown[0] == "*"
    assert {line[1:] for line in shown if line.startswith("!")} == set(copied)


def test_the_image_installs_by_hash_and_runs_as_nobody_special():
    install = next(line for line in instructions("RUN") if "requirements.lock" in line)
    assert "--require-hashes" in install
    assert CONTAINER.count("FROM ") == CONTAINER.count("python:3.11-slim")
    assert instructions("USER") == ["madoguchi"]
    assert instructions("VOLUME") == [STATE]
    assert f"MADOGUCHI_VAR_DIR={STATE}" in instructions("ENV")[-1]
    assert instructions("CMD") == ['["madoguchi", "up"]']


def test_the_image_is_asked_for_its_health_where_the_web_part_answers():
    [check] = instructions("HEALTHCHECK")
    assert f"127.0.0.1:{WebSettings().port}/healthz" in check
    code = check.partition('"-c", "')[2].rpartition('"')[0]
    compile(code, "HEALTHCHECK", "exec")


def test_compose_builds_that_image_and_gives_it_no_more_than_it_needs():
    build = COMPOSE["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Containerfile"
    assert COMPOSE["read_only"] is True
    assert COMPOSE["cap_drop"] == ["ALL"]
    assert [volume.split(":")[1] for volume in COMPOSE["volumes"]] == [STATE, "/etc/madoguchi"]
    assert COMPOSE["env_file"] == unit()["Service"]["EnvironmentFile"]


def test_every_variable_of_the_example_is_a_setting():
    found = names_in(EXAMPLE)
    assert len(found) > 10
    assert [name for name in found if not is_setting(name)] == []
    assert f"MADOGUCHI_VAR_DIR={STATE}" in EXAMPLE


def test_the_pages_for_the_offices_it_name_files_settings_and_commands_that_exist():
    for page in ("install", "upgrade", "developer"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", text)]
        assert [link for link in links if not (ROOT / "docs" / link).exists()] == [], page
        assert [n for n in re.findall(r"MADOGUCHI_[A-Z_]+[A-Z]", text) if not is_setting(n)] == [], page
        files = re.findall(r"`((?:deploy|tests|madoguchi|flows|tasks|config|templates|docs)/[\w./-]+)`", text)
        assert [name for name in files if not Path(ROOT / name).exists()] == [], page
        known = set(cli._parser()._subparsers._group_actions[0].choices)
        commands = re.findall(r"bin/madoguchi ([a-z]+)", text)
        assert [name for name in commands if name not in known] == [], page
