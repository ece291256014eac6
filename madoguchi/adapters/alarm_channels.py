"""The ways on which alarms leave: a mail to staff, and a webhook. References and codes only, never a person's data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import httpx
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from madoguchi.adapters.smtp import Mailer
from madoguchi.adapters.smtp_errors import MailConfigError, MailError
from madoguchi.domain.office import JST
from madoguchi.domain.watching import WORDS, Code, Severity

_URGENCY_JA = {Severity.URGENT: "急ぎ", Severity.SOON: "今日のうちに", Severity.NOTE: "お知らせ"}
_NAMED = 12
_SECONDS = 10.0


class ChannelError(Exception):
    """The news did not leave, or nobody knows whether it did; holds a code only."""


@dataclass(frozen=True, slots=True)
class News:
    """That an alarm began, or that it is over. `id` is the alarm's: the same news twice has the same id and event."""

    id: str
    is_over: bool
    code: str
    subject: str
    touched: tuple[str, ...]
    count: int
    since: datetime
    until: datetime | None


class Channel(Protocol):
    """A way to tell people. `name` stands in the record beside what was told on it: never change one."""

    name: str

    def tell(self, news: Sequence[News], at: datetime) -> None:
        """Give all the news at once; ChannelError when they may not have arrived."""


class MailChannel:
    """One mail with all the news to one address of staff: one that is refused keeps no other from being told."""

    def __init__(
        self,
        make_mailer: Callable[[], Mailer],
        sender: str,
        domain: str,
        recipient: str,
        office: str,
        templates: Path,
        *,
        name: str = "mail",
    ) -> None:
        self.name = name
        self._make_mailer = make_mailer
        self._sender, self._domain, self._recipient, self._office = sender, domain, recipient, office
        environment = Environment(
            loader=FileSystemLoader(templates),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701 — plain text to staff; nothing in it was typed by a stranger
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._body = environment.get_template("mail.txt")

    def tell(self, news: Sequence[News], at: datetime) -> None:
        """Send one mail; ChannelError also when the relay's last answer never came: then it may arrive twice."""
        try:
            with self._make_mailer().session() as session:
                session.begin(self._sender, self._recipient)
                session.finish(self._message(news, at, self._recipient).as_bytes())
        except (MailError, MailConfigError, OSError) as error:
            raise ChannelError(str(getattr(error, "code", "") or type(error).__name__)) from None

    def _message(self, news: Sequence[News], at: datetime, recipient: str) -> EmailMessage:
        raised = [_said(each) for each in news if not each.is_over]
        over = [_said(each) for each in news if each.is_over]
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Date"] = self._sender, recipient, format_datetime(at.astimezone(JST))
        message["Subject"] = _subject(raised, over)
        identity = "/".join(sorted(f"{each.id}:{each.is_over}" for each in news)) + recipient
        message["Message-ID"] = f"<alarm-{hashlib.sha256(identity.encode()).hexdigest()[:24]}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._body.render(office=self._office, raised=raised, over=over), cte="base64")
        return message


def mail_channel_names(recipients: Sequence[str]) -> dict[str, str]:
    """Return by address how its channel is called in the record: no address stands there."""
    if len(recipients) == 1:
        return {recipients[0]: "mail"}
    return {each: f"mail-{hashlib.sha256(each.encode()).hexdigest()[:8]}" for each in recipients}


class WebhookChannel:
    """A POST of JSON to an address of the office. No redirects are followed, no proxy is asked."""

    name = "webhook"

    def __init__(self, url: str, office: str) -> None:
        self._url, self._office = url, office

    def tell(self, news: Sequence[News], at: datetime) -> None:
        """Post all the news; ChannelError for no answer, and for any answer but 2xx."""
        body = {"office": self._office, "at": at.isoformat(), "alarms": [_as_json(each) for each in news]}
        try:
            answer = httpx.post(self._url, json=body, timeout=_SECONDS, trust_env=False, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelError(type(error).__name__) from None
        if not answer.is_success:
            raise ChannelError(f"HTTP_{answer.status_code}")


def _subject(raised: Sequence[dict[str, str]], over: Sequence[dict[str, str]]) -> str:
    urgent = sum(each["urgency"] == _URGENCY_JA[Severity.URGENT] for each in raised)
    if urgent:
        return f"【急ぎ】オンライン職業相談の仕組み：{urgent}件"
    if raised:
        return f"【確認のお願い】オンライン職業相談の仕組み：{len(raised)}件"
    return f"【片づきました】オンライン職業相談の仕組み：{len(over)}件"


def _said(news: News) -> dict[str, str]:
    words = WORDS[Code(news.code)]
    named = "、".join(news.touched[:_NAMED])
    more = f" ほか{news.count - min(news.count, _NAMED)}件" if news.count > _NAMED and named else ""
    return {
        "code": news.code,
        "happened": words.happened,
        "do": words.do,
        "urgency": _URGENCY_JA[words.severity],
        "about": f"{named}{more}" if named else _about(news),
        "since": _moment(news.since),
        "until": _moment(news.until) if news.until else "",
    }


def _about(news: News) -> str:
    return news.subject if news.subject not in {"exports", "webhooks", "var", "office.toml", "data", "prefect"} else ""


def _as_json(news: News) -> dict[str, object]:
    words = WORDS[Code(news.code)]
    return {
        "id": news.id,
        "event": "over" if news.is_over else "raised",
        "code": news.code,
        "subject": news.subject,
        "severity": words.severity.value,
        "happened": words.happened,
        "do": words.do,
        "references": list(news.touched),
        "count": news.count,
        "since": news.since.isoformat(),
        "until": news.until.isoformat() if news.until else None,
    }


def _moment(at: datetime) -> str:
    local = at.astimezone(JST)
    return f"{local.month}月{local.day}日 {local.hour}時{local.minute:02d}分"
