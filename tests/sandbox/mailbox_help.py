"""A raw SMTP client that shows every answer, and some mails."""

import socket

SENDER, MIKA, JIRO = "office@example.jp", "mika@example.com", "jiro@example.com"
CLOSED = "closed"


def mail(number=1, body="本文です。\r\n", subject="予約"):
    return (
        f"Message-ID: <{number}@example.jp>\r\nFrom: {SENDER}\r\nTo: {MIKA}\r\nSubject: {subject}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    ).encode()


def envelope(recipient=MIKA, sender=SENDER):
    return f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()


class Client:
    """One connection, greeted."""

    def __init__(self, mailbox, timeout=3.0, hello=True):
        self.socket = socket.create_connection((mailbox.host, mailbox.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self.socket.makefile("rb")
        assert self.code() == 220
        if hello:
            assert self.ask(b"EHLO client.example.jp") == 250

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._answers.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def code(self):
        """The next answer's number; CLOSED at the end of the connection; TimeoutError when it is silent."""
        try:
            while (line := self._answers.readline())[3:4] == b"-":
                pass
        except ConnectionResetError:
            return CLOSED
        return int(line[:3]) if line else CLOSED

    def codes(self, count):
        return [self.code() for _ in range(count)]

    def ask(self, line):
        self.send(line + b"\r\n")
        return self.code()

    def deliver(self, content=None, recipient=MIKA):
        """Everything step by step; the answers until one is no success."""
        seen = []
        steps = [*envelope(recipient).split(b"\r\n")[:3], (content or mail()) + b"."]
        for step in steps:
            try:
                seen.append(self.ask(step))
            except (BrokenPipeError, ConnectionResetError):
                seen.append(CLOSED)
            if seen[-1] == CLOSED or seen[-1] >= 400:
                break
        return seen
