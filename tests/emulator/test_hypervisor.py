"""Instances begin, and nothing of them is left when they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.errors import StateError
from faafo_lab.cloud.emulator.machinery.hypervisor.client import HypervisorError
from faafo_lab.cloud.emulator.system import channel, sockets, tree
from faafo_lab.cloud.emulator.system.peers import Socket
from tests.emulator import machine_room
from tests.emulator.machine_room import Machine, Room, alive
from tests.waiting import LIMIT_SECONDS, wait_for

machine, room = machine_room.machine, machine_room.room

DAEMONS = """#!/bin/bash
setsid sleep 1001 &
(setsid bash -c '(sleep 1002 &) ; exec sleep 1003' &)
nohup bash -c 'trap "" TERM HUP INT; while :; do sleep 1004; done' >/dev/null 2>&1 &
env -i sleep 1005 &
sleep 0.1
echo all-started
exec sleep 1006
"""
FORKING = """#!/bin/bash
# Forks as fast as it can, each one outliving its parent, up to a modest number at a time.
fork() { while :; do for n in 1 2 3 4 5 6 7 8; do (sleep 0.05; sleep 1000 & disown; exit) & done; sleep 0.02; done; }
ulimit -u 100000
for n in 1 2 3; do fork & done
echo all-started
timeout 20 sleep 1000
"""


def parent(pid: int) -> int:
    seen = tree.stat(pid)
    assert seen is not None
    return seen.parent


def started(room: Room, id: str = "one") -> list[int]:
    wait_for("the user data's processes", lambda: "all-started" in room.console(id))
    return room.pids(id)


def test_kill_leaves_none_of_the_daemons_that_left_their_session(room: Room) -> None:
    room.boot(user_data=DAEMONS)
    pids = started(room)
    assert len(pids) >= 7
    room.kill()
    assert not [pid for pid in pids if alive(pid)]
    assert room.programs() == []


def test_kill_is_faster_than_a_process_that_forks_all_the_time(room: Room) -> None:
    room.boot(user_data=FORKING)
    room.boot("two")
    started(room)
    wait_for("a crowd", lambda: len(room.pids()) > 60)
    room.kill()
    assert room.pids() == []
    assert room.programs() == []
    assert len(room.pids("two")) == 1  # and the neighbour lives


def test_killing_twice_or_an_unknown_instance_is_nothing_to_do(room: Room) -> None:
    room.boot()
    room.kill()
    room.kill()
    room.kill("never-heard-of")


def test_an_instance_boots_again_after_its_kill(room: Room) -> None:
    room.boot()
    room.kill()
    room.boot(first_boot=False)
    assert len(room.pids()) == 1


def test_booting_what_runs_is_refused_and_leaves_it_running(room: Room) -> None:
    room.boot()
    with pytest.raises(HypervisorError, match="runs already"):
        room.boot()
    assert len(room.pids()) == 1


def test_an_image_that_is_none_is_one_clear_sentence(room: Room) -> None:
    broken = room.directory / "broken"
    broken.write_bytes(b"\x1f\x8bnot an image")
    with pytest.raises(HypervisorError, match="image broken cannot be unpacked"):
        room.boot(image_path=str(broken))
    with pytest.raises(HypervisorError, match="No such file"):
        room.boot(image_path=str(broken) + "x")
    assert room.exits == []
    assert room.pids() == []


def test_a_directory_that_cannot_be_written_is_one_clear_sentence(room: Room) -> None:
    guest = room.guest()
    (Path(guest.directory) / "procfs").write_text("in the way")
    with pytest.raises(HypervisorError, match="gauges of vm-one cannot be written"):
        room.do(room.hypervisor.boot(guest))
    assert room.pids() == []


def test_an_init_that_dies_is_told_and_takes_its_tree_along(room: Room) -> None:
    room.boot(user_data=DAEMONS)
    pids = started(room)
    os.kill(pids[0], signal.SIGKILL)
    wait_for("the news", lambda: room.exits == ["one"])
    assert not [pid for pid in pids if alive(pid)]


def test_a_dead_hypervisor_takes_all_instances_along_and_the_next_boot_starts_a_new_one(room: Room) -> None:
    room.boot(user_data=DAEMONS)
    room.boot("two", user_data=DAEMONS)
    pids = started(room) + started(room, "two")
    os.kill(parent(pids[0]), signal.SIGKILL)
    wait_for("the end of all instances", lambda: not [pid for pid in pids if alive(pid)])
    wait_for("the news", lambda: sorted(room.exits) == ["one", "two"])
    room.boot(first_boot=False)
    assert len(room.pids()) == 1


def test_nothing_outlives_hypervisor_and_inits_that_die_together_whatever_it_has_done_to_hide(room: Room) -> None:
    hidden = "(setsid env -i sh -c 'cd /; echo all-started; exec sleep 1000 </dev/null >/dev/null 2>&1' &)\n"
    room.boot(user_data=f"#!/bin/sh\n{hidden}exec sleep 1000\n")
    pids = started(room)
    assert [pid for pid in pids if b"FAAFO" not in tree.read(f"/proc/{pid}/environ", 1 << 17)]
    both = (parent(pids[0]), pids[0])
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped, neither has a moment to do anything
        for pid in both:
            os.kill(pid, number)
    wait_for("the end of everything", lambda: not [pid for pid in pids if alive(pid)])


def test_a_hypervisor_that_dies_with_an_unread_message_is_noticed(room: Room) -> None:
    room.boot()
    room.boot("two")
    hypervisor = parent(room.pids()[0])
    os.kill(hypervisor, signal.SIGSTOP)
    asked = room.machine.begin(room.hypervisor.kill("one"))
    room.call(int)  # when the loop has done this, it has sent that
    os.kill(hypervisor, signal.SIGKILL)
    wait_for("the news", lambda: room.exits == ["two"])
    with pytest.raises(HypervisorError, match="has died"):
        asked.result(LIMIT_SECONDS)
    room.kill("two")  # as at a deletion: nothing to do
    room.boot(first_boot=False)
    assert len(room.pids()) == 1


@contextlib.contextmanager
def limited(pid: int, what: int, limit: int) -> Iterator[None]:
    """The process has a lower limit of this kind (`resource.RLIMIT_…`)."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def reboot(room: Room, id: str = "one") -> None:
    """Let the instance ask its init for a reboot."""
    command = str(room.disk(id) / "bin/reboot")
    assert subprocess.run([command], env={"INSTANCE_PORTS": str(room.ports(id))}, check=False).returncode == 0


