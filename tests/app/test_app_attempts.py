"""Attempts: when each began, which ones were lost, and how old the oldest fractal is that nobody works on."""

import io
import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from faafo_lab.app import attempts, outbox
from faafo_lab.app.database import now, shifted
from faafo_lab.app.julia import Task
from faafo_lab.app.schema import fractals
from faafo_lab.app.store import Store
from faafo_lab.app.transaction import Transaction
from faafo_lab.app.validation import Failure, Heartbeat, Lease, Result
from tests.app.engines import every_pair
from tests.app.test_app_store import accept, complete, new_task

pytestmark = every_pair


class Someone:
    """A run of a worker that is at one task."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name, self.run = store, name, str(uuid.uuid4())

    def claim(self, task: Task) -> Lease:
        beat = Heartbeat(self.name, self.run, "working", (task.uuid,), None, None, None, None)
        return self.store.heard(beat)[1][task.uuid]


def change(store: Store, task: Task, **values: Any) -> None:
    def run(transaction: Transaction) -> None:
        transaction.run(sa.update(fractals).where(fractals.c.uuid == sa.bindparam("of")).values(**values), of=task.uuid)

    store.write(run)


def expire(store: Store, task: Task) -> None:
    """Let its lease have run out."""
    change(store, task, lease_until=shifted(now(), -1.0))


def test_an_attempt_has_a_beginning_that_its_heartbeats_leave_alone(store: Store) -> None:
    task, worker = new_task(), Someone(store, "worker")
    accept(store, task)
    assert (store.get(task.uuid)["started_at"], store.get(task.uuid)["lost"]) == (None, [])
    assert worker.claim(task) is Lease.YOURS
    began = store.get(task.uuid)["started_at"]
    assert worker.claim(task) is Lease.YOURS
    result = Result(0.1, "0" * 64, 9, "worker", None)
    made, _ = store.complete(task.uuid, result, f"database:{uuid.uuid4()}", io.BytesIO(b"a picture"))
    assert made["created_at"] <= made["started_at"] == began <= made["completed_at"]
    assert made["lost"] == []
    assert store.page(1, None)[1] == store.page(1, 10)[1] == [made]


def test_an_attempt_whose_lease_runs_out_is_lost_whoever_notices(store: Store) -> None:
    task = new_task()
    accept(store, task)
    first, second, third = (Someone(store, name) for name in ("first", "second", "third"))
    first.claim(task)
    began = [store.get(task.uuid)["started_at"]]
    expire(store, task)
    assert store.write(outbox.take_back_expired) == [(task.uuid, "first")]
    waits = store.get(task.uuid)
    assert waits["started_at"] is None
    assert [one["worker"] for one in waits["lost"]] == ["first"]
    second.claim(task)
    began.append(store.get(task.uuid)["started_at"])
    expire(store, task)
    assert third.claim(task) is Lease.YOURS, "before anybody took it back"
    seen = store.get(task.uuid)
    assert [one["worker"] for one in seen["lost"]] == ["first", "second"]
    assert [one["started_at"] for one in seen["lost"]] == began
    times = [one[name] for one in seen["lost"] for name in ("started_at", "lost_at")] + [seen["started_at"]]
    assert times == sorted(times)
    assert all(datetime.fromisoformat(one).utcoffset() is not None for one in times)
    complete(store, task)  # by somebody without a lease
    made = store.get(task.uuid)
    assert (made["started_at"], made["generated_by"], made["attempts"]) == (None, "somebody", 3)
    assert [one["worker"] for one in made["lost"]] == ["first", "second"]


def test_what_a_stopped_worker_hands_back_is_lost_and_what_it_reports_is_not(store: Store) -> None:
    task = new_task()
    accept(store, task)
    stopped, failing = Someone(store, "stopped"), Someone(store, "failing")
    stopped.claim(task)
    store.hand_back("stopped", stopped.run)
    assert [one["worker"] for one in store.get(task.uuid)["lost"]] == ["stopped"]
    assert failing.claim(task) is Lease.YOURS
    store.fail(task.uuid, Failure(failing.run, "worker", "its disk is full"))
    seen = store.get(task.uuid)
    assert [one["worker"] for one in seen["lost"]] == ["stopped"]
    assert seen["started_at"] is None


def test_the_own_lease_that_ran_out_is_renewed_and_nothing_is_lost(store: Store) -> None:
    task, slow = new_task(), Someone(store, "slow")
    accept(store, task)
    slow.claim(task)
    began = store.get(task.uuid)["started_at"]
    expire(store, task)
    assert slow.claim(task) is Lease.YOURS
    assert (store.get(task.uuid)["started_at"], store.get(task.uuid)["lost"]) == (began, [])


def test_of_very_many_lost_attempts_the_latest_are_kept(store: Store) -> None:
    task = new_task()
    accept(store, task)
    for number in range(attempts.KEPT + 3):
        Someone(store, f"w{number}").claim(task)
        expire(store, task)
    Someone(store, "last").claim(task)
    lost = store.get(task.uuid)["lost"]
    assert [one["worker"] for one in lost] == [f"w{number}" for number in range(3, attempts.KEPT + 3)]


def test_the_oldest_that_waits_is_known_whatever_became_of_older_ones(store: Store) -> None:
    assert store.stats()[1] == 0.0
    ages = (5000.0, 4000.0, 3000.0, 2000.0, 1000.0, 0.0)
    made, worked, failed, lost, queued, new = tasks = [new_task() for _ in ages]
    for task, age in zip(tasks, ages, strict=True):
        accept(store, task)
        change(store, task, created_at=shifted(now(), -age))

    def oldest() -> float:
        return round(store.stats()[1], -2)

    assert oldest() == 5000
    complete(store, made)
    assert oldest() == 4000
    Someone(store, "busy").claim(worked)
    assert oldest() == 3000
    change(store, failed, failed_at=now())
    assert oldest() == 2000
    Someone(store, "gone").claim(lost)
    assert oldest() == 1000
    expire(store, lost)
    store.write(outbox.take_back_expired)
    assert oldest() == 2000, "it waits again, though others came into the queue before it"
    store.write(outbox.published, [store.get(lost.uuid)["generation"]])
    assert oldest() == 2000
    store.delete(lost.uuid)
    store.delete(queued.uuid)
    assert oldest() == 0
    complete(store, new)
    assert store.stats()[1] == 0.0
