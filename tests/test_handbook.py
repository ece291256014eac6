"""The operators' handbook leaves nothing out that a clerk can meet."""

from enum import StrEnum
from pathlib import Path

import pytest

from config.office_file import read_office
from flows.deployments import list_deployments
from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus

ROOT = Path(__file__).resolve().parents[1]
HANDBOOK = (ROOT / "docs" / "handbook.ja.md").read_text(encoding="utf-8")
PAGES = HANDBOOK + "".join((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("watch", "staff"))


@pytest.mark.parametrize("states", [RequestStatus, BookingStatus, MessageStatus])
def test_every_state_is_explained(states: type[StrEnum]) -> None:
    assert [state for state in states if f"`{state}`" not in HANDBOOK] == []


def test_every_flow_is_named_there_or_in_the_page_of_forms() -> None:
    entries = list_deployments(read_office(ROOT / "config" / "office.toml", sandbox=True))
    assert sorted({entry.flow for entry in entries if entry.flow not in PAGES}) == []


def test_there_are_twelve_things_that_go_wrong() -> None:
    rows = [line for line in HANDBOOK.splitlines() if line.startswith("| ") and line[2:4].strip(" |").isdigit()]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 13))
