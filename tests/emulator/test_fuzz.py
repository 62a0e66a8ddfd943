"""Every route answers whatever it is sent, and never with a 5xx: requests made up from the route tables.

FAAFO_FUZZ_EXAMPLES says how many requests each route gets, FAAFO_FUZZ_SEED which ones; both are printed.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.common.schema import UUID
from tests.waiting import wait_for

from . import odd
from .conftest import Api
from .every_route import EXAMPLES, JSON_TYPE, OPERATIONS, Operation, World, in_own_form, quoted

EXAMPLES_A_ROUTE = int(os.environ.get("FAAFO_FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("FAAFO_FUZZ_SEED", random.randrange(1 << 32)))
pytestmark = pytest.mark.long
QUOTAS = {"instances": 2, "key_pairs": 5}
# The states in which a server stays by itself: no request of a walk at random leaves it in another one.
AT_REST = {"ACTIVE", "SHUTOFF", "ERROR", "PAUSED", "SUSPENDED", "RESCUE", "SHELVED", "SHELVED_OFFLOADED"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud with one of everything."""
    directory = tmp_path_factory.mktemp("fuzz") / "cloud"
    print(f"FAAFO_FUZZ_SEED={SEED} FAAFO_FUZZ_EXAMPLES={EXAMPLES_A_ROUTE}")
    try:
        world = World(Api(control.start(directory, quotas=QUOTAS)))
        try:
            world.seed()
            yield world
        finally:
            world.close()
    finally:
        control.stop(directory)


def odd_json() -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(odd.TEXTS) | st.sampled_from(odd.VALUES) | st.text(max_size=8) | st.integers()
    trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=4)
    return (leaves | trees).map(copy.deepcopy)  # a later mistake may change it


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.text(max_size=5), inner, max_size=3)


Place = tuple[str | int, ...]


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """The ways to all of a body's parts, the whole first."""
    yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*above, key))


