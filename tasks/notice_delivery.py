"""Notices to everybody go out over a few connections, at the rate that each mail domain takes.

One runner at a time is at a lane, so that the rate holds for all of them together; the others wait for it, or leave it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from madoguchi.domain.amendment_rules import rate_of
from madoguchi.domain.message import MessageStatus
from madoguchi.store import notice_lanes as lanes_store
from madoguchi.store import outbox as store
from tasks.delivery import BUILT_AHEAD, recover
from tasks.mail_building import Mail, MailBuilder, NotSent
from tasks.proof import refresh_notice_tasks
from tasks.sending import DeliveryReport, Sender
from tasks.wiring import Run, Services

BATCH = 500
_AT_ONCE: Final = 2
"""Marked in one transaction on a connection: so many a connection may be in doubt after a crash."""
_SMALL_BATCH: Final = 32
_LISTED: Final = 100
_CLAIMED_SECONDS: Final = 20.0
"""So much work a runner claims in a lane: well within the lease, and soon free again if it is stopped."""
_HELD_SECONDS: Final = 1.0
_NAP_SECONDS: Final = 0.25
_LATE_SECONDS: Final = 0.05
"""A thread that wakes up late may catch up so much, and no more: mail servers count by the second."""
_REHEARSED_FASTER: Final = 1000.0
"""No mail server counts what is never sent."""
_SETTLED: Final = tuple(
    status.value
    for status in (
        MessageStatus.SENT,
        MessageStatus.FAILED,
        MessageStatus.UNCERTAIN,
        MessageStatus.SUPPRESSED,
        MessageStatus.MISSED,
    )
)

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class NoticeDelivery:
    """What one round did with notices to everybody. `counts`: by status. `left`: due and not settled at the end.

    `stopped`: a code when a connection gave up early. `incomplete`: at most a hundred that need a person, with codes.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left: int = 0
    stopped: str | None = None
    incomplete: list[tuple[str, str]] = field(default_factory=list)


