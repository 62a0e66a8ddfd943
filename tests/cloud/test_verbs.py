"""Each verb, through each backend; what it did is seen through another one."""

from __future__ import annotations

import datetime

import pytest

from faafo_lab.cloud import keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import AlreadyExists, BadRequest, InUse, NotFound
from faafo_lab.cloud.marks import ALLOCATED
from faafo_lab.cloud.model import Flavor, FloatingIP, Limits, Rule, Server


def new_server(cloud: Cloud, name: str = "one", **arguments: object) -> Server:
    server = cloud.create_server(name, image="plain-linux", flavor="m1.tiny", **arguments)  # type: ignore[arg-type]
    return cloud.wait_for(server, timeout_seconds=60, progress=False)[0]


def test_images_have_properties(cloud: Cloud, other: Cloud) -> None:
    image = cloud.image("plain-linux")
    assert (image.status, image.properties["os_distro"]) == ("active", "plain-linux")
    assert cloud.image(image.id) == image
    assert cloud.images() == other.images()


def test_flavors_say_how_many_cores_they_may_use(cloud: Cloud, other: Cloud) -> None:
    flavors = cloud.flavors()
    assert flavors[0] == Flavor("1", "m1.tiny", vcpus=1, ram_mb=512, disk_gb=1, cores=0.25)
    assert [flavor.ram_mb for flavor in flavors] == sorted(flavor.ram_mb for flavor in flavors)
    assert cloud.flavor("m1.large").cores == 2
    assert flavors == other.flavors()


def test_a_key_pair_comes_and_goes(cloud: Cloud, other: Cloud) -> None:
    made = cloud.create_key_pair("mine", keys.public_key())
    assert [made] == cloud.key_pairs() == other.key_pairs()
    assert made.public_key.split()[:2] == keys.public_key().split()[:2]
    cloud.delete_key_pair("mine")
    assert other.key_pairs() == []


def test_a_security_group_comes_and_goes(cloud: Cloud, other: Cloud) -> None:
    made = cloud.create_security_group("web", "for the web")
    assert (made.name, made.description, made.rules) == ("web", "for the web", ())
    assert cloud.security_group("web") == made == other.security_group(made.id)
    cloud.delete_security_group("web")
    assert [group.name for group in other.security_groups()] == ["default"]


def test_rules_come_and_go(cloud: Cloud, other: Cloud) -> None:
    web, database = cloud.create_security_group("web"), cloud.create_security_group("database")
    http = cloud.add_rule(web, 80)
    lan = cloud.add_rule("web", 8000, 8010, remote_prefix="192.0.2.0/24")
    inner = cloud.add_rule(database, 5432, remote_group="web")
    assert http == Rule(http.id, 80, 80, "tcp", None, None)
    assert lan == Rule(lan.id, 8000, 8010, "tcp", "192.0.2.0/24", None)
    assert inner == Rule(inner.id, 5432, 5432, "tcp", None, web.id)
    assert cloud.security_group("web").rules == other.security_group("web").rules == (http, lan)
    cloud.delete_rule(http)
    assert other.security_group("web").rules == (lan,)


def test_get_or_create_finds_what_there_is(cloud: Cloud) -> None:
    group, created = cloud.get_or_create_security_group("web", "for the web")
    assert created
    assert cloud.get_or_create_security_group("web") == (group, False)
    rule, created = cloud.get_or_create_rule(group, 80)
    assert created
    assert cloud.get_or_create_rule(group, 80) == (rule, False)
    assert cloud.get_or_create_rule("web", 80, remote_prefix="0.0.0.0/0") == (rule, False)  # the same, written out
    inner, created = cloud.get_or_create_rule(group, 22, remote_group="web")
    assert created
    assert cloud.get_or_create_rule("web", 22, remote_group=group) == (inner, False)
    assert cloud.get_or_create_rule("web", 22)[1]
    assert len(cloud.security_group("web").rules) == 3


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"remote_prefix": "203.0.113.7"}, {"remote_prefix": "203.0.113.7"}),
        ({"remote_prefix": "203.0.113.7/32"}, {"remote_prefix": "203.0.113.7"}),
        ({"remote_prefix": "10.1.2.3/8"}, {"remote_prefix": "10.1.2.3/8"}),
        ({"remote_prefix": "10.1.2.3/8"}, {"remote_prefix": "10.0.0.0/255.0.0.0"}),
        ({"remote_prefix": "0.0.0.0/0"}, {"remote_prefix": ""}),
        ({"protocol": "TCP"}, {"protocol": "tcp"}),
        ({"protocol": "6"}, {"protocol": "tcp"}),
        ({"protocol": "udp"}, {"protocol": "17"}),
    ],
)
def test_a_rule_is_found_in_whatever_spelling(cloud: Cloud, first: dict[str, str], again: dict[str, str]) -> None:
    group = cloud.create_security_group("web")
    rule, created = cloud.get_or_create_rule(group, 22, **first)  # type: ignore[arg-type]
    assert created
    assert cloud.get_or_create_rule(group, 22, **again) == (rule, False)  # type: ignore[arg-type]
    assert cloud.security_group(group.id.upper()).rules == (rule,)


