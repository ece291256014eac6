"""Stands for the office's webhook: takes what is posted, checks it as the real one does, and answers as it is told."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from madoguchi.adapters.zoom_webhook import WebhookRefused, validation_answer, verify
from madoguchi.domain.zoom_signature import VALIDATION_EVENT

SECRET = "webhook-secret-of-the-tests"


class Receiver:
    """`got`: body, headers and the refusal's code (empty when believed) of every request, in the order of arrival."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, dict[str, str], str]] = []
        self.answer = 204
        self.seconds = 0.0
        self.secret = SECRET
        self.url = ""

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(raw) for raw, _, code in self.got if not code]

    def names(self) -> list[str]:
        return [body["event"] for body in self.bodies()]

    def take(self, raw: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        code = ""
        try:
            verify(self.secret, raw, headers, datetime.now(UTC))
        except WebhookRefused as refused:
            code = refused.code
        self.got.append((raw, headers, code))
        time.sleep(self.seconds)
        if code:
            return 401, b""
        body = json.loads(raw)
        if body["event"] == VALIDATION_EVENT and self.answer == 200:
            return 200, json.dumps(validation_answer(self.secret, body["payload"]["plainToken"])).encode()
        return self.answer, b""


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            status, content = found.take(raw, dict(self.headers.items()))
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/webhooks/zoom"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
