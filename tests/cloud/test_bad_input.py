"""What people get wrong, and what a cloud refuses: one clear error each, and nothing half-made left."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faafo_lab.cloud import BACKENDS, connect
from faafo_lab.cloud.base import VERBS, Cloud
from faafo_lab.cloud.errors import (
    AlreadyExists,
    Ambiguous,
    AuthError,
    BadRequest,
    CloudError,
    Forbidden,
    NotFound,
    NotReady,
    QuotaExceeded,
    ServerFailed,
    TimedOut,
)
from faafo_lab.cloud.keys import public_key
from faafo_lab.cloud.model import Rule, Server

from .test_direct import Recorder

TINY = {"image": "plain-linux", "flavor": "m1.tiny"}
GONE = "6f70656e-7374-4163-8b00-000000000000"

WRONG: list[tuple[str, Callable[[Cloud], object], type[CloudError], str]] = [
    ("image", lambda c: c.create_server("x", image="plain-linus", flavor="m1.tiny"), NotFound, "mean 'plain-linux'"),
    ("flavor", lambda c: c.create_server("x", image="plain-linux", flavor="m1.tinny"), NotFound, "mean 'm1.tiny'"),
    ("group", lambda c: c.create_server("x", **TINY, security_groups=["webb"]), NotFound, "'webb'. .cloud.security_gr"),
    ("key", lambda c: c.create_server("x", **TINY, key_pair="mykey"), NotFound, "key_pairs"),
    ("name", lambda c: c.create_server("", **TINY), BadRequest, "A server needs a name"),
    ("metadata", lambda c: c.create_server("x", **TINY, metadata={"k": "v" * 300}), BadRequest, "(?i)metadata|long"),
    (
        "user data",
        lambda c: c.create_server("x", **TINY, user_data="#" * 70_000),
        BadRequest,
        "data has 70,000 bytes, .* 49,149:",
    ),
    ("server", lambda c: c.delete_server("app-api-1"), NotFound, "no server 'app-api-1'"),
    ("server gone", lambda c: c.delete_server(Server(GONE, "old", "ACTIVE")), NotFound, "old|" + GONE),
    ("reboot gone", lambda c: c.reboot_server(Server(GONE, "old", "ACTIVE")), NotFound, GONE),
    ("wait", lambda c: c.wait_for("app-api-1"), NotFound, "no server 'app-api-1'"),
    ("wait gone", lambda c: c.wait_for(Server(GONE, "old", "ACTIVE")), NotFound, "was deleted"),
    ("public key", lambda c: c.create_key_pair("x", "ssh-rsa nonsense"), BadRequest, "(?i)key"),
    ("key pair", lambda c: c.delete_key_pair("mykey"), NotFound, "no key pair 'mykey'"),
    ("security group", lambda c: c.delete_security_group("defualt"), NotFound, "Did you mean 'default'"),
    ("key name", lambda c: c.create_key_pair("a/b;c", public_key()), BadRequest, "Only expected characters: .[_]-"),
    ("default group", lambda c: c.create_security_group("default"), AlreadyExists, "(?i)default"),
    ("own group", lambda c: c.delete_security_group("default"), Forbidden, "Every project keeps its group 'default'"),
    ("port range", lambda c: c.add_rule("default", 90, 80), BadRequest, "(?i)port"),
    ("port", lambda c: c.add_rule("default", 70_000), BadRequest, "70000"),
    ("protocol", lambda c: c.add_rule("default", 80, protocol="tpc"), BadRequest, "tpc"),
    ("prefix", lambda c: c.add_rule("default", 80, remote_prefix="10.0.0.0/99"), BadRequest, "10.0.0.0/99"),
    ("remote group", lambda c: c.add_rule("default", 80, remote_group="webb"), NotFound, "webb"),
    ("rule gone", lambda c: c.delete_rule(Rule(GONE, 1, 1, "tcp")), NotFound, GONE),
    ("floating IP", lambda c: c.delete_floating_ip("192.0.2.7"), NotFound, "no floating IP '192.0.2.7'"),
    ("console", lambda c: c.console("app-api-1"), NotFound, "app-api-1"),
    ("status", lambda c: c.wait_for([], "shutof"), NotFound, "no server status 'SHUTOF'. Did you mean 'SHUTOFF'"),
    ("run gone", lambda c: c.run(Server(GONE, "old", "ACTIVE"), "ls"), NotFound, "no server 'old' any more"),
    ("upload gone", lambda c: c.upload(Server(GONE, "old", "ACTIVE"), b"", "x"), NotFound, "no server 'old' any more"),
]


ODD = object()  # no verb takes this
# What a verb takes in place of each of its parameters that has no default; of others "x".
RIGHT: dict[str, object] = {
    "data": b"",
    "gigabytes": 1,
    "look": lambda: True,
    "port": 80,
    "port_min": 80,
    "seconds": 60,
    "servers": [],
    "preflight servers": 1,
}


def required(name: str) -> dict[str, object]:
    """Arguments that are right, for those parameters of a method that have no default."""
    parameters = inspect.signature(getattr(Cloud, name)).parameters.values()
    return {
        each.name: RIGHT.get(f"{name} {each.name}", RIGHT.get(each.name, "x"))
        for each in parameters
        if each.default is each.empty and each.name != "self" and each.kind is not each.VAR_KEYWORD
    }


OWN = [name for name, each in vars(Cloud).items() if not name.startswith("_") and inspect.isfunction(each)]
METHODS = list(dict.fromkeys([*OWN, *VERBS]))
PARAMETERS = [
    (name, parameter.name)
    for name in METHODS
    for parameter in inspect.signature(getattr(Cloud, name)).parameters.values()
    if parameter.name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
]


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_value_of_the_wrong_kind_is_told_by_its_parameters_name(
    clouds: dict[str, Cloud], name: str, parameter: str
) -> None:
    for cloud in clouds.values():
        for wrong in (ODD, [ODD], {1: ODD}):
            with pytest.raises(BadRequest, match=rf"^{name}: {parameter} must be [^<]*, not .*\.$") as caught:
                getattr(cloud, name)(**{**required(name), parameter: wrong})
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted({name for name, _ in PARAMETERS} - {"get_or_create_server"}))
def test_a_mistyped_keyword_is_named_with_the_verb(clouds: dict[str, Cloud], name: str) -> None:
    for cloud in clouds.values():
        with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'servr'"):
            getattr(cloud, name)(**required(name), servr=1)


def test_the_words_say_what_is_wanted_and_what_was_given(clouds: dict[str, Cloud]) -> None:
    cloud = clouds["shade"]
    for verb, words in (
        (lambda: cloud.wait_for(None), "servers must be a server or its name or id, or a list of those, not None"),
        (lambda: cloud.delete_server(["one"]), "server must be a server or its name or id, not ['one']"),
        (lambda: cloud.stop_server(cloud.security_group("default")), "id, not the security group 'default'"),
        (lambda: cloud.add_rule("default", "80"), "port_min must be a whole number, not '80'"),
        (lambda: cloud.add_rule(True, 80), "group must be a security group or its name or id, not True"),
    ):
        with pytest.raises(BadRequest) as caught:
            verb()  # type: ignore[no-untyped-call]
        assert words in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", ["identity", "identity/v3"])
def test_who_wants_a_login_before_openstack_does_is_told_apart(clouds_yaml: Path, backend: str, path: str) -> None:
    with Recorder(401) as proxy:
        text = clouds_yaml.read_text()
        clouds_yaml.write_text(text.replace("http://127.0.0.1:9/identity/v3", f"{proxy.url}/{path}"))
        for _ in range(2):
            with pytest.raises(AuthError, match=r"^The cloud refuses the credentials: .*clouds\.yaml\.$"):
                connect("other", backend).servers()
        assert len(proxy.got) < 10


@pytest.mark.parametrize(("verb", "kind", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_value_is_told_and_nothing_is_left(
    cloud: Cloud, verb: Callable[[Cloud], object], kind: type[CloudError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        verb(cloud)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert cloud.servers() == []
    assert [group.name for group in cloud.security_groups()] == ["default"]
    assert len(cloud.security_group("default").rules) == 1


def test_a_taken_key_name_is_told(cloud: Cloud) -> None:
    cloud.create_key_pair("mine", public_key())
    with pytest.raises(AlreadyExists, match="'mine' already exists"):
        cloud.create_key_pair("mine", public_key())


def test_a_rule_that_is_there_is_told(cloud: Cloud) -> None:
    group = cloud.create_security_group("web")
    cloud.add_rule(group, 80)
    with pytest.raises(AlreadyExists, match="rule already exists"):
        cloud.add_rule(group, 80)


def test_two_of_one_name_need_an_id(cloud: Cloud) -> None:
    ids = [cloud.create_security_group("web").id for _ in range(2)]
    with pytest.raises(Ambiguous) as caught:
        cloud.security_group("web")
    assert all(id in str(caught.value) for id in ids)
    for id in ids:
        cloud.delete_security_group(id)


def test_a_used_up_quota_is_told_in_the_clouds_words(cloud: Cloud) -> None:
    for number in range(3):
        cloud.create_server(f"s{number}", **TINY)
    with pytest.raises(QuotaExceeded, match="Quota exceeded for instances: Requested 1, but already used 3 of 3"):
        cloud.create_server("one-too-many", **TINY)
    assert len(cloud.servers()) == 3
    for _ in range(2):
        cloud.create_floating_ip()
    with pytest.raises(QuotaExceeded, match=r"Quota exceeded for resources: \['floatingip'\]"):
        cloud.create_floating_ip()
    for number in range(3):
        cloud.create_security_group(f"g{number}")
    with pytest.raises(QuotaExceeded, match=r"Quota exceeded for resources: \['security_group'\]"):
        cloud.create_security_group("one-too-many")


def test_a_preflight_that_finds_all_returns_the_limits(cloud: Cloud) -> None:
    limits = cloud.preflight(3, "m1.tiny", "plain-linux", floating_ips=2, security_groups=3)
    assert limits == cloud.limits()


def test_a_preflight_names_everything_that_is_missing(cloud: Cloud) -> None:
    cloud.create_server("there", **TINY)
    cloud.free_floating_ip()
    with pytest.raises(NotReady) as caught:
        cloud.preflight(6, "m1.gigantic", "faafo-lap", floating_ips=4, security_groups=9)
    missing = caught.value.missing
    assert [line.split(":")[0].split(".")[0] for line in missing] == [
        "There is no flavor 'm1",
        "There is no image 'faafo-lap'",
        "6 more servers are wanted, and the quota of 3 has 2 left",
        "3 more floating IPs are wanted, and the quota of 2 has 1 left",
        "9 more security groups are wanted, and the quota of 4 has 3 left",
    ]
    assert all(line in str(caught.value) for line in missing)


def test_a_preflight_counts_cores_and_memory(cloud: Cloud) -> None:
    with pytest.raises(NotReady) as caught:
        cloud.preflight(30, ["m1.large"] * 30, "plain-linux")
    limits = cloud.limits()
    assert f"60 more cores are wanted, and the quota of {limits.cores} has {limits.cores} left" in str(caught.value)
    assert f"122880 more MB of memory are wanted, and the quota of {limits.ram_mb}" in str(caught.value)


def test_a_wait_has_a_limit_and_says_what_was_seen_last(cloud: Cloud) -> None:
    server = cloud.create_server("one", **TINY)
    cloud.wait_for(server, timeout_seconds=60, progress=False)
    with pytest.raises(TimedOut) as caught:
        cloud.wait_for(server, "SHUTOFF", 0.3, progress=False)
    assert str(caught.value) == "Timed out after 0.3 s, at 0/1 servers SHUTOFF. Last seen: one ACTIVE."


def test_a_failed_server_is_told_with_its_fault_and_its_console(cloud: Cloud, embedded: Path) -> None:
    server = cloud.create_server("one", **TINY, user_data="#!/bin/sh\necho the last words\n")
    cloud.wait_for(server, timeout_seconds=60, progress=False)
    cloud.wait_until(lambda: "the last words" in cloud.console(server), "user data", 30, progress=False)
    cloud.stop_server(server)
    cloud.wait_for(server, "SHUTOFF", 60, progress=False)
    disk = embedded / "instances" / server.id / "disk"
    shutil.rmtree(disk)
    disk.write_text("the disk is broken: it can't boot again")
    cloud.start_server(server)
    with pytest.raises(ServerFailed) as caught:
        cloud.wait_for([server], timeout_seconds=60, progress=False)
    assert caught.value.fault
    assert caught.value.fault.rstrip(".") in str(caught.value)
    assert "the last words" in caught.value.console
    assert cloud.server("one").fault == caught.value.fault
