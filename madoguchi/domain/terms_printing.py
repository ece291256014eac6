"""Terms of use as plain text again, and what two texts have in common when wrapping does not count. Pure."""

from __future__ import annotations

from madoguchi.domain.terms_lines import Wrapping, lines_of
from madoguchi.domain.terms_structure import Article, Part, Terms


def print_terms(terms: Terms) -> str:
    """Return terms as text, a line for each part, in the order and with the marks and blanks that they were read with.

    Reading the result gives equal terms, and it equals the text they were read from but for wrapping, blank lines and
    the signs of Markdown (`unwrapped` of both is the same).
    """
    blocks = [[terms.title], list(terms.preamble)]
    blocks += [_article(article) for article in terms.articles]
    if terms.supplement or terms.supplement_heading != "附則":
        blocks.append([terms.supplement_heading, *terms.supplement])
    blocks.append(
        [terms.closing, terms.signatory]
        if not terms.closing.endswith((" ", "　"))
        else [terms.closing + terms.signatory]
    )
    return "\n\n".join(text for block in blocks if (text := "\n".join(line for line in block if line))) + "\n"


def unwrapped(text: str) -> str:
    """Return a text to compare by: without line ends, blank lines, blanks at line ends and Markdown's signs."""
    lines = lines_of(text)
    # A blank between Latin and Japanese that a line end swallowed comes back as in reading.
    return Wrapping(lines, lambda _: False).joined(lines)


def _article(article: Article) -> list[str]:
    layout = article.layout or "（{caption}）\n{label} "
    if not article.caption:
        layout = "{label}" + (layout[-1] if layout[-1] in " 　\t\n" else "")
    if not article.layout and article.parts and (article.parts[0].label or not article.parts[0].text):
        layout = layout.rstrip() + "\n"
    first = [line for part in article.parts for line in _part(part)]
    heading = layout.replace("{label}", article.label).replace("{caption}", article.caption)
    return [*article.headings, *(heading + (first[0] if first else "")).split("\n"), *first[1:]]


def _part(part: Part) -> list[str]:
    own = part.label + (part.gap if part.label and part.text else "") + part.text
    return [*own.split("\n"), *(line for child in part.parts for line in _part(child))]
