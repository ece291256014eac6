"""What the office's alarms are told to: a small webhook receiver that keeps everything with its time."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def receiver(heard, now):
    """Give the address of a receiver; what comes is appended to `heard` as (time, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            heard.append((now(), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="alarm-receiver", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/alarm"
    finally:
        server.shutdown()
        server.server_close()
