"""Mail templates: a folder a kind, rendered strictly, pinned by version so that a message says what was approved."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from madoguchi.adapters.mail_values import told
from madoguchi.domain import wording
from madoguchi.domain.message import CONTEXTS, KINDS, MailContext, MailKind
from madoguchi.domain.office import Office
from madoguchi.domain.this_machine import is_loopback

ZOOM_TERMS_URL: Final = "https://www.zoom.com/ja/trust/terms/"
ZOOM_HOSTS: Final = ("zoom.us", "zoomgov.com")

_PARTS: Final = ("subject.txt", "body.txt", "body.html")
_BASE: Final = "_base/"
_SUBJECT_LIMIT: Final = 100
_KEPT_VERSIONS: Final = 64
_MAPPINGS: Final = (dict, MappingProxyType)
_DISPLAYABLE_URL: Final = re.compile(r"[!-~]+")


class MailTemplateError(Exception):
    """A template is missing or wrong, or a value does not fit into it. Names files and fields, never a value."""


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """What a mail says, lines ending in LF; the subject is one line. `version`: of the template used."""

    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    version: str


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, quicker with `office.name`: it would look for an attribute first, in vain, and then for the key."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a value of one of our mappings, or what the sandbox allows."""
        if type(obj) in _MAPPINGS and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@dataclass(frozen=True, slots=True)
class _Compiled:
    subject: Template
    text: Template
    html: Template


class TemplateStore:
    """The templates of one folder, and every pinned version that was handed in.

    `folder` holds `_base/` and `email/<kind>/`. It is read once: a changed file takes effect with the next start, never
    between two mails of a run. `join_hosts`: hosts, subdomains included, that a join link may lead to; a loopback host
    listed here (the stand-in Zoom) may use plain http. Safe for several threads.
    """

    def __init__(self, folder: Path, *, join_hosts: Sequence[str] = ZOOM_HOSTS) -> None:
        self._join_hosts = tuple(host.lower() for host in join_hosts)
        self._bundles = {kind: _read_bundle(folder, kind) for kind in MailKind}
        self._versions = {kind: bundle_version(bundle) for kind, bundle in self._bundles.items()}
        self._compiled: dict[tuple[MailKind, str], _Compiled] = {}
        self._offices: dict[int, tuple[Office, Mapping[str, str]]] = {}
        self._lock = threading.Lock()

    def bundle(self, kind: MailKind) -> dict[str, str]:
        """Return the files that make a mail of `kind`: names relative to the folder, `_base` included, and texts."""
        return dict(self._bundles[kind])

    def version(self, kind: MailKind) -> str:
        """Return the version of `bundle(kind)`: 12 hexadecimal digits that change with any of its files."""
        return self._versions[kind]

    def render(
        self,
        kind: MailKind,
        context: MailContext,
        office: Office,
        bundle: Mapping[str, str] | None = None,
        *,
        version: str | None = None,
    ) -> RenderedMail:
        """Return the mail in words.

        `bundle`: a pinned one from the record, default the folder's. Give its `version` too: it is then hashed once,
        not once a mail. Raises MailTemplateError when a template uses a value that is not there, when a link is not
        https or a join link leads elsewhere, when the version is not the bundle's. Sends nothing, keeps no context.
        """
        if not isinstance(context, CONTEXTS[kind]):
            raise MailTemplateError(f"{kind}: rendered with a {type(context).__name__}")
        if bundle is None:
            bundle, version = self._bundles[kind], self._versions[kind]
        version = version or bundle_version(bundle)
        compiled = self._compiled.get((kind, version)) or self._compile(kind, version, bundle)
        values = self._values(context, office)
        try:
            return RenderedMail(
                subject=wording.plain_line(compiled.subject.render(values).strip(), _SUBJECT_LIMIT),
                text=_tidy(compiled.text.render(values)),
                html=compiled.html.render(values),
                version=version,
            )
        except TemplateError as error:
            # Jinja's message names the variable or filter; our filters name the field. Neither quotes a value.
            raise MailTemplateError(f"email/{kind} at version {version}: {error.message}") from None

    def _compile(self, kind: MailKind, version: str, bundle: Mapping[str, str]) -> _Compiled:
        if bundle_version(bundle) != version:
            raise MailTemplateError(f"email/{kind}: the pinned files are not those of version {version}")
        environment = _Sandbox(
            loader=DictLoader(bundle),
            undefined=StrictUndefined,
            autoescape=lambda name: name is None or name.endswith(".html"),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters |= {"https": _https, "join_link": self._join_link, "dial": _dial}
        environment.globals = {"zoom_terms_url": ZOOM_TERMS_URL}
        try:
            compiled = _Compiled(*(environment.get_template(f"email/{KINDS[kind].template}/{part}") for part in _PARTS))
        except TemplateError as error:
            raise MailTemplateError(f"email/{kind} at version {version}: {error.message}") from None
        with self._lock:
            if len(self._compiled) >= _KEPT_VERSIONS:
                self._compiled.clear()
            self._compiled[kind, version] = compiled
        return compiled

    def _values(self, context: MailContext, office: Office) -> dict[str, Any]:
        return {
            "c": told(context),
            "salutation": wording.addressee(context.recipient_name),
            "reference": context.reference,
            "office": self._office_values(office),
            "purpose": office.subject_names_purpose,
        }

    def _office_values(self, office: Office) -> Mapping[str, str]:
        known = self._offices.get(id(office))
        if known is not None and known[0] is office:
            return known[1]
        if not office.telephone.strip():
            raise MailTemplateError(
                "office.telephone: empty; cancelling is by telephone, no mail goes without a number"
            )
        values = MappingProxyType(
            {
                "name": wording.plain_line(office.name),
                "telephone": wording.plain_line(office.telephone),
                "telephone_hours": wording.plain_line(office.telephone_hours),
                "form_url": office.form_url,
                "terms_url": office.terms_url,
                "session_hours": wording.session_hours(office.hours),
            }
        )
        with self._lock:
            if len(self._offices) >= _KEPT_VERSIONS:
                self._offices.clear()
            self._offices[id(office)] = (office, values)
        return values

    def _join_link(self, url: str) -> str:
        parts = _split("join_url", url)
        host = (parts.hostname or "").lower()
        listed = next((known for known in self._join_hosts if host == known or host.endswith(f".{known}")), None)
        if listed is None:
            raise TemplateError("join_url: its host is not one of the join hosts")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(listed)):
            raise TemplateError("join_url: not an https link")
        return url


