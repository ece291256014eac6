"""The forms of staff as Prefect tasks: thin shells like those of `steps`. Refused passes as it is."""

from __future__ import annotations
