import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from madoguchi.adapters.prefect_server import (
    PrefectServerError,
    environment,
    find_server,
    forget_server,
    free_port,
    is_healthy,
    is_port_free,
    note_server,
    server_start_lock,
)

ROOT = Path(__file__).resolve().parents[2]
LOGGING = ROOT / "config" / "prefect_logging.yml"


def variables(tmp_path, given, host="127.0.0.1"):
    return environment(tmp_path, host, 4711, LOGGING, given=given)


def test_the_environment_leads_to_our_server_and_tells_nobody_outside(tmp_path):
    made = variables(tmp_path, {})
    assert made["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert made["PREFECT_API_URL"] == "http://127.0.0.1:4711/api"
    assert made["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert made["DO_NOT_TRACK"] == "1"
    assert made["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
    assert "NO_PROXY" not in made


def test_what_the_operator_has_set_is_kept(tmp_path):
    given = {
        "PREFECT_API_URL": "https://prefect.example.jp/api",
        "PREFECT_SERVER_UI_V2_ENABLED": "true",
        "PREFECT_SERVER_API_AUTH_STRING": "office:key",
        "HTTP_PROXY": "http://proxy.example.jp:3128",
        "no_proxy": "example.jp",
    }
    made = variables(tmp_path, given)
    assert {name: made[name] for name in given if name in made and "proxy" not in name.lower()} == {
        "PREFECT_API_URL": "https://prefect.example.jp/api",
        "PREFECT_SERVER_UI_V2_ENABLED": "true",
    }
    assert made["PREFECT_API_AUTH_STRING"] == "office:key", "our own clients must log in as well"
    assert made["NO_PROXY"] == made["no_proxy"] == "example.jp,127.0.0.1,localhost"


def test_a_server_on_every_address_is_reached_over_loopback(tmp_path):
    made = variables(tmp_path, {}, host="0.0.0.0")
    assert made["PREFECT_SERVER_API_HOST"] == "0.0.0.0"
    assert made["PREFECT_API_URL"] == "http://127.0.0.1:4711/api"


def test_without_the_logging_file_nothing_starts_because_logs_would_not_be_redacted(tmp_path):
    with pytest.raises(PrefectServerError, match="redacted"):
        environment(tmp_path, "127.0.0.1", 4711, tmp_path / "missing.yml", given={})


def test_every_handler_of_prefects_logging_has_the_filter():
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load(LOGGING.read_text(encoding="utf-8"))
    assert config["filters"]["redact"]["()"] == "madoguchi.adapters.log_redaction.RedactionFilter"
    assert all(handler["filters"] == ["redact"] for handler in config["handlers"].values())


@pytest.fixture
def answering():
    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"true" if self.path == "/api/health" else b"?"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_server_of_this_directory_is_found_until_its_process_ends(tmp_path, answering):
    assert find_server(tmp_path, given={}) is None
    note_server(tmp_path, answering, os.getpid())
    assert find_server(tmp_path, given={}) == answering
    noted = tmp_path / "prefect" / "server.json"
    noted.write_text(json.dumps({**json.loads(noted.read_text()), "start": "1"}))
    assert find_server(tmp_path, given={}) is None, "the pid belongs to somebody else by now"
    noted.write_text("{")
    assert find_server(tmp_path, given={}) is None
    forget_server(tmp_path)
    forget_server(tmp_path)


def test_a_server_that_lives_but_does_not_answer_is_not_used(tmp_path):
    note_server(tmp_path, f"http://127.0.0.1:{free_port()}/api", os.getpid())
    assert find_server(tmp_path, given={}) is None


def test_the_operators_own_server_wins_and_its_silence_is_an_error(tmp_path, answering):
    note_server(tmp_path, answering, os.getpid())
    assert find_server(tmp_path, given={"PREFECT_API_URL": answering}) == answering
    silent = f"http://127.0.0.1:{free_port()}/api"
    with pytest.raises(PrefectServerError, match="PREFECT_API_URL"):
        find_server(tmp_path, given={"PREFECT_API_URL": silent})


def test_health_is_only_what_a_prefect_server_says(answering):
    assert is_healthy(answering)
    assert not is_healthy(answering.removesuffix("/api"))


def test_two_servers_are_not_started_at_once(tmp_path):
    with (
        server_start_lock(tmp_path),
        pytest.raises(PrefectServerError, match="too long"),
        server_start_lock(tmp_path, seconds=0.1),
    ):
        pass
    with server_start_lock(tmp_path, seconds=0.1):
        pass


def test_a_taken_port_is_not_free(answering):
    port = int(answering.removesuffix("/api").rpartition(":")[2])
    assert not is_port_free("127.0.0.1", port)
    assert is_port_free("127.0.0.1", free_port())
