"""`python -m tests.e2e.rerun_table [--all-ways] [FLOW...]`: each flow, a fault at each step, four ways to rerun.

A fault is one transaction of that step: its first one does not begin, or its last one commits and the step breaks off
all the same, so that nobody knows of what was done. The run ends as it does in life; seven minutes later it is rerun,
and once more after that. Record, stand-in Zoom, mailbox and folders must then be those of an office where all is well.
Real flows, a real Prefect server and real stand-ins, in one process.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import TaskRunContext
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

from config.settings import ROOT
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server
from madoguchi.commands.run import parameters_of
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.database import Database
from tasks.wiring import use_services
from tests.e2e.rerun_scenes import SCENES, Scene, scene, strings_of

FIRST, LAST = "begins", "commits"
FAULTS = (FIRST, LAST)
PAGE = ROOT / "docs" / "rerun.md"
_BEGIN, _END = "<!-- table: made by python -m tests.e2e.rerun_table -->", "<!-- end of the table -->"


class BrokenError(Exception):
    """The fault that was ordered. Says nothing of a person, like all that leaves a step."""


class CountingDatabase(Database):
    """A record that knows which step asks it, and breaks once where it is told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.counts: dict[str, list[str]] = {}
        self.order: tuple[str, str, int] | None = None
        self.broke = False
        self._main = threading.main_thread()
        self._step: str | None = None
        self._lock = threading.Lock()

    def watch(self, order: tuple[str, str, int] | None = None) -> None:
        """Begin anew. `order`: step, fault, and for the second fault how many of its writes there are."""
        self.counts, self.order, self.broke, self._step = {}, order, False, None
        self._main = threading.current_thread()

    @contextmanager
    def write(self) -> Iterator[Any]:
        step, number = self._count("write")
        self._break(step, FIRST, 1)
        with super().write() as session:
            yield session
        self._break(step, LAST, number)

    @contextmanager
    def read(self) -> Iterator[Any]:
        step, _ = self._count("read")
        self._break(step, FIRST, 1)
        with super().read() as session:
            yield session

    def _count(self, kind: str) -> tuple[str | None, int]:
        with self._lock:
            if threading.current_thread() is self._main:
                context = TaskRunContext.get()
                self._step = context.task.name if context else None
            if self._step is None:
                return None, 0
            kinds = self.counts.setdefault(self._step, [])
            kinds.append(kind)
            return self._step, kinds.count("write")

    def _break(self, step: str | None, fault: str, number: int) -> None:
        if self.broke or self.order is None or step is None:
            return
        wanted, kind, at = self.order
        if step == wanted and kind == fault and (fault == FIRST or number == at):
            self.broke = True
            raise BrokenError


async def _new_run(made: Scene, _run_id: str) -> Any:
    return await made.function(**made.form, return_state=True)


async def _command(made: Scene, _run_id: str) -> Any:
    # What `madoguchi run` makes of its --set arguments, and the call that it then makes.
    return await made.function(**parameters_of(made.function, strings_of(made.form)), return_state=True)


async def _dashboard(made: Scene, run_id: str) -> Any:
    async with get_client() as client:
        # The button's own request; whoever serves the deployment then takes the run up as it stands on the server.
        await client.set_flow_run_state(
            run_id, Scheduled(name="AwaitingRetry", message="Retry from the UI"), force=True
        )
        run = await client.read_flow_run(run_id)
    return await run_flow(made.function, flow_run=run, return_type="state")


async def _cli(made: Scene, run_id: str) -> Any:
    async with get_client() as client:
        await client.set_flow_run_state(run_id, Scheduled(message="Retried via CLI (local execution)"), force=True)
        run = await client.read_flow_run(run_id)
    args, kwargs = parameters_to_args_kwargs(made.function.fn, run.parameters)
    given = get_call_parameters(made.function.fn, args, kwargs)
    return await run_flow(made.function, flow_run=run, parameters=given, return_type="state")


WAYS: dict[str, Callable[[Scene, str], Any]] = {
    "Retry": _dashboard,
    "flow-run retry": _cli,
    "new run": _new_run,
    "madoguchi run": _command,
}


