"""Events: what happened to fractals, noted with the change, paged without a gap, and forgotten in time."""

import io
import uuid
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from faafo_lab.app import database, events, outbox
from faafo_lab.app.database import now, shifted
from faafo_lab.app.julia import Task
from faafo_lab.app.schema import events as table
from faafo_lab.app.store import Store
from faafo_lab.app.transaction import Transaction
from faafo_lab.app.validation import Failure, Result
from tests.app.engines import every_pair
from tests.app.test_app_attempts import Someone, change, expire
from tests.app.test_app_store import accept, new_task

pytestmark = every_pair


def make(store: Store, task: Task, worker: str, generation: int | None = None) -> None:
    result = Result(0.1, "0" * 64, 9, worker, None, generation)
    store.complete(task.uuid, result, f"database:{uuid.uuid4()}", io.BytesIO(b"a picture"))


def told(store: Store, task: Task | None = None) -> list[Any]:
    """What happened to one, or to all, and who did it."""
    objects = store.read(events.page, 0).objects
    some = [each for each in objects if task is None or each["uuid"] == task.uuid]
    return [(each["what"], each["worker"]) if each["worker"] else each["what"] for each in some]


def test_a_fractals_way_is_told_step_by_step(store: Store) -> None:
    task, first, second = new_task(), Someone(store, "first"), Someone(store, "second")
    accept(store, task)
    number = store.get(task.uuid)["generation"]
    change(store, task, published_at=shifted(now(), -3600))
    assert store.write(outbox.refill, queue_is_empty=True) == 1
    store.write(outbox.published, [number])
    first.claim(task)
    first.claim(task)
    expire(store, task)
    store.write(outbox.take_back_expired)
    second.claim(task)
    expire(store, task)
    first.claim(task)  # before anybody took it back
    store.fail(task.uuid, Failure(first.run, "task", "it is odd"))
    change(store, task, retry_at=None)
    second.claim(task)
    store.hand_back("second", second.run)
    make(store, task, "third")
    make(store, task, "first")
    assert told(store, task) == [
        *("accepted", "queued", "missing", "queued"),
        *(("leased", "first"), ("renewed", "first"), ("lost", "first")),
        *(("leased", "second"), ("lost", "second")),
        *(("leased", "first"), ("retry", "first"), ("leased", "second"), ("lost", "second")),
        *(("done", "third"), ("late", "first")),
    ]
    page = store.read(events.page, 0)
    assert {each["generation"] for each in page.objects} == {number}
    times = [datetime.fromisoformat(each["at"]) for each in page.objects]
    assert times == sorted(times)
    assert page.now is not None
    assert times[-1] <= datetime.fromisoformat(page.now)


def test_what_fails_for_good_is_ordered_anew_or_deleted_is_told_too(store: Store) -> None:
    task, worker = new_task(), Someone(store, "worker")
    accept(store, task)
    change(store, task, failures=4)
    worker.claim(task)
    store.fail(task.uuid, Failure(worker.run, "task", "it is odd"))
    accept(store, task)
    store.delete(task.uuid)
    ways = told(store, task)
    assert [each for each in ways if each != "queued"] == [
        *("accepted", ("leased", "worker"), ("failed", "worker"), "anew", "deleted")
    ]
    [before] = {each["generation"] for each in store.read(events.page, 0).objects}
    store.add(task)
    make(store, task, "worker", generation=before)
    late = store.read(events.page, 0).objects[-1]
    assert (late["what"], late["uuid"], late["generation"]) == ("late", task.uuid, before), "of the earlier order"


def test_a_result_that_is_sent_again_is_not_late(store: Store) -> None:
    task, image = new_task(), f"database:{uuid.uuid4()}"
    accept(store, task)
    for _ in range(2):
        store.complete(task.uuid, Result(0.1, "0" * 64, 9, "w", None), image, io.BytesIO(b"a picture"))
    assert told(store, task)[-1] == ("done", "w")


def test_pages_follow_each_other_and_nothing_is_told_twice_or_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ENOUGH", 3)
    tasks = [new_task() for _ in range(5)]
    start = store.read(events.page, None)
    assert (start.objects, start.last, start.more, start.forgotten) == ([], 0, False, False)
    store.add_many(tasks[:4])
    store.add_many(tasks[4:])
    pages = [store.read(events.page, start.last)]
    assert pages[0].more
    pages.append(store.read(events.page, pages[0].last))
    assert not pages[1].more
    assert [each["uuid"] for page in pages for each in page.objects] == [task.uuid for task in tasks]
    assert store.read(events.page, pages[1].last).objects == []
    assert store.read(events.page, None).last == pages[1].last


def test_an_event_that_is_not_committed_yet_is_not_passed_over(store: Store, database_url: str) -> None:
    [one, other] = tasks = [new_task(), new_task()]
    numbers = [fractal["generation"] for fractal, _ in map(store.add, tasks)]
    after = store.read(events.page, None).last
    engine = database.connect(database_url, 1)
    with engine.connect() as slow:
        slow.exec_driver_sql("BEGIN")
        slow.execute(sa.insert(table).values(at=now(), what="queued", numbers=str(numbers[0])))
        store.write(outbox.published, numbers[1:])
        page = store.read(events.page, after)
        assert (page.objects, page.last, page.more) == ([], after, False)
        slow.exec_driver_sql("COMMIT")
        assert [each["uuid"] for each in store.read(events.page, after).objects] == [one.uuid, other.uuid]
        slow.exec_driver_sql("BEGIN")
        slow.execute(sa.insert(table).values(at=now(), what="queued", numbers=str(numbers[0])))
        slow.exec_driver_sql("ROLLBACK")
    engine.dispose()
    after = store.read(events.page, None).last
    Someone(store, "worker").claim(one)
    assert store.read(events.page, after).objects == []

    def grow_old(transaction: Transaction) -> None:
        transaction.run(sa.update(table).values(at=shifted(now(), -events.GAP_SECONDS - 1)))

    store.write(grow_old)
    assert [each["what"] for each in store.read(events.page, after).objects] == ["leased"], "the other was rolled back"


def test_old_events_are_forgotten_and_who_missed_them_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT", 3)
    for _ in range(6):
        store.add(new_task())
    newest = store.read(events.page, None).last
    assert store.read(events.page, newest - 3).forgotten is False
    store.write(events.forget)
    page = store.read(events.page, 0)
    assert (len(page.objects), page.last, page.forgotten) == (3, newest, True)
    assert store.read(events.page, newest + 100).forgotten, "the number is that of another database"
