"""The exercises of chapter 03: scaling out."""

from collections import Counter
from collections.abc import Sequence

from faafo_lab import autoscale, load
from faafo_lab.check.questions import reporting
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.load import Drill, Rows
from faafo_lab.topology import discover, healthy
from faafo_lab.topology.api import Fractal, timestamp

WORKERS, EACH = 6, 3  # so many workers, and fractals by each of them
MORE_THAN = 3.0  # of the six workers are busy on average: three can't do as much
DRILL_ORDERS = 12
STEP_SECONDS = 20.0  # a run of an autoscaler that says something lasts as long
WAIT_PART = 4  # the oldest task may wait for a quarter of the run; without scaling it waits for about half of it
PEAK_WORKERS = 4  # what the largest load keeps busy, rounded up: so many servers all the time would do, too

Attempt = tuple[str, float, float]  # a worker, and from when until when it had a task


@exercise
def exercise_3_1(cloud: Cloud) -> Hint | str:
    """Six workers were busy at the same time, and each made three fractals or more.

    Looks at the application's own record of who had which task from when to when: of all spans of time in which each of
    six workers made three fractals, the one counts in which most workers were busy on average. The check says how many
    fractals per second they made then.
    """
    app = discover(cloud)
    if hint := reporting(app, WORKERS):
        return hint
    names = [server.name for server in app.workers]
    done = attempts(app.fractals())
    made = Counter(name for name, _, _ in done)
    few = [name for name in names if made[name] < EACH]
    if few:
        return Hint(
            f"{', '.join(few)} made fewer than {EACH} fractals.",
            f"Order many at once: {len(names)} workers take what there is in turn.",
            "load.measure(app, work)",
        )
    busy, rate = busiest(done, names)
    if busy <= MORE_THAN:
        return Hint(
            f"At best, {busy:.1f} of {len(names)} workers were busy on average: they had too little to do.",
            "Order more at once, so that all of them are busy together.",
            "load.measure(app, work)",
        )
    return f"{rate:.1f} fractals/s by {len(names)} workers, of which {busy:.1f} were busy on average."


@exercise
def exercise_3_2(cloud: Cloud, rows: Rows | None = None) -> Hint | str:
    """An API server died while orders came in: each request that failed was sent again, and no order is lost.

    Afterwards two API servers serve again.

    `rows` is what `load.steady` filled meanwhile: a row for each request, with its uuid and its status (None: no
    answer). The application's list says which orders it has.
    """
    app = discover(cloud)
    if rows is None:
        return Hint(
            "The check has no rows of yours yet: check.exercise_3_2(rows).",
            "Send orders in the background, and delete an API server meanwhile.",
            "with load.steady(lambda: urls, tasks, per_second=6) as rows",
        )
    if not isinstance(rows, list) or not all(isinstance(row, load.Request) for row in rows):
        return Hint(f"{type(rows).__name__} is no list of requests: give the check what `load.steady` filled.")
    orders = [row for row in rows if row.uuid]
    if not orders:
        return Hint(
            f"None of these {len(rows)} requests is an order.",
            "Send orders, not readings of a page.",
            "load.steady(lambda: urls, tasks, per_second=6)",
        )
    unanswered = {row.uuid for row in orders if row.status is None}
    if not unanswered:
        return Hint(
            f"Each of these {len(orders)} requests was answered: no client saw an API die.",
            "Delete the API server while orders come in, and let the clients go on with the addresses that they know.",
            'urls = dict(app.endpoints), then cloud.delete_servers(["app-api-1"])',
        )
    accepted = {row.uuid for row in orders if row.ok}
    if given_up := unanswered - accepted:
        return Hint(
            f"{len(given_up)} of {len(unanswered)} orders that got no answer were not accepted later either.",
            "Go on until the API that is left has accepted them: the block of `load.steady` ends too early.",
            "load.watch(app, done=…), inside the block",
        )
    listed = {fractal["uuid"] for fractal in app.fractals()}
    if lost := accepted - listed:
        return Hint(f"{len(lost)} of {len(accepted)} accepted orders are not in the application's list.")
    serving = [name for name, url in app.endpoints.items() if healthy(url)]
    if len(serving) < 2:
        return Hint(
            f"{len(accepted)} orders are accepted and none is lost; {len(serving)} of 2 API servers serve now.",
            "Replace the one that died: deploying again creates what is missing.",
            "app.deploy(api=2, worker=len(app.workers))",
        )
    failed = sum(not row.ok for row in orders)
    return f"{failed} requests failed and were sent again; {len(accepted)} orders accepted, none lost."