@dataclass
class Bench:
    """A place where scenes are played, one after the other."""

    folder: Path
    template: Path
    stand_ins: tuple[Any, Any]
    number: int = 0
    expected: dict[str, tuple[list[dict[str, Any]], dict[str, list[str]]]] = field(default_factory=dict)

    @contextmanager
    def scene(self, name: str) -> Iterator[tuple[Scene, CountingDatabase]]:
        self.number += 1
        folder = self.folder / f"office-{self.number}"
        folder.mkdir()
        shutil.copy(self.template, folder / "record.db")
        database = CountingDatabase(f"sqlite:///{folder / 'record.db'}")
        try:
            with scene(name, database, folder, self.stand_ins) as made:
                made.services = replace(made.services, database=database)
                use_services(made.services)
                yield made, database
        finally:
            use_services(None)
            database.close()
            shutil.rmtree(folder)

    def undisturbed(self, name: str) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
        """What comes of a scene where nothing breaks, at once and after two reruns; the transactions of each step."""
        if name not in self.expected:
            with self.scene(name) as (made, database):
                database.watch()
                state = asyncio.run(_new_run(made, ""))
                steps = dict(database.counts)
                assert state.type.value == "COMPLETED" or name in ENDS_FAILED, state.message
                outcomes = [made.outcome()]
                for _ in range(2):
                    made.later(minutes=made.pause)
                    database.watch()
                    asyncio.run(_new_run(made, ""))
                    outcomes.append(made.outcome())
                self.expected[name] = outcomes, steps
        return self.expected[name]

    def cases(self, name: str) -> list[tuple[str, str, int]]:
        """Every fault that a flow can be given: step, fault, number."""
        _, steps = self.undisturbed(name)
        found = [(step, FIRST, 1) for step in steps]
        return found + [(step, LAST, kinds.count("write")) for step, kinds in steps.items() if "write" in kinds]

    def play(self, name: str, case: tuple[str, str, int], way: str) -> list[str]:
        """Break, rerun twice, compare; returns what is different, nothing when all is well."""
        expected, _ = self.undisturbed(name)
        with self.scene(name) as (made, database):
            database.watch(case)
            broken = asyncio.run(_new_run(made, ""))
            if not database.broke:
                return ["the fault did not happen"]
            problems: list[str] = []
            if broken.type.value == "COMPLETED":
                # A step may catch what breaks: then nothing may be left undone.
                problems += _different("the broken run was green", expected[0], made.outcome())
            run_id = str(broken.state_details.flow_run_id)
            for number, wanted in enumerate(expected[1:], start=1):
                made.later(minutes=made.pause)
                database.watch()
                state = asyncio.run(WAYS[way](made, run_id))
                problems += _different(f"rerun {number}", wanted, made.outcome())
                if number == 1 and state.type.value != "COMPLETED" and name not in ENDS_FAILED:
                    problems.append(f"the rerun ended {state.type.value}: {state.message}")
            return [STAFF] if problems and set(problems) == {STAFF} else [each for each in problems if each != STAFF]


def _different(when: str, wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name what is different; STAFF for nothing but a task that says what broke."""
    problems = []
    for part in (part for part in found if found[part] != wanted[part]):
        lost = Counter(wanted[part]) - Counter(found[part])
        more = Counter(found[part]) - Counter(wanted[part])
        asked = not lost and all(BrokenError.__name__ in row for row in more)
        problems.append(STAFF if asked else f"{when}: {part}: lost {sorted(lost)}, more {sorted(more)}")
    return problems


STAFF = "asked of staff"
"""The step caught what broke and opened a task for a person, who finds the rest done."""
ENDS_FAILED = {"read-bounces", "announce-amendment"}
"""A file that a person must look at fails each run that meets it; an announcement that is done refuses its form."""


@contextmanager
def bench(prefect_url: str | None = None) -> Iterator[Bench]:
    """Give a bench with stand-ins of its own, and a Prefect server unless there is one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if prefect_url is None:
            given = environment(folder, "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
            server = start_temporary_server(given, folder / "server.log")
            stack.callback(server.stop)
            server.wait_until_ready()
            prefect_url = server.url
        template = folder / "template.db"
        database = Database(f"sqlite:///{template}")
        database.migrate()
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        zoom = stack.enter_context(running_zoom(folder / "zoom.db"))
        mailbox = stack.enter_context(running_mailbox(folder / "mailbox"))
        stack.enter_context(temporary_settings({PREFECT_API_URL: prefect_url}))
        yield Bench(folder, template, (zoom, mailbox))


Results = dict[str, dict[tuple[str, str], dict[str, list[str]]]]
"""By flow, by step and fault, by way: what was different."""


def table(found: Results) -> str:
    """Return the results as a markdown table."""
    lines = [f"| flow | step | the transaction | {' | '.join(WAYS)} |", "|---|---|---|" + "---|" * len(WAYS)]
    for flow, cases in found.items():
        for (step, fault), ways in sorted(cases.items()):
            words = "does not begin" if fault == FIRST else "commits, the step breaks off"
            marks = " | ".join(_mark(ways.get(way)) for way in WAYS)
            lines.append(f"| `{flow}` | {step} | {words} | {marks} |")
    return "\n".join(lines)


def _mark(problems: list[str] | None) -> str:
    if problems is None:
        return ""
    return "✓" if not problems else "✓ (staff)" if problems == [STAFF] else "✗"


def play_all(names: list[str], *, all_ways: bool) -> Results:
    """Play every fault of these flows; in every way, or in one each, so that every flow meets every way."""
    results: Results = {}
    with bench() as made:
        for name in names:
            for number, case in enumerate(made.cases(name)):
                chosen = list(WAYS) if all_ways else [list(WAYS)[number % len(WAYS)]]
                if not all_ways and number == 0:
                    chosen = list(WAYS)
                results.setdefault(name, {})[case[:2]] = ways = {way: made.play(name, case, way) for way in chosen}
                for way, problems in ways.items():
                    for problem in problems:
                        print(f"{name} / {case[0]} {case[1]} / {way}: {problem}", flush=True)  # noqa: T201 — a script
            print(f"{name}: {len(results[name])} faults", flush=True)  # noqa: T201 — a script
    return results


def write(results: Results) -> None:
    """Put the table into docs/rerun.md."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    PAGE.write_text(f"{head}{_BEGIN}\n\n{table(results)}\n\n{_END}{tail}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Play everything, print what is wrong, write the table when every flow was played."""
    names = [name for name in arguments if not name.startswith("-")]
    results = play_all(names or list(SCENES), all_ways="--all-ways" in arguments)
    if not names:
        write(results)
    played = [problems for cases in results.values() for ways in cases.values() for problems in ways.values()]
    wrong = sum(bool(problems) and problems != [STAFF] for problems in played)
    print(f"{len(played)} reruns, {wrong} wrong")  # noqa: T201 — a script
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    sys.exit(main(sys.argv[1:]))
