"""The machines of a scaled-out office: Redis, a Prefect server on PostgreSQL, workers; and the API to look at them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from sqlalchemy import NullPool, create_engine, text

from config.settings import ROOT
from madoguchi.adapters.prefect_scale import scale_environment
from madoguchi.adapters.prefect_server import environment, free_port, start_server
from tests.postgres import debian_programs

POOL = "office"


class Redis:
    """Debian's Redis on a free port. It keeps nothing on disk: killed, it comes back empty."""

    def __init__(self, folder):
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("redis-server is missing: apt-get install redis-server")
        port = free_port()
        self._folder, self._child = folder, None
        self._command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)

    def stop(self):
        self._child.kill()
        self._child.wait(10)

    def keys(self):
        done = subprocess.run(["redis-cli", "-u", self.url, "dbsize"], capture_output=True, text=True, check=False)
        return done.stdout.strip()


@contextmanager
def scratch_database(server, name):
    """An empty database, as its address; dropped afterwards even where the server was broken off meanwhile."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def restart_postgres(server):
    """Break Debian's server off as a power cut does, and start it again; False where it is not Debian's."""
    folder = Path(server.query.get("host", ""))
    programs = debian_programs()
    if programs is None or not (folder / "data").is_dir():
        return False
    owner = (folder / "data").stat().st_uid
    prefix = [] if owner == os.getuid() else ["setpriv", f"--reuid={owner}", "--clear-groups"]
    command = [*prefix, str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w", "-l", str(folder / "log")]
    subprocess.run([*command, "-m", "immediate", "restart"], check=True, capture_output=True, timeout=60)
    return True


class Server:
    """One Prefect server, which can be killed and comes back at the same address."""

    def __init__(self, folder, database, redis):
        self._log = folder / "server.log"
        ours = environment(folder, "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
        self._variables = ours | scale_environment(database, redis)
        self.url = ours["PREFECT_API_URL"]
        self._process = None

    def start(self):
        started = time.monotonic()
        self._process = start_server(self._variables, self._log)
        self._process.wait_until_ready(180)
        return time.monotonic() - started

    def kill(self):
        kill_tree(self._process.child.pid)
        self._process.child.wait()

    def stop(self):
        if self._process is not None and self._process.child.poll() is None:
            self._process.stop()


class Worker:
    """`madoguchi worker` as on a machine of its own: only record, inbox and addresses are shared."""

    def __init__(self, office, number, limit, shared):
        self.name = f"worker-{number}"
        self._var = office.folder / self.name
        self._variables = office.environment(MADOGUCHI_VAR_DIR=str(self._var), **shared)
        self._limit = limit
        self.child = None

    def start(self):
        self._var.mkdir(exist_ok=True)
        arguments = ["worker", "--work-pool", POOL, "--name", self.name, "--limit", str(self._limit)]
        with (self._var / "log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "madoguchi.cli", *arguments],
                cwd=self._var,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def runs(self):
        """The Prefect runs that it has under way, as ids."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.child.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    if run := process.environ().get("PREFECT__FLOW_RUN_ID"):
                        found.append(run)
        return found

    def kill(self):
        """As if its machine lost power: itself and its runs."""
        kill_tree(self.child.pid)
        self.child.wait()

    def stop(self):
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def is_ready(self):
        return b"started!" in (self._var / "log").read_bytes()


def kill_tree(pid):
    """SIGKILL for a process and everything below it, the root first, so that it starts nothing more."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        root.suspend()
        below = root.children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()


class Api:
    """Prefect's API. A server that is away or busy is asked again for as long as `patience` seconds."""

    def __init__(self, url, patience=120):
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._patience = patience
        self._sign()

    def _sign(self):
        client = str(uuid4())
        token = self._http.get("/csrf-token", params={"client": client}).raise_for_status().json()["token"]
        self._http.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client})

    def ask(self, method, path, body=None):
        until = time.monotonic() + self._patience
        while True:
            try:
                answer = self._http.request(method, path, json=body)
                if answer.status_code < 500:
                    return answer.raise_for_status().json() if answer.content else None
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, f"Prefect does not answer: {method} {path}"
            time.sleep(0.5)

    def deployments(self):
        """Identities by flow/name."""
        flows = {flow["id"]: flow["name"] for flow in self.ask("POST", "/flows/filter", {})}
        return {f"{flows[d['flow_id']]}/{d['name']}": d["id"] for d in self.ask("POST", "/deployments/filter", {})}

    def pause_schedules(self):
        """No run starts by itself: the rehearsal is on a day of its own."""
        for identity in self.deployments().values():
            self.ask("PATCH", f"/deployments/{identity}", {"paused": True})

    def start(self, deployment, key, **parameters):
        """Order a run; the same key again is the same run, however often the server had to be asked."""
        body = {"parameters": parameters, "idempotency_key": key}
        return self.ask("POST", f"/deployments/{deployment}/create_flow_run", body)["id"]

    def crash(self, identity):
        """What the dashboard's "change state" does."""
        state = {"type": "CRASHED", "name": "Crashed", "message": "marked by the operator"}
        self.ask("POST", f"/flow_runs/{identity}/set_state", {"state": state, "force": True})

    def run(self, identity):
        return self.ask("GET", f"/flow_runs/{identity}")

    def runs(self):
        """Every run there is, two hundred at a time."""
        found = []
        while page := self.ask("POST", "/flow_runs/filter", {"limit": 200, "offset": len(found), "sort": "ID_DESC"}):
            found += page
        return found

    def states(self, identity):
        return self.ask("GET", f"/flow_run_states/?flow_run_id={identity}")
