"""One Prefect server for everything that only needs some server."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from config.settings import ROOT
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server
from tests.e2e.checker import result
from tests.e2e.rehearsal import sqlite_rehearsal


@dataclass(frozen=True)
class Undisturbed:
    """What comes of google_forms.csv when nothing goes wrong. `folder`: what that office has left."""

    folder: Path
    result: dict
    mails: int


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory):
    """The API address of a Prefect server with a PREFECT_HOME of its own."""
    folder = tmp_path_factory.mktemp("prefect")
    variables = environment(folder, "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
    server = start_temporary_server(variables, folder / "server.log")
    try:
        server.wait_until_ready()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, sqlite_template, prefect_url):
    """One run in which nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed") / "office"
    with sqlite_rehearsal(folder, sqlite_template, prefect_url) as office:
        code, summary = office.run()
        assert code == 0, summary
        return Undisturbed(folder, result(office), len(office.mailbox.state.entries()))
