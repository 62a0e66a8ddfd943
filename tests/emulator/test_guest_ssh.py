"""An instance's SSH server: its key pair only, and commands behave as they do over SSH anywhere."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncssh
import pytest

from faafo_lab.cloud.emulator.machinery.switch.plug import Plug, Rule
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from tests.emulator import machine_room
from tests.emulator.machine_room import Room, alive
from tests.programs import need
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room
T = TypeVar("T")
Connection = asyncssh.SSHClientConnection

KEY = asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def booted(room: Room) -> Room:
    room.boot(public_keys=(KEY.export_public_key().decode(),))
    room.finished()
    return room


def on(
    room: Room,
    work: Callable[[Connection], Awaitable[T]],
    key: asyncssh.SSHKey = KEY,
    user: str = "ubuntu",
    id: str = "one",
) -> T:
    """Do something on a connection, straight to the instance's socket."""

    async def connected() -> T:
        place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place.connect(str(room.ports(id) / "22"))
        async with (
            asyncio.timeout(30),
            asyncssh.connect("", sock=place, username=user, client_keys=[key], known_hosts=None, config=[]) as made,
        ):
            return await work(made)

    return room.do(connected())


def run(room: Room, command: str, id: str = "one", **details: object) -> asyncssh.SSHCompletedProcess:
    return on(room, lambda made: made.run(command, **details), id=id)  # type: ignore[arg-type]


def test_a_command_has_the_instances_environment_and_its_own_exit_code(booted: Room) -> None:
    done = run(booted, 'echo "$HOSTNAME:$PWD"; command -v systemctl; echo problem >&2; exit 7')
    assert done.stdout == f"vm-one:{booted.disk()}/home/ubuntu\n{booted.disk()}/bin/systemctl\n"
    assert done.stderr == "problem\n"
    assert done.exit_status == 7


def test_a_command_reads_its_input_to_the_end(booted: Room) -> None:
    text = "0123456789abcdef" * 100_000
    done = run(booted, "sha256sum; echo end", input=text)
    assert done.stdout.endswith("  -\nend\n")
    assert run(booted, "cat", input=text).stdout == text


def test_a_command_that_stops_reading_or_ends_one_output_is_heard_to_its_end(booted: Room) -> None:
    text = "0123456789abcdef" * 400_000
    done = run(booted, "head -c 4; echo; echo enough >&2; exit 3", input=text)
    assert (done.stdout, done.stderr, done.exit_status) == ("0123\n", "enough\n", 3)
    done = run(booted, "exec >&-; cat >/dev/null; seq 100000 >&2", input=text)
    assert (done.stdout, done.exit_status) == ("", 0)
    assert str(done.stderr).endswith("99999\n100000\n")


def test_a_killed_command_tells_its_signal(booted: Room) -> None:
    assert run(booted, "kill -9 $$").exit_signal[0] == "KILL"  # type: ignore[index]


def test_any_user_name_is_the_same_account_but_only_the_servers_key_opens(booted: Room) -> None:
    assert on(booted, lambda made: made.run("echo in"), user="root").stdout == "in\n"
    with pytest.raises(asyncssh.PermissionDenied):
        on(booted, lambda made: made.run("echo in"), key=asyncssh.generate_private_key("ssh-ed25519"))


def test_a_server_without_a_key_pair_lets_nobody_in(room: Room) -> None:
    room.boot()
    room.finished()
    with pytest.raises(asyncssh.PermissionDenied):
        on(room, lambda made: made.run("echo in"))


def test_the_host_key_stays_over_boots(booted: Room) -> None:
    path = booted.disk() / "etc/ssh/ssh_host_ed25519_key"
    key = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    booted.kill()
    booted.boot(first_boot=False)
    assert path.read_bytes() == key


def test_a_command_ends_with_its_channel(booted: Room) -> None:
    async def leave(made: Connection) -> None:
        process = await made.create_process("echo $$; trap '' HUP; sleep 1001 & sleep 1002")
        assert int(await process.stdout.readline())

    on(booted, leave)
    wait_for("the end of the command and its children", lambda: len(booted.pids()) == 1)


