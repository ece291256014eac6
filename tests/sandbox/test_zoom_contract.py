"""Client and stand-in against Zoom's own description, which is read in place and not copied here."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import ZoomError
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import SandboxZoom, running_zoom
from tests.sandbox.receiver import SECRET, receiver
from tests.sandbox.zoom_help import START, Waits, load_openapi, plan

HOST = "host-1@example.jp"


class Contract:
    """Checks exchanges; `seen` counts operation and status."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.doc = description
        self.registry = Registry().with_resource("urn:zoom", Resource(contents=description, specification=DRAFT7))
        self.seen: set[tuple[str, int]] = set()

    def operation(self, method: str, path: str) -> dict[str, Any]:
        for template, methods in self.doc["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", template), path) and method.lower() in methods:
                return dict(methods[method.lower()])
        raise AssertionError(f"{method} {path} is not described")

    def resolve(self, part: Mapping[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            found: Any = self.doc
            for key in part["$ref"].removeprefix("#/").split("/"):
                found = found[key.replace("~1", "/")]
            part = found
        return dict(part)

    def matches(self, instance: object, schema: Mapping[str, Any], place: str) -> None:
        text = json.dumps(schema).replace('"#/', '"urn:zoom#/')
        errors = [
            f"{place} {'/'.join(map(str, e.absolute_path))}: {e.validator}"
            for e in Draft7Validator(json.loads(text), registry=self.registry).iter_errors(instance)
        ]
        assert errors == []
        self.names_known(instance, schema, place)

    def names_known(self, instance: object, schema: Mapping[str, Any], place: str) -> None:
        """Zoom's schemas allow any further name; we neither send nor play one that is not described."""
        schema = self.resolve(schema)
        if isinstance(instance, dict) and "properties" in schema:
            assert set(instance) <= set(schema["properties"]), place
            for name, value in instance.items():
                self.names_known(value, schema["properties"][name], f"{place}.{name}")
        elif isinstance(instance, list) and "items" in schema:
            for item in instance:
                self.names_known(item, schema["items"], f"{place}[]")

    def check(self, response: httpx.Response) -> None:
        request = response.request
        # As it was sent: the uuid of a run may hold slashes, encoded.
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/v2")
        operation = self.operation(request.method, path)
        place = f"{operation['operationId']} {response.status_code}"
        self.seen.add((operation["operationId"], response.status_code))
        described = {p["name"]: p["schema"] for p in map(self.resolve, operation.get("parameters", []))}
        for name, value in request.url.params.items():
            assert name in described, f"{place}: query {name}"
            self.matches(_typed(value, described[name]), described[name], f"{place} query {name}")
        if request.content:
            ((kind, media),) = operation["requestBody"]["content"].items()
            assert request.headers["content-type"].startswith(kind)
            body = _form(request.content) if "form" in kind else json.loads(request.content)
            self.matches(body, media["schema"], f"{place} request")
        answer = self.resolve(operation["responses"][str(response.status_code)])
        if "content" in answer:
            self.matches(response.json(), answer["content"]["application/json"]["schema"], f"{place} answer")
        else:
            assert response.content == b"", place


def _form(content: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(content.decode()).items()}


def _typed(value: str, schema: Mapping[str, Any]) -> object:
    return json.loads(value) if schema.get("type") in {"integer", "boolean"} else value


class Bench:
    def __init__(self, zoom: Any, client: ZoomClient, http: httpx.Client, contract: Contract) -> None:
        self.zoom, self.client, self.http, self.contract = zoom, client, http, contract

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        token = self.client._caller.tokens.get().value
        return self.http.request(
            method, f"{self.zoom.api_url}{path}", headers={"Authorization": f"Bearer {token}"}, **more
        )


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    contract = Contract(load_openapi())

    def check(response: httpx.Response) -> None:
        response.read()
        contract.check(response)

    settings = SandboxZoom(daily_changes_per_host=4, create_unknown_users=False, users=(HOST,))
    with (
        running_zoom(tmp_path / "zoom.db", settings) as zoom,
        httpx.Client(event_hooks={"response": [check]}, trust_env=False) as http,
    ):
        client = ZoomClient(
            zoom.token_url, zoom.api_url, "sandbox-account", "sandbox-client", "sandbox-secret",
            http=http, clock=lambda: datetime.now(UTC), sleep=Waits(), create_per_second=1e4, read_per_second=1e4,
        )  # fmt: skip
        yield Bench(zoom, client, http, contract)


def test_every_exchange_of_the_client_with_the_stand_in_is_as_zoom_describes_it(bench):
    client, wanted = bench.client, plan()
    made = client.create_meeting(HOST, wanted)
    client.get_meeting(made.meeting_id)
    client.find_by_token(HOST, wanted.token, START)
    client.find_by_token(HOST, wanted.token, None)
    client.update_meeting(made.meeting_id, plan(start=START + timedelta(days=1)))
    assert all(line.ok for line in client.check_access([HOST]))
    bench.zoom.state.set_status(int(made.meeting_id), "started")
    with pytest.raises(ZoomError):
        client.delete_meeting(made.meeting_id)
    client.end_meeting(made.meeting_id)
    assert bench.ask("GET", f"/past_meetings/{made.meeting_id}").status_code == 200
    client.delete_meeting(made.meeting_id)
    client.delete_meeting(made.meeting_id)
    client.get_meeting(made.meeting_id)
    assert bench.contract.seen == {
        ("s2sToken", 200), ("meetingCreate", 201), ("meeting", 200), ("meetings", 200), ("meetingUpdate", 204),
        ("user", 200), ("meetingDelete", 400), ("meetingStatus", 204), ("pastMeetingDetails", 200),
        ("meetingDelete", 204), ("meetingDelete", 404), ("meeting", 404),
    }  # fmt: skip


def test_every_refusal_of_the_stand_in_is_one_that_zoom_describes(bench):
    client, faults = bench.client, bench.zoom.state.faults
    for kind in ("429_second", "429_host_day", "429_daily"):
        faults.order({"op": "create", "kind": kind, "times": 4 if kind == "429_second" else 1})
        with pytest.raises(ZoomError):
            client.create_meeting(HOST, plan())
    faults.order({"op": "get", "kind": "401_expired", "times": 2})
    with pytest.raises(ZoomError):
        client.get_meeting("81234567890")
    for _ in range(4):
        client.create_meeting(HOST, plan())
    with pytest.raises(ZoomError):
        client.create_meeting(HOST, plan())
    with pytest.raises(ZoomError):
        client.create_meeting("nobody@example.jp", plan())
    with pytest.raises(ZoomError):
        list(client.list_meetings("nobody@example.jp"))
    assert bench.ask("GET", "/users").status_code == 200
    assert bench.ask("GET", "/past_meetings/81234567890").status_code == 404
    assert bench.ask("PUT", "/meetings/81234567890/status", json={"action": "recover"}).status_code == 404
    answer = bench.http.post(bench.zoom.token_url, data={"grant_type": "account_credentials", "account_id": "x"})
    assert answer.status_code == 400
    assert {operation for operation, status in bench.contract.seen if status >= 400} == {
        "meetingCreate", "meeting", "meetings", "pastMeetingDetails", "meetingStatus", "s2sToken",
    }  # fmt: skip


def test_every_question_about_who_is_and_was_there_is_as_zoom_describes_it(bench):
    client, made = bench.client, bench.client.create_meeting(HOST, plan()).meeting_id
    with ZoomRemote(bench.zoom.url) as remote:
        assert client.live_participants(made) is None
        assert client.past_participants(made) is None
        remote.people(made, [(START, "host", "start"), (START, "guest", "join"), (START, "guest-2", "wait")])
        remote.people(made, [(START + timedelta(minutes=5), "guest", "leave")])
        assert len(client.live_participants(made)) == 4
        assert client.live_meeting_ids(HOST) == {made}
        remote.people(made, [(START + timedelta(minutes=30), "host", "end")])
        assert len(client.past_participants(made)) == 4
    for kind in ("past", "pastOne", "tomorrow"):
        path = f"/metrics/meetings/{made}/participants"
        if kind == "tomorrow":
            with pytest.raises(AssertionError, match="enum"):
                bench.ask("GET", path, params={"type": kind})
        else:
            page = bench.ask("GET", path, params={"type": kind, "page_size": 2})
            assert len(page.json()["participants"]) == 2
            token = page.json()["next_page_token"]
            assert bench.ask("GET", path, params={"type": kind, "page_size": 2, "next_page_token": token}).is_success
    assert bench.ask("GET", "/past_meetings/81234567890/participants").status_code == 404
    assert {
        ("dashboardMeetingParticipants", 200), ("dashboardMeetingParticipants", 404), ("pastMeetingDetails", 200),
        ("pastMeetingDetails", 404), ("pastMeetingParticipants", 200), ("pastMeetingParticipants", 404),
        ("meetings", 200),
    } <= bench.contract.seen  # fmt: skip


def test_every_event_of_the_stand_in_is_as_zoom_describes_it(bench):
    contract = bench.contract
    schemas = contract.doc["components"]["schemas"]
    described = {
        schema["properties"]["event"]["enum"][0]: schema
        for name, schema in schemas.items()
        if name.startswith("Webhook") and "event" in schema.get("properties", {})
    }
    made = bench.client.create_meeting(HOST, plan()).meeting_id
    with receiver() as inbox, ZoomRemote(bench.zoom.url) as remote:
        remote.webhooks(inbox.url, SECRET)
        remote.people(made, [(START, "guest", "wait"), (START, "guest", "leave"), (START, "guest", "wait")])
        remote.people(made, [(START, "host", "start"), (START, "guest", "admit"), (START, "guest", "put_back")])
        remote.people(made, [(START, "guest", "leave"), (START, "host", "end")])
        remote.drift(made, {"waiting_room": False, "join_before_host": True})
        remote.people(made, [(START, "guest", "join"), (START, "guest", "leave")])
        remote.vanish(made)
        inbox.answer = 200
        assert remote.validate()["ok"]
    bodies = inbox.bodies()
    for body in bodies:
        contract.matches(body, described[body["event"]], body["event"])
    assert {body["event"] for body in bodies} == set(described) - {"meeting.created"}


def test_the_contract_check_itself_notices_what_is_not_described(bench):
    with pytest.raises(AssertionError, match="meetingCreate"):
        bench.ask("POST", f"/users/{HOST}/meetings", json={"type": 2, "start_link": "x"})
    with pytest.raises(AssertionError, match="enum"):
        bench.ask("GET", f"/users/{HOST}/meetings", params={"type": "tomorrow"})
