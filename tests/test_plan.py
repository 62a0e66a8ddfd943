"""A plan: what a layout takes against one listing, and the application at one moment. Nothing is asked of a cloud."""

from collections.abc import Collection
from typing import Any

import pytest

from faafo_lab.cloud.model import Server
from faafo_lab.topology import ROLES, Layout, Machine, Node, TopologyError
from faafo_lab.topology.moment import machines
from faafo_lab.topology.plan import Plan, make
from faafo_lab.topology.roles import Part, Role, by_group

RIGHT = "right"


def server(name: str, digest: str = RIGHT, status: str = "ACTIVE", id: str = "") -> Server:
    role = next(role for role in ROLES if name.startswith(f"app-{role}"))
    return Server(id or f"id-{name}", name, status, metadata={"faafo-lab": role, "faafo-lab-digest": digest})


def running(api: int = 2, worker: int = 3) -> list[Server]:
    layout = Layout.scaled_out(api, worker)
    return [server(name) for role in ROLES.values() for name in role.server_names(layout.count(role) or 0)]


def plan(layout: Layout, servers: list[Server], stay: Collection[Part] = ()) -> Plan:
    return make(layout, servers, lambda role: RIGHT, stay)


def names(steps: Any) -> list[str]:
    return [step.name for step in steps]


def test_on_an_empty_cloud_everything_is_created_after_what_it_needs() -> None:
    made = plan(Layout.scaled_out(1, 2), [])
    assert names(made.made) == ["app-services", "app-api-1", "app-worker-1", "app-worker-2"]
    assert not made.keep + made.replace + made.remove
    assert str(made) == "create   app-api-1, app-services, app-worker-1, app-worker-2"


def test_what_is_right_or_still_boots_is_kept() -> None:
    servers = [*running(2, 2), server("app-worker-3", status="BUILD")]
    same = plan(Layout.scaled_out(2, 3), servers)
    assert not same.changes
    assert len(same.keep) == 6


def test_what_is_not_right_is_replaced_with_a_reason_and_what_is_too_many_removed() -> None:
    servers = [*running(2, 1), server("app-worker-2", status="SHUTOFF"), server("app-worker-3", digest="old")]
    made = plan(Layout.scaled_out(1, 4), servers)
    assert "create   app-worker-4\n" in str(made)
    assert "replace  app-worker-2 (SHUTOFF), app-worker-3 (its image, flavor, groups or user data changed)\n" in str(
        made
    )
    assert "remove   app-api-2\n" in str(made)
    assert "keep     app-api-1, app-services, app-worker-1" in str(made)


def test_whose_database_comes_back_at_its_address_stays() -> None:
    without = [each for each in running(2, 2) if each.name != "app-services"]
    stays = plan(Layout.scaled_out(2, 2), without, ("queue", "database"))
    assert names(stays.made) == ["app-services"]
    assert len(stays.keep) == 4
    assert len(plan(Layout.scaled_out(2, 2), without).replace) == 4


def test_a_security_group_comes_after_those_that_its_rules_name_wanted_or_not() -> None:
    without_workers = [role.group for role in by_group(Layout.scaled_out(api=1, worker=0).roles)]
    assert without_workers == ["api", "worker", "services"]
    assert [role.group for role in by_group(["worker", "worker"])] == ["worker"]


@pytest.mark.parametrize("gone", ["app-api-1", "app-api-2"])
def test_workers_stay_as_long_as_one_api_stays_which_tells_them_of_the_others(gone: str) -> None:
    left = [each for each in running(2, 2) if each.name != gone]
    for layout in (Layout.scaled_out(2, 2), Layout.only(api=2)):
        made = plan(layout, left)
        assert (names(made.create), made.replace, made.remove) == ([gone], (), ())
    more = plan(Layout.only(api=4), running(2, 2))
    assert (names(more.create), more.replace) == (["app-api-3", "app-api-4"], ())


def test_who_reports_to_servers_that_are_all_made_anew_is_made_anew_too() -> None:
    workers = ["app-worker-1", "app-worker-2"]
    without_apis = [each for each in running(2, 2) if not each.name.startswith("app-api")]
    made = plan(Layout.scaled_out(2, 2), without_apis)
    assert (names(made.create), names(made.replace)) == (["app-api-1", "app-api-2"], workers)
    without_services = [each for each in running(2, 2) if each.name != "app-services"]
    assert names(plan(Layout.scaled_out(2, 2), without_services).replace) == ["app-api-1", "app-api-2", *workers]


def test_of_two_servers_with_one_name_the_right_one_stays() -> None:
    servers = [server("app-worker-1", digest="old", id="older"), *running(1, 1)]
    made = plan(Layout.scaled_out(1, 1), servers)
    [twin] = made.remove
    assert twin.server
    assert twin.server.id == "older"
    assert str(twin) == "app-worker-1 (one of two with this name)"
    assert names(made.keep) == ["app-services", "app-api-1", "app-worker-1"]
    assert made.difference(servers) == "app-worker-1 extra"
    assert made.difference([]) == "app-api-1, app-services, app-worker-1 missing"
    assert made.difference(running(1, 1)) == ""


def test_roles_that_a_layout_does_not_count_stay_as_they_are() -> None:
    servers = [server("app-services", digest="old"), server("app-api-1", status="SHUTOFF"), server("app-worker-1")]
    made = plan(Layout.only(worker=2), servers)
    assert names(made.create) == ["app-worker-2"]
    assert not made.replace + made.remove


def test_the_digest_is_asked_for_only_where_there_is_something_to_compare() -> None:
    def unknown(role: Role) -> str:
        raise AssertionError(role)

    assert len(make(Layout.scaled_out(2, 3), [], unknown).create) == 6


@pytest.mark.parametrize(("api", "worker"), [(0, 1), (1, -1)])
def test_an_impossible_layout_gets_one_sentence(api: int, worker: int) -> None:
    with pytest.raises(TopologyError, match=f"at least 1 API server and 0 workers, not {api} and {worker}"):
        Layout.scaled_out(api, worker)


def node(name: str, role: str, state: str, **more: Any) -> Node:
    shown: Node = {
        "name": name,
        "role": role,
        "state": state,
        "drain": False,
        "working_on": [],
        "load_average": [0.5, 0.4, 0.3],
        "cpu_percent": 12.0,
        "cores": 0.25,
        "version": None,
        "started_at": "",
        "last_heard": "",
        "seconds_since_heard": 0.1,
    }
    return {**shown, **more}  # type: ignore[typeddict-item]


def test_a_node_that_does_not_measure_its_machine_has_no_load() -> None:
    [machine] = machines(
        [server("app-worker-1")], [node("app-worker-1", "worker", "idle", load_average=None, cpu_percent=None)]
    )
    assert (machine.state, machine.load_average, machine.cpu_percent) == ("idle", None, None)


def test_each_role_is_found_among_the_nodes_as_the_application_calls_it() -> None:
    nodes = [node("app-all-in-one", "api", "serving"), node("app-all-in-one", "worker", "working", working_on=["u"])]
    nodes += [node("app-controller", "api", "serving"), node("app-worker-1", "worker", "lost")]
    found = machines([server(name) for name in ("app-all-in-one", "app-controller", "app-worker-1")], nodes)
    assert [(each.state, each.is_well) for each in found] == [("working", True), ("serving", True), ("lost", False)]
    assert found[0].working_on == ("u",)
    services = Machine("app-services", "services", "ACTIVE", "")
    assert (services.words, services.is_well) == ("database and queue", True)
    assert Machine("app-worker-1", "worker", "ACTIVE", "").words == "starting"