def bundle_version(bundle: Mapping[str, str]) -> str:
    """Return the version of a bundle: a short hash over names and texts, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(bundle):
        text = bundle[name].encode()
        digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()[:12]


def _read_bundle(folder: Path, kind: MailKind) -> dict[str, str]:
    names = [f"email/{KINDS[kind].template}/{part}" for part in _PARTS]
    names += sorted(f"{_BASE}{path.name}" for path in (folder / _BASE).glob("*") if path.suffix in {".txt", ".html"})
    try:
        return {name: (folder / name).read_text(encoding="utf-8") for name in names}
    except FileNotFoundError:
        absent = next(name for name in names if not (folder / name).is_file())
        raise MailTemplateError(
            f"templates: {absent} is missing; every kind of mail needs {', '.join(_PARTS)}"
        ) from None


def _tidy(text: str) -> str:
    """Strip blanks at line ends and more than one empty line in a row, which blocks and conditions leave behind."""
    if " \n" in text or "\t\n" in text:
        text = re.sub(r"[ \t]+\n", "\n", text)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n") + "\n"


def _split(name: str, url: str) -> Any:
    if not isinstance(url, str) or not _DISPLAYABLE_URL.fullmatch(url) or set(url) & set("<>\"'`\\"):
        raise TemplateError(f"{name}: not a plain ASCII link")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise TemplateError(f"{name}: not a link") from None
    # `https://zoom.us@elsewhere.example/` reads like Zoom and leads elsewhere.
    if "@" in parts.netloc or not parts.hostname:
        raise TemplateError(f"{name}: names a user or no host")
    return parts


@functools.lru_cache(maxsize=64)  # the same few links of the office stand in every mail
def _https(url: str) -> str:
    if _split("link", url).scheme != "https":
        raise TemplateError("link: not an https link")
    return url


@functools.lru_cache(maxsize=64)
def _dial(telephone: str) -> str:
    return re.sub(r"[^0-9+]", "", telephone)
