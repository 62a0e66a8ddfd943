"""Who may do what, over every route: nobody without a token, and one project nothing with another's resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from faafo_lab.cloud.emulator.control import Running

from .conftest import Api
from .every_route import JSON_TYPE, OPERATIONS, Operation, World, in_own_form
from .examples import EXAMPLES, SEEDED

SHARED = frozenset(("flavors", "extensions", "availability_zones", "agents"))  # everybody's


@pytest.fixture(scope="module")
def world(running: Running) -> Iterator[World]:
    """The project demo, with one of everything."""
    yield from _world(Api(running))


@pytest.fixture(scope="module")
def other(running: Running) -> Iterator[World]:
    """The project alt, with one of everything."""
    yield from _world(Api(running, "embedded-alt"))


def _world(api: Api) -> Iterator[World]:
    world = World(api)
    try:
        world.seed()
        for server in world.ids["servers"]:
            api.until(server, "ACTIVE")
        world.look()
        yield world
    finally:
        world.close()


def _sent(world: World, operation: Operation, values: dict[str, str], body: Any, token: str) -> Any:
    data = None if operation.method in ("GET", "HEAD") else json.dumps(body).encode()
    return world.send(operation.method, operation.path(values), data, {**JSON_TYPE, "X-Auth-Token": token})


def _values(world: World, operation: Operation) -> dict[str, str]:
    return {name: (world.ids.get(word) or ["x"])[0] for name, word in operation.variables}


def _view(world: World) -> dict[str, Any]:
    """All that the project has, as its lists show it."""
    world.look()
    return {kind: sorted(ids) for kind, ids in world.ids.items()}


@pytest.mark.parametrize("token", ["", "wrong", "revoked"])
def test_every_api_wants_a_token(world: World, token: str) -> None:
    if token == "revoked":
        token = world.api.login().headers["X-Subject-Token"]
        assert world.api("DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": token}).status_code == 204
    before = _view(world)
    for operation in OPERATIONS:
        for body in EXAMPLES.get(operation.kind, [{}]):
            answer = _sent(world, operation, _values(world, operation), world.fill(body), token)
            if operation.open and not operation.variables:
                assert operation.method in ("GET", "HEAD") or operation.kind == "tokens", operation
                assert world.api.project.encode() not in answer.body, operation
            else:
                assert answer.status in ((401, 403, 404) if operation.open else (401,)), (operation, answer.body)
    assert _view(world) == before


def _foreign(world: World, other: World, word: str) -> str | None:
    """An id of a collection that only `world` has."""
    if word in SHARED:
        return None
    return next((id for id in world.ids.get(word, []) if id not in other.ids.get(word, [])), None)


WITH_IDS = [each for each in OPERATIONS if each.variables and each.kind != "defaults"]  # everybody's are the same


def test_one_project_cannot_reach_anothers_resources_by_their_ids(world: World, other: World) -> None:
    before, tried = _view(world), 0
    for operation in WITH_IDS:
        values = {}
        for name, word in operation.variables:
            own = (other.ids.get(word) or ["x"])[0]
            values[name] = _foreign(world, other, word) or own
        if values == _values(other, operation):
            continue
        tried += 1
        for body in EXAMPLES.get(operation.kind, [{}]):
            answer = _sent(other, operation, values, other.fill(body), other.api.token)
            assert answer.status in (400, 403, 404, 405, 409, 415), (operation, answer.body)
            if operation.method in ("GET", "HEAD", "DELETE"):
                assert answer.status in (400, 403, 404), (operation, answer.body)  # Cinder's word for a project is 400
                assert in_own_form(operation.service, answer, operation.method)
            assert b"fuzz" not in answer.body, (operation, answer.body)
    assert tried > 40
    assert _view(world) == before


def _references(example: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where an example names a resource that exists, and of which kind."""
    if isinstance(example, str) and example.startswith("<"):
        yield path, example[1:-1]
    items = example.items() if isinstance(example, dict) else enumerate(example) if isinstance(example, list) else ()
    for key, value in items:
        yield from _references(value, (*path, key))


def test_one_project_cannot_use_anothers_resources_in_its_own(world: World, other: World) -> None:
    """A rule for another's group, a port on another's network, a server with another's port …"""
    before, tried = _view(world), 0
    for operation in OPERATIONS:
        if operation.method not in ("POST", "PUT") or operation.open:
            continue
        for example in EXAMPLES.get(operation.kind, []):
            for path, kind in _references(example):
                foreign = _foreign(world, other, kind)
                if foreign is None:
                    continue
                body = other.fill(example)
                place = body
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = foreign
                tried += 1
                answer = _sent(other, operation, _values(other, operation), body, other.api.token)
                ignored = operation.method == "PUT" and foreign.encode() not in answer.body
                assert 400 <= answer.status < 500 or ignored, (operation, body, answer.body)
    assert tried > 10
    assert _view(world) == before


def test_a_servers_port_is_no_other_projects(world: World, other: World) -> None:
    image, foreign = other.ids["plain-linux"][0], world.ids["networks"][0]
    for network in ({"port": world.ids["ports"][0]}, {"uuid": foreign}):
        wanted = {"name": "thief", "imageRef": image, "flavorRef": "1", "networks": [network]}
        assert other.api("POST", "/compute/v2.1/servers", {"server": wanted}).status_code == 400


def test_lists_show_the_projects_own(world: World, other: World) -> None:
    for kind in SEEDED:
        mine, theirs = set(world.ids.get(kind, [])), set(other.ids.get(kind, []))
        if kind != "os-keypairs":  # they have names instead of ids
            assert kind not in world.own or mine - theirs, kind
    for path in ("/networking/v2.0/ports", "/compute/v2.1/servers", "/networking/v2.0/security-groups"):
        rows = next(
            iter(other.api.get(f"{path}?project_id={world.api.project}&tenant_id={world.api.project}").values())
        )
        assert not {row["id"] for row in rows} & set(world.ids[path.rsplit("/", 1)[1]])
