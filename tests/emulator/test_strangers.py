"""Another user of the machine gets nowhere: a real one, who tries files, sockets, processes and APIs."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.system import sockets, tree
from tests.waiting import wait_for

from .conftest import Api

NOBODY = 65534
SECRET = "the-instance-s-own-secret"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A cloud whose place everybody can get to, as in a home directory that is open to all; with a server in it."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        api = Api(control.start(place / "cloud"))
        script = f"#!/bin/sh\nSECRET={SECRET}\nexport SECRET\nsleep 1000 &\necho up\n"
        rule = {"security_group_rule": {"direction": "ingress", "protocol": "tcp", "port_range_min": 22,
                                        "port_range_max": 22, "security_group_id": _default_group(api)}}  # fmt: skip
        api.make("/networking/v2.0/security-group-rules", rule)
        server = api.boot("host", user_data=base64.b64encode(script.encode()).decode())
        console = place / "cloud" / "instances" / server / "console.log"
        wait_for("the user data", lambda: "\nup" in console.read_text())
        yield api
    finally:
        control.stop(place / "cloud")
        shutil.rmtree(place)


def _default_group(api: Api) -> str:
    return str(api.get("/networking/v2.0/security-groups?name=default")["security_groups"][0]["id"])


def as_nobody(work: Callable[[], Any]) -> Any:
    """What a function finds as another user, in a process of its own."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ours)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with os.fdopen(theirs, "w") as pipe:
                json.dump(work(), pipe)
        except BaseException as error:
            print("as nobody:", repr(error), flush=True)
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        with os.fdopen(ours) as pipe:
            return json.loads(pipe.read())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _allowed(tries: dict[str, Callable[[], Any]]) -> list[str]:
    """Which of these are not refused."""
    found = []
    for name, attempt in tries.items():
        try:
            attempt()
        except PermissionError:
            continue
        except OSError as error:
            name = f"{name}: {error!r}"
        found.append(name)
    return found


def _processes(api: Api) -> list[int]:
    return [api.running.pid, *tree.leftovers(api.running.state_dir)]


def test_files_and_sockets_are_out_of_a_strangers_reach(api: Api) -> None:
    directory = api.running.state_dir
    places = [directory, sockets.sockets_dir(directory)]
    for place in places:
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    known = [path for place in places for path in (place, *place.rglob("*"))]
    attempts: dict[str, Callable[[], Any]] = {}
    for path in known:
        if path.is_socket():
            attempts[f"connect to {path}"] = lambda path=path: _connect(path)
        elif path.is_dir():
            attempts[f"list {path}"] = lambda path=path: os.listdir(path)
            attempts[f"write to {path}"] = lambda path=path: (path / "new").write_text("")
        else:
            attempts[f"read {path}"] = lambda path=path: path.read_bytes()
            attempts[f"overwrite {path}"] = lambda path=path: path.open("ab")
    assert len([name for name in attempts if name.startswith("connect")]) >= 2
    assert len([name for name in attempts if name.startswith("read")]) > 10
    assert as_nobody(lambda: [os.getuid(), _allowed(attempts)]) == [NOBODY, []]


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def test_the_states_own_files_are_the_users_alone(api: Api) -> None:
    directory = api.running.state_dir
    for path in (*directory.iterdir(), *(directory / "images").iterdir()):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_the_process_table_tells_no_secrets(api: Api) -> None:
    pids = _processes(api)
    assert len(pids) >= 4
    secrets = [SECRET, api.token, api.auth["password"], Api(api.running, "embedded-alt").auth["password"]]
    mine = b"".join(tree.read(f"/proc/{pid}/environ", 1 << 17) for pid in pids)
    assert SECRET.encode() in mine  # it is there to be found

    def tries() -> list[Any]:
        seen = b"".join(tree.read(f"/proc/{pid}/{name}", 1 << 17) for pid in pids for name in ("cmdline", "status"))
        attempts = {
            f"/proc/{pid}/{name}": lambda pid=pid, name=name: (
                os.listdir(f"/proc/{pid}/{name}")
                if name in ("fd", "root/")
                else Path(f"/proc/{pid}/{name}").read_bytes()
            )
            for pid in pids
            for name in ("environ", "maps", "mem", "fd", "io")
        }
        attempts |= {f"kill {pid}": lambda pid=pid: os.kill(pid, 0) for pid in pids}
        return [bool(seen), [each for each in secrets if each.encode() in seen], _allowed(attempts)]

    assert as_nobody(tries) == [True, [], []]


def test_the_apis_and_ssh_are_there_and_let_no_stranger_in(api: Api) -> None:
    host, port = api.root.removeprefix("http://").split(":")
    server = api.get("/compute/v2.1/servers/detail")["servers"][0]
    address = server["addresses"]["private"][0]["addr"]

    def tries() -> list[Any]:
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("GET", "/compute/v2.1/servers/detail")
        answer = connection.getresponse()
        refused = [answer.status, server["id"] in answer.read().decode()]
        with socket.create_connection((address, 22 + api.port_offset), timeout=30) as ssh:
            return [*refused, ssh.recv(4).decode()]

    assert as_nobody(tries) == [401, False, "SSH-"]
