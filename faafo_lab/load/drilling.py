"""A drill: a client of the learner's own orders fractals while something dies; then all is counted.

def send(task, urls):                              # urls: the APIs, the one to try first at the front
    requests.post(urls[0] + "/v1/fractal", json=task, timeout=5)

load.drill(app, send, work.tasks(24, 0.2), kill=lambda: cloud.delete_servers(["app-api-2"]))
"""

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faafo_lab.cloud.waiting import Look
from faafo_lab.load.sending import LoadError
from faafo_lab.load.tasks import Task
from faafo_lab.topology import NoAnswer, Topology

CLIENTS = 4
KILL_AFTER = 1 / 3  # of the orders
LIMIT_SECONDS = 120.0
TAG = 1e-9  # how far one task's part of the plane is from the next one's: less than a pixel, and its mark

Send = Callable[[Task, list[str]], object]


@dataclass(frozen=True)
class Drill:
    """What became of the orders: how many were `ordered` and `made`, which were `lost` and which made `twice` (their
    numbers, from 0). `failures`: what `send` raised, with the number of times."""

    ordered: int
    made: int
    lost: tuple[int, ...]
    twice: tuple[int, ...]
    failures: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        words = f"{self.ordered} orders: {self.made} made, {len(self.lost)} lost, {len(self.twice)} made twice"
        raised = ", ".join(f"{count} × {name}" for name, count in self.failures.items())
        return words + (f" (send raised {raised})" if raised else "")

    __repr__ = __str__


def drill(
    app: Topology, send: Send, tasks: Sequence[Task], kill: Callable[[], object], *, clients: int = CLIENTS
) -> Drill:
    """Order each task with `send(task, urls)`, from `clients` threads; call `kill` after a third of them; wait until
    the application has nothing more to do, and count what was made.

    `urls` are the APIs as they were at the beginning, the dead one included, in another order for each task. What
    `send` raises counts as given up. Fractals are told apart by where in the plane they are, so an order that `send`
    places under another uuid is seen, too. Raises LoadError where nothing can be ordered or `send` does not return,
    and what `kill` raises.
    """
    urls = list(app.endpoints.values())
    if not urls or not tasks:
        raise LoadError(
            "The drill needs an API and tasks: deploy the application, and give for instance work.tasks(24)."
        )
    known = {fractal["uuid"] for fractal in app.fractals()}
    marked = [{**task, "xa": task["xa"] + TAG * number} for number, task in enumerate(tasks)]
    failures, killed = Counter[str](), threading.Event()

    def order(number: int) -> None:
        first = number % len(urls)
        try:
            send(dict(marked[number]), urls[first:] + urls[:first])
        except Exception as error:
            failures["".join(traceback.format_exception_only(error)).strip().partition(":")[0]] += 1

    before = max(1, round(KILL_AFTER * len(marked)))
    pool = ThreadPoolExecutor(clients, thread_name_prefix="drill")
    try:
        futures = [pool.submit(order, number) for number in range(before)]
        kill()
        killed.set()
        futures += [pool.submit(order, number) for number in range(before, len(marked))]
        app.cloud.wait_until(
            lambda: Look(sum(each.done() for each in futures), len(futures)), "orders sent", LIMIT_SECONDS
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    app.refresh()

    def settled() -> Look:
        try:
            stats = app.stats()
        except NoAnswer:
            return Look(0, 1, "no API answers")
        return Look(int(not stats["waiting"] + stats["working"]), 1, f"{stats['waiting'] + stats['working']} to go")

    app.cloud.wait_until(settled, "queue empty")
    places = Counter(
        round((fractal["xa"] - tasks[0]["xa"]) / TAG)
        for fractal in app.fractals()
        if fractal["uuid"] not in known and fractal["completed_at"]
    )
    numbers = range(len(tasks))
    return Drill(
        ordered=len(tasks),
        made=sum(number in places for number in numbers),
        lost=tuple(number for number in numbers if number not in places),
        twice=tuple(number for number in numbers if places[number] > 1),
        failures=dict(failures),
    )
