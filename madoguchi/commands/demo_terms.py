"""The end of `make demo`: the terms of use change. Announced, approved in the dashboard's way, mailed and proved."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from config.settings import ROOT, Settings
from madoguchi.adapters.prefect_server import connect
from madoguchi.commands.demo_story import Story, as_list, madoguchi
from madoguchi.commands.up import Background
from madoguchi.domain.office import JST

TEXT = ROOT / "config" / "terms-samples" / "service-2026-12-20.txt"
_APPROVER = "職員-1"
_REASON = "利用される方が相談の準備をしやすくするため"
_NOTICE_DAYS = 30
_PATIENCE = 120.0


def tell_the_amendment(story: Story, settings: Settings, up: Background, now: datetime) -> None:
    """Let an operator change the terms at business time `now`; every fact is checked."""
    _Amendment(story, settings, up, now).pass_by()


class _Amendment:
    def __init__(self, story: Story, settings: Settings, up: Background, now: datetime) -> None:
        self._story, self._settings, self._up, self._now = story, settings, up, now
        self._effective = (now.astimezone(JST) + timedelta(days=_NOTICE_DAYS)).date()
        self._code = self._effective.isoformat()

    def pass_by(self) -> None:
        """Refused first, then announced, approved, mailed and proved."""
        told_before = self._told()
        connect(
            self._settings.var_dir,
            self._settings.prefect.host,
            self._settings.prefect.port,
            ROOT / "config" / "prefect_logging.yml",
        )
        refused = asyncio.run(self._refused())
        self._story.expect("an amendment that leaves too little time", refused[0], "FAILED")
        self._say(f"An amendment in three days is refused: {refused[1]}")
        ended, said = asyncio.run(self._approved())
        self._story.expect("the announcement", ended, "COMPLETED")
        self._say(f"Approved with a typed はい: {said}")
        self._public()
        self._prove(told_before)

    async def _refused(self) -> tuple[str, str]:
        soon = (self._now.astimezone(JST) + timedelta(days=3)).date().isoformat()
        run = await self._start({"effective_date": soon, "code": "too-soon"})
        state = await self._until(run, {"FAILED", "COMPLETED", "PAUSED", "CRASHED"})
        return str(state.type.value), str(state.message)

    async def _approved(self) -> tuple[str, str]:
        from prefect.client.orchestration import get_client

        run = await self._start({"effective_date": self._code})
        waiting = await self._until(run, {"PAUSED", "FAILED", "COMPLETED", "CRASHED"})
        self._story.expect("the announcement waits for its approver", waiting.type.value, "PAUSED")
        self._say("The comparison, the mail and the number of recipients are shown; the run waits for the approver …")
        keys = waiting.state_details.run_input_keyset or {}
        async with get_client() as client:
            schema = json.loads(await client.read_flow_run_input(run, keys["schema"]))
            answer = {
                "answer": "はい",
                "approver": _APPROVER,
                "digest": schema["properties"]["digest"]["default"],
            }
            await client.resume_flow_run(run, run_input=answer)
        state = await self._until(run, {"FAILED", "COMPLETED", "CRASHED"})
        return str(state.type.value), str(state.message)

    async def _start(self, more: dict[str, str]) -> UUID:
        from prefect.client.orchestration import get_client

        parameters = {
            "file": str(TEXT),
            "ground": "13(1)",
            "reason": _REASON,
            "approver": _APPROVER,
            "as_of": self._now.isoformat(),
            **more,
        }
        async with get_client() as client:
            deployment = await client.read_deployment_by_name("announce-amendment/by-hand")
            run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        return run.id

    async def _until(self, run: UUID, wanted: set[str]) -> Any:
        """Wait for a state; the last one seen when it does not come."""
        from prefect.client.orchestration import get_client

        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        async with get_client() as client:
            while True:
                state = (await client.read_flow_run(run)).state
                if state is not None and (state.type.value in wanted or loop.time() > until):
                    return state
                await asyncio.sleep(0.5)

    def _prove(self, told_before: Counter[str]) -> None:
        proof = self._proof()
        told = self._told()
        self._story.expect("notices in the mailbox", told["terms_amended"], proof["totals"]["told"])
        self._story.expect("other mails sent by it", set(told - told_before), {"terms_amended"})
        self._story.expect("everybody stands in one class", sum(proof["totals"].values()), proof["audience"])
        self._say(
            f"The proof of notice: {proof['audience']} people concerned, {proof['totals']['told']} told by mail, "
            f"{proof['left']} must be told otherwise."
        )
        # The telephone is answered in the morning.
        self._now = self._now.astimezone(JST).replace(hour=9, minute=30) + timedelta(days=1)
        for reference in self._not_told():
            self._run("record-notice", reference=reference, code=self._code, how="電話", received_by=_APPROVER)
            self._say(f"{reference} is told by telephone.")
        self._run("sign-off-notice", code=self._code, signed_by=_APPROVER)
        proof = self._proof()
        self._story.expect("people who were not told", proof["left"], 0)
        self._story.expect("signatures under the totals", len(proof["sign_offs"]), 1)
        self._say("Everybody was told; the totals are signed off.")

    def _proof(self) -> dict[str, Any]:
        return dict(json.loads(madoguchi(["terms", "proof", self._code, "--json"])[1]))

    def _not_told(self) -> list[str]:
        table = self._settings.var_dir / "exports" / "proof.csv"
        madoguchi(["terms", "proof", self._code, "--csv", str(table)])
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return [row["受付番号"] for row in csv.DictReader(stream) if row["方法"] != "メール"]

    def _run(self, flow: str, **parameters: str) -> None:
        sets = [part for name, value in parameters.items() for part in ("--set", f"{name}={value}")]
        code, _ = madoguchi(["run", flow, "--as-of", self._now.isoformat(), "--json", *sets])
        self._story.expect(f"exit code of {flow}", code, 0)

    def _told(self) -> Counter[str]:
        """Return the mails that lie in the mailbox, by kind."""
        kinds = {m["message_id"]: m["kind"] for m in json.loads(madoguchi(["list", "messages", "--json"])[1])}
        stored = as_list(httpx.get(f"{self._up.mailbox_url}/sandbox/messages", timeout=10).json())
        return Counter(kinds[m["message_id"]] for m in stored)

    def _public(self) -> None:
        base = f"{self._up.web_url}/terms/"
        for page in ("", f"versions/{self._code}/", f"amendments/{self._code}/", "feed.atom"):
            self._story.expect(f"page {page or 'index'}", httpx.get(base + page, timeout=10).status_code, 200)
        self._say(f"The public site shows it: {base}amendments/{self._code}/")

    def _say(self, text: str) -> None:
        self._story.say(f"{self._now.astimezone(JST):%a %d %b %H:%M} | {text}")
