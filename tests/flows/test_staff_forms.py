"""The forms of staff as the dashboard shows them, and the same through `madoguchi run` with a real Prefect server."""

import importlib
import json
import re
from dataclasses import replace

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from madoguchi.domain import staff
from tasks.staff import Done
from tasks.staff_reports import given, sentence
from tasks.summary import Shortfall, Summary
from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.rehearsal import AS_OF, GOOGLE, sqlite_rehearsal
from tests.e2e.test_flows import Api, run_record
from tests.world import jst

BY = {"reference": "M-7K2Q9F", "received_by": "松戸"}
FORMS = {
    "cancel_booking": {**BY, "reason": "ご本人の都合"},
    "move_booking": {**BY, "start": "2026-09-25T13:00", "reason": "ご本人の希望"},
    "decide_request": {**BY, "decision": "承認する", "reason": "事情を認めた"},
    "book_in_session": {**BY, "start": "2026-09-25T13:00"},
}
DROPDOWNS = [
    ("cancel_booking", "reason", staff.CANCEL_REASONS),
    ("move_booking", "reason", staff.MOVE_REASONS),
    ("decide_request", "decision", staff.DECISIONS),
    ("decide_request", "reason", staff.DECIDE_REASONS),
    ("decide_request", "tell", staff.TELLS),
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
    assert set(schema["required"]) == set(FORMS[name]), "only what a clerk has to say"


@pytest.mark.parametrize(("name", "field", "codes"), DROPDOWNS)
def test_a_choice_is_a_dropdown_of_phrases_and_the_command_line_may_give_the_code(name, field, codes):
    flow = flow_of(name)
    assert parameter_schema(flow).model_dump()["properties"][field]["enum"] == list(codes)
    for phrase, code in codes.items():
        for chosen in (phrase, code):
            assert flow.validate_parameters({**FORMS[name], field: chosen})[field] == phrase
    with pytest.raises(ParameterTypeError, match=field):
        flow.validate_parameters({**FORMS[name], field: "なんとなく"})


@pytest.mark.parametrize("who", ["松戸", "Ｎ０４２", "n-042", "マツド_2", "佐々木"])
def test_staff_are_named_by_number_or_family_name(who):
    assert flow_of("cancel_booking").validate_parameters({**FORMS["cancel_booking"], "received_by": who})


@pytest.mark.parametrize("who", ["", "松戸 花子", "a@example.jp", "松戸、柏", "x" * 41, "松戸\n"])
def test_anything_else_is_no_name_of_staff(who):
    with pytest.raises(ParameterTypeError, match="received_by"):
        flow_of("cancel_booking").validate_parameters({**FORMS["cancel_booking"], "received_by": who})


def test_the_answer_says_who_got_the_freed_slot_and_what_is_still_open():
    freed = jst("2026-09-24 11:00")
    done = Done("M-7K2Q9F", "M-7K2Q9F を取り消しました。", ("お電話でお知らせください。",), freed=freed)
    got = [("M-7K2Q9H", "R-7K2Q9H", freed), ("M-7K2Q9J", "R-7K2Q9J", jst("2026-09-25 11:00"))]
    assert given(got, done).splitlines()[2:] == [
        "- 9月24日 11時00分（空いた枠）: R-7K2Q9H → M-7K2Q9H",
        "- 9月25日 11時00分: R-7K2Q9J → M-7K2Q9J",
    ]
    assert given([], done) == "空いた枠を待っている方は、今はいません。"
    assert given([], replace(done, freed=None)) == ""
    summary = Summary()
    assert sentence(summary, done) == "M-7K2Q9F を取り消しました。 お電話でお知らせください。"
    summary.lacking(Shortfall(1, "meeting", "meetings", "not removed", [("M-7K2Q9F", "ZOOM_503")]))
    assert sentence(summary, done).endswith(
        "まだ済んでいないことが1件あります: M-7K2Q9F（ZOOM_503）。同じ内容でもう一度実行すると、残りだけを行います。"
    )


# --- whole runs


@pytest.fixture
def office(tmp_path, sqlite_template, prefect_url):  # noqa: F811 — the fixture above
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as made:
        assert made.process(GOOGLE, "google").returncode == 0
        yield made


@pytest.fixture
def api(prefect_url):  # noqa: F811 — the fixture above
    client = Api(prefect_url)
    yield client
    client.http.close()


def fill_in(office, flow, *arguments, as_of=AS_OF, **fields):
    pairs = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    return office.madoguchi("run", flow, "--as-of", as_of, *pairs, *arguments)


def listed(office, kind, **where):
    rows = json.loads(office.madoguchi("list", kind, "--json").stdout)
    return [row["reference"] for row in rows if where.items() <= row.items()]


@pytest.mark.prefect
@pytest.mark.slow
def test_a_clerk_cancels_and_is_told_what_was_done_what_is_open_and_that_the_same_form_finishes_it(office, api):
    [reference, *_] = listed(office, "bookings", status="confirmed")
    call = {"reference": reference, "received_by": "松戸", "reason": "CLIENT_WISH"}

    unknown = fill_in(office, "cancel-booking", **call | {"reference": "ｍ７ｋ２ｑ９ｆ"})
    assert unknown.returncode == 1
    sentence = "M-7K2Q9F という予約は見つかりません。番号を確かめてください。"
    assert sentence in unknown.stdout
    run, artifact, _ = run_record(api, "cancel-booking")
    assert (run["state_type"], run["state"]["message"]) == ("FAILED", sentence)
    assert "何も変わっていません" in artifact["data"]
    assert run["name"] == "cancel-booking 2026-09-14 09:00 M-7K2Q9F"

    office.zoom.state.faults.order({"op": "delete", "kind": "503", "times": None})
    broken = fill_in(office, "cancel-booking", **call)
    office.heal()
    assert (broken.returncode, listed(office, "bookings", reference=reference, status="cancelled")) == (1, [reference])
    run, artifact, _ = run_record(api, "cancel-booking")
    assert re.search("ただし、まだ済んでいないことが1件あります.*同じ内容でもう一度実行", run["state"]["message"])

    finished = fill_in(office, "cancel-booking", "--json", **call)
    counts = json.loads(finished.stdout)["counts"]
    assert (finished.returncode, counts["already_done"], counts["meetings_removed"]) == (0, 1, 1)
    run, artifact, _ = run_record(api, "cancel-booking")
    assert run["state_type"] == "COMPLETED"
    assert run["state"]["message"].startswith(f"{reference} は9月14日 9時00分に取り消し済みです。")
    assert fill_in(office, "cancel-booking", **call | {"received_by": "柏"}).returncode == 1


@pytest.mark.prefect
@pytest.mark.slow
def test_a_clerk_decides_moves_and_books_the_next_session_by_command_line(office, api):
    [request, *_] = listed(office, "requests", status="in_review", reason="OFF_GRID")
    ruling = {"reference": request, "decision": "approve", "received_by": "n042", "reason": "SPECIAL_CASE"}
    decided = fill_in(office, "decide-request", "--json", **ruling, start="2026-10-15T13:10")
    assert decided.returncode == 0, api.newest_run("decide-request")["state"]["message"]
    assert json.loads(decided.stdout)["counts"]["confirmed"] == 1
    _, artifact, tasks = run_record(api, "decide-request")
    [reference] = re.findall("予約番号 (M-[0-9A-Z]{6})", artifact["data"])
    assert len(tasks) == 5

    change = {"reference": reference, "received_by": "n042", "reason": "OFFICE"}
    moved = fill_in(office, "move-booking", "--json", **change, start="2026-10-16T13:10")
    counts = json.loads(moved.stdout)["counts"]
    assert (moved.returncode, counts["confirmed"], counts["meetings_removed"]) == (0, 1, 1), moved.stderr

    here = "2026-10-16T13:20:00+09:00"
    made = fill_in(office, "book-in-session", "--json", as_of=here, reference=reference, received_by="n042",
                   start="2026-10-19T11:00")  # fmt: skip
    assert (made.returncode, json.loads(made.stdout)["counts"]["held"]) == (0, 0), made.stderr
    run, _, _ = run_record(api, "book-in-session")
    assert f"{reference} の方の次回の予約 M-" in run["state"]["message"]
