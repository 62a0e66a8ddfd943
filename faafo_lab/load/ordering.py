"""Continuous orders in the background, from a client that never gives up."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from faafo_lab.load.errors import LoadError
from faafo_lab.load.rows import Request, Rows
from faafo_lab.load.sending import check_endpoints
from faafo_lab.load.tasks import Task
from faafo_lab.load.wire import Answer, Client, body_of
from faafo_lab.topology.api import FRACTALS

RETRY_PAUSE_SECONDS = 0.25
ANSWER_TIMEOUT_SECONDS = 5.0  # then the order is sent to the next API: on a real cloud a dead one refuses nothing


@contextmanager
def steady(endpoints: Callable[[], Mapping[str, str]], tasks: Iterable[Task], *, per_second: float) -> Iterator[Rows]:
    """In the background, order a task every 1/per_second seconds from the APIs in turn until the block ends.

    `endpoints` is called at the beginning, and again after a request that failed: a client keeps the addresses that a
    name server gave it until one of them does not answer. An order that gets no answer, or a 5xx, is sent again to the
    next API: the uuid makes that safe. So an API that dies costs at least one request; `rows.resent` counts them.
    An order that is being sent again when the block ends has ANSWER_TIMEOUT_SECONDS more.
    The list that the block gets grows by a row per request.
    Raises LoadError where there is no API to begin with, and at the block's end what `endpoints` or `tasks` raised.
    """
    if not 0 < per_second < math.inf:
        raise LoadError(f"per_second is {per_second!r}: give a number above 0.")
    known = endpoints()
    check_endpoints(known)
    rows, client = Rows(), Client(ANSWER_TIMEOUT_SECONDS)
    stop, abandoned = threading.Event(), threading.Event()
    waiting, failed = iter(tasks), list[Exception]()

    def order() -> None:
        urls = list(known.values())
        zero, due = time.time() - time.monotonic(), time.monotonic()
        for turn, task in enumerate(waiting):
            body, intended = body_of(task), due
            uuid = str(task.get("uuid", ""))
            for attempt in itertools.count():
                if (abandoned if attempt else stop).is_set():
                    return
                started = time.monotonic()
                if urls:
                    answer = client.send("POST", urls[(turn + attempt) % len(urls)], FRACTALS, body, uuid)
                else:
                    answer = Answer(None, "", "no API")
                row = Request(
                    zero + started,
                    time.monotonic() - intended,
                    answer.status,
                    answer.server,
                    answer.error,
                    zero + intended,
                    uuid,
                )
                rows.append(row)
                if row.ok or (row.status is not None and row.status < 500):
                    break
                abandoned.wait(RETRY_PAUSE_SECONDS)
                urls = list(endpoints().values())
                intended = time.monotonic()
            due += 1 / per_second
            if stop.wait(max(0.0, due - time.monotonic())):
                return

    def run() -> None:
        try:
            order()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="steady load", daemon=True)
    thread.start()
    try:
        yield rows
    finally:
        stop.set()
        thread.join(ANSWER_TIMEOUT_SECONDS)
        abandoned.set()
        thread.join(ANSWER_TIMEOUT_SECONDS + 5)
        client.close()
    if failed:
        raise failed[0]
