"""The stage of a rehearsal, on both databases: a whole copy, services that change nothing, a folder that goes."""

import stat
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from madoguchi.adapters.rehearsal_folder import rehearsal_folder, sweep_rehearsals
from madoguchi.adapters.rehearsal_zoom import RehearsalZoom
from madoguchi.adapters.zoom import ZoomClient
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store import rehearsal as store
from madoguchi.store.models import Base
from tasks.delivery import deliver_messages
from tasks.meeting_removal import remove_meetings
from tasks.meetings import create_meetings
from tasks.rehearsal import stage
from tasks.scheduling import schedule_requests
from tasks.staff_bookings import Cancellation, cancel_booking
from tasks.steps import StepError
from tasks.verdicts import sweep
from tests.tasks.desk_world import Desk
from tests.tasks.staff_help import THU, confirmed
from tests.tasks.sweep_world import CAME, NOBODY, TENTH
from tests.world import Clock, office


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    with running_zoom(folder / "zoom.db") as zoom, running_mailbox(folder / "mailbox") as mailbox:
        yield zoom, mailbox


@pytest.fixture
def world(database, stand_ins, tmp_path):
    zoom, mailbox = stand_ins
    mailbox.state.clear()
    (tmp_path / "inbox").mkdir()
    return Desk(
        database, office(), zoom=zoom, mailbox=mailbox, clock=Clock(), rehearsals=tmp_path / "rehearsal",
        inbox=tmp_path / "inbox", spool=tmp_path / "spool", bounces=tmp_path / "bounces", site_dir=tmp_path / "site",
    )  # fmt: skip


def rows(database):
    with database.engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)))) for table in Base.metadata.sorted_tables
        }


def there(world):
    mails = [mail.file for mail in world.mailbox.state.entries()]
    return rows(world.database), [repr(each) for each in world.zoom.state.everything()], mails


def test_the_copy_holds_every_row_as_it_is_and_only_its_owner_may_read_it(world):
    confirmed(world, f"{THU} 11:00", f"{THU} 12:00")
    world.session(*CAME)
    world.whole_sweep(TENTH)
    with stage(world.services) as (stand_in, _):
        assert rows(stand_in.database) == rows(world.database)
        path = Path(stand_in.database.url.database)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_everything_that_acts_runs_on_the_stage_and_the_real_things_stay_as_they_were(world, stand_ins):
    world.mailbox = stand_ins[1]
    reference, _ = confirmed(world, f"{THU} 11:00", f"{THU} 12:00")
    asked = world.ask(f"{THU} 11:00")
    before = there(world)
    with stage(world.services) as (stand_in, notes):
        cancel_booking(stand_in, world.run(), Cancellation(reference, "松戸", "ご本人の都合"))
        remove_meetings(stand_in, world.run())
        schedule_requests(stand_in, world.run())
        create_meetings(stand_in, world.run())
        report = deliver_messages(stand_in, world.run())
        assert report.counts["sent"] == 2
        with stand_in.database.read() as session:
            found = store.differences(session)
        assert Counter((mail["kind"], mail["reference"]) for mail in found.mails) == {
            ("cancelled", reference): 1,
            ("confirmed", asked): 1,
        }
        assert [change.action for change in notes.changes] == ["delete", "create"]
    assert there(world) == before
    assert list(world.services.rehearsals.glob("rehearsal-*")) == []


def test_a_verdict_is_shown_with_its_reasons_and_nobody_is_judged(world):
    reference = world.session(*NOBODY)
    world.clock.now = TENTH
    with stage(world.services) as (stand_in, _):
        sweep(stand_in, world.run(TENTH))
        with stand_in.database.read() as session:
            [verdict] = store.differences(session).verdicts
        assert verdict["reference"] == reference
        assert verdict["reasons"]
    assert world.state(reference) == "confirmed"
    assert world.verdicts(reference) == []


def test_without_a_place_nothing_is_rehearsed_and_nothing_is_done(database):
    world = Desk(database, office())
    with pytest.raises(StepError, match="REHEARSAL_HAS_NO_PLACE"), stage(world.services):
        raise AssertionError("there is no stage")


def test_every_request_that_a_zoom_client_can_make_is_answered_or_kept_by_the_rehearsal():
    public = {name for name, value in vars(ZoomClient).items() if callable(value) and not name.startswith("_")}
    # These two are made of the others.
    assert public - set(vars(RehearsalZoom)) == {"meeting_status", "find_by_token", "live_meeting_ids"}


def test_what_a_crash_has_left_goes_and_what_is_alive_stays(tmp_path):
    parent = tmp_path / "rehearsal"
    with rehearsal_folder(parent) as living:
        dead = parent / "rehearsal-dead"
        dead.mkdir()
        (dead / "alive").touch()
        (dead / "record.db").write_bytes(b"sealed")
        sweep_rehearsals(parent)
        assert living.is_dir()
        assert not dead.exists()
    assert not living.exists()
