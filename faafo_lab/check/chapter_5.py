"""The exercises of chapter 05: load balancing."""

import itertools
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

from faafo_lab import balancer, load
from faafo_lab.balancer import Balancer, Monitor
from faafo_lab.check.questions import failed, no_function
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud import sdk
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import TimedOut
from faafo_lab.load import Rows
from faafo_lab.load.retrying import Retry
from faafo_lab.topology import Topology, discover, healthy

RATE = 20.0  # requests per second
BUDGET = 60  # of them may fail while an API hangs, …
STALL_SECONDS = 2.5  # … and an API that hangs for so long stays a member
TIMEOUT_SECONDS = 1.0
RUN_SECONDS = 300.0  # at most: a restart of each API takes a minute where the CPU is short
SERVING_SECONDS = 60.0  # within which the APIs serve again after a restart
ENOUGH = 40  # requests, in a run that says something
HURT = 5  # of them failed, where something happened
ONE_IN = 20  # of the addresses that the first drill of retries knows, nobody listens at one
RETRY_RATE, RETRY_REQUESTS = 100.0, 100
AMPLIFIED_MOST = 1.25  # tries for each request, where nobody listens at all
PAUSE_SECONDS = 0.02  # a shorter one between two tries is none
SAMPLES = 10  # pauses after the same failure: where all are equal, none of them is random


@exercise
def exercise_5_1(cloud: Cloud) -> Hint | str:
    """A hanging API costs at most 60 failed requests of 20 a second, and one that stalls for 2.5 seconds stays in.

    Looks at the settings of your balancer's health monitor first. Then it lets an API hang twice, for 2.5 seconds and
    until the monitor has taken it out, and counts what fails meanwhile.
    """
    app = discover(cloud)
    front = _front(cloud)
    if isinstance(front, Hint):
        return front
    if front.monitor is None:
        return Hint("The load balancer has no health monitor.", "", "balancer.set_monitor(cloud, app.balancer, …)")
    soonest, latest = detection(front.monitor)
    share = 1 / max(1, len(front.members))
    settings = "balancer.set_monitor(cloud, app.balancer, delay_seconds=…, timeout_seconds=…, failures=…)"
    if soonest <= STALL_SECONDS:
        return Hint(
            f"With these settings an API may be out after {soonest:g} s: one that stalls for {STALL_SECONDS:g} s is "
            "taken for dead.",
            "At the soonest the first check begins at once; the last one then ends (failures - 1) × delay + timeout "
            "later.",
            settings,
        )
    if RATE * share * latest > BUDGET:
        return Hint(
            f"With these settings it takes up to {latest:g} s until a hanging API is out. At {RATE:g} requests a "
            f"second {RATE * share * latest:.0f} fail; {BUDGET} may.",
            "At the latest the first check begins one delay after the hang: shorter delays, or fewer failures.",
            settings,
        )
    _, out = hanging(app, front, for_seconds=STALL_SECONDS)
    if out:
        return Hint(f"An API that stalled for {STALL_SECONDS:g} s was taken out: allow one failure more.")
    dead, _ = hanging(app, front)
    failed = sum(not row.ok for row in dead)
    if failed > BUDGET:
        return Hint(f"{failed} of {len(dead)} requests failed until the API that hung was out; {BUDGET} may fail.")
    return (
        f"{failed} requests failed until the API that hung was out (budget: {BUDGET}), and one that stalled for "
        f"{STALL_SECONDS:g} s stayed in."
    )


@exercise
def exercise_5_2(cloud: Cloud, runs: Mapping[str, Rows] | None = None) -> Hint | str:
    """Your balancer uses the algorithm that loses fewest requests while an API hangs, as you measured it.

    `runs` are the requests of each run by the algorithm in use, such as {"ROUND_ROBIN": rows, …}.
    """
    front = _front(cloud)
    if isinstance(front, Hint):
        return front
    call = 'check.exercise_5_2({"ROUND_ROBIN": rows, "LEAST_CONNECTIONS": other_rows})'
    if runs is None:
        return Hint(
            f"The check has no runs of yours yet: {call}.",
            "Set an algorithm, let an API hang under load, keep the rows; then the same with the other algorithm.",
            'balancer.set_algorithm(cloud, app.balancer, "LEAST_CONNECTIONS")',
        )
    if isinstance(runs, Mapping) and any(
        isinstance(part, Rows) for each in runs.values() if isinstance(each, tuple) for part in each
    ):
        return Hint(
            "Your dict has all that hang() returned, and the check needs the rows alone.",
            "hang() returns three things: the rows, and two moments. Keep the first one.",
            "rows, began, out = hang()",
        )
    if not isinstance(runs, Mapping) or not all(isinstance(rows, Rows) for rows in runs.values()):
        return Hint("Give the check a dict: of each algorithm, the rows of its run.", "", call)
    missing = [name for name in ("ROUND_ROBIN", "LEAST_CONNECTIONS") if name not in runs]
    if missing:
        return Hint(f"There is no run with {missing[0]}.", "Measure both in the same way.", call)
    short = [name for name, rows in runs.items() if len(rows) < ENOUGH]
    if short:
        return Hint(
            f"The run with {short[0]} has {len(runs[short[0]])} requests.",
            f"Send {ENOUGH} at least, so that some meet the API that hangs.",
            "hang()",
        )
    failed = {name: sum(not row.ok for row in rows) for name, rows in runs.items()}
    words = ", ".join(f"{name} lost {failed[name]} of {len(rows)}" for name, rows in runs.items())
    if max(failed.values()) < HURT:
        return Hint(
            f"{words}: nothing hung while the requests came in.",
            "Let the API hang while they come in, for as long as the monitor needs to take it out.",
            "hang()",
        )
    best = min(failed, key=lambda name: failed[name])
    if front.algorithm != best:
        return Hint(
            f"{words}; your balancer uses {front.algorithm}.",
            "Choose the one that lost fewest.",
            f'balancer.set_algorithm(cloud, app.balancer, "{best}")',
        )
    return f"{words}."


