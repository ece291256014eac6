"""The stand-in mailbox in a browser: the list, one mail, its parts. Nothing from elsewhere is loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from madoguchi.domain.office import JST
from madoguchi.sandbox.mailbox_read import Reading, read_mail, subject_of, with_links
from madoguchi.sandbox.mailbox_store import MailboxState

_TEMPLATES = Path(__file__).parents[2] / "templates" / "web" / "mailbox"
_PER_PAGE = 50
_WEEKDAYS = "月火水木金土日"

_STRICT = "default-src 'none'; base-uri 'none'; form-action 'none'"
_PAGE_POLICY = _STRICT + "; style-src 'self'; frame-src 'self'; img-src data:; frame-ancestors 'none'"
# `sandbox` here too: the address of the frame may be opened without its frame.
_FRAME_POLICY = _STRICT + "; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_routes(state: MailboxState) -> list[Route]:
    """Return the routes of the pages."""
    pages = _Pages(state)
    return [
        Route("/", _threaded(pages.listing)),
        Route("/style.css", _threaded(pages.style)),
        Route("/mails/{file}", _threaded(pages.mail)),
        Route("/mails/{file}/html", _threaded(pages.html)),
        Route("/mails/{file}/raw", _threaded(pages.raw)),
        Route("/mails/{file}/parts/{number:int}", _threaded(pages.part)),
    ]


class _Pages:
    def __init__(self, state: MailboxState) -> None:
        self._state = state
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters["moment"] = _moment

    def listing(self, request: Request) -> Response:
        entries = self._state.entries()[::-1]
        last = max(1, -(-len(entries) // _PER_PAGE))
        wanted = request.query_params.get("page", "1")
        page = min(int(wanted), last) if wanted.isascii() and wanted.isdecimal() and 0 < len(wanted) < 9 else 1
        page = max(page, 1)
        repeats = self._state.repeats()
        rows = []
        for entry in entries[(page - 1) * _PER_PAGE : page * _PER_PAGE]:
            if mail := self._state.read(entry):
                times = repeats[entry.message_id, entry.recipient] if entry.message_id else 1
                rows.append({"entry": entry, "to": mail.recipient, "subject": subject_of(mail.content), "times": times})
        return self._page("list.html", rows=rows, count=len(entries), page=page, last=last)

    def mail(self, request: Request) -> Response:
        entry, reading, recipient = self._reading(request)
        important = {"from", "to", "date", "subject"}
        subject = next((value for name, value in reading.headers if name.lower() == "subject"), "")
        return self._page(
            "mail.html",
            entry=entry,
            reading=reading,
            recipient=recipient,
            subject=subject,
            text=with_links(reading.text),
            main=[item for item in reading.headers if item[0].lower() in important],
            more=[item for item in reading.headers if item[0].lower() not in important],
        )

    def html(self, request: Request) -> Response:
        reading = self._reading(request)[1]
        if not reading.html:
            raise HTTPException(404)
        return HTMLResponse(reading.html, headers={**_ALWAYS, "Content-Security-Policy": _FRAME_POLICY})

    def raw(self, request: Request) -> Response:
        entry = self._state.entry(request.path_params["file"])
        mail = self._state.read(entry) if entry else None
        if not entry or not mail:
            raise HTTPException(404)
        return _download(mail.content, "message/rfc822", entry.file)

    def part(self, request: Request) -> Response:
        entry, reading, _ = self._reading(request)
        number = request.path_params["number"]
        found = next((part for part in reading.parts if part.number == number), None)
        if found is None:
            raise HTTPException(404)
        stem = f"{entry.file.removesuffix('.eml')}-{number}"
        if found.is_calendar:
            return _download(found.data, "text/calendar; charset=utf-8", f"{stem}.ics")
        return _download(found.data, "application/octet-stream", f"{stem}.bin")

    def style(self, _request: Request) -> Response:
        return Response((_TEMPLATES / "style.css").read_bytes(), media_type="text/css", headers=_ALWAYS)

    def _reading(self, request: Request) -> tuple[Any, Reading, str]:
        entry = self._state.entry(request.path_params["file"])
        mail = self._state.read(entry) if entry else None
        if not mail:
            raise HTTPException(404)
        return entry, read_mail(mail), mail.recipient

    def _page(self, name: str, **values: Any) -> Response:
        content = self._templates.get_template(name).render(**values)
        return HTMLResponse(content, headers={**_ALWAYS, "Content-Security-Policy": _PAGE_POLICY})


def messages(state: MailboxState) -> list[dict[str, str]]:
    """Return what the control side says of each mail, oldest first; `to` is the envelope's recipient."""
    return [
        {
            "message_id": mail.entry.message_id,
            "to": mail.recipient,
            "subject": subject_of(mail.content),
            "file": mail.entry.file,
            "received_at": mail.entry.received_at,
            "sha256": mail.entry.sha256,
        }
        for mail in state.mails()
    ]


def _download(data: bytes, media_type: str, name: str) -> Response:
    # The name is ours: a mail's own name for its attachment may be anything.
    headers = {**_ALWAYS, "Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": _STRICT}
    return Response(data, media_type=media_type, headers=headers)


def _moment(iso: str) -> str:
    at = datetime.fromisoformat(iso).astimezone(JST)
    return f"{at.year}年{at.month}月{at.day}日（{_WEEKDAYS[at.weekday()]}）{at:%H:%M:%S}"


def _threaded(page: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(page, request)

    return answer