def test_a_guest_that_cannot_reboot_is_told_and_its_neighbours_live_on(room: Room) -> None:
    room.boot("neighbour")
    room.boot()
    hypervisor = parent(room.pids()[0])
    files = Path(f"/proc/{hypervisor}/fd")
    gauges = [
        int(file.name) for file in files.iterdir() if file.is_symlink() and "/one/procfs/" in str(file.readlink())
    ]
    with limited(
        hypervisor, resource.RLIMIT_NOFILE, min(gauges)
    ):  # the lifeline's number will be free, for what needs two
        reboot(room)
        wait_for("the news", lambda: room.exits == ["one"])
        assert "hypervisor: The init of vm-one cannot be started: [Errno 24] Too many open files." in room.console()
    assert room.pids() == []
    assert len(room.pids("neighbour")) == 1
    room.boot(first_boot=False)
    assert len(room.pids()) == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may start as many processes as it likes")
def test_a_guest_that_has_no_process_to_reboot_into_is_told(room: Room) -> None:
    room.boot("neighbour")
    room.boot()
    with limited(parent(room.pids()[0]), resource.RLIMIT_NPROC, 1):
        reboot(room)
        wait_for("the news", lambda: room.exits == ["one"])
    assert "The init of vm-one cannot be started: [Errno 11]" in room.console()
    assert len(room.pids("neighbour")) == 1


def test_a_guest_whose_disk_is_gone_at_its_reboot_is_told(room: Room) -> None:
    room.boot()
    shutil.rmtree(room.disk() / "etc/systemd")
    (room.disk() / "etc/systemd").write_text("in the way")
    reboot(room)
    wait_for("the news", lambda: room.exits == ["one"])
    assert "hypervisor: The disk of vm-one cannot be prepared" in room.console()


@pytest.mark.parametrize("last", [b"", b'{"half'])
@pytest.mark.parametrize("unread", [b"", b"unread"])
def test_every_end_of_a_channel_is_an_end(last: bytes, unread: bytes) -> None:
    async def heard() -> list[channel.Message]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(unread)
        theirs.sendall(channel.encode({"whole": 1}) + last)
        messages = channel.messages(reader)
        found = [await anext(messages)]
        theirs.close()
        found += [message async for message in messages]
        writer.close()
        return found

    assert asyncio.run(heard()) == [{"whole": 1}]


