"""The comparison of two texts of the terms as one HTML file that needs no other: to be opened, printed, sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from madoguchi.domain.terms_comparison import Comparison

_FOLDER: Final = Path("web", "terms")


class ComparisonPageError(Exception):
    """The page's template or style is missing or wrong; the text names it, never what stands in the terms."""


def comparison_page(comparison: Comparison, templates_dir: Path, *, new_first: bool = True, title: str) -> str:
    """Return the page: a heading `title` and the table, style included, no script, nothing loaded from elsewhere.

    `templates_dir`: the folder with `web/terms/` in it. Same arguments, same text. Raises ComparisonPageError.
    """
    folder = templates_dir / _FOLDER
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        style = Markup((folder / "_comparison.css").read_text(encoding="utf-8").strip())  # noqa: S704 — our own file
        page = templates.get_template("comparison_page.html").render(
            comparison=comparison, new_first=new_first, title=title, style=style
        )
    except TemplateError as error:
        raise ComparisonPageError(f"{folder.name}: {type(error).__name__}: {error.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ComparisonPageError(f"{folder.name}/_comparison.css: {type(error).__name__}") from None
    return re.sub(r"\n{2,}", "\n", page).strip() + "\n"
