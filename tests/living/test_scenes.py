"""The scene of what a look saw: servers, gates by the rules of security groups, and no more than is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faafo_lab.balancer import Balancer, Member
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Rule, SecurityGroup, Server
from faafo_lab.history.clocks import Clock
from faafo_lab.living.events import Scene
from faafo_lab.living.scenes import scene
from faafo_lab.topology import ROLES, Machine, Moment

NAMES = {"api": "app-api-1", "services": "app-services", "worker": "app-worker-1"}
SERVERS = {
    role: Server(f"id-{role}", name, "ACTIVE", ("10.0.0.5",), metadata={ROLE_KEY: role}, security_groups=(role,))
    for role, name in NAMES.items()
}
SERVERS["api"] = replace(SERVERS["api"], floating_addresses=("203.0.113.7",))
OPEN = (("api", 80, None), ("services", 5432, "api"), ("services", 6379, "worker"), ("services", 6379, "api"))


def rule(port: int, source: str | None = None, prefix: str | None = None) -> Rule:
    return Rule(f"rule-{port}-{source}", port, port, "tcp", prefix, source and f"group-{source}")


def groups(*rules: tuple[str, Rule]) -> list[SecurityGroup]:
    """The three groups with these rules of theirs."""
    return [
        SecurityGroup(f"group-{name}", name, rules=tuple(each for group, each in rules if group == name))
        for name in NAMES
    ]


WHOLE = [(group, rule(port, source)) for group, port, source in OPEN]


def seen(rules: list[tuple[str, Rule]], **fields: object) -> Scene:
    machines = tuple(
        Machine(server.name, role, "ACTIVE", server.address or "", state="serving") for role, server in SERVERS.items()
    )
    moment = replace(Moment(1000.0, machines), **fields)  # type: ignore[arg-type]
    return scene(moment, SERVERS.values(), groups(*rules))


def test_each_connection_that_the_roles_need_is_a_gate() -> None:
    gates = seen(WHOLE)["gates"]
    assert set(gates) == {
        "you>api:80",
        "worker>api:80",
        "api>services:5432",
        "api>services:6379",
        "worker>services:6379",
    }
    assert gates["worker>services:6379"] == {
        "from": "worker",
        "to": "services",
        "port": 6379,
        "group": "services",
        "open": True,
    }
    assert all(gate["open"] for gate in gates.values())


@pytest.mark.parametrize(
    ("missing", "shut"),
    [
        (("services", 6379, "worker"), {"worker>services:6379"}),
        (("services", 5432, "api"), {"api>services:5432"}),
        (("api", 80, None), {"you>api:80", "worker>api:80"}),
    ],
)
def test_a_rule_that_is_missing_shuts_its_gates_and_no_others(
    missing: tuple[str, int, str | None], shut: set[str]
) -> None:
    group, port, source = missing
    gates = seen([each for each in WHOLE if each != (group, rule(port, source))])["gates"]
    assert {name for name, gate in gates.items() if not gate["open"]} == shut


@pytest.mark.parametrize(
    ("prefix", "is_open"),
    [("0.0.0.0/0", True), ("10.0.0.0/24", True), ("10.0.0.5/32", True), ("10.0.1.0/24", False)],
)
def test_a_rule_for_addresses_lets_in_who_has_one_of_them(prefix: str, is_open: bool) -> None:
    others = [each for each in WHOLE if each[1].port_min != 6379]
    gates = seen([*others, ("services", rule(6379, prefix=prefix))])["gates"]
    assert gates["worker>services:6379"]["open"] is is_open


def test_of_people_only_a_rule_for_everybody_is_known_to_let_them_in() -> None:
    others = [each for each in WHOLE if each[0] != "api"]
    assert not seen([*others, ("api", rule(80, prefix="10.0.0.0/8"))])["gates"]["you>api:80"]["open"]
    assert seen([*others, ("api", rule(80, prefix="0.0.0.0/0"))])["gates"]["you>api:80"]["open"]


def test_the_queues_gate_has_the_port_that_the_queue_has() -> None:
    rules = [*WHOLE, ("services", rule(5672, "worker"))]
    gates = seen(rules, queue_port=5672)["gates"]
    assert gates["worker>services:5672"]["open"]
    assert not gates["api>services:5672"]["open"]


def test_every_role_needs_only_what_its_groups_open() -> None:
    """All roles together: with the rules that the lab makes, every gate is open."""
    servers = [
        Server(role.name, f"app-{role.name}", "ACTIVE", ("10.0.0.5",), metadata={ROLE_KEY: role.name})
        for role in ROLES.values()
    ]
    made = [
        SecurityGroup(
            f"group-{role.group}",
            role.group,
            rules=tuple(rule(opening.port or 6379, opening.source) for opening in role.openings),
        )
        for role in ROLES.values()
    ]
    machines = tuple(Machine(server.name, server.metadata[ROLE_KEY], "ACTIVE", "") for server in servers)
    gates = scene(Moment(0.0, machines), servers, made)["gates"]
    # A controller has its own queue; APIs beside it have app-services'.
    assert {name for name, gate in gates.items() if not gate["open"]} <= {"api>controller:6379"}
    assert "worker>controller:6379" in gates


def test_what_is_not_known_is_absent() -> None:
    found = scene(Moment(1000.0, problem="There is no application yet."), [], [])
    assert found == {"servers": {}, "gates": {}, "leases": {"seconds": 8.0}, "problem": "There is no application yet."}


def test_a_server_has_what_cloud_and_application_say_of_it() -> None:
    busy = Machine(
        "app-api-1", "api", "ACTIVE", "203.0.113.7", "serving", cpu_percent=12.345, load_average=0.4, cores=0.25
    )
    found = scene(Moment(1000.0, (busy,)), [SERVERS["api"]], [])
    assert found["servers"]["app-api-1"] == {
        "role": "api",
        "column": "API",
        "status": "ACTIVE",
        "state": "serving",
        "words": "serving",
        "well": True,
        "address": "10.0.0.5",
        "floating": "203.0.113.7",
        "cpu": 12.3,
        "load": 0.4,
        "cores": 0.25,
        "offers": ["endpoint"],
        "drain": False,
    }


def test_counts_clock_wanted_and_balancer_are_there_once_they_are_known() -> None:
    clock = Clock()
    clock.hear(100.0, 100.02, 105.01)
    front = Balancer(
        "id",
        "app-balancer",
        "10.0.0.9",
        None,
        "ROUND_ROBIN",
        (Member("m", "app-api-1", "", 80, 2, "ONLINE"),),
        None,
        "ACTIVE",
    )
    moment = Moment(1000.0, waiting=1, working=2, done=3, failed=0, rate=1.234, front=front)
    found = scene(moment, [], [], clock=clock, wanted=4)
    assert found["counts"] == {"waiting": 1, "working": 2, "done": 3, "failed": 0, "rate": 1.23}
    assert found["clock"] == {"ahead": 5.0, "within": 0.01}
    assert found["wanted"] == 4
    assert found["front"] == {
        "name": "app-balancer",
        "address": "10.0.0.9",
        "status": "ACTIVE",
        "algorithm": "ROUND_ROBIN",
        "members": {"app-api-1": {"status": "ONLINE", "weight": 2}},
    }