class Paces:
    """How fast each lane goes, for all connections of this process. `rate`: mails a second of a lane.

    `monotonic` and `sleep` are seconds. Mails of a lane are spaced evenly; a pause is not made up for.
    """

    def __init__(
        self,
        rate: Callable[[str], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate = rate
        self.monotonic = monotonic
        self.sleep = sleep
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def take(self, lane: str) -> bool:
        """Take a turn of a lane if there is one now."""
        with self._lock:
            now = self.monotonic()
            turn = self._next.get(lane, now)
            if turn > now:
                return False
            self._next[lane] = max(turn, now - _LATE_SECONDS) + 1.0 / self.rate(lane)
            return True

    def until(self, lane: str) -> float:
        """Return in how many seconds the lane has its next turn."""
        with self._lock:
            return max(0.0, self._next.get(lane, 0.0) - self.monotonic())


def deliver_notices(
    services: Services,
    run: Run,
    *,
    progress: Progress | None = None,
    amendment_id: str | None = None,
    seconds: float | None = None,
    paces: Paces | None = None,
) -> NoticeDelivery:
    """Send the notices that are due, each once, over the office's number of connections, and settle them.

    `progress` hears of settled and total, now and then and at the end, in the caller's thread. `amendment_id`: of that
    amendment only. `seconds`: stop then, and leave lanes alone at which another runner is; without it they are waited
    for. What dead runners left is settled first; on every connection two messages at most can be in doubt after a
    crash, and none of these is repeated. What the relay puts off is for the next run. Memory does not grow with their
    number. Errors of the relay end as `stopped` and `left`.
    """
    policy = services.office.terms
    report = DeliveryReport(listed=_LISTED)
    recover(services, run, report)
    hurry = _REHEARSED_FASTER if services.is_rehearsal else 1.0
    paces = paces or Paces(lambda lane: rate_of(lane, policy) * hurry)
    ends_at = None if seconds is None else paces.monotonic() + seconds
    shared = _Shared(services, run, paces, amendment_id, ends_at)
    shared.total = total = sum(shared.waiting().values())
    workers = [_Worker(shared, number) for number in range(policy.connections if total else 0)]
    _await(workers, shared, lambda: progress and progress(min(total, sum(each.settled for each in workers)), total))
    if total or report.counts:
        refresh_notice_tasks(services, run)
    found = _summed(report, workers)
    found.left = sum(shared.waiting().values())
    return found


def _await(workers: list[_Worker], shared: _Shared, tell: Callable[[], object]) -> None:
    """Let the connections work to their end, and raise what one of them raised."""
    for worker in workers:
        worker.start()
    try:
        while living := [worker for worker in workers if worker.is_alive()]:
            living[0].join(_NAP_SECONDS)
            tell()
    finally:
        # Also when the flow is cancelled: whatever is being given is settled, nothing more is begun.
        shared.stop.set()
        for worker in workers:
            worker.join()
    tell()
    for worker in workers:
        if worker.error is not None:
            raise worker.error


def _summed(report: DeliveryReport, workers: list[_Worker]) -> NoticeDelivery:
    found = NoticeDelivery(counts=Counter(report.counts), incomplete=list(report.incomplete))
    for worker in workers:
        found.counts += worker.report.counts
        found.incomplete += worker.report.incomplete
        found.stopped = found.stopped or worker.stopped
    del found.incomplete[_LISTED:]
    return found


class _Lane(Enum):
    """How it stands with a lane when one asks for more."""

    HELD = auto()
    """Another runner is at it."""
    EMPTY = auto()


@dataclass
class _Shared:
    """What the connections of one run have in common."""

    services: Services
    run: Run
    paces: Paces
    amendment_id: str | None
    ends_at: float | None
    """By `paces`; None: at the end, and lanes at which another runner is are waited for."""
    total: int = 0
    """So many waited at the beginning."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be begun."""
        if self.ends_at is not None and self.paces.monotonic() >= self.ends_at:
            self.stop.set()
        return self.stop.is_set()

    def waiting(self) -> dict[str, int]:
        """How many notices are due and not settled, by lane."""
        services = self.services
        with services.database.read() as session:
            now = self.run.at(services.clock())
            found = lanes_store.waiting_lanes(session, services.office.code, now, self.amendment_id)
        return {lane: count for lane, (count, _) in found.items()}

    def claim(self, lane: str, owner: str, builder: MailBuilder) -> list[Any] | _Lane:
        """Claim some seconds' worth of a lane."""
        services = self.services
        connections = services.office.terms.connections
        # Few notices are for all connections too.
        share = min(self.paces.rate(lane) * _CLAIMED_SECONDS, max(_SMALL_BATCH, self.total / 4)) / connections
        now = services.clock()
        with services.database.write() as session:
            lanes_store.await_turn_to_claim(session)
            if self._is_held(lanes_store.owners_in_lane(session, services.office.code, lane)):
                return _Lane.HELD
            batch = store.claim_due(
                session,
                services.office.code,
                owner,
                as_of=self.run.at(now),
                now=now,
                limit=int(min(BATCH, max(1, share))),
                tried_before=self.run.started_at,
                lane=lane,
                amendment_id=self.amendment_id,
            )
            if batch:
                builder.learn(session, batch)
        return batch or _Lane.EMPTY

    def _is_held(self, owners: list[str]) -> bool:
        return any(_runner(owner) != self.services.owner for owner in owners)


def _runner(owner: str) -> str:
    return owner.partition("#")[0]


class _Worker(threading.Thread):
    """One connection, its claims, and what became of them."""

    def __init__(self, shared: _Shared, number: int) -> None:
        super().__init__(name=f"notices-{number}", daemon=True)
        self._shared = shared
        self.owner = f"{shared.services.owner}#{number}"
        self.report = DeliveryReport(listed=_LISTED)
        self.stopped: str | None = None
        self.error: BaseException | None = None

    @property
    def settled(self) -> int:
        """How many messages it is done with."""
        return sum(self.report.counts[status] for status in _SETTLED)

    def run(self) -> None:
        """Send until there is nothing left, the time is over, or the relay gives up."""
        shared = self._shared
        try:
            builder = MailBuilder(shared.services, shared.run)
            sender = Sender(shared.services, shared.run, self.owner, builder, self.report, at_once=_AT_ONCE)
            self.stopped = sender.send(_Paced(shared, self.owner, builder, sender, self.report))
        except BaseException as error:  # noqa: BLE001 — raised again by the thread that waits for this one
            self.error = error
            shared.stop.set()


class _Paced:
    """The mails of one connection: of the lanes that have a turn, the next one, in rotation."""

    def __init__(
        self, shared: _Shared, owner: str, builder: MailBuilder, sender: Sender, report: DeliveryReport
    ) -> None:
        self._shared = shared
        self._owner = owner
        self._builder = builder
        self._sender = sender
        self._report = report
        self._chosen: Mail | None = None
        self._lanes: deque[str] = deque(shared.waiting())
        self._built: dict[str, deque[Mail]] = {lane: deque() for lane in self._lanes}
        self._streams: dict[str, Iterator[Mail | NotSent]] = {}
        self._held: set[str] = set()

    def first(self) -> Mail | None:
        """Return the mail whose turn it is."""
        if self._shared.is_over:
            return None
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def take(self) -> None:
        """Take it off."""
        self._chosen = None

    def prepare(self) -> None:
        """Build ahead in the lane that comes next."""
        if self._lanes and not self._built[self._lanes[0]]:
            self._fill(self._lanes[0], BUILT_AHEAD, claim=False)

    def wait(self) -> bool:
        """Wait for the next turn of a lane, or for a lane that another runner holds."""
        shared = self._shared
        if shared.is_over or not self._lanes:
            return False
        if self._held.issuperset(self._lanes):
            recover(shared.services, shared.run, self._report)
            self._nap(_HELD_SECONDS)
        else:
            self._nap(min(shared.paces.until(lane) for lane in self._lanes if lane not in self._held))
        self._held.clear()
        return not shared.is_over

    def _nap(self, seconds: float) -> None:
        shared = self._shared
        while seconds > 0 and not shared.is_over:
            nap = min(seconds, _NAP_SECONDS)
            shared.paces.sleep(nap)
            seconds -= nap

    def _choose(self) -> Mail | None:
        for lane in tuple(self._lanes):
            self._lanes.rotate(-1)
            if self._fill(lane, 1) and self._shared.paces.take(lane):
                return self._built[lane].popleft()
        return None

    def _fill(self, lane: str, count: int, *, claim: bool = True) -> bool:
        """Build up to `count` mails of a lane, claiming more when need be; False when it has none for us now."""
        built = self._built[lane]
        while len(built) < count:
            ready = next(self._streams.get(lane, iter(())), None)
            if isinstance(ready, Mail):
                built.append(ready)
            elif ready is not None:
                self._sender.drop(ready)
            elif not claim or not self._claim(lane):
                break
        return bool(built)

    def _claim(self, lane: str) -> bool:
        if lane in self._held or self._shared.is_over:
            return False
        batch = self._shared.claim(lane, self._owner, self._builder)
        if isinstance(batch, list):
            self._streams[lane] = self._builder.build(batch)
            return True
        if batch is _Lane.HELD and self._shared.ends_at is None:
            self._held.add(lane)
        else:
            self._lanes.remove(lane)
            self._streams.pop(lane, None)
        return False
