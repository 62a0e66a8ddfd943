"""A pool's choice: shares by weight, the least busy, by address; the bound member first, then all others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, Member, Monitor, Pool


def member(id: str, weight: int = 1, *, backup: bool = False, reachable: bool = True) -> Member:
    return Member(id, "127.0.0.9", 80, weight, backup, "127.0.0.1/32", reachable, "127.0.0.9", 80)


def backend(*members: Member, algorithm: str = "ROUND_ROBIN", **more: Any) -> Backend:
    return Backend(Pool(algorithm, members, **more))


def first(backend: Backend, client: str = "c", sticky: str | None = None) -> str:
    return next(backend.choose(client, sticky)).id


def test_round_robin_follows_the_weights_and_does_not_clump() -> None:
    pool = backend(member("a", 5), member("b", 1), member("c", 1))
    turns = [first(pool) for _ in range(14)]
    assert Counter(turns) == {"a": 10, "b": 2, "c": 2}
    assert "aaaaa" not in "".join(turns)


def test_the_least_busy_by_weight_comes_first() -> None:
    pool = backend(member("a", 1), member("b", 3), algorithm="LEAST_CONNECTIONS")
    pool.active.update({"a": 1, "b": 2})
    assert first(pool) == "b"
    pool.active["b"] = 4
    assert first(pool) == "a"


def test_an_address_keeps_its_member_and_finds_another_where_that_is_dead() -> None:
    pool = backend(*(member(name) for name in "abc"), algorithm="SOURCE_IP")
    clients = [f"192.0.2.{number}" for number in range(60)]
    chosen = {client: first(pool, client) for client in clients}
    assert set(chosen.values()) == set("abc")
    assert {client: first(pool, client) for client in clients} == chosen
    pool.health["a"] = False
    assert {first(pool, client) for client in clients} == {"b", "c"}


def test_every_member_that_may_serve_is_tried_once_and_backups_last() -> None:
    pool = backend(
        member("a"),
        member("backup", backup=True),
        member("drained", 0),
        member("b"),
        member("far", reachable=False),
        member("dead"),
    )
    pool.health["dead"] = False
    order = [each.id for each in pool.choose("c")]
    assert (set(order[:2]), order[2:]) == ({"a", "b"}, ["backup"])


def test_who_is_bound_to_a_drained_member_stays_with_it_and_others_do_not_come() -> None:
    pool = backend(member("a"), member("b", 0), persistence="SOURCE_IP")
    pool.bind("192.0.2.1", pool.pool.members[1])
    assert first(pool, "192.0.2.1", "192.0.2.1") == "b"
    assert first(pool, "192.0.2.2", "192.0.2.2") == "a"
    pool.health["b"] = False
    assert first(pool, "192.0.2.1", "192.0.2.1") == "a"


def test_a_member_that_stays_keeps_what_is_known_of_it() -> None:
    monitor = Monitor(http=False, delay=1, timeout=1, rise=1, fall=1)
    pool = backend(member("a"), member("b"), monitor=monitor)
    pool.health.update(a=False, b=True)
    pool.update(Pool("ROUND_ROBIN", (member("a"), member("c")), monitor=monitor))
    assert pool.health == {"a": False}
    pool.update(Pool("ROUND_ROBIN", (member("a"), member("c"))))
    assert pool.health == {}  # without a monitor nobody is dead
