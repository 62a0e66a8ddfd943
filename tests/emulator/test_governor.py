"""A flavor's CPU share holds, and an instance's gauges tell its own load."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import cast

import pytest

from faafo_lab.cloud.emulator.machinery.hypervisor import governor
from faafo_lab.cloud.emulator.machinery.hypervisor.load import LoadAverages
from faafo_lab.cloud.emulator.system import tree
from tests.emulator import machine_room
from tests.emulator.machine_room import Room
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room
pytestmark = pytest.mark.alone

BUSY = "#!/bin/sh\nexec python3 -c 'while True: pass'\n"
THREE_BUSY = "#!/bin/bash\nfor n in 1 2 3; do python3 -c 'while True: pass' & done; wait\n"
SHORT_LIVED = "#!/bin/bash\nwhile :; do /bin/true; done\n"
QUARTER = 0.25


def used_seconds(room: Room, id: str) -> float:
    """CPU time of an instance, that of its ended processes too, as the kernel counts it."""
    total = 0
    for pid in room.pids(id):
        try:
            total += governor.posix_clock(pid)
        except OSError:
            continue
        if seen := tree.stat(pid):
            total += seen.children_ns
    return total / 1e9


def shares(room: Room, ids: list[str], seconds: float) -> list[float]:
    """Cores used, measured over `seconds`."""
    begun, before = time.monotonic(), [used_seconds(room, id) for id in ids]
    time.sleep(seconds)
    elapsed, after = time.monotonic() - begun, [used_seconds(room, id) for id in ids]
    return [(late - early) / elapsed for early, late in zip(before, after, strict=True)]


def wait_for_work(room: Room, id: str) -> None:
    wait_for(f"{id} at work", lambda: used_seconds(room, id) > 0.1)


def test_three_busy_instances_of_a_quarter_core_get_the_same_whatever_their_processes(room: Room) -> None:
    scripts = {"one": BUSY, "many": THREE_BUSY, "short-lived": SHORT_LIVED}
    for id, script in scripts.items():
        room.boot(id, user_data=script, cores=QUARTER)
    for id in scripts:
        wait_for_work(room, id)

    def as_the_flavor_says() -> bool:
        measured = shares(room, list(scripts), 3)
        print("shares", measured)
        return max(measured) < 1.2 * min(measured) and min(measured) >= 0.15 and max(measured) <= 0.3

    # More than once only where the machine has other things to do.
    wait_for("equal shares of a quarter core", as_the_flavor_says)


def test_an_instance_without_a_cap_is_left_alone(room: Room) -> None:
    room.boot(user_data=BUSY)
    wait_for("more than half a core", lambda: shares(room, ["one"], 1)[0] > 0.5)


def test_the_load_average_tells_three_busy_processes_from_an_idle_instance(room: Room) -> None:
    room.boot("busy", user_data=THREE_BUSY, cores=QUARTER)
    room.boot("idle", cores=QUARTER)
    wait_for("a load above 1", lambda: float(room.gauge("loadavg", "busy")[0]) > 1)
    wait_for("no load", lambda: float(room.gauge("loadavg", "idle")[0]) < 0.5)


def test_an_instance_at_its_cap_is_wholly_busy_and_an_idle_one_is_idle(room: Room) -> None:
    room.boot("busy", user_data=BUSY, cores=QUARTER)
    room.boot("idle", cores=QUARTER)
    wait_for_work(room, "busy")

    def ticks(id: str) -> tuple[int, int]:
        words = room.gauge("stat", id)
        assert words[0] == "cpu"
        return int(words[1]), int(words[4])

    def use(id: str) -> float:
        busy, idle = ticks(id)
        wait_for("two seconds of a quarter core", lambda: sum(ticks(id)) > busy + idle + 40)
        later_busy, later_idle = ticks(id)
        return (later_busy - busy) / (later_busy - busy + later_idle - idle)

    assert use("busy") > 0.8
    assert use("idle") < 0.2


def test_uptime_is_the_instances_own(room: Room) -> None:
    room.boot()
    assert float(room.gauge("uptime")[0]) < 10
    wait_for("a second", lambda: float(room.gauge("uptime")[0]) > 1)


def test_a_process_that_somebody_has_stopped_stays_stopped(room: Room) -> None:
    script = "#!/bin/bash\npython3 -c 'while True: pass' & echo $! > pid; exec python3 -c 'while True: pass'\n"
    room.boot(user_data=script, cores=QUARTER)
    wait_for_work(room, "one")
    pid = int((room.disk() / "home/ubuntu/pid").read_text())

    def stopped_for_good() -> bool:
        os.kill(pid, signal.SIGSTOP)
        before = governor.posix_clock(pid)
        time.sleep(0.5)
        return governor.posix_clock(pid) == before

    # Where the governor holds it at this very moment, the two stops are one to the kernel: again, then.
    wait_for("a stop that the governor leaves alone", stopped_for_good)


def test_an_init_is_not_woken_by_the_governors_stops(room: Room) -> None:
    room.boot(user_data=BUSY, cores=QUARTER)
    wait_for_work(room, "one")
    (init, *_) = room.pids()

    def switches() -> int:
        (line,) = [line for line in Path(f"/proc/{init}/status").read_text().splitlines() if line.startswith("vol")]
        return int(line.split()[1])

    before = switches(), used_seconds(room, "one")
    wait_for("some stops", lambda: used_seconds(room, "one") > before[1] + 0.3)
    assert switches() - before[0] < 15


def test_an_instance_that_shuts_down_is_not_held(room: Room) -> None:
    unit = "[Service]\nExecStart=/bin/bash -c 'trap \"exit\" TERM; while :; do :; done'"
    room.boot(
        user_data=f"#!/bin/bash\ncat > $INSTANCE_ROOT/etc/systemd/system/a.service <<'X'\n{unit}\nX\nsystemctl start a",
        cores=0.05,
    )
    wait_for_work(room, "one")
    room.do(room.hypervisor.shutdown("one", 20))
    assert "Stopped a.service" in room.console()


@pytest.mark.parametrize("clock", [governor.posix_clock, governor.tick_clock])
def test_every_clock_sees_the_same_time(clock: governor.Clock) -> None:
    begun, before = time.process_time(), clock(os.getpid())
    while time.process_time() < begun + 0.3:
        pass
    assert (clock(os.getpid()) - before) / 1e9 == pytest.approx(0.3, abs=0.1)


def test_a_booting_instance_has_a_launch_credit_and_loses_it_when_it_idles_first() -> None:
    share = governor.Share(1, QUARTER, cast(LoadAverages, None), now_ns=0)
    for beat in range(1, 101):  # a second at full speed
        share.charge(10_000_000)
        share.refill(beat * 10_000_000, used=10_000_000)
    assert share.balance > 0
    for beat in range(101, 141):  # idle
        share.refill(beat * 10_000_000, used=0)
    assert share.balance == share.burst


def test_what_short_lived_processes_use_is_charged_once_though_the_kernel_tells_it_in_ticks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now, told = 0, 0
    monkeypatch.setattr(tree, "stat", lambda pid: tree.Stat("S", 0, 0, 0, told // tree.TICK_NS * tree.TICK_NS, 1, 1))
    governed = governor.Governor()
    governed.add("one", os.getpid(), None, tmp_path / "procfs", now)
    share = governed._shares["one"]
    child_ns = 3 * tree.TICK_NS // 10
    for _ in range(1000):  # of each child, one third is seen while it lives
        share.charge(child_ns // 3)
        share.prepaid += child_ns // 3
        told += child_ns
        governed._read_accounts(share, thoroughly=True)
    governed.remove("one")
    assert share.spent == pytest.approx(1000 * child_ns, abs=2 * tree.TICK_NS)
