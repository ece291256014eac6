"""A PostgreSQL server of the fortnight's own, which it may let die and start again."""

import os
import pwd
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import NoPostgres, _debian, debian_programs


class OwnServer:
    """`url`: of the record."""

    def __init__(self, url, programs, folder):
        self.url = url.render_as_string(hide_password=False)
        self._programs, self._folder = programs, folder

    def restart(self):
        """Let it die as by a crash, and return when it has recovered."""
        prefix = []
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            prefix = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        control = [*prefix, str(self._programs / "pg_ctl"), "-D", str(self._folder / "data"), "-m", "immediate", "-w"]
        log = ["-l", str(self._folder / "log")]
        # Its output stays open in the server and would never end.
        subprocess.run([*control, *log, "restart"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


@contextmanager
def own_server():
    """NoPostgres where Debian's programs are missing."""
    programs = debian_programs()
    if programs is None:
        raise NoPostgres("no Debian server under /usr/lib/postgresql")
    with tempfile.TemporaryDirectory(prefix="madoguchi-pg-") as name, _debian(programs, Path(name)) as url:
        yield OwnServer(url, programs, Path(name))
