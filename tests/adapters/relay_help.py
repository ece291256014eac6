"""Relays for the tests of SMTP: one whose every answer is set, and certificates for those that speak TLS."""

import contextlib
import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on", "dot": "250 2.0.0 Ok: queued as 4XyZ", "RSET": "250 ok"}
CLOSE, RESET, SILENCE = "close", "reset", "silence"


@dataclass
class Relay:
    """Answers each step with its next line, the last one for ever; CLOSE, RESET and SILENCE are no answers at all."""

    steps: dict = field(default_factory=dict)
    extensions: tuple = ("PIPELINING", "8BITMIME")
    context: object = None
    starttls: object = None
    inside: tuple = ("PIPELINING", "AUTH PLAIN LOGIN")
    port: int = 0
    heard: list = field(default_factory=list)
    bodies: list = field(default_factory=list)
    connections: int = 0
    group_sizes: list = field(default_factory=list)

    def __post_init__(self):
        self.steps = {step: list(says) if isinstance(says, list) else [says] for step, says in self.steps.items()}

    @contextlib.contextmanager
    def running(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            self.over = threading.Event()
            self.threads = []
            accepting = threading.Thread(target=self._accept, args=(listening,))
            accepting.start()
            try:
                yield self
            finally:
                self.over.set()
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                for thread in [accepting, *self.threads]:
                    thread.join(5)
                    assert not thread.is_alive()

    def _accept(self, listening):
        while True:
            connection, _ = listening.accept()
            if self.over.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection):
        if self.context:
            try:
                connection = self.context.wrap_socket(connection, server_side=True)
            except OSError:
                return
        with connection, contextlib.suppress(OSError, EOFError):
            self._talk(connection)

    def _talk(self, connection):
        if self._answer(connection, "greeting", "220 relay"):
            self._commands(connection, self.extensions)

    def _commands(self, connection, extensions):
        pending = b""
        while not self.over.is_set():
            pending, line = self._line(connection, pending)
            word = line.split(b" ")[0].split(b":")[0].decode().upper()
            self.heard.append(line.decode())
            default = OK.get(word, "502 what?")
            if word == "EHLO":
                default = "".join(f"250-{extension}\r\n" for extension in ("relay", *extensions)) + "250 HELP"
            elif word == "NOOP":
                default = "250 ok"
            elif word == "AUTH":
                default = "235 welcome"
            elif word == "STARTTLS" and self.starttls:
                default = "220 go ahead"
            elif word == "QUIT":
                default = "221 bye"
            if not self._answer(connection, word, default) or word == "QUIT":
                return
            if default == "220 go ahead":
                with self.starttls.wrap_socket(connection, server_side=True) as hidden:
                    self._commands(hidden, self.inside)
                return
            if word == "DATA" and self.last.startswith("354"):
                pending, body = self._body(connection, pending)
                self.bodies.append(body)
                if not self._answer(connection, "dot", OK["dot"]):
                    return

    def _answer(self, connection, step, default):
        says = self.steps.get(step)
        self.last = (says.pop(0) if len(says) > 1 else says[0]) if says else default
        if self.last == CLOSE:
            return False
        if self.last == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if self.last == SILENCE:
            self.over.wait(5)
            return False
        connection.sendall(self.last.encode() + b"\r\n")
        # "421 ..." closes, as RFC 5321 has it.
        return not self.last.startswith("421")

    def _line(self, connection, pending):
        while b"\r\n" not in pending:
            pending += self._more(connection)
        line, _, rest = pending.partition(b"\r\n")
        return rest, line

    def _body(self, connection, pending):
        while b"\r\n.\r\n" not in pending and not pending.startswith(b".\r\n"):
            pending += self._more(connection)
        if pending.startswith(b".\r\n"):
            return pending[3:], b""
        body, _, rest = pending.partition(b"\r\n.\r\n")
        return rest, b"\r\n".join(line.removeprefix(b".") for line in body.split(b"\r\n")) + b"\r\n"

    def _more(self, connection):
        got = connection.recv(65536)
        if not got:
            raise EOFError
        self.group_sizes.append(got.count(b"\r\n"))
        return got


def certificate(folder, name):
    """Write a self-signed certificate for `name` with its key into one file and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
