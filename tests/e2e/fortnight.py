"""`python -m tests.e2e.fortnight [--seed N] [--small]`: fourteen days of the office at high speed, with all that goes
wrong on them; docs/fortnight.md.

Every tick of the true schedule is a real command in a process of the office, at its time, in the order of time; where
nothing is due most are left out. People live by their mails, counsellors by the day list, clerks answer the telephone
and look at what waits for them each afternoon. Nobody repairs anything.
"""

import argparse
import csv
import heapq
import itertools
import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from prefect._vendor.croniter import croniter

from config.office_file import read_office
from config.settings import ROOT
from flows.deployments import list_deployments
from madoguchi.cli import FLOWS
from madoguchi.domain.office import JST
from madoguchi.sandbox import zoom_webhooks
from madoguchi.sandbox.zoom_day import Act, ActRefusedError, play
from tests.e2e import fortnight_script as scripts
from tests.e2e.day_rehearsal import SECRET
from tests.e2e.fortnight_canaries import leaked
from tests.e2e.fortnight_checker import figures, violations
from tests.e2e.fortnight_clerks import Clerks
from tests.e2e.fortnight_clock import RehearsedTime
from tests.e2e.fortnight_machines import Machine
from tests.e2e.fortnight_people import People, host_acts
from tests.e2e.fortnight_postgres import own_server
from tests.e2e.fortnight_receiver import receiver
from tests.e2e.fortnight_record import live_sessions
from tests.e2e.fortnight_troubles import Troubles
from tests.e2e.rehearsal import rehearsal

MINUTE = timedelta(minutes=1)
STAFF = "jouhou@example.jp"
"""Who is told of alarms."""
FREQUENT = {
    "process-requests", "deliver-messages", "send-reminders", "read-bounces", "publish-terms", "watch", "tell-alarms",
}  # fmt: skip


