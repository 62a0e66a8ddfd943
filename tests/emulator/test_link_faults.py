"""What is wrong with a link does to its connections, new and open ones, what it says; and its end is an end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from faafo_lab.cloud.emulator.machinery.switch.faults import LinkFault
from tests.emulator import machine_room, test_switch
from tests.emulator.conftest import Api
from tests.emulator.machine_room import Machine, Room
from tests.emulator.test_switch import ANYBODY, PORT, Net, plug
from tests.waiting import LIMIT_SECONDS, wait_for

machine, room = machine_room.machine, machine_room.room
net, ports, address = test_switch.net, test_switch.ports, test_switch.address

ID = "echo"
SILENCE_SECONDS = 0.4


@pytest.fixture
def client(net: Net, ports: Path, address: str) -> Iterator[socket.socket]:
    """A connection to the echo service that has been greeted."""
    net.apply(**{ID: plug(ports, address, ANYBODY)})
    client = connected(address)
    assert client.recv(100) == b"hello\n"
    with client:
        yield client


def connected(address: str) -> socket.socket:
    def connect() -> socket.socket | None:
        try:
            return socket.create_connection((address, PORT), timeout=LIMIT_SECONDS)
        except OSError:
            return None

    return wait_for("a connection", connect)


class Broken:
    """Begins and ends faults from the test's thread."""

    def __init__(self, net: Net, machine: Machine) -> None:
        self.net, self.machine = net, machine

    def __call__(self, type: str, *, port: int | None = None, source: str | None = None, **attributes: int) -> str:
        id = f"fault-{len(self.net.switch.faults)}"
        fault = LinkFault(id, type, ID, source, port, attributes)
        self.machine.call(self.net.switch.begin_fault, fault)
        return id

    def end(self, id: str) -> None:
        self.machine.call(self.net.switch.end_fault, id)


@pytest.fixture
def broken(net: Net, machine: Machine) -> Broken:
    return Broken(net, machine)


def echo_seconds(client: socket.socket, data: bytes = b"x") -> float:
    begun = time.monotonic()
    client.sendall(data)
    left = len(data)
    while left:
        got = client.recv(1 << 16)
        assert got
        left -= len(got)
    return time.monotonic() - begun


def test_latency_delays_answers_of_open_and_new_connections_until_it_ends(
    client: socket.socket, address: str, broken: Broken
) -> None:
    fault = broken("latency", latency=400, jitter=50)
    assert echo_seconds(client) > 0.34
    with connected(address) as other:
        assert other.recv(100) == b"hello\n"
        assert echo_seconds(other) > 0.34
    broken.end(fault)
    wait_for("quick answers", lambda: echo_seconds(client) < 0.34)
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"lastbye\n"


def read_all(client: socket.socket) -> bytes:
    data = b""
    while more := client.recv(1 << 16):
        data += more
    return data


def test_jitter_keeps_the_order_of_what_is_said(client: socket.socket, broken: Broken) -> None:
    broken("latency", latency=60, jitter=60)
    for number in range(40):
        client.sendall(b"%03d" % number)
        time.sleep(0.002)
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"".join(b"%03d" % number for number in range(40)) + b"bye\n"


def test_bandwidth_narrows_a_link(client: socket.socket, broken: Broken) -> None:
    data = os.urandom(120_000)
    fault = broken("bandwidth", rate=200)
    assert echo_seconds(client, data) > 0.5
    broken.end(fault)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == data + b"bye\n"


def test_a_timeout_holds_all_answers_and_lets_them_go_when_it_ends(client: socket.socket, broken: Broken) -> None:
    fault = broken("timeout")
    client.sendall(b"question")
    client.settimeout(SILENCE_SECONDS)
    with pytest.raises(TimeoutError):
        client.recv(100)
    broken.end(fault)
    client.settimeout(LIMIT_SECONDS)
    assert client.recv(100) == b"question"


def test_a_timeout_closes_the_connection_when_it_is_over(client: socket.socket, broken: Broken) -> None:
    broken("timeout", timeout=200)
    client.sendall(b"question")
    assert client.recv(100) == b""


def test_a_peer_is_reset_now_and_a_new_connection_too(client: socket.socket, address: str, broken: Broken) -> None:
    broken("reset_peer", timeout=100)
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with connected(address) as other, pytest.raises(ConnectionResetError):
        read_all(other)


def test_a_limit_of_data_ends_the_connection_after_it(client: socket.socket, broken: Broken) -> None:
    broken("limit_data", bytes=10)
    client.sendall(b"0123")
    assert client.recv(100) == b"0123"
    client.sendall(b"456789abcdef")
    assert read_all(client) == b"456789"


def test_a_slow_close_delays_the_end_alone(client: socket.socket, broken: Broken) -> None:
    broken("slow_close", delay=2000)
    assert echo_seconds(client) < 2.0
    begun = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"bye\n"
    assert time.monotonic() - begun > 1.9


def test_a_fault_of_another_port_or_instance_concerns_nobody_else(client: socket.socket, broken: Broken) -> None:
    broken("latency", latency=60_000, port=PORT + 1)
    broken("latency", latency=60_000, source="somebody-else")
    assert echo_seconds(client) < 60