def test_a_killed_emulator_leaves_no_process(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from tests.emulator import machine_room
from tests.emulator.machine_room import Machine, Room
machine = Machine(Path(sys.argv[1]))
machine.do(machine.hypervisor.start())
room = Room(machine, Path(sys.argv[1]))
room.boot(user_data=sys.argv[2])
print("booted", flush=True)
asyncio.run(asyncio.sleep(1000))
"""
    repository = Path(__file__).parents[2]
    emulator = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), DAEMONS], stdout=subprocess.PIPE, cwd=repository
    )
    try:
        assert emulator.stdout is not None
        assert emulator.stdout.readline() == b"booted\n"
        log = tmp_path / "instances/one/console.log"
        wait_for("the user data's processes", lambda: "all-started" in log.read_text())
        assert len(tree.leftovers(tmp_path)) >= 7
        emulator.kill()
        emulator.wait()
        wait_for("the end of everything", lambda: not tree.leftovers(tmp_path))
    finally:
        emulator.kill()
        emulator.wait()
        for pid in tree.leftovers(tmp_path):
            tree.send(pid, signal.SIGKILL)
        sockets.remove(sockets.sockets_dir(tmp_path))


def test_shutdown_lets_units_end_in_their_own_way(room: Room) -> None:
    unit = (
        "[Service]\nExecStart=/bin/bash -c 'trap \"echo in order > $HOME/last; exit\" TERM; echo up; sleep 1000 & wait'"
    )
    room.boot(
        user_data=f"#!/bin/bash\ncat > $INSTANCE_ROOT/etc/systemd/system/a.service <<'X'\n{unit}\nX\nsystemctl start a"
    )
    room.finished()
    wait_for("the unit", lambda: "up" in (room.disk() / "var/log/a.log").read_text())
    room.do(room.hypervisor.shutdown("one", 20))
    assert (room.disk() / "home/ubuntu/last").read_text() == "in order\n"
    assert room.pids() == []
    assert room.exits == []


def test_a_shutdown_that_takes_too_long_becomes_a_kill(room: Room) -> None:
    unit = "[Service]\nExecStart=/bin/bash -c 'trap \"\" TERM; echo up; while :; do sleep 1000; done'"
    room.boot(
        user_data=f"#!/bin/bash\ncat > $INSTANCE_ROOT/etc/systemd/system/a.service <<'X'\n{unit}\nX\nsystemctl start a"
    )
    room.finished()
    pids = room.pids()
    room.do(room.hypervisor.shutdown("one", 0.3))
    assert not [pid for pid in pids if alive(pid)]


def test_close_leaves_neither_processes_nor_sockets(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    try:
        machine.do(machine.hypervisor.start())
        room = Room(machine, tmp_path)
        room.boot(user_data=DAEMONS)
        started(room)
        ports = room.ports()
        assert ports.is_dir()
    finally:
        machine.close()  # asserts that no process is left
    assert not ports.parent.exists()


def test_the_owner_of_a_socket_is_found_among_the_instances(room: Room) -> None:
    script = """#!/bin/bash
python3 -c '
import os, socket, time
s = socket.socket()
open("inode", "w").write(os.readlink(f"/proc/self/fd/{s.fileno()}")[8:-1])
time.sleep(1000)'
"""
    room.boot("one", user_data=script)
    room.boot("two")
    inode_file = room.disk() / "home/ubuntu/inode"
    inode = int(wait_for("the socket", lambda: inode_file.exists() and inode_file.read_text()))
    assert room.do(room.hypervisor.owner(Socket(inode, os.getuid()))) == "one"
    with socket.socket() as ours:
        assert room.do(room.hypervisor.owner(Socket(os.fstat(ours.fileno()).st_ino, os.getuid()))) is None
    room.kill()
    with pytest.raises(HypervisorError, match=f"No process is seen to hold socket {inode} open"):
        room.do(room.hypervisor.owner(Socket(inode, os.getuid())))


def test_thirty_instances_boot_at_once(room: Room) -> None:
    guests = [room.guest(f"n{number}") for number in range(30)]

    async def boot_all() -> None:
        await asyncio.gather(*(room.hypervisor.boot(guest) for guest in guests))

    room.do(boot_all())
    assert all(len(room.pids(guest.id)) >= 1 for guest in guests)


def test_a_sockets_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path) if len(str(tmp_path)) < 40 else "/tmp")
    place = sockets.sockets_dir(tmp_path)
    assert place.stat().st_mode & 0o777 == 0o700
    place.rmdir()
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(StateError, match="belongs to somebody else"):
            sockets.sockets_dir(tmp_path)
    finally:
        place.unlink()


def test_a_deep_state_directory_still_gets_short_sockets(tmp_path: Path) -> None:
    place = sockets.sockets_dir(tmp_path / ("deep/" * 60))
    try:
        assert len(str(place / "12345678-1234-1234-1234-123456789012" / "init.sock")) <= 107
    finally:
        sockets.remove(place)


def test_leftovers_are_this_state_directorys_only(tmp_path: Path) -> None:
    def sleeper(state: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "1000"], env={**os.environ, tree.STATE_VARIABLE: state})

    mine, other = sleeper(str(tmp_path)), sleeper(str(tmp_path) + "x")
    try:
        wait_for("the one", lambda: tree.leftovers(tmp_path) == [mine.pid])
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()
    assert tree.leftovers(tmp_path) == []


def test_a_slow_guest_does_not_keep_the_others_from_their_end(room: Room) -> None:
    room.boot("slow", user_data="#!/bin/sh\nexec sleep 1000\n")
    room.boot("two")
    slow, *_ = room.pids("slow")
    os.kill(slow, signal.SIGSTOP)
    shutdown = room.machine.begin(room.hypervisor.shutdown("slow", LIMIT_SECONDS))  # of which it takes no notice
    room.kill("two")
    assert not shutdown.done()
    assert alive(slow)
    room.kill("slow")
    assert not alive(slow)
    shutdown.result(LIMIT_SECONDS)