@exercise
def exercise_5_3(cloud: Cloud, retry: Retry | None = None) -> Hint | str:
    """Your `retry(tries, answer)` saves the requests that meet one dead address, and adds little where all are dead.

    The check sends 100 requests twice with it: to addresses of which one in twenty is dead (all requests must succeed),
    and to a dead address only (at most 1.25 tries for each request). Before each further try there is a pause, which is
    random in part.
    """
    app = discover(cloud)
    if not app.endpoints:
        return Hint("There is no API: build the application of this chapter first.")
    if not callable(retry):
        return no_function(retry, "check.exercise_5_3(retry)")
    with nobody() as gone:
        alive = zip(range(1, ONE_IN), itertools.cycle(app.endpoints.values()))
        one_dead = {f"address {number}": url for number, url in alive} | {"gone": gone}
        sick, dead = (
            load.run(
                endpoints,
                loop="open",
                rate=RETRY_RATE,
                number=RETRY_REQUESTS,
                timeout_seconds=TIMEOUT_SECONDS,
                retry=retry,
                progress=False,
            )
            for endpoints in (one_dead, {"gone": gone})
        )
    failed = sum(not row.ok for row in sick)
    if failed:
        return Hint(
            f"One in {ONE_IN} addresses was dead, and {failed} of {len(sick)} requests failed.",
            "Return the seconds to wait until the next try: it goes to another address.",
            "return 0.1 if tries < 3 else None",
        )
    amplified = dead.tries / len(dead)
    if amplified > AMPLIFIED_MOST:
        return Hint(
            f"With every address dead there were {amplified:.2f} tries for each request, and {AMPLIFIED_MOST} is the "
            "limit: all of your clients together are a retry storm.",
            "Give up (None) once the retries so far are more than a tenth of the requests so far.",
            "answer.retries > 0.1 * answer.requests",
        )
    pauses = [
        later.started - earlier.started - earlier.seconds
        for row in [*sick, *dead]
        for earlier, later in itertools.pairwise(row.tried)
    ]
    if median(pauses) < PAUSE_SECONDS:
        return Hint(
            f"A request was sent again after {1000 * median(pauses):.0f} ms, the median: that is at once.",
            "Wait before each further try, longer each time, and a random part of it.",
            "random.uniform(0, 0.1 * 2**tries)",
        )
    failure = load.Failure(started=0.0, seconds=0.0, status=None, api="gone", requests=len(sick))
    if len({retry(1, failure) for _ in range(SAMPLES)} - {None}) == 1:
        return Hint(
            "Each request waits equally long before its next try: those that failed together come back together.",
            "A part of the pause should be random (jitter).",
            "random.uniform(0, 0.1 * 2**tries)",
        )
    return (
        f"With one dead address in {ONE_IN} all {len(sick)} requests succeeded; with nobody there you made "
        f"{amplified:.2f} tries for each."
    )