def put(value: Any, place: Place, new: Any) -> Any:
    """A copy of the body with something else in a place."""
    if not place:
        return new
    value = copy.copy(value)
    value[place[0]] = put(value[place[0]], place[1:], new)
    return value


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A valid body with a mistake or two in it, or none."""
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(list(places(value))))
        inner = value
        for key in place:
            inner = inner[key]
        what = draw(st.sampled_from(("replace", "replace", "replace", "drop", "add", "wrap")))
        if what == "add" and isinstance(inner, dict):
            new: Any = {**inner, draw(st.sampled_from(("id", "unknown", "project_id", "name", "\0"))): draw(odd_json())}
        elif what == "drop" and isinstance(inner, dict | list) and inner:
            kept = list(inner)[1:]
            new = {key: inner[key] for key in kept} if isinstance(inner, dict) else kept
        elif what == "wrap":
            new = [inner]
        else:
            new = draw(odd_json())
        value = put(value, place, new)
    return value


@st.composite
def body(draw: st.DrawFn, world: World, operation: Operation) -> bytes | None:
    examples = [world.fill(each) for each in EXAMPLES.get(operation.kind, [])]
    which = draw(st.integers(0, 9))
    if which < 7 and examples:
        value = draw(changed(draw(st.sampled_from(examples))))
    elif which < 8:
        return draw(st.sampled_from(odd.BODIES))
    elif which < 9:
        return draw(st.none() | st.binary(max_size=100))
    else:
        value = draw(odd_json())
    return json.dumps(value, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


@st.composite
def request_for(draw: st.DrawFn, world: World, operation: Operation) -> tuple[str, bytes | None, dict[str, str]]:
    values = {}
    for name, word in operation.variables:
        there = world.ids.get(word, [])
        strange = not there or not draw(st.integers(0, 2))
        values[name] = (
            quoted(draw(st.sampled_from(odd.TEXTS)) or "x") if strange else quoted(draw(st.sampled_from(there)))
        )
    path = operation.path(values)
    if draw(st.booleans()):
        texts = st.sampled_from(odd.TEXTS) | st.text(max_size=5)
        pairs = draw(st.lists(st.tuples(st.sampled_from(odd.QUERY_NAMES), texts), max_size=3))
        path += "?" + urlencode(pairs, quote_via=quote, errors="surrogatepass")
    headers = dict(JSON_TYPE)
    for name in draw(st.lists(st.sampled_from(sorted(odd.HEADERS)), max_size=2)):
        headers[name] = draw(st.sampled_from(odd.HEADERS[name]))
    sent = None if operation.method in ("GET", "HEAD") and draw(st.booleans()) else draw(body(world, operation))
    return path[:60_000], sent, headers


def test_each_operation_is_tried_once() -> None:
    assert len({str(each) for each in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_request_gets_a_5xx(world: World, operation: Operation) -> None:
    world.seed(again=True)

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES_A_ROUTE,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(sent=st.deferred(lambda: request_for(world, operation)))
    def holds(sent: tuple[str, bytes | None, dict[str, str]]) -> None:
        path, body, headers = sent
        answer = world.send(operation.method, path, body, headers)
        note(f"{answer.status} {answer.body[:500]!r} (FAAFO_FUZZ_SEED={SEED})")
        assert answer.status < 500
        if answer.status >= 400 and len(path) < 50_000:
            assert in_own_form(operation.service, answer, operation.method)

    holds()


TAKES_BODY = [each for each in OPERATIONS if each.method in ("POST", "PUT", "PATCH") and each.kind in EXAMPLES]


@pytest.mark.parametrize("operation", TAKES_BODY, ids=str)
def test_no_part_of_a_body_is_trusted(world: World, operation: Operation) -> None:
    """One mistake at a time, anywhere in a valid body; a part of all that there are, chosen by the seed."""
    world.seed(again=True)
    bodies = [world.fill(each) for each in EXAMPLES[operation.kind]]
    spots = [(body, place) for body in bodies for place in places(body)]
    everything = list(itertools.product(spots, (*odd.TEXTS, *odd.VALUES), (True, False)))
    some = random.Random(f"{SEED} {operation}").sample(everything, min(len(everything), 15 * EXAMPLES_A_ROUTE))
    for (body, place), value, ascii in some:
        sent = json.dumps(put(body, place, value), ensure_ascii=ascii).encode(errors="surrogatepass")
        path = operation.path({name: (world.ids.get(word) or ["x"])[0] for name, word in operation.variables})
        for kind in ("application/json", "application/openstack-images-v2.1-json-patch"):
            answer = world.send(operation.method, path, sent, {"Content-Type": kind})
            assert answer.status < 500, (sent[:2000], answer.body, f"FAAFO_FUZZ_SEED={SEED}")
            if operation.method != "PATCH":
                break


RAW = {
    "no request": b"\0\1\2\r\n\r\n",
    "no version": b"GET /identity\r\n\r\n",
    "a length that is none": b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "a negative length": b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /identity/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a chunk that is none": b"POST /compute/v2.1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header that never ends": b"GET /identity HTTP/1.1\r\nX: " + b"x" * 100_000,
    "a body that is too long": b"POST /compute/v2.1/servers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    "a path that is no path": b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path with bytes": b"GET /identity/\xff\xfe?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_what_is_no_request_is_refused_or_hung_up_on(world: World, raw: bytes) -> None:
    host, port = world.api.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1 << 16)
    assert not answer or answer.split(b" ")[1][:1] == b"4"


def test_the_cloud_is_whole_afterwards(world: World) -> None:
    """No traceback in its log; and what it has kept, it can read again."""
    directory = world.api.running.state_dir
    before = {each: world.send("GET", each.path({})) for each in _lists()}
    assert {answer.status for answer in before.values()} <= {200, 204, 300, 403, 404}
    log = (directory / "emulator.log").read_text(errors="replace")
    assert "Traceback" not in log
    control.stop(directory)
    control.start(directory, quotas=QUOTAS)
    for operation, answer in before.items():
        again = world.send("GET", operation.path({}))
        assert again.status == answer.status, operation
        if "servers" not in operation.template and operation.service.name != "keystone":
            assert again.body == answer.body, operation
    wait_for("the servers to settle", lambda: not [s for s in _servers(world) if s["OS-EXT-STS:task_state"]])
    assert {server["status"] for server in _servers(world)} <= AT_REST
    assert [each.name for each in directory.parent.iterdir()] == [directory.name]  # no name has led out of its place
    for place in ("images", "instances"):
        assert all(re.fullmatch(UUID, each.name) for each in (directory / place).iterdir())


def _lists() -> list[Operation]:
    return [each for each in OPERATIONS if each.method == "GET" and "{" not in each.template and not each.stream]


def _servers(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.send("GET", "/compute/v2.1/servers/detail").json()["servers"]
    return found
