"""An instance as OpenSSH's own clients meet it: the wrong key, files both ways, and a shell on a terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator import machine_room, test_guest_ssh
from tests.emulator.machine_room import Room
from tests.waiting import LIMIT_SECONDS, wait_for

machine, room = machine_room.machine, machine_room.room
booted, openssh = test_guest_ssh.booted, test_guest_ssh.openssh
Commands = tuple[list[str], list[str]]
PROMPT = "ready$ "


class Terminal:
    """A program on a terminal of its own, and what it has shown."""

    def __init__(self, command: list[str]) -> None:
        self._master, theirs = os.openpty()
        self.resize(24, 80)
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.shown = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Wait until it has shown this (a regular expression), and forget all up to there."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (found := re.search(pattern, self.shown)) is None:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"timed out: no {pattern!r}; it shows {self.shown!r}"
            try:
                self.shown += os.read(self._master, 1 << 16).decode(errors="replace")
            except OSError:
                pytest.fail(f"it has ended without {pattern!r}; it shows {self.shown!r}")
        self.shown = self.shown[found.end() :]
        return found[0]

    def run(self, line: str) -> str:
        """Type a line of the shell and return what it has shown, its end code last."""
        self.type(f'{line}; echo "<$?"">"\n')
        return self.wait_for(r"(?s).*<\d+>")

    def prompt(self) -> None:
        """Wait until the shell reads keys: what is typed before is a line's text, and a Control-D in it is lost."""
        self.wait_for(rf"{re.escape(PROMPT)}$")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def shell(openssh: Commands) -> Iterator[Terminal]:
    """An interactive shell, ready."""
    ssh, _ = openssh
    terminal = Terminal([*ssh[:-1], "-tt", ssh[-1]])
    try:
        terminal.run(f"PS1='{PROMPT}'")
        yield terminal
    finally:
        terminal.close()


def in_front(room: Room, program: str) -> bool:
    """Whether the program has the terminal: before, its keys go to the shell that starts it."""
    for pid in room.pids():
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has just ended
            continue
        _, _, group, _, _, foreground, *_ = rest.split()
        if name == program and group == foreground:
            return True
    return False


def test_a_wrong_key_is_refused_and_so_is_a_password(openssh: Commands, tmp_path: Path) -> None:
    ssh, scp = openssh
    wrong = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", wrong], check=True, timeout=30)
    right = str(tmp_path / "key")
    for command in ([*ssh, "uptime"], [*scp, f"{ssh[-1]}:.bashrc", str(tmp_path)]):
        asked = [str(wrong) if word == right else word for word in command]
        asked[1:1] = ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert "Permission denied (publickey)" in done.stderr
        assert "load average" not in done.stdout


def test_sftp_carries_files_and_directories_both_ways(booted: Room, openssh: Commands, tmp_path: Path) -> None:
    ssh, scp = openssh
    data = os.urandom(3 << 20)
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent/data").write_bytes(data)
    (tmp_path / "sent/script").write_text("#!/bin/sh\n")
    (tmp_path / "sent/script").chmod(0o750)
    batch = f"put -rp {tmp_path}/sent\nls -l sent\nrename sent kept\nget -rp kept {tmp_path}/back\nrm kept/data\n"
    done = subprocess.run(
        ["sftp", *scp[1:], "-b", "-", ssh[-1]], input=batch, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "script" in done.stdout
    assert (tmp_path / "back/data").read_bytes() == data
    assert (tmp_path / "back/script").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in (booted.disk() / "home/ubuntu/kept").iterdir()] == ["script"]
    subprocess.run([*scp, "-r", f"{tmp_path}/sent", f"{ssh[-1]}:by-scp"], check=True, timeout=60)
    assert (booted.disk() / "home/ubuntu/by-scp/data").read_bytes() == data


def test_a_terminal_follows_the_size_of_its_window(shell: Terminal) -> None:
    assert "24 80" in shell.run("stty size")
    shell.run("trap 'echo re''sized' WINCH")
    shell.resize(50, 132)
    shell.wait_for("resized")
    assert "50 132" in shell.run("stty size")


def test_control_c_ends_the_program_and_not_the_shell(booted: Room, shell: Terminal) -> None:
    shell.type("echo be''gun; sleep 1000; echo not me\n")
    shell.wait_for("begun")
    wait_for("the program", lambda: in_front(booted, "sleep"))
    shell.type("\x03")
    assert "<130>" in shell.run("(exit $?)")
    assert "not me" not in shell.shown
    assert "alive" in shell.run("echo ali''ve")


def test_jobs_are_stopped_continued_and_listed(booted: Room, shell: Terminal) -> None:
    shell.type("sleep 1001\n")
    wait_for("the program", lambda: in_front(booted, "sleep"))
    shell.type("\x1a")
    shell.wait_for("Stopped")
    assert re.search(r"\[1\]\+ +Stopped +sleep 1001", shell.run("jobs"))
    assert "<0>" in shell.run("bg")
    assert re.search(r"\[1\]\+ +Running +sleep 1001", shell.run("jobs"))
    shell.type("fg\n")
    shell.wait_for("sleep 1001")
    wait_for("the program in front", lambda: in_front(booted, "sleep"))
    shell.type("\x03")
    assert "Running" not in shell.run("jobs")


def test_control_d_ends_the_session_with_the_shells_code(shell: Terminal) -> None:
    shell.run("(exit 6)")
    shell.prompt()
    shell.type("(exit 6)\n")
    shell.wait_for(r"\(exit 6\)")
    shell.prompt()
    shell.type("\x04")
    assert shell.process.wait(LIMIT_SECONDS) == 6


def test_uptime_over_ssh_is_the_instances_own(room: Room) -> None:
    """A busy instance tells of its load, its idle neighbour of none."""
    key = (test_guest_ssh.KEY.export_public_key().decode(),)
    room.boot("busy", "#!/bin/bash\nfor n in 1 2 3; do while :; do :; done & done; wait\n", cores=0.25, public_keys=key)
    room.boot("idle", cores=0.25, public_keys=key)

    def load(id: str) -> float:
        said = str(test_guest_ssh.run(room, "uptime", id=id).stdout)
        return float(said.split("load average: ")[1].split(",")[0])

    wait_for("a load of the busy one", lambda: load("busy") > 1)
    assert load("idle") < 0.7
