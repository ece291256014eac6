"""SMTP as the stand-in mailbox speaks it: RFC 5321, with pipelining (RFC 2920) and the faults that are ordered.

aiosmtpd answers command by command and reaches about 1,100 mails a second, hence our own.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from madoguchi.sandbox.mailbox_faults import MailFault
from madoguchi.sandbox.mailbox_store import MailboxState

log = logging.getLogger("madoguchi.sandbox")

MAX_SIZE = 20 * 1024 * 1024
_MAX_LINE = 2048
_MAX_RECIPIENTS = 100
_NAME = "mailbox.sandbox.example.jp"
_EXTENSIONS = ("PIPELINING", f"SIZE {MAX_SIZE}", "8BITMIME", "ENHANCEDSTATUSCODES")
_MAIL = re.compile(r"FROM: ?<([^<>]*)>((?: [^ ]+)*) *", re.IGNORECASE)
_RCPT = re.compile(r"TO: ?<([^<>]+@[^<>]+)>((?: [^ ]+)*) *", re.IGNORECASE)
_LINGER_SECONDS = 2.0
_FAULT_TEXT = "fault ordered in the sandbox"


@dataclass(slots=True)
class _Begun:
    """A mail that is being handed over."""

    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    is_content: bool = False
    is_too_big: bool = False
    is_cut_on_content: bool = False
    searched: int = 0


class SmtpConnection(asyncio.Protocol):
    """One client. Answers are collected and leave when the input is used up, as pipelining wants it."""

    def __init__(self, state: MailboxState, open_connections: set[SmtpConnection]) -> None:
        self._state = state
        self._connections = open_connections
        self._transport: asyncio.Transport
        self._input = bytearray()
        self._answers: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_waiting = False
        self._is_deaf = False
        self._is_greeted = False
        self._begun = _Begun()
        self._commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: self._answer("250 2.0.0 OK"),
            "VRFY": lambda _: self._answer("252 2.0.0 send it and see"),
            "QUIT": self._quit,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(self)
        self._answer(f"220 {_NAME} ESMTP stand-in, delivers nowhere")
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio's signature
        """Forget what was begun: without its dot a mail does not exist."""
        self._connections.discard(self)
        self._is_deaf = True
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came, whole commands or parts of them."""
        if not self._is_deaf:
            self._input += data
            self._work()

    def pause_writing(self) -> None:
        """Take nothing more from a client that reads no answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        if not self._is_waiting:
            self._transport.resume_reading()

    def cut(self) -> None:
        """Close without a word; what was answered before goes out still."""
        self._flush()
        self._is_deaf = True
        self._transport.abort()

    def _work(self) -> None:
        while not (self._is_waiting or self._is_deaf):
            if not (self._take_content() if self._begun.is_content else self._take_command()):
                break
        if not self._is_waiting:
            self._flush()

    def _take_command(self) -> bool:
        end = self._input.find(b"\n", 0, _MAX_LINE)
        if end < 0:
            if len(self._input) >= _MAX_LINE:
                self._answer("500 5.5.2 line too long")
                self._hang_up()
            return False
        line = self._input[:end].rstrip(b"\r").decode("utf-8", "surrogateescape")
        del self._input[: end + 1]
        verb, _, rest = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            self._answer("502 5.5.1 command not implemented" if verb.isalpha() else "500 5.5.2 what is that?")
        elif any(char < " " or char > "~" for char in rest):
            # SMTPUTF8 is not offered; an address with such characters would not travel through a real relay either.
            self._answer("553 5.6.7 only ASCII in commands")
        else:
            command(rest)
        return True

    def _take_content(self) -> bool:
        data, begun = self._input, self._begun
        if begun.is_cut_on_content:
            if data:
                self.cut()
            return False
        if data.startswith(b".\r\n") and not begun.is_too_big:
            end = 0
        else:
            # Exactly this: a bare line feed beside the dot ends the mail for some servers; so mails are smuggled in.
            end = data.find(b"\r\n.\r\n", begun.searched) + 2
            if end < 2:
                begun.searched = max(0, len(data) - 4)
                if len(data) > MAX_SIZE:
                    begun.is_too_big, begun.searched = True, 0
                    del data[:-4]
                return False
        content = bytes(data[:end])
        del data[: end + 3]
        self._step("dot", begun.recipients, lambda: self._accept(begun, content))
        if not self._is_waiting:
            self._forget_mail()
        return True

    def _accept(self, begun: _Begun, content: bytes) -> None:
        if begun.is_too_big or len(content) > MAX_SIZE:
            self._answer("552 5.3.4 too big")
            return
        lines = content.count(b"\r\n")
        if content.count(b"\n") != lines or content.count(b"\r") != lines:
            self._answer("550 5.6.11 a bare line feed or carriage return; lines end with both")
            return
        if b"\r\n." in content or content.startswith(b"."):
            content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
        try:
            stored = self._state.store(begun.sender or "", begun.recipients, content)
        except OSError as error:
            log.error("a mail could not be stored: errno %s", error.errno)  # noqa: TRY400 — a trace shows paths only
            self._answer("452 4.3.1 cannot store it")
            return
        self._answer(f"250 2.0.0 stored as {stored[0].file}")

    def _ehlo(self, rest: str) -> None:
        if self._hello(rest):
            lines = [_NAME, *_EXTENSIONS]
            self._answers += [f"250-{line}" for line in lines[:-1]]
            self._answer(f"250 {lines[-1]}")

    def _helo(self, rest: str) -> None:
        if self._hello(rest):
            self._answer(f"250 {_NAME}")

    def _hello(self, rest: str) -> bool:
        if not rest.strip():
            self._answer("501 5.5.4 a name is needed")
            return False
        self._is_greeted = True
        self._forget_mail()
        return True

    def _mail(self, rest: str) -> None:
        found = _MAIL.fullmatch(rest)
        if not self._is_greeted:
            self._answer("503 5.5.1 EHLO first")
        elif self._begun.sender is not None:
            self._answer("503 5.5.1 one mail after the other")
        elif not found:
            self._answer("501 5.1.7 MAIL FROM:<address>")
        elif refusal := _refused_parameters(found[2].upper().split()):
            self._answer(refusal)
        else:
            self._step("MAIL", [], lambda: self._begin(found[1]))

    def _begin(self, sender: str) -> None:
        self._begun.sender = sender
        self._answer("250 2.1.0 OK")

    def _rcpt(self, rest: str) -> None:
        found = _RCPT.fullmatch(rest)
        if self._begun.sender is None:
            self._answer("503 5.5.1 MAIL first")
        elif not found:
            self._answer("501 5.1.3 RCPT TO:<address>")
        elif found[2]:
            self._answer("555 5.5.4 unknown parameter")
        elif len(self._begun.recipients) >= _MAX_RECIPIENTS:
            self._answer("452 4.5.3 too many recipients")
        else:
            self._step("RCPT", [found[1]], lambda: self._address(found[1]))

    def _address(self, recipient: str) -> None:
        self._begun.recipients.append(recipient)
        self._answer("250 2.1.5 OK")

    def _data(self, rest: str) -> None:
        if rest.strip():
            self._answer("501 5.5.4 DATA takes nothing")
        elif self._begun.sender is None:
            self._answer("503 5.5.1 MAIL first")
        elif not self._begun.recipients:
            # RFC 2920 3.1: a client that pipelined must learn here that no recipient was taken.
            self._answer("554 5.5.1 no valid recipients")
        else:
            self._step("DATA", self._begun.recipients, self._open_content)

    def _open_content(self) -> None:
        self._begun.is_content = True
        self._answer("354 end with <CRLF>.<CRLF>")

    def _rset(self, _rest: str) -> None:
        self._forget_mail()
        self._answer("250 2.0.0 OK")

    def _quit(self, _rest: str) -> None:
        self._answer("221 2.0.0 bye")
        self._hang_up()

    def _forget_mail(self) -> None:
        self._begun = _Begun()

    def _step(self, stage: str, recipients: list[str], act: Callable[[], None]) -> None:
        """Do what the step does, or what a fault makes of it."""
        struck = self._state.faults.strike(stage, recipients)
        if not struck:
            act()
            return
        seconds = sum(fault.seconds for fault in struck if fault.kind == "latency")
        rough = next((fault for fault in struck if fault.kind != "latency"), None)
        if not seconds:
            self._play(rough, stage, act)
            return
        self._flush()
        if rough is None:
            # Done at once and answered late: a client that does not wait has a mail that is stored all the same.
            act()
        self._wait(seconds, lambda: self._play(rough, stage, act) if rough else None, stage)

    def _play(self, fault: MailFault | None, stage: str, act: Callable[[], None]) -> None:
        match fault:
            case None:
                act()
            case MailFault(kind="4xx" | "5xx", code=code):
                self._answer(f"{code} {code // 100}.3.0 {_FAULT_TEXT}")
            case MailFault(kind="421"):
                self._answer(f"421 4.3.2 {_FAULT_TEXT}")
                self._hang_up()
            case MailFault(kind="drop_before_dot") if stage == "DATA":
                act()
                self._begun.is_cut_on_content = True
            case MailFault(kind="drop_after_dot"):
                act()
                # The answer that act() gave is what the client must not see.
                self._answers.pop()
                self.cut()
            case MailFault(kind="hang", seconds=seconds):
                self._flush()
                self._is_deaf = True
                self._input.clear()
                if seconds:
                    self._later(seconds, self.cut)
            case _:
                self.cut()

    def _wait(self, seconds: float, then: Callable[[], None], stage: str) -> None:
        def go_on() -> None:
            self._is_waiting = False
            then()
            if stage == "dot":
                self._forget_mail()
            self._transport.resume_reading()
            self._work()

        self._is_waiting = True
        self._transport.pause_reading()
        self._later(seconds, go_on)

    def _hang_up(self) -> None:
        """Close so that the last answer arrives: first our side, then, when the client has gone, the rest."""
        self._flush()
        self._is_deaf = True
        self._input.clear()
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._later(_LINGER_SECONDS, self._transport.abort)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def _answer(self, line: str) -> None:
        self._answers.append(line)

    def _flush(self) -> None:
        if self._answers and not self._transport.is_closing():
            self._transport.write(("\r\n".join(self._answers) + "\r\n").encode("ascii"))
        self._answers.clear()


def _refused_parameters(parameters: list[str]) -> str:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "SIZE" and value.isdecimal():
            if int(value) > MAX_SIZE:
                return "552 5.3.4 too big"
        elif not (name == "BODY" and value in {"7BIT", "8BITMIME"}):
            return "555 5.5.4 unknown parameter"
    return ""


class SmtpServer:
    """The SMTP side, in a thread of its own."""

    def __init__(self, state: MailboxState, listening: socket.socket) -> None:
        self._state = state
        self._listening = listening
        self._connections: set[SmtpConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="sandbox-smtp", daemon=True)

    def start(self) -> None:
        """Serve; back when connections are taken. RuntimeError if it does not come up."""
        self._thread.start()
        if not self._is_up.wait(10):
            raise RuntimeError("the stand-in mailbox did not start")

    def stop(self) -> None:
        """Cut every connection and end."""
        if self._loop and self._stop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(
            lambda: SmtpConnection(self._state, self._connections), sock=self._listening
        )
        self._is_up.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.cut()
        # One more turn of the loop lets each connection be told that it is lost.
        await asyncio.sleep(0)
