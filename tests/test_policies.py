"""Policies as tables against their published formulas; limits and changes as properties. All of it is pure."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faafo_lab import cli
from faafo_lab.autoscale import (
    HPA,
    POLICIES,
    Dask,
    Decision,
    Limits,
    Naive,
    Policy,
    QueueAge,
    Run,
    Sample,
    Steps,
    TargetTracking,
    bounded,
)
from faafo_lab.autoscale.fleet import SILENT_SECONDS, Fleet, changes, fleet
from faafo_lab.cloud.model import Flavor, Server
from faafo_lab.cloud.model import Limits as Quota
from faafo_lab.load import LoadError
from faafo_lab.topology import Node

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def sample(at: float = 0.0, workers: int = 1, **known: Any) -> Sample:
    """A sample of so many workers, wanted, requested and ready, with nothing to do unless told otherwise."""
    idle = {"waiting": 0, "oldest_waiting_seconds": 0.0, "wanted": workers, "requested": workers, "workers": workers}
    return Sample(at=at, **{**idle, **known})


def wanted(policy: Policy, *samples: Sample) -> int:
    """What a policy decides."""
    answer = policy(samples)
    return answer.wanted if isinstance(answer, Decision) else answer


# -- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ready", "booting", "cpu", "target", "becomes"),
    [
        (2, 0, 200, 100, 4),  # Kubernetes' own: twice the target doubles, …
        (4, 0, 50, 100, 2),  # … half of it halves, …
        (4, 0, 109, 100, 4),  # … and within the tolerance nothing changes
        (4, 0, 91, 100, 4),
        (3, 0, 90, 50, 6),  # ⌈5.4⌉
        (2, 2, 100, 50, 4),  # two that boot count as 0 %: exactly the target
        (3, 1, 100, 50, 6),  # 75 % of four
        (2, 2, 100, 80, 4),  # with those that boot it would turn round: nothing changes
        (1, 0, 1000, 100, 5),  # at most four more …
        (6, 0, 300, 100, 12),  # … or twice as many within 15 s
    ],
)
def test_hpa_follows_kubernetes_documentation(
    ready: int, booting: int, cpu: float, target: float, becomes: int
) -> None:
    there = ready + booting
    now = sample(workers=ready, wanted=there, requested=there, cpu=cpu)
    assert wanted(HPA(target=target, stabilization_seconds=0), now) == becomes


def test_hpa_takes_the_highest_recommendation_of_its_window_on_the_way_in() -> None:
    policy = HPA(target=50, stabilization_seconds=60)
    busy, calm = sample(0, 4, cpu=75), sample(30, 6, cpu=20)
    assert wanted(policy, busy, calm) == 6  # it was recommended 30 s ago
    assert wanted(policy, busy, calm, sample(61, 6, cpu=20)) == 3  # 30 s ago: three


@pytest.mark.parametrize(("waiting", "becomes"), [(30, 3), (11, 2), (9, 1), (0, 0)])
def test_hpa_on_what_waits_divides_the_total_by_the_target(waiting: int, becomes: int) -> None:
    policy = HPA(target=10, metric="waiting", stabilization_seconds=0)
    assert wanted(policy, sample(workers=5, waiting=waiting)) == becomes


@pytest.mark.parametrize(
    ("policy", "now", "becomes"),
    [
        (TargetTracking(tasks_per_worker=100), {"workers": 10, "waiting": 1500}, 15),  # AWS's own example
        (TargetTracking(tasks_per_worker=5), {"waiting": 9, "working": 2}, 3),
        (Steps(((0, 1), (10, 2), (20, 5))), {"workers": 3, "waiting": 9}, 1),
        (Steps(((0, 1), (10, 2), (20, 5))), {"waiting": 10}, 2),
        (Steps(((0, 1), (10, 2), (20, 5))), {"waiting": 1000}, 5),
        (Steps(((10, 2),)), {"workers": 3, "waiting": 1}, 3),
        (Naive(1.0), {"workers": 2, "load_average": 1.1}, 3),
        (Naive(1.0), {"workers": 2, "load_average": 0.9}, 1),
        (Naive(1.0), {"workers": 2, "load_average": 1.0}, 2),
    ],
)
def test_a_moment_is_enough_for_these(policy: Policy, now: dict[str, Any], becomes: int) -> None:
    assert wanted(policy, sample(**now)) == becomes


def working(at: float, tasks: int, workers: int, wanted: int | None = None, speed: float = 1.0) -> Sample:
    """So many tasks are left, and each worker makes `speed` of them a second."""
    busy = min(tasks, workers)
    return sample(
        at, workers, waiting=tasks - busy, working=busy, rate=busy * speed, wanted=workers if wanted is None else wanted
    )


@pytest.mark.parametrize(
    ("tasks", "speed", "becomes"),
    [
        (20, 1.0, 4),  # 20 s of work, in 5 s
        (21, 1.0, 5),
        (3, 0.01, 3),  # 300 s of work, but no more workers than tasks
        (20, 2.0, 2),
    ],
)
def test_dask_divides_what_is_left_by_the_target_duration(tasks: int, speed: float, becomes: int) -> None:
    history = [working(at, tasks, 1, speed=speed) for at in range(4)]
    assert wanted(Dask(), *history) == becomes


def test_dask_closes_a_worker_only_where_every_vote_does() -> None:
    history = [working(0, 20, 4), working(1, 20, 4), working(2, 9, 4), working(3, 4, 4)]
    assert wanted(Dask(), *history) == 4  # the votes were 4, 2, 1
    assert wanted(Dask(), *history, working(4, 4, 4)) == 2  # 2, 1, 1
    assert wanted(Dask(), *history, working(4, 20, 4)) == 4
    assert wanted(Dask(), working(0, 4, 4), working(1, 4, 4)) == 4  # just started: no three votes


def steady(orders: float, waiting: int, age: float, seconds: int, workers: int = 1, speed: float = 4.0) -> list[Sample]:
    """So many seconds, one sample a second, of a load that keeps the workers busy."""
    return [
        sample(
            at,
            workers,
            waiting=waiting,
            oldest_waiting_seconds=age,
            working=workers,
            rate=speed * workers,
            orders_per_second=orders,
        )
        for at in range(seconds)
    ]


def test_queue_age_asks_at_once_for_what_the_arrivals_and_the_backlog_need() -> None:
    policy = QueueAge(target_seconds=2, cooldown_seconds=10)
    assert wanted(policy, *steady(orders=20, waiting=20, age=1.0, seconds=5)) == 6  # 20/4, and 20/4 s of work in 10 s
    assert wanted(policy, *steady(orders=20, waiting=7, age=1.9, seconds=5)) == 1  # nobody waits for too long, or will
    booting = [replace(each, requested=6, wanted=6) for each in steady(20, 20, 2.5, 5)]
    assert wanted(policy, *booting) == 6  # what is on its way counts


def test_queue_age_works_without_a_cooldown_and_refuses_what_is_no_time() -> None:
    assert wanted(QueueAge(2, 0), *steady(orders=20, waiting=20, age=1.0, seconds=5)) == 10  # 20/4, and 20/4 in 1 s
    for wrong in ({"target_seconds": -1}, {"cooldown_seconds": math.nan}):
        with pytest.raises(LoadError, match="give a number of seconds, 0 or more"):
            QueueAge(**wrong)


def test_queue_age_keeps_what_was_busy_within_its_cooldown() -> None:
    policy = QueueAge(target_seconds=2, cooldown_seconds=10)
    calm = [sample(at, 6, working=3 if at == 8 else 1, rate=4.0) for at in range(21)]
    assert wanted(policy, *calm[:10]) == 6  # too soon to say
    assert wanted(policy, *calm[:17]) == 3
    assert wanted(policy, *calm) == 1
    waited = [*calm[:16], sample(16, 6, oldest_waiting_seconds=3.0, working=1, rate=4.0), *calm[17:]]
    assert wanted(policy, *waited) == 6


def test_queue_age_does_not_flap_where_the_load_swings_faster_than_its_cooldown() -> None:
    policy = QueueAge(target_seconds=2, cooldown_seconds=10)
    seen, now = list[Sample](), 6
    for at in range(120):
        busy = 5 if at % 8 < 4 else 1
        seen.append(sample(at, now, working=busy, rate=busy * 4.0, orders_per_second=busy * 4.0))
        now = wanted(policy, *seen)
    assert Run(seen, 1, 6).flaps == 0
    assert now == 6  # one of six is less than a fifth


DEAD = {"waiting": None, "working": None, "oldest_waiting_seconds": None, "rate": None, "orders_per_second": None}


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_changes_anything_without_its_metric(name: str) -> None:
    policy = POLICIES[name]()
    history = [sample(at, 4, working=1, rate=1.0, cpu=5.0, load_average=0.1) for at in range(400)]
    assert wanted(policy, *history) < 4  # with it, they do
    assert wanted(policy, *history, sample(400, 4, **DEAD)) == 4
    assert wanted(policy, *history[:1], sample(1, 4, **DEAD)) == 4


def test_the_command_knows_every_policy() -> None:
    for name in POLICIES:
        assert cli.parser().parse_args(["autoscale", "--max", "3", "--policy", name]).policy == name
    assert cli.parser().parse_args(["autoscale", "--max", "3"]).policy in POLICIES


def test_a_maximum_is_mandatory(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["autoscale"])
    assert "the following arguments are required: --max" in capsys.readouterr().err


def test_only_the_sample_before_is_missing_and_the_policies_go_on() -> None:
    for name, make in POLICIES.items():
        gap = [sample(at, 4, **(DEAD if at % 7 == 3 else {"cpu": 5.0, "load_average": 0.1})) for at in range(400)]
        assert wanted(bounded(make(), Limits(6)), *gap) <= 4, name


# -- limits -----------------------------------------------------------------------------------------------------------


@given(
    answers=st.lists(st.tuples(st.integers(-5, 50), st.booleans()), min_size=1, max_size=60),
    minimum=st.integers(1, 3),
    more=st.integers(0, 8),
    cooldowns=st.tuples(st.integers(0, 8), st.integers(0, 8)),
    first=st.integers(0, 12),
)
def test_no_answer_of_any_policy_leaves_the_limits(
    answers: list[tuple[int, bool]], minimum: int, more: int, cooldowns: tuple[int, int], first: int
) -> None:
    limits = Limits(minimum + more, minimum, *cooldowns)
    policy = bounded(lambda samples: answers[int(samples[-1].at)][0], limits)
    seen, now = list[Sample](), first
    for at, (_, dead) in enumerate(answers):
        seen.append(sample(at, now, **(DEAD if dead else {})))
        after = policy(seen).wanted
        if dead:
            assert after == max(now, minimum)  # what is not seen is not removed
        else:
            assert limits.minimum <= after <= limits.maximum
        last = max((b.at for a, b in pairwise(seen) if a.wanted != b.wanted), default=None)
        if after > now >= minimum:
            assert last is None or at - last >= limits.out_cooldown_seconds
        if after < now <= limits.maximum:
            assert at - (last or 0) >= limits.in_cooldown_seconds
            asked = [answers[int(each.at)][0] for each in seen if each.waiting is not None]
            times = [each.at for each in seen if each.waiting is not None]
            window = [a for t, a in zip(times, asked, strict=True) if t >= at - limits.in_cooldown_seconds]
            assert limits.clamped(max(window)) == after or not limits.in_cooldown_seconds
        now = after


def test_a_decision_says_what_held_it_back() -> None:
    policy = bounded(lambda samples: Decision(9, "much to do"), Limits(4, out_cooldown_seconds=10))
    assert policy([sample(0, 1)]) == Decision(4, "much to do (it asked for 9; maximum 4)")
    held = policy([sample(0, 1), sample(1, 2)])
    assert held.wanted == 2
    assert "cooling down before more are added: 4 asked for" in held.why
    few = bounded(lambda samples: 0, Limits(4, 2))
    assert few([sample(0, 3)]) == Decision(2, " (it asked for 0; minimum 2)".strip())


@pytest.mark.parametrize("answer", ["three", None, True, float("nan"), float("inf")])
def test_an_answer_that_is_no_number_is_named(answer: Any) -> None:
    with pytest.raises(TypeError, match="returns how many workers there should be, a number: it returned"):
        bounded(lambda samples: answer, Limits(4))([sample()])


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"maximum": 2, "minimum": 3}, "minimum=3 and maximum=2"),
        ({"maximum": 2, "minimum": 0}, "minimum=0"),
        ({"maximum": 2, "in_cooldown_seconds": -1}, "in_cooldown_seconds=-1"),
        ({"maximum": 2, "out_cooldown_seconds": float("inf")}, "out_cooldown_seconds=inf"),
    ],
)
def test_limits_that_cannot_be_get_one_sentence(numbers: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        Limits(**numbers)


# -- act --------------------------------------------------------------------------------------------------------------


def server(number: int, status: str = "ACTIVE", age: float = 100.0) -> Server:
    """The worker of this number."""
    return Server(f"id-{number}", f"app-worker-{number}", status, created=NOW - timedelta(seconds=age))


def node(number: int, state: str = "idle", drain: bool = False, silent: float = 1.0) -> Node:
    """What the application says of it."""
    return Node(
        name=f"app-worker-{number}",
        role="worker",
        state=state,
        drain=drain,
        working_on=[],
        load_average=None,
        cpu_percent=None,
        cores=None,
        version=None,
        started_at="",
        last_heard=(NOW - timedelta(seconds=silent)).isoformat(),
        seconds_since_heard=silent,
    )


def seen(
    servers: Sequence[Server], nodes: Sequence[Node] | None, answering: float = 1000.0, boot: float = 300.0
) -> Fleet:
    """The fleet now."""
    return fleet(servers, nodes, now=NOW, answering_seconds=answering, boot_seconds=boot)


def test_each_worker_is_what_cloud_and_application_say() -> None:
    servers = [server(1), server(2), server(3), server(4), server(5, "BUILD", 2), server(6, "ERROR"), server(7)]
    nodes = [
        node(1),
        node(2, "working"),
        node(3, "draining", True),
        node(4, "drained", True),
        node(7, "lost", silent=9),
    ]
    there = seen(servers, nodes)
    assert [each.name[-1] for each in there.ready] == ["1", "2"]
    assert [each.name[-1] for each in there.coming] == ["7", "5"]
    assert [each.name[-1] for each in there.leaving] == ["3"]
    assert [each.name[-1] for each in there.drained] == ["4"]
    assert [(each.name[-1], why) for each, why in there.broken] == [("6", "ERROR")]
    assert there.requested == 4


def test_silence_ends_a_worker_only_while_an_api_answers() -> None:
    silent = [node(1, "lost", silent=SILENT_SECONDS + 1)]
    assert seen([server(1)], silent).broken
    assert not seen([server(1)], silent, answering=SILENT_SECONDS / 2).broken  # all APIs were away: it may be well
    assert seen([server(1, age=301)], []).broken  # it never arrived
    assert not seen([server(1, age=301)], None).broken
    assert not seen([server(1, age=301)], [], answering=100).broken


def test_an_earlier_server_of_the_same_name_says_nothing() -> None:
    there = seen([server(1, "BUILD", age=2)], [node(1, "drained", True, silent=5)])
    assert there.coming == (server(1, "BUILD", age=2),)
    assert not there.drained


def test_what_has_not_arrived_is_cancelled_before_a_worker_drains() -> None:
    there = Fleet(True, ready=(server(1), server(2), server(3)), coming=(server(5), server(4)))
    todo = changes(2, there)
    assert todo.cancel == (server(5), server(4))
    assert todo.drain == (server(3),)
    assert changes(4, there).cancel == (server(5),)


numbers = st.integers(0, 4)


@given(wanted=st.integers(0, 8), ready=numbers, coming=numbers, leaving=numbers, drained=numbers, broken=numbers)
def test_changes_lead_to_what_is_wanted(
    wanted: int, ready: int, coming: int, leaving: int, drained: int, broken: int
) -> None:
    names = iter(range(100))
    groups = [tuple(server(next(names)) for _ in range(size)) for size in (ready, coming, leaving, drained)]
    there = Fleet(True, *groups, tuple((server(next(names)), "ERROR") for _ in range(broken)))
    todo = changes(wanted, there)
    after = there.requested - len(todo.cancel) - len(todo.drain) + len(todo.resume) + todo.request
    assert after == wanted
    assert not todo.drain or set(todo.cancel) == set(there.coming)
    assert not todo.request or set(todo.resume) == {*there.leaving, *there.drained}
    assert {each for each, _ in there.broken} <= {each for each, _ in todo.delete}
    assert not {each for each, _ in todo.delete} & {*todo.resume, *there.ready, *there.coming}
    blind = changes(wanted, Fleet(False, (), there.coming))
    assert (blind.cancel, blind.drain, blind.delete) == ((), (), ())


@pytest.mark.parametrize(
    ("quota", "room"),
    [((10, 7, None, 0, None, 0), 3), ((10, 0, 8, 2, None, 0), 3), ((None, 5, None, 5, 4096, 4000), 0), ((2, 5), 0)],
)
def test_room_is_what_the_scarcest_quota_leaves(quota: Any, room: int) -> None:
    unlimited: list[Any] = [None, 0] * 5
    flavor = Flavor("1", "m1.small", 2, 512, 1)
    assert Quota(*quota, *unlimited[len(quota) :]).room(flavor) == room
    assert Quota(*unlimited).room(flavor) is None
