"""A flavor's memory: what uses more loses its largest process, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.machinery.hypervisor import memory
from faafo_lab.cloud.emulator.system import tree
from tests.emulator import machine_room
from tests.emulator.machine_room import Room, alive
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room

# Says its process number when it has its memory, and stays.
HOG = (
    "import os, time; x = bytearray(b'x') * ({mb} << 20); open('{name}', 'w').write(str(os.getpid())); time.sleep(1e3)"
)
SHARED = """#!/usr/bin/env python3
import mmap, os, time
kept = mmap.mmap(-1, 60 << 20)
kept.write(b"x" * len(kept))
for number in range(4):
    if not os.fork():
        for place in range(0, len(kept), 4096):
            kept[place]
        open(f"child-{number}", "w").close()
        time.sleep(1000)
time.sleep(1000)
"""


def hog(mb: int, name: str) -> str:
    return f'python3 -c "{HOG.format(mb=mb, name=name)}"'


def test_the_largest_process_goes_and_the_console_says_so(room: Room) -> None:
    first = f"{hog(20, 'small')} & \nuntil [ -s small ]; do sleep 0.02; done\n"
    room.boot(user_data=f"#!/bin/bash\n{first}{hog(200, 'large')}\necho ended: $?\n", memory_mb=128)
    console = room.finished()
    assert "Out of memory (the flavor has 128 MB): Killed process " in console
    assert "(python3) total-vm:" in console
    assert "ended: 137\n" in console
    home = room.disk() / "home/ubuntu"
    assert alive(int((home / "small").read_text()))
    assert len(room.pids()) == 2


def test_several_small_processes_are_too_much_together(room: Room) -> None:
    hogs = " & ".join(hog(50, f"hog-{number}") for number in range(4))
    room.boot(user_data=f"#!/bin/bash\n{hogs} & wait\n", memory_mb=128)
    wait_for("the end of two", lambda: room.console().count("Out of memory") == 2)
    wait_for("the init, the script and the two that have room", lambda: len(room.pids()) == 4)


def test_shared_memory_counts_once(room: Room) -> None:
    room.boot(user_data=SHARED, memory_mb=128)
    home = room.disk() / "home/ubuntu"
    wait_for("all to have seen it", lambda: len(list(home.glob("child-*"))) == 4)
    sizes = [int(tree.read(f"/proc/{pid}/statm").split()[1]) for pid in room.pids()[1:]]
    assert sum(sizes) * os.sysconf("SC_PAGE_SIZE") > 256 << 20
    watched = memory.Memory(128 << 20)
    assert watched.victim(room.pids()[1:], 1) is None
    assert "Out of memory" not in room.console()
    assert len(room.pids()) == 6


def test_another_instance_does_not_count(room: Room) -> None:
    room.boot("one", user_data=f"#!/bin/bash\n{hog(70, 'kept')}\n", memory_mb=128)
    room.boot("two", user_data=f"#!/bin/bash\n{hog(70, 'kept')}\n", memory_mb=128)
    for id in ("one", "two"):
        wait_for("its memory", (room.disk(id) / "home/ubuntu/kept").exists)
    up = float(room.gauge("uptime")[0])
    wait_for("some looks", lambda: float(room.gauge("uptime")[0]) > up + 0.5)
    for id in ("one", "two"):
        assert "Out of memory" not in room.console(id)
        assert alive(int((room.disk(id) / "home/ubuntu/kept").read_text()))


@pytest.mark.parametrize("text", [b"", b"Rss: 100 kB\nPss: 50 kB\n"])
def test_a_kernel_that_says_less_is_asked_for_less(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    read = tree.read
    monkeypatch.setattr(tree, "read", lambda path, *rest: text if path.endswith("rollup") else read(path, *rest))
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    measured = memory.counted_bytes(os.getpid())
    assert measured == 50 << 10 if text else abs(measured - resident) < resident / 2
