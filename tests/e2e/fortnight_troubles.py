"""The disasters of the fortnight: how each begins and ends. docs/fortnight.md."""

import time
from datetime import timedelta

from tests.e2e import fortnight_script as scripts
from tests.e2e.day_rehearsal import locked_record
from tests.e2e.rehearsal import until

NEVER = 3000
"""Seconds: longer than any run."""


class Troubles:
    """A part of `Fortnight`: `begin_x` and `end_x` for every kind of trouble in the script."""

    def begin_zoom_down(self, _trouble):
        self.zoom_is_down = True
        self.office.zoom.state.faults.order({"op": "*", "kind": "503", "times": None})

    def end_zoom_down(self, _trouble):
        self.zoom_is_down = False
        self.office.zoom.state.faults.clear()

    def begin_mail_down(self, _trouble):
        self.office.mailbox.state.faults.order({"at": "MAIL", "kind": "421", "times": None})

    def end_mail_down(self, _trouble):
        self.office.mailbox.state.faults.clear()

    def begin_power_cut(self, trouble):
        """In the middle of a run, if there is one that can be caught in the middle."""
        self._catch("process-requests", {"op": "create", "kind": "latency", "seconds": NEVER, "times": None})
        self.machine.kill_all(spare_server=self.script.is_short)
        self.has_power = False
        self.office.zoom.state.faults.clear()

    def end_power_cut(self, _trouble):
        self.machine.start()
        self.has_power = True

    def begin_worker_killed(self, _trouble):
        self._catch("process-requests", {"op": "create", "kind": "timeout_after_act", "seconds": NEVER, "times": None})
        self.machine.kill_worker()
        self.office.zoom.state.faults.clear()
        self.machine.start()

    def _catch(self, flow, fault):
        """Begin a run, and return when it stands in the middle, or is over because there was nothing to do."""
        zoom = self.office.zoom.state
        zoom.faults.order(fault)
        before = zoom.requests["create"]
        self.machine.worker.ask(["run", flow, "--json"])
        began = time.monotonic()
        until(lambda: zoom.requests["create"] > before or time.monotonic() - began > 2.0, 10, "-")
        time.sleep(0.1)

    def begin_clerks_away(self, _trouble):
        """Nobody looks at the list of the afternoon."""
        self.clerks.are_away = True

    def end_clerks_away(self, _trouble):
        self.clerks.are_away = False

    def begin_export_again(self, _trouble):
        self.export(self.exported, name="online-counselling (1).csv")

    def begin_office_changed(self, _trouble):
        """Another closed day, with sessions on it, and reception opens later. Clerks call everybody whom it touches."""
        closed = scripts.CLOSED_LATER
        text = self.office_file.read_text(encoding="utf-8")
        text = text.replace("closures = []", f"closures = [{closed:%Y-%m-%d}]")
        self.office_file.write_text(text.replace('opens = "08:30"', 'opens = "09:00"'), encoding="utf-8")
        self.machine.restart_office()
        self.clerks.call_off(closed)

    def begin_disk_low(self, _trouble):
        """Something grows on the disk, until the next trouble is here."""
        if self.has_real_disk:
            self.machine.fill_disk(leave=500)

    def end_disk_low(self, _trouble):
        pass

    def begin_disk_full(self, _trouble):
        if self.has_real_disk:
            self.machine.fill_disk()

    def end_disk_full(self, _trouble):
        if not self.has_real_disk:
            return
        self.machine.free_disk()
        # In life every run is a process of its own: none has seen the full disk.
        self.machine.renew_worker()

    def begin_clock_back(self, trouble):
        self.time.set_machine(timedelta(hours=-1))

    def end_clock_back(self, _trouble):
        self.time.set_machine(timedelta())

    def begin_webhooks_lost(self, _trouble):
        self.office.zoom.state.webhooks.subscribe({"mode": "off"})

    def end_webhooks_lost(self, _trouble):
        self.office.zoom.state.webhooks.subscribe({"mode": "on"})

    def begin_database_locked(self, _trouble):
        """Another program holds the record while a run wants to write. PostgreSQL dies under the run and comes back."""
        if self.postgres is None:
            with locked_record(self.office.record):
                self.machine.worker.ask(["run", "process-requests", "--json"])
                time.sleep(1 if self.script.is_short else 4)
        else:
            self.machine.worker.ask(["run", "process-requests", "--json"])
            time.sleep(0.3)
            self.postgres.restart()
        code, _ = self.machine.worker.answer()
        self.runs["process-requests", code] += 1