def test_a_server_comes_and_goes(cloud: Cloud, other: Cloud) -> None:
    keys.ensure_key_pair(cloud)
    cloud.create_security_group("web")
    started = datetime.datetime.now(datetime.UTC)
    made = cloud.create_server(
        "one",
        image=cloud.image("plain-linux"),
        flavor=cloud.flavor("m1.tiny"),
        key_pair="faafo-lab",
        security_groups=["web"],
        user_data="#!/bin/sh\necho the answer is $((6*7))\n",
        metadata={"role": "test"},
    )
    assert (made.name, made.status) == ("one", "BUILD")
    server = cloud.wait_for(made, timeout_seconds=60, progress=False)[0]
    assert server == cloud.server("one") == other.server(made.id) == other.servers()[0]
    assert (server.id, server.status, server.key_name) == (made.id, "ACTIVE", "faafo-lab")
    assert (server.image_id, server.flavor_id) == (cloud.image("plain-linux").id, "1")
    assert (server.security_groups, server.metadata, server.fault) == (("web",), {"role": "test"}, None)
    assert len(server.addresses) == 1
    assert server.floating_addresses == ()
    assert server.address == server.addresses[0]
    assert server.created is not None
    assert abs(server.created - started) < datetime.timedelta(minutes=1)
    cloud.wait_until(lambda: "the answer is 42" in cloud.console(server), "user data", 30, progress=False)
    assert len(cloud.console(server, lines=2).strip().splitlines()) == 2
    cloud.delete_servers([server], progress=False)
    assert other.servers() == []


def test_get_or_create_server_makes_one(cloud: Cloud) -> None:
    made, created = cloud.get_or_create_server("one", image="plain-linux", flavor="m1.tiny")
    assert created
    again, created = cloud.get_or_create_server("one", image="plain-linux", flavor="m1.tiny")
    assert (again.id, created) == (made.id, False)
    assert len(cloud.servers()) == 1


def test_a_server_without_groups_is_in_the_default_one(cloud: Cloud) -> None:
    assert new_server(cloud).security_groups == ("default",)


def test_a_server_stops_starts_and_boots_again(cloud: Cloud, other: Cloud) -> None:
    server = new_server(cloud)
    cloud.stop_server("one")
    assert cloud.wait_for(server, "SHUTOFF", 60, progress=False)[0].addresses == server.addresses
    cloud.start_server(server)
    other.wait_for("one", timeout_seconds=60, progress=False)
    for hard in (False, True):
        boots = cloud.console(server).count("Startup finished")
        cloud.reboot_server(server, hard=hard)
        other.wait_for("one", timeout_seconds=60, progress=False)

        def booted(boots: int = boots) -> bool:
            return cloud.console(server).count("Startup finished") > boots

        cloud.wait_until(booted, "another boot", 60, progress=False)


def test_servers_are_deleted_together_and_missing_ones_are_no_error(cloud: Cloud) -> None:
    servers = [cloud.create_server(name, image="plain-linux", flavor="m1.tiny") for name in ("a", "b")]
    cloud.delete_servers([*servers, "never-was"], progress=False)
    assert cloud.servers() == []
    cloud.delete_servers(servers, progress=False)


def test_servers_are_awaited_together_and_come_back_in_order(cloud: Cloud) -> None:
    made = [cloud.create_server(name, image="plain-linux", flavor="m1.tiny") for name in ("b", "a")]
    waited = cloud.wait_for([made[0], "a"], timeout_seconds=60, progress=False)
    assert [(server.name, server.status) for server in waited] == [("b", "ACTIVE"), ("a", "ACTIVE")]
    assert cloud.wait_for([]) == []


def test_a_floating_ip_comes_moves_and_goes(cloud: Cloud, other: Cloud) -> None:
    one, two = new_server(cloud, "one"), new_server(cloud, "two")
    ip = cloud.create_floating_ip()
    assert [ip] == cloud.floating_ips() == other.floating_ips()
    assert (ip.server_id, ip.fixed_address) == (None, None)
    attached = cloud.attach_floating_ip(one, ip)
    expected = FloatingIP(ip.id, ip.address, one.id, one.addresses[0], ALLOCATED)
    assert attached == expected == other.floating_ip(ip.address)
    there = cloud.server("one")
    assert (there.addresses, there.floating_addresses) == (one.addresses, (ip.address,))
    assert there == other.server("one")
    assert there.address == ip.address
    assert cloud.attach_floating_ip("two", ip.address).server_id == two.id
    assert other.server("one").floating_addresses == ()
    assert cloud.detach_floating_ip(ip.address) == ip
    assert cloud.detach_floating_ip(ip) == ip  # again: it is free, that is all
    assert other.server("two").floating_addresses == ()
    cloud.delete_floating_ip(ip)
    assert other.floating_ips() == []


