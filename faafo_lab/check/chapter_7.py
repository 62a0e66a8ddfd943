"""The exercises of chapter 07: block storage and backup."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from faafo_lab import load
from faafo_lab.check.questions import failed, no_function, unwritten
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.marks import BACKUPS_CONTAINER
from faafo_lab.topology import discover, volumes

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
DAYS = 90  # that the retention rule runs
SILENCE = range(40 * 24 + 5, 75 * 24 + 5)  # hours in which no backup is made: five weeks
MOST_KEPT = 40
RULES = (  # of the backups that are younger than this, one so near is kept
    (
        DAY,
        timedelta(0),
        "every one of the last 24 hours",
        "It is given back every hour: each time with those that are kept.",
    ),
    (
        6 * DAY,
        DAY,
        "one a day of the last 7 days",
        "Which one of a day do you keep, and is it still the same one an hour later?",
    ),
    (
        3 * WEEK,
        WEEK,
        "one a week of the last 4 weeks",
        "Which one of a week do you keep, and is it still there when its day is over?",
    ),
)
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
    """Your `retain(moments, now)` keeps the backups that the rule asks for, at most 40 of them, for ninety days.

    It runs every hour, what it does not return is deleted, and for five weeks there are no new backups.
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
            return failed(
                f"{when} retain(moments, now)",
                error,
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
            f"{when} the newest backup is deleted, {_age(now - taken[-1])} old.",
            "When no new backups come, the old ones are all that there is: count backups, not hours.",
            "moments[-1]",
        )
    for within, apart, words, pointer in RULES:
        for moment in taken[bisect_right(taken, now - within) :]:
            after = bisect_right(kept, moment)
            if not any(abs(moment - each) <= apart for each in kept[max(0, after - 1) : after + 1]):
                return Hint(f"{when} nothing is kept of {_age(now - moment)} ago: {words} stays.", pointer)
    return None


def _age(age: timedelta) -> str:
    number, noun = (age // DAY, "day") if age >= 2 * DAY else (age // HOUR, "hour")
    return f"{number} {noun}{'s' * (number != 1)}"


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
    good = _tried(restore_drill)
    if isinstance(good, Hint):
        return good
    if good is not True:
        return Hint(
            f"The backup can be restored, and restore_drill() returned {good!r}.",
            "What it restores has all orders that were done before: compare with that number.",
            'app.stats()["done"], before the restore',
        )
    ending = f"-{app.backups()[-1].name}.tar.gz"
    [files] = [each.name for each in cloud.objects(BACKUPS_CONTAINER) if each.name.endswith(ending)]
    with _spoiled(cloud, files):
        bad = _tried(restore_drill)
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


def _tried(restore_drill: Callable[[], Any]) -> Any:
    """What the learner's drill returns; a hint where it fails."""
    try:
        return restore_drill()
    except Exception as error:  # the learner's own
        return failed(
            "restore_drill()",
            error,
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
            return failed(f"cheapest() with {given}", error)
        if yours not in list(plans):  # it may be anything, a list too
            return Hint(f"cheapest() returned {yours!r}.", f"It returns a name: {', '.join(plans)}.")
        if yours != right:
            return Hint(
                f"{given}: {yours!r} costs {costs[yours]:,.0f} a year, and {right!r} {costs[right]:,.0f}.",
                "A year costs the plan's price, and for each failure the orders that are lost and the minutes that "
                "nobody is served. A failure comes at any moment: on average half of the RPO is lost.",
                'rate * plan["rpo"] / 2 * order, and plan["rto"] / 60 * minute',
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
        try:
            said = replace_services()
        except Exception as error:  # the learner's own
            return failed("replace_services()", error, "Call it yourself to see where.")
        ended = people.ended
        cloud.wait_until(
            lambda: people.ended > ended + 2 * RATE and all(row.ok for row in people.rows[-int(RATE) :]),
            "orders are accepted again",
            progress=False,
        )
    app.refresh()
    if "app-services" not in app.servers or app.servers["app-services"].id == before:
        return Hint(
            "app-services is the same server as before, or there is none.",
            "Delete it, and let the Topology build a new one.",
            'cloud.delete_servers(["app-services"]), then app.deploy(api=1, worker=1)',
        )
    accepted = {row.uuid for row in people.rows if row.ok}
    if lost := accepted - {fractal["uuid"] for fractal in app.fractals()}:
        return Hint(f"{len(lost)} orders that were accepted are lost, such as {sorted(lost)[0]}.")
    away = [row.intended for row in people.rows if not row.ok]
    outage = max(away) - min(away) if away else 0.0
    if not isinstance(said, int | float) or abs(said - outage) > APART_SECONDS:
        return Hint(
            f"replace_services() returned {said!r}; the check's own orders failed for {outage:.1f} s.",
            "What counts is what people see: from the first order that fails to the last one, perhaps after deploy.",
            "load.start(app.endpoints, …), and its rows: row.intended, row.ok",
        )
    return f"{outage:.1f} s without orders, you measured {said:.1f} s; {len(accepted)} orders accepted, none lost."
