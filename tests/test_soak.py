"""The autoscaler for as long as you like, under a load that changes, while servers and services die by chance.

FAAFO_SOAK_MINUTES=30 lets it run for so long (by default a quarter of a minute), FAAFO_SOAK_SEED=… with the same load
and deaths again (`tests.seeds`).
"""

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from faafo_lab import autoscale, chaos, gameday, load
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.emulator import control
from faafo_lab.gameday import Wave, complaints
from faafo_lab.gameday.survival import TASK_SECONDS
from faafo_lab.paths import embedded_state_dir
from faafo_lab.topology import Topology
from tests.seeds import seeds
from tests.waiting import wait_for

SEED = seeds("SOAK")[0]
MINUTES = float(os.environ.get("FAAFO_SOAK_MINUTES") or 0.25)
WAVE_SECONDS = 15.0
LOADS = (0.3, 3.0)  # in workers' worth
MAXIMUM = 4
DEATHS = ("kill", "delete")
IDLE_SECONDS = 5.0  # before the autoscaler removes a worker: short, as the load changes every WAVE_SECONDS


def changing() -> Iterator[Wave]:
    """Waves whose load changes by chance, each with deaths of its own, until the time is up."""
    chance, end = random.Random(SEED), time.monotonic() + 60 * MINUTES
    for number in itertools.count(1):
        load = chance.uniform(*LOADS)
        yield Wave(number, WAVE_SECONDS, round(load / TASK_SECONDS, 1), DEATHS, chance.randrange(1 << 30))
        if time.monotonic() >= end:
            return


def held() -> tuple[int, int]:
    """The processes below the embedded cloud's own, and its open files and connections, but for its API's clients."""
    there = control.status(embedded_state_dir())
    assert there is not None
    cloud, port = psutil.Process(there.pid), urlsplit(there.auth_url).port
    clients = [each for each in cloud.net_connections() if each.raddr and each.laddr and each.laddr.port == port]
    return len(cloud.children(recursive=True)), cloud.num_fds() - len(clients)


@pytest.mark.long
@pytest.mark.timeout(300 + 90 * MINUTES)
def test_an_autoscaler_ends_with_what_its_policy_wants_whatever_died_meanwhile(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nFAAFO_SOAK_SEED={SEED}")
    before = held()
    app = Topology(cloud, say=lambda line: None).deploy(api=2, worker=1)
    policy = autoscale.QueueAge(cooldown_seconds=IDLE_SECONDS)
    with autoscale.Autoscaler(app, policy, maximum=MAXIMUM, say=print) as scaler:
        result = gameday.survive(app, load.calibrate(app), seed=SEED, waves=changing())
        print(result, scaler.run, result.journal, sep="\n")
        assert result.verdict.valid is True, result.verdict
        assert chaos.active() == []

        def at_rest() -> bool:
            now = scaler.samples[-1]
            return now.wanted == now.requested == now.workers == policy(scaler.samples).wanted == 1

        wait_for("as many workers as are wanted", at_rest)
    wait_for("an application that is well", lambda: not complaints(app))

    def is_as_wanted() -> bool:  # a server that is being deleted is listed until it is gone
        app.refresh()
        return [len(app.of_role(role)) for role in ("services", "api", "worker")] == [1, 2, 1]

    wait_for("what the policy wants", is_as_wanted)
    app.destroy()
    assert cloud.receipt().nothing_left
    assert not {thread.name for thread in threading.enumerate()} & {"autoscaling", "chaos", "count servers"}
    wait_for(f"as little as before ({before}, and now {held()})", lambda: held() == before)
