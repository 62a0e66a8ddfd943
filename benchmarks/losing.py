"""The requests that are lost when one of two APIs is deleted under 20 requests/s, by the clock.

requests_lost_without_balancer   clients take turns between the two addresses
requests_lost_with_balancer      they ask the load balancer of `deploy(balancer=True)`
requests_lost_with_balancer_one_retry    the same, and each request that fails is sent once more
requests_lost_rolling            each API is replaced by `app.replace`, one after the other
balancer_overhead_p50_ms         the median latency through the load balancer beside that of an API itself
"""

from collections.abc import Callable, Mapping
from statistics import median
from time import sleep

from measure import Figures

import faafo_lab
from faafo_lab import load
from faafo_lab.load import Rows
from faafo_lab.topology import Topology
from faafo_lab.workbook import own_home

RATE, SECONDS = 20.0, 8.0
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 6.0  # of requests around a change
LONGEST_SECONDS = 300.0
ONCE_MORE = load.Retries(attempts=2, budget=None)


def figures() -> Figures:
    """All of it, by name."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = Topology(faafo_lab.connect(), say=lambda line: None)
        return _measured(app.deploy(api=2, worker=0, balancer=True))


def _measured(app: Topology) -> Figures:
    through = load.run(app.balanced, loop="open", rate=RATE, seconds=SECONDS, progress=False)
    direct = load.run(app.endpoints, loop="open", rate=RATE, seconds=SECONDS, progress=False)
    overhead, without = (median(row.latency for row in rows if row.ok) * 1000 for rows in (through, direct))
    runs = {"rolling": _meanwhile(app.balanced, lambda: [app.replace(api) for api in app.apis])}
    for name, endpoints, retry in (
        ("with_balancer", app.balanced, None),
        ("with_balancer_one_retry", app.balanced, ONCE_MORE),
        ("without_balancer", app.endpoints, None),
    ):
        runs[name] = _meanwhile(endpoints, lambda: app.cloud.delete_servers([app.apis[0]]), retry)
        app.deploy(api=2, worker=0)
    lost = {
        f"requests_lost_{name}": (float(sum(not row.ok for row in rows)), f"of {len(rows)} requests")
        for name, rows in runs.items()
    }
    return {**lost, "balancer_overhead_p50_ms": (overhead - without, f"ms beside {without:.1f} ms")}


def _meanwhile(endpoints: Mapping[str, str], change: Callable[[], object], retry: load.Retries | None = None) -> Rows:
    """Requests before, while and after something is changed."""
    with load.start(endpoints, loop="open", rate=RATE, seconds=LONGEST_SECONDS, retry=retry) as run:
        sleep(BEFORE_SECONDS)
        change()
        sleep(AFTER_SECONDS)
        run.stop()
    return run.rows
