"""The forms about notices as the dashboard shows them, and a bounce from the relay to the day list by whole runs."""

import csv
import importlib
import json

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from madoguchi.domain import notice_proof
from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.rehearsal import sqlite_rehearsal
from tests.e2e.test_flows import Api, run_record
from tests.world import HEADER, answer

FORMS = {
    "record_notice": {"reference": "R-7K2Q9F", "code": "2026-10-01", "how": "電話", "received_by": "松戸"},
    "sign_off_notice": {"code": "2026-10-01", "signed_by": "松戸"},
    "settle_bounce": {"reference": "M-7K2Q9F", "outcome": "ご本人に伝えた", "received_by": "松戸"},
    "read_bounces": {},
}
DROPDOWNS = [
    ("record_notice", "how", notice_proof.HOWS),
    ("record_notice", "purpose", notice_proof.PURPOSES),
    ("sign_off_notice", "purpose", notice_proof.PURPOSES),
    ("settle_bounce", "outcome", notice_proof.HANDLED),
]


def flow_of(name):
    return getattr(importlib.import_module(f"flows.{name}"), name)


def is_japanese(text):
    return sum("ぁ" <= char <= "ん" for char in text) > 3


@pytest.mark.parametrize("name", FORMS)
def test_every_field_of_a_form_is_explained_in_japanese_and_the_form_itself_too(name):
    flow = flow_of(name)
    schema = parameter_schema(flow).model_dump()
    assert all(is_japanese(field.get("description", "")) for field in schema["properties"].values())
    assert is_japanese(flow.fn.__doc__.split("Args:")[0])
    assert is_japanese(flow.description)
    assert set(schema.get("required") or []) == set(FORMS[name]), "only what a clerk has to say"


@pytest.mark.parametrize(("name", "field", "codes"), DROPDOWNS)
def test_a_choice_is_a_dropdown_of_phrases_and_the_command_line_may_give_the_code(name, field, codes):
    flow = flow_of(name)
    assert parameter_schema(flow).model_dump()["properties"][field]["enum"] == list(codes)
    for phrase, code in codes.items():
        for chosen in (phrase, code):
            assert flow.validate_parameters({**FORMS[name], field: chosen})[field] == phrase
    with pytest.raises(ParameterTypeError, match=field):
        flow.validate_parameters({**FORMS[name], field: "なんとなく"})


@pytest.fixture
def office(tmp_path, sqlite_template, prefect_url):  # noqa: F811 — the fixture above
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as made:
        yield made


@pytest.mark.prefect
@pytest.mark.slow
def test_a_mail_to_an_address_that_does_not_exist_comes_back_and_ends_as_a_call(office, prefect_url, tmp_path):  # noqa: F811
    api = Api(prefect_url)
    export = tmp_path / "answers.csv"
    with export.open("w", encoding="utf-8", newline="") as file:
        row = answer(1, "2026-09-24", "11:00", email="bounce-hard@example.jp")
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, row])
    assert office.process(export, "google").returncode == 0
    read = office.madoguchi("run", "read-bounces", "--as-of", "2026-09-14T10:00:00+09:00", "--json")
    counts = json.loads(read.stdout)["counts"]
    assert (read.returncode, counts["bounces_hard"], counts["bounces_blocked"]) == (0, 1, 1), read.stderr
    run, artifact, _ = run_record(api, "read-bounces")
    assert run["state_type"] == "COMPLETED"
    assert "bounce-hard" not in artifact["data"]
    tasks = json.loads(office.madoguchi("list", "tasks", "--json").stdout)
    [call] = [task for task in tasks if task["kind"] == "call-bounced"]
    assert call["reason"] == "BOUNCED_HARD"
    api.http.close()