@exercise
def exercise_5_4(cloud: Cloud, rolling_restart: Callable[[], object] | None = None) -> Hint | str:
    """Your `rolling_restart()` starts the program of every API anew, on the same servers, and no request fails.

    The check calls it while it sends 20 requests a second through the load balancer, and compares what the application
    lists before and after.
    """
    app = discover(cloud)
    front = _front(cloud)
    if isinstance(front, Hint):
        return front
    if not callable(rolling_restart):
        return no_function(rolling_restart, "check.exercise_5_4(rolling_restart)")
    before, servers = _started(app), {server.name: server.id for server in app.apis}
    with load.start(
        app.balanced, loop="open", rate=RATE, seconds=RUN_SECONDS, timeout_seconds=TIMEOUT_SECONDS
    ) as visitors:
        cloud.wait_until(lambda: visitors.ended > RATE / 2, "requests are answered", progress=False)
        try:
            rolling_restart()
        except Exception as error:
            return failed("rolling_restart()", error, "Call it yourself to see where.")
        ended = visitors.ended
        cloud.wait_until(lambda: visitors.ended > ended + RATE / 2, "requests are answered", progress=False)
    app.refresh()

    def serving() -> bool:
        return all(map(healthy, app.endpoints.values()))

    try:
        if not serving():
            cloud.wait_until(serving, "APIs serve again", SERVING_SECONDS)
    except TimedOut:
        dead = [name for name, url in app.endpoints.items() if not healthy(url)]
        return Hint(
            f"After your function {' and '.join(dead)} did not serve any more, for {SERVING_SECONDS:g} s.",
            "Look whether its program runs, and start it again.",
            'cloud.run(name, "sudo systemctl restart faafo-api")',
        )
    after = _started(app)
    if replaced := [server.name for server in app.apis if servers.get(server.name) != server.id]:
        return Hint(
            f"{' and '.join(replaced)} {'is a new server' if len(replaced) == 1 else 'are new servers'}.",
            "Restart the program, and keep the server: that is quicker, where the server itself is in order.",
            'cloud.run(name, "sudo systemctl restart faafo-api")',
        )
    refused = sum(not row.ok for row in visitors.rows)
    if refused:
        return Hint(
            f"{refused} of {len(visitors.rows)} requests failed meanwhile.",
            "An API gets requests as long as its weight is not 0, and the next one must wait until this one serves "
            "again.",
            'cloud.wait_until(lambda: healthy(app.endpoints[name]), f"{name} serves")',
        )
    same = [name for name in sorted(before) if after.get(name) == before[name]]
    if same:
        return Hint(
            f"{' and '.join(same)} {'was' if len(same) == 1 else 'were'} not restarted.",
            "For each member: give it no more requests, restart its program, wait until it is ONLINE, give it requests "
            "again.",
            "balancer.set_weight(cloud, app.balancer, member, 0)",
        )
    now = balancer.find(cloud)
    light = [member.name for member in now.members if member.weight == 0] if now else []
    if light:
        return Hint(f"{' and '.join(light)} still has the weight 0: it gets no requests.")
    return f"{len(before)} APIs restarted, {len(visitors.rows)} requests, none failed."


def detection(monitor: Monitor) -> tuple[float, float]:
    """How long this monitor needs until it takes out an API that hangs: at the soonest, and at the latest (seconds).

    The first check begins up to one delay after the hang; each fails after its time limit.
    """
    each = max(monitor.delay_seconds, monitor.timeout_seconds)
    soonest = (monitor.failures - 1) * each + monitor.timeout_seconds
    return soonest, soonest + each


def hanging(app: Topology, front: Balancer, for_seconds: float | None = None) -> tuple[Rows, bool]:
    """The requests through the balancer while its last member hangs, and whether the member was out at the end.

    Without `for_seconds` it hangs until it is out, and until the last request that it had got has timed out.
    """
    cloud, name = app.cloud, front.members[-1].name
    nova, server = sdk.connection(cloud).compute, app.servers[name]
    with load.start(app.balanced, loop="open", rate=RATE, seconds=RUN_SECONDS, timeout_seconds=TIMEOUT_SECONDS) as run:

        def lasts(seconds: float) -> Callable[[], bool]:
            until = run.elapsed + seconds
            return lambda: run.elapsed >= until

        cloud.wait_until(lambda: run.ended > RATE / 2, "requests are answered")
        nova.pause_server(server.id)
        try:
            if for_seconds is None:
                cloud.wait_until(lambda: not _online(cloud, name), f"{name} is out")
                cloud.wait_until(lasts(TIMEOUT_SECONDS + 0.2), "the last of its requests timed out")
            else:
                cloud.wait_until(lasts(for_seconds), f"{name} stalls")
        finally:
            nova.unpause_server(server.id)
        out = not _online(cloud, name)
        cloud.wait_until(lambda: _online(cloud, name), f"{name} is back")
    return run.rows, out


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port of this machine that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def _front(cloud: Cloud) -> Balancer | Hint:
    """The application's load balancer. Raises NoBalancer where the cloud has none at all."""
    return balancer.find(cloud) or Hint(
        "The application has no load balancer.", "Deploy it with one.", "app.deploy(api=2, worker=1, balancer=True)"
    )


def _online(cloud: Cloud, name: str) -> bool:
    front = balancer.find(cloud)
    return front is not None and front.member(name).status == "ONLINE"


def _started(app: Topology) -> dict[str, str]:
    """When each API's program started, by name."""
    names = [server.name for server in app.apis]
    nodes = sorted(app.nodes(), key=lambda node: node["started_at"])
    return {node["name"]: node["started_at"] for node in nodes if node["role"] == "api" and node["name"] in names}