def test_a_free_floating_ip_is_used_again(cloud: Cloud) -> None:
    first = cloud.free_floating_ip()
    assert cloud.free_floating_ip() == first
    cloud.attach_floating_ip(new_server(cloud), first)
    assert cloud.free_floating_ip() != first
    assert len(cloud.floating_ips()) == 2


def test_what_get_or_create_gives_serves_as_the_resource_itself(cloud: Cloud) -> None:
    group = cloud.get_or_create_security_group("web")
    rule = cloud.get_or_create_rule(group, 80)
    one = cloud.get_or_create_server("one", image="plain-linux", flavor="m1.tiny", security_groups=group)
    assert (group.made, group.name, rule.port_min, one.name) == (True, "web", 80, "one")
    assert (group.id, group.made) == (cloud.security_group("web").id, True)
    [server] = cloud.wait_for(one, timeout_seconds=60, progress=False)
    assert (server.id, server.security_groups, one.created) == (one.id, ("web",), server.created)
    assert cloud.wait_for([one], "active", progress=False) == [server]
    cloud.delete_rule(rule)
    assert cloud.security_group("web").rules == ()
    cloud.delete_servers([one], progress=False)
    cloud.delete_security_group(group)
    with pytest.raises(AttributeError, match="'SecurityGroup' object has no attribute 'nmae'"):
        _ = group.nmae


def test_networks_are_private_and_external(cloud: Cloud, other: Cloud) -> None:
    assert {network.name: network.external for network in cloud.networks()} == {"private": False, "public": True}
    assert cloud.networks() == other.networks()


def test_a_server_can_be_put_on_a_network(cloud: Cloud) -> None:
    assert new_server(cloud, network="private").addresses
    with pytest.raises(NotFound, match="There is no network 'privat'"):
        cloud.create_server("two", image="plain-linux", flavor="m1.tiny", network="privat")


def test_a_server_can_have_an_address_that_is_free(cloud: Cloud, other: Cloud) -> None:
    first = new_server(cloud)
    with pytest.raises(BadRequest, match=f"{first.addresses[0]} is already in use"):
        cloud.create_server("two", image="plain-linux", flavor="m1.tiny", address=first.addresses[0])
    cloud.delete_servers([first], progress=False)
    assert new_server(cloud, "two", address=first.addresses[0]).addresses == first.addresses
    assert other.server("two").addresses == first.addresses


def test_limits_count_what_is_used(cloud: Cloud, other: Cloud) -> None:
    before = cloud.limits()
    assert (before.servers, before.floating_ips, before.security_groups) == (3, 2, 4)
    assert (before.servers_used, before.floating_ips_used, before.security_groups_used) == (0, 0, 1)
    new_server(cloud)
    cloud.create_floating_ip()
    cloud.create_security_group("web")
    used = cloud.limits()
    assert (used.servers_used, used.cores_used, used.ram_mb_used) == (1, 1, 512)
    assert (used.floating_ips_used, used.security_groups_used) == (1, 2)
    assert used == other.limits()
    assert isinstance(used, Limits)


def test_the_labs_key_pair_is_imported_once(cloud: Cloud, other: Cloud) -> None:
    key = keys.ensure_key_pair(cloud)
    assert keys.ensure_key_pair(other) == key
    assert [key.name for key in cloud.key_pairs()] == ["faafo-lab"]


def test_another_labs_key_pair_is_not_replaced(cloud: Cloud) -> None:
    theirs = keys._new_private_key  # another lab's key: any but ours
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    public = load_ssh_private_key(theirs(), None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    key = cloud.create_key_pair("faafo-lab", public.decode())
    with pytest.raises(AlreadyExists, match="is not this lab's"):
        keys.ensure_key_pair(cloud)
    assert cloud.key_pairs() == [key]


def test_a_group_in_use_stays(cloud: Cloud) -> None:
    cloud.create_security_group("web")
    new_server(cloud, security_groups=["web"])
    with pytest.raises(InUse, match="in use"):
        cloud.delete_security_group("web")
    assert cloud.security_group("web").name == "web"


def test_a_running_server_cannot_be_started(cloud: Cloud) -> None:
    new_server(cloud)
    with pytest.raises(InUse, match="vm_state active"):
        cloud.start_server("one")


def test_a_command_runs_on_a_server(cloud: Cloud) -> None:
    key = keys.ensure_key_pair(cloud)
    cloud.add_rule(cloud.create_security_group("ssh"), 22)
    server = new_server(cloud, key_pair=key, security_groups=["ssh"])
    done = cloud.run(server, "hostname; echo oops >&2; exit 3")
    assert (done.stdout, done.stderr, done.exit_code) == ("one\n", "oops\n", 3)
