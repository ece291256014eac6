"""The last net before a log line leaves the process: what looks like personal data or a secret is masked.

It is a net, not a licence: a filter cannot know names, so our code never logs them, and it does not touch Prefect's
parameters, states or artifacts (only ids and references go there).
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from urllib.parse import quote, quote_plus

# Digits are \d on purpose: it takes full-width digits too. People copy numbers with every kind of hyphen and blank.
_HYPHEN = "-‐‑‒–—―−ー－ｰ﹣~〜～"  # the look-alikes are the point
_BLANK = " \t\u00a0\u2009\u202f\u3000\u200b"
_GAP = rf"[{_HYPHEN}{_BLANK}.．・/／()（）]{{1,3}}"
_AT = r"(?:@|＠|%40|&#64;|\(at\)|\[at\])"
_LOCAL = r"[^\s@＠<>()\[\]{}\"'`,;:=、。「」（）＜＞]"
_HOST = r"[\w.\-．－]"
_DIGIT_BEFORE = r"(?<!\d)"
_DIGIT_AFTER = r"(?!\d)"

_KEPT_FIRST = r"https?://[A-Za-z0-9.\-]+(?::\d+)?/(?:[A-Za-z_]+\d?/)*(?=[^/\s@%]+%40)"  # the way to a mail in a path
_KEPT = (
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",  # run ids
    r"(?<![0-9a-zA-Z])(?=[0-9]*[a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-zA-Z])",  # content hashes
    r"(?<!\d)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?[+-]\d\d:?\d\d|Z)?)?(?!\d)",  # dates, times
    r"(?<!\d)\d{8}T\d{6}Z?(?!\d)",  # times as calendars write them
    r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b(?![@\d])",  # addresses and ports of machines
)

_SAID_BEFORE = (
    r"(?:pass(?:code|word|wd)|passwd|pwd|パスコード|パスワード|暗証番号|client_secret|access_token|refresh_token|id_token"
    r"|zak|api[_-]?key|encryption_keys?)"
)

_INTERNATIONAL = (
    rf"(?:[+＋]|{_DIGIT_BEFORE}[0０][1１][0０]-?|{_DIGIT_BEFORE}[0０]{{2}})\s?[8８][1１]"
    rf"(?:[{_HYPHEN}{_BLANK}()（）.]{{0,4}}\d){{9,11}}{_DIGIT_AFTER}"
)

_MASKED = (
    # A link that opens somebody's session: Zoom's own hosts except the API, and the same path on any host.
    (
        "join-url",
        r"(?:https?|zoommtg|zoomus)://(?!api\.zoom)[\w.\-]*zoom(?:gov)?\.(?:us|com|com\.cn)(?::\d+)?[^\s\"'<>]*",
    ),
    ("join-url", r"https?://[^\s\"'<>/]+/(?:j|w|s|my|wc)/[^\s\"'<>]*"),
    ("secret", r"\b(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic|digest)\s+)?[^\s\"',]+"),
    ("secret", r"\b(?i:bearer)\s+[\w.~+/=\-]{6,}"),
    ("secret", r"\b(?i:basic)\s+(?=[A-Za-z+/]*[0-9=+/])[A-Za-z0-9+/]{8,}={0,2}"),
    ("secret", r"\beyJ[\w\-]{8,}(?:\.[\w\-]+)*"),
    (
        "secret",
        rf"(?P<word>(?i:{_SAID_BEFORE})[\"']?\s*(?:[:=：＝]|は|is\b)\s*)(?:\[secret\]|\"[^\"]*\"|'[^']*'|[^\s\"'&,;)}}\]]+)",
    ),
    ("secret", r"(?i:pass(?:code|word))\s+\d{4,}"),
    ("login", r"(?<=://)[^\s/@\"']+(?=@)"),
    ("mail", rf"\"[^\"\n]{{1,64}}\"{_AT}{_HOST}+"),
    ("mail", rf"{_LOCAL}{{1,128}}{_AT}{_HOST}+"),
    # Japanese telephone numbers: national, international, without the zero that spreadsheets eat. They come before
    # job-seeker numbers, or "04998-0-0000" would keep its tail.
    ("tel", _INTERNATIONAL),
    ("tel", rf"{_DIGIT_BEFORE}[(（]?[0０]\d{{1,4}}{_GAP}\d{{1,4}}{_GAP}\d{{3,4}}{_DIGIT_AFTER}"),
    ("tel", rf"{_DIGIT_BEFORE}[(（]?[0０](?:\d{_GAP}\d{{7,8}}|\d{{2,4}}{_GAP}\d{{6,8}}){_DIGIT_AFTER}"),
    ("tel", rf"{_DIGIT_BEFORE}[0０]\d{{9,10}}{_DIGIT_AFTER}"),
    ("tel", rf"{_DIGIT_BEFORE}[7-9７-９][0０]-?\d{{4}}-?\d{{4}}{_DIGIT_AFTER}"),
    # Job-seeker number (求職番号): five digits, a hyphen, up to eight; or thirteen together.
    ("number", rf"{_DIGIT_BEFORE}\d{{5}}\s?[{_HYPHEN}]\s?\d{{1,8}}{_DIGIT_AFTER}"),
    ("number", rf"{_DIGIT_BEFORE}\d{{13}}{_DIGIT_AFTER}"),
)


def _compile() -> re.Pattern[str]:
    kept = "|".join(f"(?P<kept{index}>{pattern})" for index, pattern in enumerate(_KEPT))
    masked = "|".join(f"(?P<m{index}>{pattern})" for index, (_, pattern) in enumerate(_MASKED))
    return re.compile(f"(?P<first>{_KEPT_FIRST})|{masked}|{kept}")


_PATTERN = _compile()
_lock = threading.Lock()
_registered: frozenset[str] = frozenset()


def register_secret(value: str) -> None:
    """Mask this value from now on, also as URLs and base64 write it. Values below four characters are not taken."""
    global _registered  # noqa: PLW0603 — one process has one set of secrets, and every filter must know it
    if len(value) < 4:
        return
    forms = {value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1]}
    raw = value.encode()
    forms.add(base64.b64encode(raw).decode())
    with _lock:
        _registered = _registered | forms


def redact(text: str) -> str:
    """Return `text` with addresses, telephone and job-seeker numbers, join links and secrets masked.

    References (`M-7K2Q9F`), dates, times, run ids, hashes, counts and machine addresses stay. Masking twice changes
    nothing more.
    """
    for secret in sorted(_registered, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return _PATTERN.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    name = match.lastgroup or ""
    if name.startswith("m"):
        return f"{match['word'] or ''}[{_MASKED[int(name[1:])][0]}]"
    return match.group()


class RedactionFilter(logging.Filter):
    """Rewrites every record that passes: message and arguments become one masked text, the traceback part of it.

    To be put on handlers (a filter on a logger does not see the records of its children). Never drops a record and
    never raises.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record in place; always True."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 — a wrong placeholder must not lose the line, nor print its arguments
            message = f"a log line of {record.name}, line {record.lineno}, could not be formatted"
        if record.exc_info and not isinstance(record.exc_info, bool):
            message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        elif record.exc_text:
            message = f"{message}\n{record.exc_text}"
        if record.stack_info:
            message = f"{message}\n{record.stack_info}"
        record.msg = redact(message)
        record.args = None
        record.exc_info = None
        record.exc_text = None
        record.stack_info = None
        return True


def install(level: int = logging.INFO) -> None:
    """Give the root logger a handler on stderr if it has none, and every root handler the filter. May be repeated.

    `level` is that of our own loggers; libraries speak from WARNING on.
    """
    root = logging.getLogger()
    if not root.handlers:
        to_stderr = logging.StreamHandler()
        to_stderr.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
        root.addHandler(to_stderr)
    for ours in ("madoguchi", "tasks", "flows"):
        logging.getLogger(ours).setLevel(level)
    for handler in root.handlers:
        if not any(isinstance(present, RedactionFilter) for present in handler.filters):
            handler.addFilter(RedactionFilter())