def test_what_a_command_leaves_behind_does_not_hold_the_channel(booted: Room) -> None:
    done = run(booted, "nohup sleep 1001 >/dev/null 2>&1 & echo left; sleep 1002 & exit 0")
    assert done.stdout == "left\n"
    assert done.exit_status == 0


def test_an_interactive_shell_has_a_terminal_of_the_right_size(booted: Room) -> None:
    async def talk(made: Connection) -> str:
        process = await made.create_process(term_type="xterm", term_size=(91, 31))
        process.stdin.write("stty size; tty; echo HOME-IS-$HOME\n")
        process.stdin.write("exit 4\n")
        await process.wait_closed()
        assert process.exit_status == 4
        return str(await process.stdout.read())

    said = on(booted, talk)
    assert "31 91" in said
    assert "/dev/pts/" in said
    assert f"HOME-IS-{booted.disk()}/home/ubuntu" in said


def test_the_governor_leaves_an_interactive_shell_alone(room: Room) -> None:
    room.boot(public_keys=(KEY.export_public_key().decode(),), cores=0.05)
    room.finished()

    async def talk(made: Connection) -> str:
        process = await made.create_process(term_type="xterm")
        process.stdin.write("python3 -c 'import time; e=time.time()+1.5\nwhile time.time()<e: pass'; echo do''ne\n")
        async with asyncio.timeout(25):
            said = ""
            while "done" not in said:
                said += str(await process.stdout.read(1000))
        process.stdin.write("exit\n")
        await process.wait_closed()
        return said

    assert "Stopped" not in on(room, talk)


def test_files_go_in_and_out_by_sftp(booted: Room, tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "sent").write_bytes(data)

    async def copy(made: Connection) -> None:
        async with made.start_sftp_client() as sftp:
            await sftp.put(tmp_path / "sent", "kept")
            await sftp.get("kept", tmp_path / "back")

    on(booted, copy)
    assert (booted.disk() / "home/ubuntu/kept").read_bytes() == data
    assert (tmp_path / "back").read_bytes() == data


@pytest.fixture
def openssh(booted: Room, tmp_path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """The options of OpenSSH's ssh and scp for the instance, through a switch."""
    need("ssh", "scp", "sftp", "ssh-keygen")
    (tmp_path / "key").write_bytes(KEY.export_private_key("openssh"))
    (tmp_path / "key").chmod(0o600)

    address = machine_room.an_address()

    async def nobody(inode: int, candidates: object) -> None:
        return None

    switch = Switch(nobody, 8000, lambda id, line: None)
    plug = Plug(booted.ports(), (address,), address, (Rule(22, 22),))
    booted.call(switch.apply, {"one": plug})
    options = ["-F", "none", "-i", str(tmp_path / "key"), "-o", "StrictHostKeyChecking=no"]
    options += ["-o", f"UserKnownHostsFile={tmp_path}/known_hosts", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
    try:
        yield ["ssh", *options, "-p", "8022", f"ubuntu@{address}"], ["scp", *options, "-P", "8022"]
    finally:
        booted.do(switch.close())


def test_opensshs_own_client_works(booted: Room, openssh: tuple[list[str], list[str]], tmp_path: Path) -> None:
    ssh, scp = openssh
    done = subprocess.run([*ssh, "uptime; exit 5"], capture_output=True, text=True, timeout=30, check=False)
    assert "load average" in done.stdout, done.stderr
    assert done.returncode == 5
    piped = subprocess.run([*ssh, "wc -c"], input=b"x" * 300_000, capture_output=True, timeout=30, check=False)
    assert piped.stdout.strip() == b"300000"
    (tmp_path / "here").write_text("copied")
    for options in ([], ["-O"]):
        sent = [*scp, *options, str(tmp_path / "here"), f"{ssh[-1]}:there"]
        done = subprocess.run(sent, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert (booted.disk() / "home/ubuntu/there").read_text() == "copied"
        subprocess.run([*scp, *options, f"{ssh[-1]}:there", str(tmp_path / "back")], timeout=30, check=True)
        assert (tmp_path / "back").read_text() == "copied"


def test_ten_connections_at_once(booted: Room) -> None:
    results: list[str] = []

    def one() -> None:
        results.append(str(run(booted, "sleep 0.2; echo done").stdout))

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == ["done\n"] * 10
    assert alive(booted.pids()[0])