@exercise
def exercise_3_3(cloud: Cloud) -> Hint | str:
    """A worker is drained: its server still runs, and it takes no more tasks."""
    app = discover(cloud)
    names = {server.name for server in app.workers if server.status == "ACTIVE"}  # one that is off has drained, too
    states = {node["name"]: node["state"] for node in app.nodes() if node["role"] == "worker" and node["name"] in names}
    if "draining" in states.values():
        return Hint("A worker is draining, and still works on its last task: run the check again in a moment.")
    if "drained" not in states.values():
        return Hint(
            f"No worker of {len(names)} is drained.",
            "A worker that is told to drain finishes its task and takes no other; its server stays on.",
            'app.drain("app-worker-2")',
        )
    if not {"idle", "working"} & set(states.values()):
        return Hint(
            "Every worker is drained, so nobody works any more.",
            "Add one that works.",
            f"app.ensure_workers({len(app.workers) + 1})",
        )
    return ""


@exercise
def exercise_3_4(cloud: Cloud, drill: Drill | None = None, careless: Drill | None = None) -> Hint | str:
    """Your client loses nothing and makes nothing twice while an API server dies.

    `drill` is what `load.drill` counted with your `send(task, urls)`, which sends an order again under the same uuid.
    `careless`, if you give it, is the same drill with a client that does not send again: it must have lost some, or
    nothing died.
    """
    for which in (drill, careless):
        if which is not None and not isinstance(which, Drill):
            return Hint(f"{type(which).__name__} is no drill: give the check what `load.drill` returned.")
    if not isinstance(drill, Drill):
        return Hint(
            "The check has no drill of yours yet: check.exercise_3_4(drill).",
            "Write send(task, urls), then let an API server die while it orders.",
            'load.drill(app, send, work.tasks(24), kill=lambda: cloud.delete_servers(["app-api-2"]))',
        )
    if drill.ordered < DRILL_ORDERS:
        return Hint(
            f"The drill had {drill.ordered} orders.",
            f"Give it {DRILL_ORDERS} at least, so that some are on their way when the API server dies.",
            "work.tasks(24)",
        )
    if drill.lost:
        return Hint(
            f"{len(drill.lost)} of {drill.ordered} orders were lost.",
            "Where a request gets no answer, send it again, to the next API of `urls`, until one accepts it.",
            "for url in itertools.cycle(urls)",
        )
    if drill.twice:
        return Hint(
            f"{len(drill.twice)} of {drill.ordered} orders were made twice.",
            "An order that is sent again keeps its uuid: by that alone an API knows that it has it already.",
            "requests.post(url + '/v1/fractal', json=task, timeout=5)",
        )
    if isinstance(careless, Drill):
        if not careless.lost:
            return Hint(
                "The client that does not send again lost nothing either, so nothing died while it ordered.",
                "The kill must hit an API server that clients are using. Both API servers must serve before the drill.",
                'kill=lambda: cloud.delete_servers(["app-api-2"])',
            )
        return f"Of {drill.ordered} orders none is lost; without sending again {len(careless.lost)} were."
    return f"Of {drill.ordered} orders none is lost, and none was made twice."


