"""The public site of the terms over HTTP: files of the build that `current` leads to, and nothing else of the disk."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

SITE_PATH: Final = "/terms"
_CURRENT: Final = "current"
_NOT_FOUND: Final = "404.html"
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".atom": "application/atom+xml; charset=utf-8",
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_ALWAYS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# A withdrawal must not be missed for long; the answer to the question whether something changed costs nothing.
_KEPT: Final = "public, max-age=60"
_RETRY_SECONDS: Final = "60"
_ROOT: Final = re.compile(r'href="([^"]*/)style\.css"')

NOT_BUILT: Final = """<!DOCTYPE html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>利用規約のページは準備中です</title>
<link rel="icon" href="data:,">
</head>
<body>
<main>
<h1>利用規約のページは準備中です</h1>
<p>しばらくしてから、もう一度お開きください。お急ぎのときは、窓口へお電話ください。</p>
<h2>職員の方へ</h2>
<p>規約のページがまだ作られていません。<code>madoguchi terms build</code> を実行すると、すぐに表示されます。
作る場所は MADOGUCHI_SITE_DIR で決まります（docs/terms-site.md）。</p>
</main>
</body>
</html>
"""


class TermsPages:
    """The pages below `/terms/`, open to everybody. `folder`: as `build_site` was given it; looked at each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(SITE_PATH, self._slash, methods=["GET"]),
            Route(f"{SITE_PATH}/{{path:path}}", self._page, methods=["GET"]),
        ]

    async def _slash(self, request: Request) -> Response:
        return _to_folder(request)

    async def _page(self, request: Request) -> Response:
        return await run_in_threadpool(self._answer, request, request.path_params["path"])

    def _answer(self, request: Request, path: str) -> Response:
        # One look: a page and its neighbours may come from two builds, but no file from half of one.
        try:
            root = (self._folder / _CURRENT).resolve(strict=True)
        except OSError:
            headers = {**_ALWAYS, "Cache-Control": "no-store", "Retry-After": _RETRY_SECONDS}
            return HTMLResponse(NOT_BUILT, status_code=503, headers=headers)
        names = path.split("/")
        folder_asked = names[-1] == ""
        if folder_asked:
            names[-1] = "index.html"
        if all(_NAME.fullmatch(name) and ".." not in name for name in names):
            if not folder_asked and (root.joinpath(*names) / "index.html").is_file():
                return _to_folder(request)
            if (found := _read(root.joinpath(*names))) is not None:
                return _file(request, names[-1], *found)
        return _not_found(root, depth=path.count("/"))


def _file(request: Request, name: str, data: bytes, changed: float) -> Response:
    kind = _TYPES.get(Path(name).suffix)
    if kind is None:
        return Response(status_code=404, headers=_ALWAYS)
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {
        **_ALWAYS,
        "Cache-Control": _KEPT,
        "ETag": tag,
        "Last-Modified": formatdate(changed, usegmt=True),
    }
    if _has_it(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, headers={**headers, "Content-Type": kind})


def _not_found(root: Path, depth: int) -> Response:
    """Answer with the site's own page, its links turned to where this address lies."""
    found = _read(root / _NOT_FOUND)
    text = found[0].decode() if found else ""
    if match := _ROOT.search(text):
        text = text.replace(f'href="{match[1]}', f'href="{"../" * depth or "./"}')
    return HTMLResponse(text, status_code=404, headers={**_ALWAYS, "Cache-Control": "no-store"})


def _to_folder(request: Request) -> Response:
    # Said from where the browser stands: a proxy may show the site under another path.
    name = request.url.path.rsplit("/", 1)[-1]
    return Response(status_code=307, headers={**_ALWAYS, "Location": f"{name}/", "Cache-Control": "no-store"})


def _has_it(header: str, tag: str) -> bool:
    return any(one.strip().removeprefix("W/") in {tag, "*"} for one in header.split(","))


def _read(path: Path) -> tuple[bytes, float] | None:
    """Return a regular file's bytes and when it was written; None for anything else. No link is followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(file.fileno())
        return (file.read(), facts.st_mtime) if stat.S_ISREG(facts.st_mode) else None
