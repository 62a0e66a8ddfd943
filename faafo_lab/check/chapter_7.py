"""The exercises of chapter 07: block storage and backup."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from faafo_lab import load
from faafo_lab.check.questions import no_function, unwritten
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.marks import BACKUPS_CONTAINER
from faafo_lab.topology import Topology, discover, volumes

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
DAYS = 60  # that the retention rule runs
SILENCE = range(30 * 24 + 5, 33 * 24 + 5)  # hours in which no backup is made
MOST_KEPT = 40
PLANS = {
    "a backup every night": {"rpo": 86_400, "rto": 3_600, "price": 100},
    "a backup and the log": {"rpo": 30, "rto": 1_800, "price": 400},
    "a second database that follows": {"rpo": 1, "rto": 60, "price": 3_000},
}
# An order's worth, a minute's, orders a second, failures a year: a hobby, a shop, an exchange, and what lies between.
COMPANIES = (
    (0.0, 0.0, 0.01, 1.0),
    (0.01, 0.1, 0.1, 0.5),
    (0.5, 1.0, 0.1, 1.0),
    (0.002, 0.0, 1.0, 5.0),
    (2.0, 100.0, 1.0, 2.0),
    (0.0, 60.0, 0.0, 1.0),
    (0.0, 200.0, 0.0, 1.0),
    (0.001, 0.0, 1.0, 5.0),  # half of the RPO is lost on average, and nightly is enough; all of it, and it is not
)
RATE, TIMEOUT_SECONDS, RUN_SECONDS = 10.0, 1.0, 300.0
SMALL = (64, 48)  # pixels
APART_SECONDS = 2.0  # how much two stopwatches may differ


@exercise
def exercise_7_1(cloud: Cloud, retain: Callable[..., Any] | None = None) -> Hint | str:
    """Your `retain(moments, now)` keeps the backups that the rule asks for, at most 40 of them, for sixty days.

    It runs every hour, what it does not return is deleted, and for three days there are no new backups.
    """
    if not callable(retain) or unwritten(retain):
        return no_function(retain, "check.exercise_7_1(retain)")
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    taken: list[datetime] = []
    kept: list[datetime] = []
    most = 0
    for hour in range(DAYS * 24):
        now = begin + hour * HOUR
        if hour not in SILENCE:
            taken.append(now)
            kept.append(now)
        when = f"On day {hour // 24 + 1} at {now:%H:%M}"
        try:
            answer = retain(list(kept), now)
            chosen = sorted(set(answer))
        except Exception as error:  # the learner's own
            return Hint(
                f"{when} retain(moments, now) failed with {type(error).__name__}: {error}.",
                "It returns a list of those moments that stay.",
            )
        if strange := [moment for moment in chosen if moment not in kept]:
            return Hint(
                f"{when} it keeps a backup of {strange[0]}, and there is none any more.",
                "It can only keep what it is given: what it did not return once is deleted.",
            )
        kept, most = chosen, max(most, len(chosen))
        if fault := _gone(when, now, taken, kept):
            return fault
    return f"{DAYS} days, {len(taken)} backups, never more than {most} kept, and the rule held every hour."


def _gone(when: str, now: datetime, taken: Sequence[datetime], kept: Sequence[datetime]) -> Hint | None:
    """What a retention has done wrong at this moment."""
    if len(kept) > MOST_KEPT:
        return Hint(f"{when} it keeps {len(kept)} backups: {MOST_KEPT} at most.", "Is each one kept by a rule?")
    if taken[-1] not in kept:
        return Hint(
            f"{when} the newest backup is deleted, {(now - taken[-1]) / HOUR:.0f} hours old.",
            "When no new backups come, the old ones are all that there is: count backups, not hours.",
            "moments[-1]",
        )
    rules = ((DAY, timedelta(0), "each of the last 24 hours"), (6 * DAY, DAY, "a day"), (4 * WEEK, WEEK, "a week"))
    for age, apart, words in rules:
        for moment in taken:
            if now - moment < age and not any(abs(moment - each) <= apart for each in kept):
                return Hint(
                    f"{when} nothing is left of {(now - moment) / HOUR:.0f} hours ago: one {words} has to stay."
                    if apart
                    else f"{when} the backup of {(now - moment) / HOUR:.0f} hours ago is deleted: {words} has one.",
                    "Which one of a day do you keep? If it is the newest, it is another one every hour, and none "
                    "grows old.",
                    "int(moment.timestamp() // 86_400), the day of a moment",
                )
    return None


@exercise
def exercise_7_2(cloud: Cloud, restore_drill: Callable[[], Any] | None = None) -> Hint | str:
    """Your `restore_drill()` says True of a backup that can be restored, and False of one that is spoiled.

    The check calls it twice: with the newest backup as it is, and after it has changed one byte of it. The backup is
    put back afterwards.
    """
    if not callable(restore_drill) or unwritten(restore_drill):
        return no_function(restore_drill, "check.exercise_7_2(restore_drill)")
    app = discover(cloud)
    if not app.backups():
        return Hint("There is no backup yet.", "The drill restores one.", "app.backup(log_seconds=5)")
    before = len(app.fractals())
    good = _called(restore_drill)
    if isinstance(good, Hint):
        return good
    if good is not True:
        return Hint(
            f"The backup can be restored, and restore_drill() returned {good!r}.",
            "The log arrives some seconds later than the order: wait until it reaches to the moment of the drill.",
            "app.backups().reaches",
        )
    ending = f"-{app.backups()[-1].name}.tar.gz"
    [files] = [each.name for each in cloud.objects(BACKUPS_CONTAINER) if each.name.endswith(ending)]
    with _spoiled(cloud, files):
        bad = _called(restore_drill)
    if isinstance(bad, Hint):
        return bad
    if bad is not False:
        return Hint(
            f"The newest backup was spoiled, and restore_drill() returned {bad!r}.",
            "Only who restores it knows.",
            "app.restore_beside(), which raises a TopologyError",
        )
    if len(app.fractals()) < before:
        return Hint("After the drill, the running application has fewer orders: a drill disturbs nobody.")
    return "True of the good backup, False of the spoiled one, and the application did not notice."


def _called(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:  # the learner's own
        return Hint(
            f"{function.__name__}() failed with {type(error).__name__}: {error}.",
            "A backup that can't be restored is what the drill is for: it returns False.",
            "except TopologyError",
        )


@contextmanager
def _spoiled(cloud: Cloud, name: str) -> Iterator[None]:
    """An object of the backups with another byte in its middle, meanwhile."""
    whole = cloud.read_object(BACKUPS_CONTAINER, name)
    half = len(whole) // 2
    cloud.upload_object(BACKUPS_CONTAINER, name, whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
    try:
        yield
    finally:
        cloud.upload_object(BACKUPS_CONTAINER, name, whole)


@exercise
def exercise_7_3(cloud: Cloud, cheapest: Callable[..., Any] | None = None) -> Hint | str:
    """Your `cheapest(plans, rate, order, minute, failures)` names the plan that costs least in a year.

    The check has eight companies, from a hobby to an exchange, and the three plans in every order.
    """
    if not callable(cheapest) or unwritten(cheapest):
        return no_function(cheapest, "check.exercise_7_3(cheapest)")
    for (order, minute, rate, failures), last in product(COMPANIES, PLANS):
        plans = {name: dict(plan) for name, plan in PLANS.items() if name != last} | {last: dict(PLANS[last])}
        costs = {
            name: plan["price"] + failures * (rate * plan["rpo"] / 2 * order + plan["rto"] / 60 * minute)
            for name, plan in plans.items()
        }
        right = min(costs, key=lambda name: costs[name])
        given = f"{rate:g} orders a second, {order:g} an order, {minute:g} a minute, {failures:g} failures a year"
        try:
            yours = cheapest(plans, rate, order, minute, failures)
        except Exception as error:  # the learner's own
            return Hint(f"cheapest() failed with {type(error).__name__}: {error}. It was given {given}.")
        if yours not in plans:
            return Hint(f"cheapest() returned {yours!r}.", f"It returns a name: {', '.join(plans)}.")
        if yours != right:
            return Hint(
                f"{given}: {yours!r} costs {costs[yours]:,.0f} a year, and {right!r} {costs[right]:,.0f}.",
                "A year costs the plan's price, and for each failure the orders that are lost and the minutes that "
                "nobody is served. A failure comes at any moment: on average half of the RPO is lost.",
                'rate * plan["rpo"] / 2 * order',
            )
    return f"{len(COMPANIES)} companies, each with its cheapest plan."


@exercise
def exercise_7_4(cloud: Cloud, replace_services: Callable[[], Any] | None = None) -> Hint | str:
    """Your `replace_services()` gives the database's volume a new server, and says for how long nobody could order.

    The check orders ten times a second and measures it, too: the two differ by at most two seconds, and no order that
    was accepted is lost.
    """
    if not callable(replace_services) or unwritten(replace_services):
        return no_function(replace_services, "check.exercise_7_4(replace_services)")
    app = discover(cloud)
    if volumes.find(cloud) is None:
        return Hint(
            "The database is on the disk of app-services: it would be gone with it.",
            "Move it to a volume first.",
            'app.deploy(api=1, worker=1, database="volume")',
        )
    before = app.servers["app-services"].id
    with load.start(
        app.endpoints,
        loop="open",
        rate=RATE,
        seconds=RUN_SECONDS,
        timeout_seconds=TIMEOUT_SECONDS,
        size=SMALL,
    ) as people:
        cloud.wait_until(lambda: people.ended > RATE, "orders are accepted", progress=False)
        said = _called(replace_services)
        ended = people.ended
        cloud.wait_until(lambda: people.ended > ended + 2 * RATE, "orders are accepted", progress=False)
    if isinstance(said, Hint):
        return said
    app = discover(cloud)
    if "app-services" not in app.servers or app.servers["app-services"].id == before:
        return Hint(
            "app-services is the same server as before, or there is none.",
            "Delete it, and let the Topology build a new one.",
            'cloud.delete_servers(["app-services"]), then app.deploy(api=1, worker=1)',
        )
    if lost := _lost(app, (row.uuid for row in people.rows if row.ok)):
        return Hint(f"{len(lost)} orders that were accepted are lost, such as {sorted(lost)[0]}.")
    failed = [row.intended for row in people.rows if not row.ok]
    outage = max(failed) - min(failed) if failed else 0.0
    if not isinstance(said, int | float) or abs(said - outage) > APART_SECONDS:
        return Hint(
            f"replace_services() returned {said!r}; the check's own orders failed for {outage:.1f} s.",
            "What counts is what people see: from the first order that fails to the last one.",
            "load.start(app.endpoints, …), and its rows: row.intended, row.ok",
        )
    accepted = sum(row.ok for row in people.rows)
    return f"{outage:.1f} s without orders, you measured {said:.1f} s; {accepted} orders accepted, none lost."


def _lost(app: Topology, accepted: Iterable[str]) -> set[str]:
    return set(accepted) - {fractal["uuid"] for fractal in app.fractals()}