@exercise
def exercise_3_5(cloud: Cloud, run: autoscale.Run | None = None) -> Hint | str:
    """Your `decide(samples)` kept the oldest task from waiting long, with fewer servers than the largest load needs.

    `run` is what `autoscale.run` returned. Two limits: the oldest waiting task never waited for more than a quarter of
    the run (one worker all the time: about half of it), and the workers took fewer server-minutes than four all the
    time, which is what the largest load keeps busy.
    """
    return scaled_well(run, "check.exercise_3_5(run)")


def scaled_well(run: autoscale.Run | None, call: str) -> Hint | str:
    """Whether a run kept both limits of exercise 3.5. `call` is the check's right call."""
    if run is None:
        return Hint(
            f"The check has no run of yours yet: {call}.",
            "Write decide(samples), which returns how many workers there should be, then let it scale.",
            "run = autoscale.run(app, decide, work)",
        )
    if not isinstance(run, autoscale.Run):
        return Hint(f"{type(run).__name__} is no run: give the check what `autoscale.run` returned.")
    if not run.samples:
        return Hint(f"Nothing was run{f': {run.note}' if run.note else ''}.", "Write decide(samples), then run again.")
    seconds = run.samples[-1].at
    if seconds < STEP_SECONDS:
        return Hint(
            f"The run lasted {seconds:.0f} s, too short to say anything.",
            "The load rises after a third of the run and falls after two: let it go on to its end.",
            "autoscale.run(app, decide, work, seconds=60)",
        )
    limit = seconds / WAIT_PART
    if run.worst_wait > limit:
        return Hint(
            f"The oldest task waited for {run.worst_wait:.0f} s (workers at most: {run.most_workers}); the limit "
            f"is {limit:.0f} s.",
            "Ask for more workers as soon as tasks wait: a new one needs a moment until it serves.",
            "samples[-1].oldest_waiting_seconds, samples[-1].waiting",
        )
    peak_minutes = PEAK_WORKERS * seconds / 60
    if run.server_minutes >= peak_minutes:
        return Hint(
            f"The workers took {run.server_minutes:.1f} server-minutes; {PEAK_WORKERS} all the time would have taken "
            f"{peak_minutes:.1f}.",
            "Ask for fewer workers when nothing waits any more.",
            "samples[-1].waiting == 0",
        )
    if run.most_workers < 2:
        return Hint(
            "One worker was enough for all of the run: that tried nothing.",
            "Let the load be more than one worker can do, by work of this moment: load.calibrate(app), then run again.",
            "work = load.calibrate(app)",
        )
    return (
        f"The oldest task waited for {run.worst_wait:.1f} s (limit: {limit:.0f} s), and the workers took "
        f"{run.server_minutes:.1f} server-minutes (limit: {peak_minutes:.1f})."
    )


def attempts(fractals: Sequence[Fractal]) -> list[Attempt]:
    """Of each finished fractal: which worker made it, from when until when (seconds since 1970)."""
    return [
        (one["generated_by"] or "", timestamp(one["started_at"]), timestamp(one["completed_at"]))
        for one in fractals
        if one["started_at"] and one["completed_at"]
    ]


def busiest(done: Sequence[Attempt], workers: Sequence[str]) -> tuple[float, float]:
    """Of all spans in which each of these workers made EACH fractals, the one with most workers busy: how many were on
    average, and fractals per second. Zeros where there is no such span."""
    ordered = sorted((each for each in done if each[0] in workers), key=lambda each: each[2])
    best = (0.0, 0.0)
    for last in range(len(ordered)):
        found = Counter[str]()
        for first in range(last, -1, -1):
            found[ordered[first][0]] += 1
            if all(found[name] >= EACH for name in workers):
                span = ordered[first : last + 1]
                seconds = span[-1][2] - min(start for _, start, _ in span)
                if seconds > 0:
                    best = max(best, (sum(end - start for _, start, end in span) / seconds, len(span) / seconds))
                break
    return best
