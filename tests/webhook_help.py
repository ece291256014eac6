"""What tests of webhooks share: bodies as Zoom sends them, and a booking whose meeting they are about."""

import json
from datetime import UTC, datetime, timedelta

from madoguchi.adapters.event_spool import EventSpool
from madoguchi.store.models import Booking, Meeting
from tasks.evidence import seal_arrival
from tests.world import World

SECRET = "webhook-secret-of-the-tests"
MEETING = "85000000001"
START = datetime(2026, 9, 24, 2, 0, tzinfo=UTC)
JOINED = "meeting.participant_joined"


def event(name=JOINED, meeting=MEETING, at=START, guest="1001", topic="オンライン相談", **more):
    """Return the raw body of an event. `guest`: the number that Zoom gives to one stay; None: the host."""
    about = {"id": meeting, "uuid": f"uuid-{meeting}", "host_id": "host-id-1", "topic": topic}
    if "participant" in name:
        about["participant"] = {
            "user_id": guest or "1", "id": "" if guest else "host-id-1", "user_name": "架空 七海",
            "email": "nanami@example.jp", "join_time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        }  # fmt: skip
    body = {"event": name, "event_ts": round(at.timestamp() * 1000), "payload": {"object": about}} | more
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def world_with_meeting(database, folder, **more):
    """Return a world with a confirmed booking at START whose meeting is MEETING, and the spool of `folder`."""
    world = World(database, spool=folder / "webhooks", **more)
    reference = world.occupy("2026-09-24 11:00")
    add_meeting(world, reference, MEETING)
    return world, reference, EventSpool(folder / "webhooks")


def add_meeting(world, reference, meeting, revision=1, status="verified", access=None):
    with world.database.write() as session:
        booking = session.query(Booking).filter_by(reference=reference).one()
        row = Meeting(
            office=world.office.code, booking_id=booking.id, revision=revision, token=f"{reference}-{revision}",
            host=booking.host, status=status, meeting_id=meeting, start_at=booking.start_at,
            changed_at=booking.held_at,
        )  # fmt: skip
        session.add(row)
        session.flush()
        if access:
            row.sealed_access = world.services.vault.seal_json(access, f"meeting.sealed_access.{row.id}")


def put(world, spool, *bodies):
    names = []
    for raw in bodies:
        name = spool.new_name()
        spool.put(name, seal_arrival(world.services.vault, name, raw, world.clock.now))
        names.append(name)
    return names


def minutes(number):
    return START + timedelta(minutes=number)