class Fortnight(Troubles):
    """One office living through a script. After `play`, what came of it is in the three worlds, `people` and `runs`."""

    def __init__(self, script, folder, *, say=print, postgres=None):
        """`postgres`: keep the record there instead of in a file (`fortnight_postgres.OwnServer`)."""
        self.script, self.folder, self.say, self.postgres = script, folder, say, postgres
        self.record = postgres.url if postgres else f"sqlite:///{folder / 'var' / 'record.db'}"
        self.runs, self.failed, self.heard = Counter(), [], []
        self.order = itertools.count()
        self.agenda = []
        self.zoom_is_down = self.has_power = False
        self.closures = set()

    # --- the agenda

    def plan(self, instant, what, *arguments, rank=5):
        """Let something happen at an instant; the lower the rank, the earlier within it."""
        heapq.heappush(self.agenda, (instant, rank, next(self.order), what, arguments))

    @contextmanager
    def played(self):
        """Live through it all. In the block the machine is off; its disk and the stand-ins can be looked at."""
        began = time.monotonic()
        self.time = RehearsedTime(self.folder / "clock", self.script.starts)
        with (
            rehearsal(self.folder, self.record, "") as office,
            receiver(self.heard, self.time.now) as webhook,
        ):
            self.office = office
            self._tell_stand_ins_the_time()
            self.office_file = self.folder / "office.toml"
            shutil.copy(ROOT / "config" / "office.toml", self.office_file)
            told = {"MADOGUCHI_ALARM__MAIL_TO": STAFF, "MADOGUCHI_ALARM__WEBHOOK_URL": webhook}
            self.machine = Machine(office, self.time.path, self.office_file, **told)
            self.has_real_disk = self.machine.mount()
            try:
                try:
                    self._live()
                finally:
                    self.machine.stop()
                    zoom_webhooks.time = time
                self.seconds = time.monotonic() - began
                yield self
            finally:
                if self.has_real_disk:
                    self.machine.unmount()

    def _live(self):
        self.machine.migrate()
        self.people = People(self.script, self.office)
        self.clerks = Clerks(self)
        self.machine.start()
        self.has_power = True
        self.office.zoom.state.webhooks.subscribe(
            {"url": f"http://127.0.0.1:{self.machine.web_port}/zoom/webhook", "secret": SECRET, "mode": "on"}
        )
        self._plan_days()
        while self.agenda:
            instant, _, _, what, arguments = heapq.heappop(self.agenda)
            if instant > self.script.ends:
                break
            self.time.go(instant)
            what(*arguments)
        self.time.go(self.script.ends)
        self.people.read_mails()

    def _tell_stand_ins_the_time(self):
        """Zoom and the relay are elsewhere: their clocks are right, whatever the office believes."""
        zoom = self.office.zoom.state
        zoom._clock, zoom._shift, zoom.set_now = self.time.now, timedelta(), lambda _: None
        self.office.mailbox.state._clock = lambda: self.time.now().astimezone(JST)
        zoom_webhooks.time = _StampsOf(self.time)

    def _plan_days(self):
        for moment, rows in self.script.exports:
            self.plan(moment, self.export, rows, rank=1)
        for trouble in self.script.troubles:
            name = trouble.kind.replace(" ", "_")
            self.plan(trouble.at, getattr(self, f"begin_{name}"), trouble, rank=2)
            if trouble.until:
                self.plan(trouble.until, getattr(self, f"end_{name}"), trouble, rank=2)
        day = self.script.starts.astimezone(JST).date()
        while day <= self.script.ends.astimezone(JST).date():
            self.plan(max(scripts.at(day, "00:00"), self.script.starts), self.begin_day, day, rank=0)
            day += timedelta(days=1)

    def begin_day(self, day):
        """Plan the ticks of a day by the office.toml that is there in the morning, and its sessions."""
        self.say(f"{day:%a %d %b}  {self.figures()}")
        self.day_file = read_office(self.office_file, sandbox=True)
        for tick, flows in self.ticks(day).items():
            if tick >= self.script.starts:
                self.plan(tick, self.tick, tick, flows, rank=6)
        if scripts.is_open(day):
            for clock in scripts.GRID:
                self.plan(scripts.at(day, clock) - 8 * MINUTE, self.prepare, scripts.at(day, clock))
            self.plan(max(scripts.at(day, "16:06"), self.script.starts), self.clerks.look, rank=7)
            self.plan(scripts.at(day, "09:36"), self.clerks.telephone_rings, day)

    def ticks(self, day):
        """The schedule of a day: time, and the flows that are due then, in the order of the list."""
        found = defaultdict(list)
        start = scripts.at(day, "00:00")
        for entry in list_deployments(self.day_file):
            for cron in entry.crons:
                for tick in _ticks_of(cron, start):
                    if entry.flow in FLOWS and self._is_worth(entry.flow, tick):
                        found[tick].append((entry.flow, dict(entry.parameters)))
        return found

    def _is_worth(self, flow, tick):
        """Leave out where nothing can be due: between two whole hours in which nothing arrives, breaks or ends."""
        if flow not in FREQUENT:
            return True
        local, is_short = tick.astimezone(JST), self.script.is_short
        is_open = scripts.is_open(local.date())
        step = self.script.step if is_open else 180
        if flow == "send-reminders" and 10 <= local.hour < 14:
            step = min(step, 30)
        if (local.hour * 60 + local.minute) % step == 0 and not (is_short and flow == "watch"):
            return True
        if (local.hour, local.minute) in {(17, 10), (17, 15)} and is_open and not is_short:
            return True
        near = [moment for moment, _ in self.script.exports if flow == "process-requests"]
        for trouble in self.script.troubles:
            if flow == "process-requests" or not is_short or (flow == "watch" and trouble.alarms):
                near += [trouble.at, *([trouble.until] if trouble.until else [])]
        width = 5 if flow in {"process-requests", "deliver-messages"} else 10
        return any(timedelta() <= tick - moment < width * MINUTE for moment in near)

    def can(self, trouble):
        """Tell whether a trouble can be had here: for a full disk this user must be allowed to mount one."""
        return self.has_real_disk or not trouble.kind.startswith("disk")

    # --- what happens

    def tick(self, due, flows):
        """The scheduler's turn; without power there is none."""
        for flow, parameters in flows:
            if self.has_power:
                self.command(flow, **parameters)

    def command(self, flow, *, is_scheduled=True, **fields):
        """Give a command and wait for its end; returns its exit code and summary."""
        sets = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
        self.machine.worker.ask(["run", flow, "--json", *sets], is_scheduled=is_scheduled)
        code, summary = self.machine.worker.answer()
        self.runs[flow, code] += 1
        if code:
            reasons = sorted({each["reason"] for each in summary["incomplete"]}) if summary else ["-"]
            self.failed.append((self.time.now().astimezone(JST), flow, reasons))
        self.people.read_mails()
        self.office.zoom.state.webhooks.retry(self.time.now())
        self.office.zoom.state.webhooks.wait()
        return code, summary

    def export(self, rows, name="online-counselling.csv"):
        """The form's export comes to the inbox, cumulative, as a whole file."""
        inbox = self.folder / "var" / "inbox"
        inbox.mkdir(exist_ok=True, parents=True)
        draft = self.folder / "draft.csv"
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(scripts.header())
            writer.writerows(person.cells for person in self.script.people[:rows])
        shutil.copy(draft, inbox / name)
        # It was written to for the last time a while ago, by the real clock too.
        os.utime(inbox / name, (time.time() - 60, time.time() - 60))
        self.exported = rows

    def prepare(self, start):
        """Let everybody who believes in a session at that time go there, and the counsellors of the day list."""
        self.people.read_mails()
        for life in self.people.lives.values():
            if life.session and life.session[0] == start and not life.cancelled:
                for minutes, who, act in self.people.acts(life, start):
                    self.plan(start + minutes * MINUTE, self.act, life, life.session[1], who, act)
                if life.person.conduct in {scripts.CALLS, scripts.CALLS_NOTED_LATE}:
                    self.plan(start + life.person.early * MINUTE, self.clerks.hear, life)
        for row, meeting in live_sessions(self.office.record, start):
            for minutes, act in host_acts(self.people.by_row[row].person.conduct):
                self.plan(start + minutes * MINUTE, self.act, None, meeting, "host", act, rank=6)

    def act(self, life, meeting, who, act):
        """Somebody does something in Zoom."""
        zoom = self.office.zoom.state
        if self.zoom_is_down:
            if life and act != "leave":
                life.shut_out.append(self.time.now())
            return
        if act == "admit" and not zoom.people.present(int(meeting), "waiting"):
            return
        try:
            zoom.webhooks.emit(play(zoom, int(meeting), [Act(who, act, self.time.now())]))
        except ActRefusedError as refused:
            zoom.webhooks.emit(refused.events)
            if life and act in {"join", "wait"}:
                self.people.wrongs.append(f"STOOD_OUTSIDE row {life.person.row}: {refused}")
            elif who == "host" and act == "start":
                self.people.wrongs.append(f"HOST_WITHOUT_MEETING {meeting}: {refused}")
        else:
            if life and act in {"join", "wait"}:
                life.came.append(self.time.now())
        zoom.webhooks.wait()

    # --- what is said

    def figures(self):
        runs = sum(self.runs.values())
        mails = len(self.office.mailbox.state.entries())
        return f"{runs} runs, {sum(n for (_, code), n in self.runs.items() if code)} failed, {mails} mails"


