"""How the parts of `madoguchi up` are kept alive: fake parts, a clock that is moved by hand."""

import threading
from itertools import pairwise

import pytest

from madoguchi.commands.keeping import Backoff, Keeper, Part, PartError


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Fake:
    """A part that ends, hangs and refuses to start as it is told."""

    def __init__(self, clock, name="web part", patience=4):
        self.clock, self.runs, self.talks, self.refuses, self.starts = clock, True, True, None, []
        self.part = Part(name, lambda: not self.runs, lambda: self.talks, self.restart, patience)

    def restart(self, _stop):
        self.starts.append(self.clock.now - 1000)
        if self.refuses:
            raise self.refuses
        self.runs = self.talks = True


@pytest.fixture
def clock():
    return Clock()


def pass_time(keeper, clock, seconds, stop=None):
    for _ in range(seconds):
        keeper.round(stop or threading.Event())
        clock.now += 1


def test_what_lives_and_answers_is_left_alone(clock):
    fake = Fake(clock)
    pass_time(Keeper([fake.part], clock=clock), clock, 600)
    assert fake.starts == []


def test_what_ends_is_started_again_at_once(clock):
    fake = Fake(clock)
    keeper = Keeper([fake.part], clock=clock)
    fake.runs = False
    pass_time(keeper, clock, 100)
    assert fake.starts == [0]


def test_what_cannot_start_is_tried_ever_more_slowly_and_never_given_up(clock, caplog):
    fake = Fake(clock)
    fake.runs, fake.refuses = False, PartError("port 4284 is taken")
    pass_time(Keeper([fake.part], clock=clock), clock, 200)
    gaps = [later - earlier for earlier, later in pairwise(fake.starts)]
    # A second more each: the next round sees that it has ended again.
    assert gaps[:6] == [2, 3, 5, 9, 17, 31]
    assert set(gaps[5:]) == {31}
    assert "port 4284 is taken" in caplog.text


def test_a_full_disk_is_tried_again(clock):
    fake = Fake(clock)
    fake.runs, fake.refuses = False, OSError(28, "No space left on device")
    pass_time(Keeper([fake.part], clock=clock), clock, 5)
    assert len(fake.starts) == 2


def test_a_fault_of_the_program_is_not_hidden(clock):
    fake = Fake(clock)
    fake.runs, fake.refuses = False, TypeError("no")
    with pytest.raises(TypeError):
        pass_time(Keeper([fake.part], clock=clock), clock, 1)


def test_what_lives_without_answering_is_started_again_after_a_minute(clock, caplog):
    fake = Fake(clock)
    fake.talks = False
    pass_time(Keeper([fake.part], clock=clock), clock, 200)
    assert fake.starts == [45]
    assert "the web part does not answer" in caplog.text


def test_one_question_without_an_answer_is_forgotten(clock):
    fake = Fake(clock)
    keeper = Keeper([fake.part], clock=clock)
    for talks in (False, True) * 20:
        fake.talks = talks
        pass_time(keeper, clock, 45)
    assert fake.starts == []


def test_a_part_that_waits_for_its_restart_keeps_no_other_one_waiting(clock):
    broken, other = Fake(clock, "server"), Fake(clock)
    broken.runs, broken.refuses = False, PartError("no")
    keeper = Keeper([broken.part, other.part], clock=clock)
    pass_time(keeper, clock, 60)
    other.runs = False
    pass_time(keeper, clock, 1)
    assert other.starts == [60]


def test_nothing_is_started_any_more_once_the_end_has_begun(clock):
    fake = Fake(clock)
    fake.runs = False
    stop = threading.Event()
    stop.set()
    pass_time(Keeper([fake.part], clock=clock), clock, 10, stop)
    assert fake.starts == []


def test_a_steady_minute_makes_the_next_restart_immediate_again():
    backoff = Backoff()
    assert [backoff.pause(now) for now in (0, 1, 3, 7)] == [0, 1, 2, 4]
    assert backoff.pause(7 + 4 + 61) == 0
