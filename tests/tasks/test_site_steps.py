"""What `publish-terms` carries on, on both databases: amendments that broke off, and people who came since."""

import pytest

from madoguchi.domain.amendment import NoticePurpose
from tasks.site_steps import carry_on_amendments
from tests.tasks.amendment_world import TermsWorld


@pytest.fixture
def world(database, tmp_path):
    return TermsWorld(database, tmp_path)


def test_who_books_after_the_announcement_is_told_once_before_the_effect(world):
    world.had("2026-09-24 11:00", "confirmed")
    world.announce()
    assert carry_on_amendments(world.services, world.run()).queued == 0
    world.had("2026-09-25 11:00", "confirmed")
    world.waits(email=None)
    assert carry_on_amendments(world.services, world.run()).queued == 2
    assert carry_on_amendments(world.services, world.run()).queued == 0
    assert len(world.mails()) == 2
    assert len(world.notices()) == 3


def test_who_books_after_the_effect_needs_no_notice(world):
    world.announce()
    world.forward_to(world.amendment().effective_at)
    world.had("2026-10-05 11:00", "confirmed")
    assert carry_on_amendments(world.services, world.run()).queued == 0
    assert world.mails() == []


def test_an_approved_amendment_whose_run_died_is_published_and_told(world):
    world.had("2026-09-24 11:00", "confirmed")
    code = world.approve()
    assert carry_on_amendments(world.services, world.run()).queued == 1
    assert world.amendment().status == "announced"
    assert world.page(f"amendments/{code}")


def test_one_that_would_be_public_too_late_is_taken_back_and_named(world):
    code = world.approve()
    world.forward_to(world.amendment().effective_at)
    assert carry_on_amendments(world.services, world.run()).late == [code]
    assert world.amendment().status == "withdrawn"
    assert world.notices(NoticePurpose.ANNOUNCED) == {}


def test_a_withdrawn_amendment_is_left_alone(world):
    world.had("2026-09-24 11:00", "confirmed")
    world.announce()
    world.take_back()
    world.had("2026-09-25 11:00", "confirmed")
    assert carry_on_amendments(world.services, world.run()).queued == 0
