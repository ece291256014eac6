"""The report of a month as a page and as a table for spreadsheets; written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from madoguchi.adapters.safe_csv import SafeCsv
from madoguchi.adapters.usage_charts import days_chart, hours_chart
from madoguchi.domain.usage_report import UsageReport

_FOLDERS: Final = ("reports", "charts")


def report_page(report: UsageReport, templates_dir: Path) -> bytes:
    """Return the report as one HTML file that needs nothing else; the same report gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader([templates_dir / folder for folder in _FOLDERS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    styles = (templates_dir / "charts" / "charts.css", templates_dir / "reports" / "usage_report.css")
    # Ours, from the folder of templates; nothing of the report is in it.
    style = Markup("".join(path.read_text(encoding="utf-8") for path in styles))  # noqa: S704 — see above
    drawn = {
        "days": days_chart(report.days),
        "hours": hours_chart("hours", "申込みの多い時間", report.hours),
    }
    page = environment.get_template("usage_report.html").render(report=report, style=style, drawn=drawn)
    return page.encode()


def report_table(report: UsageReport) -> bytes:
    """Return the report as CSV: title of the table, name of the row, name of the column, value, in each line."""
    stream = io.BytesIO()
    table = SafeCsv(stream)
    table.row(("月", "表", "項目", "種類", "値"))
    for section in report.sections:
        for row in section.rows:
            for head, value in zip(section.head[1:], row[1:], strict=True):
                table.row((report.month, section.title, row[0], head, value))
    return stream.getvalue()


def write_whole(folder: Path, name: str, data: bytes) -> bool:
    """Put a file into a folder, by renaming, and tell whether that changed anything; OSError if it cannot be done.

    Whoever reads at that moment has the old one or the new one. A file that holds these bytes is left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    try:
        if target.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    handle, made = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(made).chmod(0o640)
        Path(made).replace(target)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
    return True
