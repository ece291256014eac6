"""An office big enough for the benchmarks, with services on a scratch database."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.settings import ROOT, load_settings
from madoguchi.domain.office import Counsellor, Host, Office, ZoomLimits
from tasks.wiring import Services, build_services


@contextmanager
def big_office(counsellors: int, hosts: int, **zoom: Any) -> Iterator[Services]:
    """Give services for an office with that many counsellors and hosts, in a directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="madoguchi-bench-") as folder:
        os.environ |= {"MADOGUCHI_MODE": "sandbox", "MADOGUCHI_VAR_DIR": folder}
        os.environ.pop("MADOGUCHI_DATABASE_URL", None)
        settings = load_settings()
        services = build_services(settings)
        office: Office = dataclasses.replace(
            services.office,
            counsellors=tuple(Counsellor(f"counsellor-{n}", frozenset(range(5))) for n in range(counsellors)),
            hosts=tuple(Host(f"host-{n}", f"host-{n}@example.jp") for n in range(hosts)),
            zoom=ZoomLimits(**zoom),
        )
        yield dataclasses.replace(
            services, office=office, calendar=dataclasses.replace(services.calendar, office=office)
        )
        services.database.close()


def project_root() -> Path:
    """Return where the project lies."""
    return ROOT
