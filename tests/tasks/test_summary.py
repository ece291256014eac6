from collections import Counter

from madoguchi.store.models import RunRecord
from tasks.summary import Shortfall, Summary, begin, conclude, counts_table, reasons_table, tally
from tests.world import World


def shortfall(*items, of=3):
    return Shortfall(of, "session", "sessions", "have no meeting", list(items))


def test_nothing_lacking_is_complete():
    summary = Summary()
    summary.lacking(shortfall())
    assert (summary.is_complete, summary.sentence(), summary.incomplete) == (True, "Complete", [])


def test_what_lacks_is_said_with_number_reason_and_what_to_do():
    summary = Summary()
    summary.lacking(shortfall(("M-1", "ZOOM_TIMEOUT"), ("M-2", "ZOOM_UNREACHABLE")))
    summary.lacking(Shortfall(1, "file", "files", "cannot be read", [("a.csv", "NOT_A_TABLE")]))
    assert summary.sentence() == (
        "2 of 3 sessions have no meeting: M-1, M-2; 1 of 1 file cannot be read: a.csv; run again"
    )
    assert summary.incomplete[0] == {"reference": "M-1", "reason": "ZOOM_TIMEOUT"}


def test_a_long_list_is_cut_in_the_sentence_but_not_in_the_record():
    summary = Summary()
    summary.lacking(shortfall(*((f"M-{n}", "X") for n in range(20)), of=20))
    assert "M-11 and 8 more" in summary.sentence()
    assert len(summary.incomplete) == 20


def test_a_run_is_recorded_with_both_times_and_its_end(database):
    world = World(database)
    run = begin(world.services, world.run())
    [record] = world.rows(RunRecord)
    assert (record.state, record.finished_at) == ("running", None)
    summary = Summary(counts={"in": 3})
    summary.lacking(shortfall(("M-1", "X")))
    world.clock.forward(minutes=1)
    conclude(world.services, run, summary)
    [record] = world.rows(RunRecord)
    assert (record.state, record.counts, record.incomplete) == ("failed", {"in": 3}, summary.incomplete)
    assert record.message == summary.sentence()
    assert (record.as_of, record.finished_at) == (run.as_of, world.clock.now)


def test_tables_hold_every_row_up_to_their_limit():
    assert counts_table([("a", 1)]).splitlines()[-1] == "| a | 1 |"
    rows = [("f.csv", n, "x", "y") for n in range(5)]
    assert reasons_table(rows, limit=3).splitlines()[-1].endswith("ほか 2 行 |")
    assert len(reasons_table(rows).splitlines()) == 7
    assert tally(Counter(b=1, a=2), "n") == {"n_a": 2, "n_b": 1}
