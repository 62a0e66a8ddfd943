"""A drill: the learner's own client orders fractals while something dies; then all are counted.

def send(task, urls):                              # urls: the APIs, the one to try first at the front
    requests.post(urls[0] + "/v1/fractal", json=task, timeout=5)

load.drill(app, send, work.tasks(24, 0.2), kill=lambda: cloud.delete_servers(["app-api-2"]))
"""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from faafo_lab.cloud.waiting import Look
from faafo_lab.load.errors import LoadError
from faafo_lab.load.network import Network
from faafo_lab.load.tasks import Task
from faafo_lab.load.timeline import rest
from faafo_lab.topology import Topology

CLIENTS = 4
PARTS = 3  # of the orders: the first before the kill, the second during it, the rest afterwards
LIMIT_SECONDS = 120.0
TAG = 1e-9  # how far one task's part of the plane is from the next one's: less than a pixel, and its mark

Send = Callable[[Task, list[str]], object]


@dataclass(frozen=True)
class Drill:
    """What became of the orders: how many were `ordered` and `made`, which were `lost` and which made `twice` (their
    numbers, from 0). `unanswered`: orders that were stored and whose answer was lost at the kill. `failures`: what
    `send` raised, with the number of times."""

    ordered: int
    made: int
    lost: tuple[int, ...]
    twice: tuple[int, ...]
    unanswered: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        words = (
            f"{self.ordered} orders, {self.unanswered} of which got no answer at the kill: "
            f"{self.made} made, {len(self.lost)} lost, {len(self.twice)} made twice"
        )
        raised = ", ".join(f"{count} × {name}" for name, count in self.failures.items())
        return words + (f" (send raised {raised})" if raised else "")

    __repr__ = __str__


def drill(
    app: Topology, send: Send, tasks: Sequence[Task], kill: Callable[[], object], *, clients: int = CLIENTS
) -> Drill:
    """Order each task with `send(task, urls)`, from `clients` threads; call `kill` after a third of them; wait until
    the queue is empty, and count the finished fractals.

    When `kill` is called, each client has an order in flight that an API has answered, and that answer is lost: so it
    is where a server dies after it stored an order. (The API to try next may be the one that dies: a client
    that tries each once may give up.) `urls` lead to the APIs as they were at the beginning, the dead one
    included, in another order for each task. What `send` raises counts as given up. Fractals are told apart by where in
    the plane they are, so an order that `send` places under another uuid is seen, too.
    Raises LoadError where nothing can be ordered, TimedOut where `send` does not return, and what `kill` raises.
    """
    endpoints, part = list(app.endpoints.values()), len(tasks) // PARTS
    if not endpoints or not part or clients < 1:
        raise LoadError(
            f"The drill needs an API, a client and {PARTS} tasks at least: deploy the application, and give for "
            "instance work.tasks(24)."
        )
    known = {fractal["uuid"] for fractal in app.fractals()}
    marked = [{**task, "xa": task["xa"] + TAG * number} for number, task in enumerate(tasks)]
    failures, clients = Counter[str](), min(clients, part)
    network = Network(endpoints)

    def order(number: int) -> None:
        first = number % len(network.urls)
        try:
            send(dict(marked[number]), network.urls[first:] + network.urls[:first])
        except Exception as error:
            failures["".join(traceback.format_exception_only(error)).strip().partition(":")[0]] += 1

    pool = ThreadPoolExecutor(clients, thread_name_prefix="drill")

    def submit(start: int, end: int) -> list[Future[None]]:
        return [pool.submit(order, number) for number in range(start, end)]

    def wait(futures: list[Future[None]], what: str, held: Callable[[], int] = lambda: 0) -> None:
        total = len(futures)
        app.cloud.wait_until(
            lambda: Look(min(total, held() + sum(future.done() for future in futures)), total), what, LIMIT_SECONDS
        )

    try:
        wait(submit(0, part), "orders sent")
        network.hold()
        in_flight = submit(part, part + clients)
        wait(in_flight, "orders in flight", lambda: network.held)
        if not network.held:
            raise LoadError("send(task, urls) sent nothing to the urls that it was given: order there.")
        unanswered = network.held
        during = submit(part + clients, 2 * part)
        network.lose()
        kill()
        wait(in_flight + during + submit(2 * part, len(tasks)), "more orders sent")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        network.close()
    app.refresh()
    rest(app)
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
        unanswered=unanswered,
        failures=dict(failures),
    )
