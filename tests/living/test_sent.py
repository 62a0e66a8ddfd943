"""Requests as events: who answered, through the load balancer or not, and none of another application's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faafo_lab.living import sent as module
from faafo_lab.living.sent import SentRequests
from faafo_lab.load.wire import Answer, Sent

API, BALANCER = "http://127.5.2.4:8080", "http://127.5.2.9:8080"
NAMES = {API: ("app-api-1", False), BALANCER: ("app-balancer", True)}
READ = Sent(1000.00001, 1000.25, "load", "GET", API, "/v1/fractal?page=1", "", Answer(200, "app-api-1"))


@pytest.fixture
def sent() -> SentRequests:
    known = SentRequests()
    known.know(NAMES)
    return known


def test_a_request_says_who_answered_and_when(sent: SentRequests) -> None:
    sent.take(READ)
    assert sent.events() == [
        {
            "k": "request",
            "t": 1000.0,
            "end": 1000.25,
            "id": "r1",
            "method": "GET",
            "path": "/v1/fractal?page=1",
            "to": "app-api-1",
            "status": 200,
        }
    ]
    assert sent.events() == []


def test_an_order_has_its_uuid_and_you_are_told_from_load(sent: SentRequests) -> None:
    sent.take(replace(READ, method="POST", order="a-uuid", sender="you"))
    [event] = sent.events()
    assert event["k"] == "request"
    assert (event["uuid"], event["from"]) == ("a-uuid", "you")


@pytest.mark.parametrize(
    ("endpoint", "answer", "told"),
    [
        (API, Answer(None, API, "timed out"), {"to": "app-api-1", "status": None, "error": "timed out"}),
        (API, Answer(404, "app-api-1"), {"to": "app-api-1", "status": 404}),
        (f"{API}/", Answer(200, "app-api-1"), {"to": "app-api-1", "status": 200}),
        (BALANCER, Answer(201, "app-api-2"), {"to": "app-api-2", "status": 201, "via": True}),
        (BALANCER, Answer(503, BALANCER), {"to": "", "status": 503, "via": True}),
        (BALANCER, Answer(None, BALANCER, "cut off"), {"to": "", "status": None, "via": True, "error": "cut off"}),
    ],
)
def test_each_end_is_told(sent: SentRequests, endpoint: str, answer: Answer, told: dict[str, object]) -> None:
    sent.take(replace(READ, endpoint=endpoint, answer=answer))
    [event] = sent.events()
    assert {name: event.get(name) for name in ("to", "status", "via", "error") if name in event} == told


def test_a_request_to_a_server_that_is_new_waits_until_that_is_known(
    sent: SentRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRANGER_SECONDS", float("inf"))
    sent.take(replace(READ, endpoint="http://127.5.2.5:8080", answer=Answer(200, "app-api-2")))
    sent.take(READ)
    assert [event["to"] for event in sent.events() if event["k"] == "request"] == ["app-api-1"]
    sent.know({"http://127.5.2.5:8080": ("app-api-2", False)})
    assert [event["to"] for event in sent.events() if event["k"] == "request"] == ["app-api-2"]


def test_a_request_to_another_application_is_left_out(sent: SentRequests) -> None:
    sent.take(replace(READ, endpoint="http://127.99.2.5:8080"))  # long ago
    assert sent.events() == []
    sent.know({"http://127.99.2.5:8080": ("app-api-1", False)})
    assert sent.events() == []


def test_an_endpoint_that_is_gone_is_known_still(sent: SentRequests) -> None:
    sent.know({"http://127.5.2.5:8080": ("app-api-2", False)})
    sent.take(replace(READ, answer=Answer(None, API, "ConnectionRefusedError")))
    [event] = sent.events()
    assert event["k"] == "request"
    assert event["to"] == "app-api-1"
