"""One Prefect server for everything that only needs some server."""

import pytest

from config.settings import ROOT
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server


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
