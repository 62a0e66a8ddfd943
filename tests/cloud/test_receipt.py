"""The receipt: what was used, and what of the lab's is left, through each backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from faafo_lab import balancer, credentials
from faafo_lab.cloud import connect, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import InUse
from faafo_lab.cloud.marks import DESCRIPTION, ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.receipt import Ledger
from faafo_lab.topology import Topology

NOTHING = "Nothing is left"


@pytest.fixture
def fresh(cloud: Cloud, backend: str) -> Cloud:
    """A cloud object that has done nothing yet; what it leaves is removed by `cloud`."""
    return connect("embedded", backend)


def new_server(cloud: Cloud, name: str, **arguments: object) -> Server:
    server = cloud.create_server(name, image="plain-linux", flavor="m1.tiny", **arguments)  # type: ignore[arg-type]
    return cloud.wait_for(server, timeout_seconds=60, progress=False)[0]


def test_where_nothing_was_done_nothing_is_left(fresh: Cloud) -> None:
    receipt = fresh.receipt()
    assert receipt.nothing_left
    assert receipt.rows == [("servers", "0 created, 0 deleted"), ("server-minutes", "none")]
    assert NOTHING in repr(receipt)
    assert "✓ Nothing is left" in receipt._repr_html_()


def test_what_was_created_is_counted_and_left_until_it_is_deleted(fresh: Cloud) -> None:
    server = new_server(fresh, "one")
    ip = fresh.create_floating_ip()
    fresh.create_security_group("web")
    key = fresh.create_key_pair("mine", keys.public_key())
    fresh.create_container("things")
    fresh.create_snapshot(fresh.create_volume("data", 1, progress=False), "before", progress=False)
    credentials.create(fresh, "robot")
    balancer.create(fresh)
    receipt = fresh.receipt()
    assert set(receipt.created.values()) == {1}
    assert set(receipt.deleted.values()) == {0}
    assert receipt.left == {
        "servers": ("one",),
        "floating IPs": (ip.address,),
        "security groups": ("web",),
        "key pairs": ("mine",),
        "volumes": ("data",),
        "snapshots": ("before",),
        "containers": ("things",),
        "application credentials": ("robot",),
        "load balancers": ("app-balancer",),
    }
    assert f"Left on the cloud: 1 server (one); 1 floating IP ({ip.address}); 1 security group" in repr(receipt)
    assert "⚠ Left" in receipt._repr_html_()
    fresh.delete_servers([server], progress=False)
    fresh.delete_floating_ip(ip.address)
    fresh.delete_security_group("web")
    fresh.delete_key_pair(key)
    fresh.delete_container("things")
    fresh.delete_snapshot("before", progress=False)
    fresh.delete_volume("data", progress=False)
    credentials.revoke(fresh, "robot")
    balancer.delete(fresh, "app-balancer")
    receipt = fresh.receipt()
    assert set(receipt.deleted.values()) == {1}
    assert receipt.nothing_left


def test_the_labs_own_are_left_whoever_made_them_and_foreign_ones_are_not(fresh: Cloud, other: Cloud) -> None:
    new_server(other, "ours", metadata={ROLE_KEY: "worker"})
    new_server(other, "theirs")
    other.create_security_group("ours", f"{DESCRIPTION}for tests")
    other.create_security_group("theirs", "for something else")
    for name, description in (("ours", f"{DESCRIPTION}for tests"), ("theirs", "for something else")):
        other.create_volume(name, 1, description=description, progress=False)
        other.create_snapshot(name, name, description=description, progress=False)
    keys.ensure_key_pair(other)
    ours, _theirs = other.create_floating_ip(), other.create_floating_ip("for something else")
    receipt = fresh.receipt()
    assert receipt.left == {
        "servers": ("ours",),
        "floating IPs": (ours.address,),
        "security groups": ("ours",),
        "key pairs": ("faafo-lab",),
        "volumes": ("ours",),
        "snapshots": ("ours",),
    }
    assert set(receipt.created.values()) == {0}
    assert receipt.server_minutes["m1.tiny"] > 0


def test_server_minutes_end_with_the_server_whoever_deletes_it(fresh: Cloud, other: Cloud) -> None:
    mine, yours = new_server(fresh, "one"), new_server(fresh, "two")
    fresh.delete_servers([mine], progress=False)
    other.delete_servers([yours], progress=False)
    before = fresh.receipt()
    assert "ago" in before.title
    minutes = before.server_minutes["m1.tiny"]
    assert dict(before.rows)["server-minutes"] == (
        f"{minutes:.1f} of m1.tiny (2 servers, each from its creation on, {minutes / 2:.1f} minutes on average)"
    )
    assert (before.created["servers"], before.deleted["servers"]) == (2, 1)
    assert before.nothing_left
    assert 0 < before.server_minutes["m1.tiny"] < 2
    assert fresh.receipt().server_minutes == before.server_minutes


def test_what_was_there_before_and_is_deleted_is_said_apart(fresh: Cloud, other: Cloud) -> None:
    other.create_security_group("before")
    fresh.create_security_group("mine")
    for name in ("before", "mine"):
        fresh.delete_security_group(name)
    rows = dict(fresh.receipt().rows)
    assert rows["security groups"] == "1 created, 2 deleted (1 of them from before)"


def test_a_price_says_what_servers_cost_and_what_deleting_them_saved(fresh: Cloud) -> None:
    server = new_server(fresh, "one")
    fresh.delete_servers([server], progress=False)
    receipt = fresh.receipt(price_per_server_hour=60)
    rows = dict(receipt.rows)
    assert receipt.saved_minutes > 0
    cost, saved = receipt.server_minutes["m1.tiny"], receipt.saved_minutes
    assert rows["cost"] == f"{cost:.4f}, at 60 per server-hour (an invented price)"
    assert rows["saved"].startswith(f"{saved:.4f}, ")
    assert "cost" not in dict(fresh.receipt().rows)


def test_a_floating_address_whose_id_nobody_read_is_released_with_the_rest(cloud: Cloud, other: Cloud) -> None:
    cloud.create_floating_ip()  # as where an interrupt came before the answer
    theirs = cloud.create_floating_ip("for something else")
    Topology(other, say=lambda line: None).destroy()
    assert cloud.floating_ips() == [theirs]
    cloud.delete_floating_ip(theirs)


def test_a_floating_address_made_by_hand_is_noted_as_the_labs(fresh: Cloud) -> None:
    ip = fresh.create_floating_ip()
    assert connect("embedded", fresh.backend).receipt().left == {"floating IPs": (ip.address,)}
    receipt = fresh.receipt()._repr_html_()
    assert "<code>faafo-lab clean-up</code>" in receipt
    assert "`" not in receipt
    fresh.delete_floating_ip(ip)
    assert connect("embedded", fresh.backend).receipt().nothing_left


def test_a_deletion_that_was_refused_is_not_counted(fresh: Cloud) -> None:
    fresh.create_security_group("web")
    new_server(fresh, "one", security_groups=["web"])
    with pytest.raises(InUse):
        fresh.delete_security_group("web")
    assert fresh.receipt().deleted["security groups"] == 0


def test_a_server_counts_from_its_creation_to_its_deletion() -> None:
    ledger, now = Ledger(), datetime.now(UTC)
    early, late = (
        Server(f"id-{age}", f"{age} minutes", "ACTIVE", metadata={ROLE_KEY: "x"}, created=now - timedelta(minutes=age))
        for age in (30, 10)
    )
    foreign = Server("foreign", "foreign", "ACTIVE", created=now)
    ledger.note("servers", None, [early, late, foreign])
    ledger.note("delete_server", "10 minutes", None)
    ledger.note("servers", None, [early])
    assert set(ledger.lives) == {early.id, late.id}
    assert ledger.lives[early.id].minutes(now + timedelta(minutes=5)) == pytest.approx(35, abs=0.1)
    assert ledger.lives[late.id].minutes(now + timedelta(minutes=5)) == pytest.approx(10, abs=0.1)


def test_the_receipt_is_the_clouds_own_word(fresh: Cloud, lab_home: Path) -> None:
    """A second receipt asks again: nothing of the first is remembered but what was used."""
    new_server(fresh, "one")
    assert fresh.receipt().left["servers"] == ("one",)
    connect("embedded", fresh.backend).delete_servers(["one"], progress=False)
    assert fresh.receipt().nothing_left