class _StampsOf:
    """`time` for the stand-in's webhooks: signed at the rehearsed time, measured by the real one."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, rehearsed):
        self.time = lambda: rehearsed.now().timestamp()


def _ticks_of(cron, start):
    """Every instant of one day at which a cron line (Asia/Tokyo) fires."""
    ticks = croniter(cron, (start - timedelta(seconds=1)).replace(tzinfo=None))
    found = []
    while (tick := ticks.get_next(datetime).replace(tzinfo=JST)) < start + timedelta(days=1):
        found.append(tick)
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="fortnight", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat what another run has printed")
    parser.add_argument("--small", action="store_true", help="two days instead of fourteen")
    parser.add_argument("--postgres", action="store_true", help="keep the record on Debian's PostgreSQL")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    say(f"seed {seed}")
    # Answers that the stand-ins still withhold at the end are cut off, and they would say so.
    logging.disable(logging.ERROR)
    script = (scripts.small if options.small else scripts.fortnight)(seed)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fortnight-"))
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(own_server()) if options.postgres else None
        fortnight = stack.enter_context(Fortnight(script, folder, say=say, postgres=postgres).played())
        wrong = [*violations(fortnight), *leaked(fortnight)]
        for line in (*figures(fortnight), *wrong):
            say(line)
        say(f"{fortnight.seconds:.0f} s, seed {seed}: {len(wrong) or 'nothing'} wrong")
    if options.keep is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


def say(line):
    print(line, flush=True)  # noqa: T201 — what the command says


if __name__ == "__main__":
    sys.exit(main())
