"""What holds for the repository as a whole: layers, names, documentation, nothing of one machine in it."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.settings import ROOT, Settings
from flows.deployments import list_deployments
from madoguchi.cli import FLOWS
from madoguchi.domain.application import REASONS, Reason
from madoguchi.domain.message import CONTEXTS, KINDS, MailKind, MissingPart, WhyNot
from tests.world import shipped_office

PRODUCT = sorted(path for folder in ("madoguchi", "tasks", "flows", "config") for path in (ROOT / folder).rglob("*.py"))
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
    "\0"
)
TEXTS = [ROOT / name for name in TRACKED if name and not name.endswith((".xlsx", ".lock"))]
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def names_of_settings(model=Settings, prefix="MADOGUCHI_"):
    """Every name that the environment may set."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from names_of_settings(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_the_layers_are_kept():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_the_product_explains_itself_and_stays_readable(path):
    text = path.read_text(encoding="utf-8")
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "its first line says what belongs here"
    assert text.count("\n") <= 430


def test_the_domain_never_looks_at_a_clock_a_file_or_the_network():
    forbidden = re.compile(r"\b(datetime\.now|date\.today|time\.time|open\(|os\.environ|import (socket|random))")
    found = [
        f"{path.name}: {line.strip()}"
        for path in (ROOT / "madoguchi" / "domain").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if forbidden.search(line) and not line.lstrip().startswith("#")
    ]
    assert found == []


def test_every_entrypoint_loads_and_the_command_knows_every_flow():
    flows = set()
    for entry in list_deployments(shipped_office()):
        module, function = entry.entrypoint.split(":")
        loaded = getattr(importlib.import_module(module.removesuffix(".py").replace("/", ".")), function)
        flows.add(loaded.name)
    assert flows == set(FLOWS)


@pytest.mark.parametrize("kind", MailKind)
def test_every_kind_of_mail_has_its_folder_its_rule_and_its_context(kind):
    folder = ROOT / "templates" / "email" / KINDS[kind].template
    assert {path.name for path in folder.iterdir()} >= {"subject.txt", "body.txt", "body.html"}
    assert kind in CONTEXTS


def test_there_is_no_folder_of_mails_that_nothing_sends():
    folders = {path.name for path in (ROOT / "templates" / "email").iterdir()}
    assert folders == {kind.template for kind in KINDS.values()}


def test_every_reason_has_a_rule_and_every_next_step_its_words():
    assert set(REASONS) == set(Reason)
    for reason, rule in REASONS.items():
        assert rule.ja
        if rule.next_step == "alternatives_mail":
            assert reason in WhyNot.__members__, "scheduling says why in the mail"
        if rule.next_step == "incomplete_mail":
            assert reason in {part.value for part in MissingPart}, "the mail asks for it"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_intake_stands_in_its_documentation(reason):
    assert re.search(rf"\b{reason}\b", DOCS["intake.md"])


def test_the_example_of_the_environment_names_every_setting_and_nothing_else():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"(?m)^(?:# )?(MADOGUCHI_[A-Z_]+)=", text)
    assert sorted(named) == sorted(set(names_of_settings()))


def test_every_setting_stands_in_its_documentation():
    rows = "\n".join(line for line in DOCS["settings.md"].splitlines() if line.startswith("| `MADOGUCHI"))
    missing = []
    for name in names_of_settings():
        short = name.rpartition("__")[2]
        if f"`{name}`" not in rows and f"`__{short}`" not in rows:
            missing.append(name)
    assert missing == []


def test_everything_that_office_toml_may_hold_is_explained_in_it_or_in_the_documentation():
    office = (ROOT / "config" / "office.toml").read_text(encoding="utf-8")
    from config.office_file import _OfficeFile

    unnamed = [name for name in _OfficeFile.model_fields if not re.search(rf"(?m)^\[*{name}\b", office)]
    assert unnamed == []


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_nothing_of_one_machine_is_in_the_repository():
    # Written apart, so that this file does not find itself.
    home = re.compile("/" + "work/|/" + "home/[a-z]|/" + r"root/\.|C:" + r"\\Users")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TEXTS
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if home.search(line)
    ]
    assert found == []


def test_nothing_is_left_to_do_in_the_product():
    words = re.compile("TO" + "DO|FIX" + "ME|XX" + "X|NotImplemented" + "Error\\(\\)")
    found = [path.name for path in PRODUCT if words.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_all_addresses_are_on_domains_that_belong_to_nobody():
    # example.con is a typing mistake that the demo shows.
    allowed = re.compile(r"(^|\.)(example\.(jp|com|org|net)|invalid|test|localhost|example|example\.con)$")
    real = set(shipped_office().known_mail_domains)
    found = set()
    for path in [*PRODUCT, *(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "config").rglob("*.toml")]:
        for domain in re.findall(r"[\w.+-]+@([a-z0-9-]+(?:\.[a-z0-9-]+)+)", path.read_text(encoding="utf-8")):
            if not allowed.search(domain) and domain not in real:
                found.add(f"{path.name}: {domain}")
    assert found == set()
