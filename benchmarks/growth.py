"""Measure the times that must not grow with the number of fractals: a page's and a task's.

list_page_growth    time of page 1 and of page 10,000 of 100,000 fractals against page 1 of 1,000, and again with gaps
                    (a fractal is deleted): the worst of all. One client, median of each, in turns
drain_rate_growth   fractals/s of one worker without a cap while 10,000 to 8,000 small ones (64 by 64) wait in the
                    queue, against its rate for the last 2,000
drain_per_second    fractals/s for all of the 10,000
"""

import statistics
from datetime import datetime
from functools import partial
from itertools import product

from http_load import closed_loop
from measure import Figures
from servers import Deployment, all_answered, count, deployed, fill, get, post, serve, until

from tests.app.deployment import AUTHORIZED, node

FEW, MANY, PER_PAGE = 1_000, 100_000, 10
PAGES = (1, MANY // PER_PAGE)
SECONDS, ROUNDS = 1.0, 5
QUEUED, PART = 10_000, 2_000


def figures() -> Figures:
    """All of it, by name."""
    return pages() | drain()


def pages() -> Figures:
    """Pages of a short list and of a long one."""
    growth = []
    with deployed() as few, deployed() as many:
        fill(few, FEW)
        fill(many, MANY)
        short, long = serve(few, "api"), serve(many, "api")
        for machine, number in ((few, FEW), (many, MANY)):
            with machine.client() as client:
                until("an empty outbox", lambda: count(client, "queue_depth") >= number)  # noqa: B023
        for gaps, page in product((False, True), PAGES):
            if gaps and page == PAGES[0]:
                delete_one(few)
                delete_one(many)
            ratios = [seconds(long, page) / seconds(short, 1) for _ in range(ROUNDS)]
            growth.append(statistics.median(ratios))
            print(f"page {page}{' with gaps' * gaps}: {growth[-1]:.2f} times page 1 of {FEW}", flush=True)
    return {"list_page_growth": (max(growth), "ratio")}


def seconds(address: str, page: int) -> float:
    """How long a page takes; median."""
    return all_answered(closed_loop([address], partial(get, page), 1, SECONDS)).percentile(50)


def delete_one(machine: Deployment) -> None:
    """Delete the first fractal of the list."""
    with machine.client() as client:
        [one] = client.get("/v1/fractal?results_per_page=1").raise_for_status().json()["objects"]
        client.delete(f"/v1/fractal/{one['uuid']}", headers=AUTHORIZED).raise_for_status()


def drain() -> Figures:
    """One worker empties a long queue."""
    with deployed() as machine:
        address = serve(machine, "api")
        machine.worker("worker")
        all_answered(closed_loop([address], post, 1, SECONDS))  # the worker loads what it needs
        with machine.client() as client:
            until("the worker", lambda: node(client, "worker"))
            until("the first fractal", lambda: count(client, "waiting") + count(client, "working") == 0)
            wish(machine, drain=True)
            until("the worker's pause", lambda: node(client, "worker")["state"] == "drained")
            before = count(client, "done")
            fill(machine, QUEUED)
            until("an empty outbox", lambda: count(client, "queue_depth") >= QUEUED)
            wish(machine, drain=False)
            until("all fractals", lambda: count(client, "done") == before + QUEUED)
            shown = client.get("/v1/fractal?results_per_page=-1").raise_for_status().json()["objects"]
    made = sorted(datetime.fromisoformat(one["completed_at"]).timestamp() for one in shown)[before:]
    first, last = made[:PART], made[-PART:]
    print(
        "each fifth:", *(f"{PART / (made[i + PART - 1] - made[i]):.0f}" for i in range(0, QUEUED, PART)), "fractals/s"
    )
    return {
        "drain_rate_growth": ((last[-1] - last[0]) / (first[-1] - first[0]), "ratio"),
        "drain_per_second": (QUEUED / (made[-1] - made[0]), "fractals/s"),
    }


def wish(machine: Deployment, drain: bool) -> None:
    """Ask the worker to pause, or to go on."""
    with machine.client() as client:
        client.put("/v1/node/worker", json={"drain": drain}, headers=AUTHORIZED).raise_for_status()