def test_a_fault_of_one_link_concerns_the_instance_that_connects(
    net: Net, ports: Path, address: str, room: Room, broken: Broken
) -> None:
    net.apply(**{ID: plug(ports, address, ANYBODY)})
    broken("latency", latency=400, source="one")
    script = (
        "import socket, time\n"
        f"client = socket.create_connection(('{address}', {PORT}))\n"
        "client.recv(100)\n"
        "begun = time.monotonic()\n"
        "client.sendall(b'x')\n"
        "client.recv(100)\n"
        "print('took more than 340 ms:', time.monotonic() - begun > 0.34)\n"
    )
    with connected(address) as outside:
        assert outside.recv(100) == b"hello\n"
        wait_for("quick answers", lambda: echo_seconds(outside) < 0.34)
        room.boot(user_data=f"#!/usr/bin/env python3\n{script}")
        assert "took more than 340 ms: True" in room.finished()


def test_the_door_of_a_load_balancer_is_behind_a_fault_for_anybody(
    net: Net, machine: Machine, ports: Path, address: str, broken: Broken
) -> None:
    net.apply(**{ID: plug(ports, address, ANYBODY)})

    def greeted() -> tuple[str, float]:
        place = machine.call(net.switch.door, address, PORT, "127.0.0.1/32")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT_SECONDS)
            begun = time.monotonic()
            client.connect(str(place))
            assert client.recv(100) == b"hello\n"
            return place.name, time.monotonic() - begun

    assert greeted()[0] == str(PORT)
    fault = broken("latency", latency=400)
    place, seconds = greeted()
    assert place == f"{PORT}.broken"
    assert seconds > 0.34
    broken.end(fault)
    assert greeted()[0] == str(PORT)


# The admin API


@pytest.fixture(scope="module")
def admin(running: Running) -> httpx.Client:
    return administrator(running)


def administrator(running: Running) -> httpx.Client:
    token = running.state_dir / "admin.token"
    assert token.stat().st_mode & 0o777 == 0o600
    headers = {"Authorization": f"Bearer {token.read_text()}"}
    root = running.auth_url.removesuffix("/identity")
    return httpx.Client(base_url=root, headers=headers, trust_env=False, timeout=LIMIT_SECONDS)


def test_the_admin_api_is_for_its_own_token_alone(admin: httpx.Client, api: Api) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {api.token}"}):
        answer = api("GET", "/admin/faults", headers=headers)
        assert answer.status_code == 401
        assert "admin.token" in answer.json()["error"]["message"]
    assert admin.get("/admin/faults").json() == {"faults": []}


def test_a_fault_is_made_listed_and_ended(admin: httpx.Client, api: Api) -> None:
    server, other = api.boot("target"), api.boot("source")
    wanted = {"type": "latency", "source": other, "target": server, "port": 80, "attributes": {"latency": 5}}
    made = admin.post("/admin/faults", json=wanted)
    assert made.status_code == 201
    fault = made.json()
    assert {**wanted, "id": fault["id"]} == fault
    assert admin.get("/admin/faults").json() == {"faults": [fault]}
    assert admin.delete(f"/admin/faults/{fault['id']}").status_code == 204
    assert admin.delete(f"/admin/faults/{fault['id']}").status_code == 404
    for link in ({"target": server}, {"target": other}, {"target": other, "source": server}):
        assert admin.post("/admin/faults", json={"type": "timeout", **link}).status_code == 201
    api.remove(server)
    assert [each["target"] for each in admin.get("/admin/faults").json()["faults"]] == [other]
    assert admin.delete("/admin/faults").status_code == 204
    assert admin.get("/admin/faults").json() == {"faults": []}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "not a JSON object"),
        ({}, "'type' is a required property"),
        ({"type": "fire", "target": "x"}, "'fire' is not one of"),
        ({"type": "latency", "target": "x"}, "There is no server 'x'"),
        ({"type": "latency", "target": "x", "attributes": {"rate": 1}}, "latency has no attribute 'rate', but latency"),
        ({"type": "latency", "target": "x", "attributes": {"latency": -1}}, "attributes.latency: -1"),
        ({"type": "latency", "target": "x", "attributes": {"latency": 1.5}}, "attributes.latency: 1.5"),
        ({"type": "latency", "target": "x", "port": 0}, "port: 0"),
        ({"type": "latency", "target": "x", "who": 0}, "who"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_one_sentence(admin: httpx.Client, body: object, words: str) -> None:
    sent = {"content": body} if isinstance(body, str) else {"json": body}
    answer = admin.post("/admin/faults", **sent)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_faults_and_the_token_end_with_the_emulator(tmp_path: Path) -> None:
    try:
        running = control.start(tmp_path / "cloud")
        server = Api(running).boot("target")
        before = (running.state_dir / "admin.token").read_text()
        wanted = {"type": "timeout", "target": server}
        assert administrator(running).post("/admin/faults", json=wanted).status_code == 201
        control.stop(running.state_dir)
        running = control.start(running.state_dir)
        assert (running.state_dir / "admin.token").read_text() != before
        assert administrator(running).get("/admin/faults").json() == {"faults": []}
    finally:
        control.stop(tmp_path / "cloud")
