"""The switch lets in whom a rule lets in, and nobody else. Real sockets, real processes in real instances."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faafo_lab.cloud.emulator.machinery.switch.plug import Plug, Rule
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.system import peers
from tests.emulator import machine_room
from tests.emulator.machine_room import Machine, Room
from tests.waiting import wait_for

machine, room = machine_room.machine, machine_room.room

PORT = 5432
_OWN_FILES = 0x400  # CLONE_FILES
ANYBODY = Rule(PORT, PORT)


class Echo:
    """A service on a socket file: says `hello`, then gives back what it gets, then says `bye`."""

    def __init__(self, ports: Path, port: int = PORT) -> None:
        ports.mkdir(parents=True, exist_ok=True)
        self.path = ports / str(port)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(512)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"hello\n")
            while data := connection.recv(1 << 16):
                connection.sendall(data)
            connection.sendall(b"bye\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)


class Net:
    """A switch in the machine's loop, and what it says on consoles."""

    def __init__(self, machine: Machine) -> None:
        self.lines: list[tuple[str, str]] = []
        self.asked: list[peers.Socket] = []
        self._machine = machine

        async def owner(end: peers.Socket) -> str | None:
            self.asked.append(end)
            return await machine.hypervisor.owner(end)

        self.switch = Switch(owner, 8000, lambda id, line: self.lines.append((id, line)))

    def apply(self, **plugs: Plug) -> None:
        self._machine.call(self.switch.apply, plugs)

    def close(self) -> None:
        self._machine.do(self.switch.close())


@pytest.fixture
def net(machine: Machine) -> Iterator[Net]:
    net = Net(machine)
    try:
        yield net
    finally:
        net.close()


@pytest.fixture
def ports(machine: Machine) -> Iterator[Path]:
    """A ports directory with an echo service on PORT."""
    place = machine.hypervisor.ports_dir(f"echo{machine_room.an_address().rsplit('.', 1)[1]}")
    echo = Echo(place)
    try:
        yield place
    finally:
        echo.close()


@pytest.fixture
def address() -> str:
    return machine_room.an_address()


def plug(ports: Path, address: str, *rules: Rule, floating: tuple[str, ...] = ()) -> Plug:
    return Plug(ports, (address, *floating), address, rules)


def connects(address: str, port: int = PORT) -> bool:
    """Whether the service says hello."""
    try:
        with socket.create_connection((address, port), timeout=10) as made:
            return made.recv(6) == b"hello\n"
    except (ConnectionRefusedError, ConnectionResetError):
        return False


def test_there_is_a_connection_exactly_as_long_as_a_rule_allows_it(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address))
    assert not connects(address)
    net.apply(one=plug(ports, address, Rule(5000, 5999)))
    assert connects(address)
    net.apply(one=plug(ports, address, Rule(80, 80)))
    assert not connects(address)
    assert net.lines == []


def test_a_connection_outlives_its_rule_but_not_its_instance(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY))
    with socket.create_connection((address, PORT), timeout=10) as made:
        assert made.recv(6) == b"hello\n"
        net.apply(one=plug(ports, address))
        assert not connects(address)
        made.sendall(b"still here")
        assert made.recv(10) == b"still here"
        net.apply()
        with contextlib.suppress(ConnectionResetError):
            assert made.recv(1) == b""


def test_a_listener_comes_and_goes_with_its_socket(net: Net, address: str, machine: Machine) -> None:
    place = machine.hypervisor.ports_dir("later")
    net.apply(one=plug(place, address, ANYBODY))
    assert not connects(address)
    echo = Echo(place)
    try:
        wait_for("the listener", lambda: connects(address))
    finally:
        echo.close()
    wait_for("the listener's end", lambda: refused(address))


def refused(address: str, port: int = PORT) -> bool:
    """Whether nobody listens."""
    with socket.socket() as tried:
        return tried.connect_ex((address, port)) != 0


def test_a_link_to_a_socket_is_a_socket(net: Net, ports: Path, address: str) -> None:
    (ports / "7000").symlink_to("later")
    net.apply(one=plug(ports, address, Rule(1, 65535)))
    assert refused(address, 7000)
    (ports / "later").symlink_to(str(PORT))
    wait_for("the link's listener", lambda: connects(address, 7000))


def test_a_low_port_is_published_higher(net: Net, address: str, machine: Machine) -> None:
    place = machine.hypervisor.ports_dir("low")
    echo = Echo(place, 80)
    try:
        net.apply(one=plug(place, address, Rule(80, 80)))
        assert connects(address, 8080)
    finally:
        echo.close()


def test_a_floating_address_moves_at_once(net: Net, ports: Path, address: str) -> None:
    other, floating = machine_room.an_address(), machine_room.an_address()
    for first, second in (((floating,), ()), ((), (floating,)), ((floating,), ())):
        net.apply(one=plug(ports, address, ANYBODY, floating=first), two=plug(ports, other, ANYBODY, floating=second))
        assert connects(floating)
    net.apply(one=plug(ports, address, ANYBODY), two=plug(ports, other, ANYBODY))
    assert not connects(floating)
    assert net.lines == []


def test_each_direction_ends_on_its_own(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY))
    with socket.create_connection((address, PORT), timeout=10) as made:
        made.sendall(b"last words\n")
        made.shutdown(socket.SHUT_WR)
        said = b""
        while data := made.recv(1000):
            said += data
    assert said == b"hello\nlast words\nbye\n"


def test_much_data_arrives_whole_however_slow_the_reader(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY))
    block = os.urandom(1 << 20)
    with socket.create_connection((address, PORT), timeout=30) as made:

        def write() -> None:
            for _ in range(20):
                made.sendall(block)
            made.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        received = bytearray()
        while data := made.recv(4096 if len(received) < 100_000 else 1 << 18):
            received += data
        writer.join()
    assert received == b"hello\n" + block * 20 + b"bye\n"


def test_who_does_not_read_cannot_make_the_switch_hold_what_he_sends(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY))
    block, sent = bytes(1 << 20), 0
    with socket.create_connection((address, PORT), timeout=10) as made:
        made.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < 200 << 20:
                sent += made.send(block)
    assert sent < 100 << 20  # what the kernel's own buffers take


def test_a_taken_port_is_told_on_the_console_and_tried_again(net: Net, ports: Path, address: str) -> None:
    with socket.create_server((address, PORT)):
        net.apply(one=plug(ports, address, ANYBODY))
        ((id, line),) = net.lines
        assert id == "one"
        assert f"port {PORT} cannot be published at {address}:{PORT}: that port is taken" in line
    wait_for("the next try", lambda: not refused(address) and connects(address))
    assert len(net.lines) == 1


def test_a_service_that_does_not_answer_is_a_reset(net: Net, ports: Path, address: str) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(ports / "6000"))
    dead.close()
    net.apply(one=plug(ports, address, Rule(1, 65535)))
    assert not connects(address, 6000)
    assert connects(address)


CLIENT = """#!/bin/bash
cat > client.py <<'PYTHON'
import os, socket, sys, time
seen = {}
while True:
    for place in open("targets").read().split() if os.path.exists("targets") else []:
        host, port = place.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), timeout=10) as made:
                answer = "in" if made.recv(6) else "closed"
        except OSError as error:
            answer = "out"
        with open("results.new", "w") as results:
            seen[place] = seen.get(place, "") + answer[0]
            results.write(repr(seen))
        os.replace("results.new", "results")
    time.sleep(0.05)
PYTHON
setsid python3 client.py &
echo client-runs
"""


def reaches(room: Room, id: str, place: str, wanted: str, others: Callable[[], None] | None = None) -> None:
    """Await that a program in the instance finds `place` to be `in` or `out`, several times in a row."""
    home = room.disk(id) / "home/ubuntu"
    (home / "results").unlink(missing_ok=True)
    (home / "targets").write_text(place)

    def found() -> bool:
        if not (home / "results").exists():
            return False
        return str(eval((home / "results").read_text()).get(place, "")).endswith(wanted[0] * 3)  # noqa: S307

    wait_for(f"{id} finds {place} {wanted}", found)


def test_only_members_of_a_remote_group_pass_a_rule_that_names_it(
    net: Net, room: Room, ports: Path, address: str
) -> None:
    for id in ("member", "stranger"):
        room.boot(id, user_data=CLIENT)
        room.finished(id)
    group = Rule(PORT, PORT, remote_instances=frozenset({"member"}))
    net.apply(one=plug(ports, address, group))
    reaches(room, "member", f"{address}:{PORT}", "in")
    reaches(room, "stranger", f"{address}:{PORT}", "out")
    assert not connects(address)  # nor does this test, which is no instance
    reaches(room, "member", f"::ffff:{address}:{PORT}", "in")
    both = Rule(PORT, PORT, remote_instances=frozenset({"member", "stranger"}))
    net.apply(one=plug(ports, address, both))
    reaches(room, "stranger", f"{address}:{PORT}", "in")


def test_an_instance_counts_by_its_own_address_and_the_host_by_its(
    net: Net, room: Room, ports: Path, address: str
) -> None:
    room.boot("peer", user_data=CLIENT)
    room.finished("peer")
    other = machine_room.an_address()
    peer = plug(room.ports("peer"), other)
    net.apply(peer=peer, one=plug(ports, address, Rule(PORT, PORT, remote_prefix=f"{other}/32")))
    reaches(room, "peer", f"{address}:{PORT}", "in")
    assert not connects(address)
    net.apply(peer=peer, one=plug(ports, address, Rule(PORT, PORT, remote_prefix="127.0.0.1/32")))
    assert connects(address)
    reaches(room, "peer", f"{address}:{PORT}", "out")


# In the instance: connections, each of a new process.
NEWBORN = """import os, socket
host, port, source = open("target").read().split()
for _ in range(20):
    if not os.fork():
        with socket.socket() as made:
            try:
                made.settimeout(10)
                made.bind((source, 0))
                made.connect((host, int(port)))
                answer = "in" if made.recv(6) else "closed"
            except OSError:
                answer = "out"
        print("newborn", answer, flush=True)
        os._exit(0)
    os.wait()
"""


def answers(room: Room, id: str, target: str) -> list[str]:
    """What 20 new processes of a new instance find at the target: `HOST PORT SOURCE`."""
    room.boot(id, user_data=f"#!/bin/sh\necho {target} > target\npython3 - <<'X'\n{NEWBORN}\nX\n")
    return [line.split()[-1] for line in room.finished(id).splitlines() if "newborn " in line]


def test_an_instance_does_not_pass_by_the_hosts_address_however_new_its_process_is(
    net: Net, room: Room, ports: Path, address: str
) -> None:
    host = Rule(PORT, PORT, remote_prefix="127.0.0.1/32")
    net.apply(one=plug(ports, address, host), bold=plug(room.ports("bold"), machine_room.an_address()))
    assert connects(address)
    with machine_room.a_busy_host():
        assert answers(room, "bold", f"{address} {PORT} 127.0.0.1") == ["out"] * 20
    assert answers(room, "unplugged", f"{address} {PORT} 127.0.0.1") == ["out"] * 20  # nor one without an address


def test_a_member_passes_however_fast_processes_are_born_on_the_host(
    net: Net, room: Room, ports: Path, address: str
) -> None:
    net.apply(one=plug(ports, address, Rule(PORT, PORT, remote_instances=frozenset({"member"}))))
    with machine_room.a_busy_host():
        assert answers(room, "member", f"{address} {PORT} 0.0.0.0") == ["in"] * 20


def test_a_connection_is_refused_where_it_is_not_known_whose_it_is(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, Rule(PORT, PORT, remote_prefix="127.0.0.0/8")))
    assert connects(address)
    found = []

    def hide() -> None:
        """A thread with a table of files of its own: /proc/PID/fd shows the first thread's."""
        assert ctypes.CDLL(None, use_errno=True).unshare(_OWN_FILES) == 0
        found.append(connects(address))

    thread = threading.Thread(target=hide)
    thread.start()
    thread.join()
    assert found == [False]
    assert net.lines == [("one", f"switch: port {PORT}: who connects is not known: refused.")]


def test_rules_for_anybody_ask_nobody(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY, Rule(PORT, PORT, remote_instances=frozenset({"x"}))))
    assert connects(address)
    net.apply(one=plug(ports, address, Rule(PORT, PORT, remote_prefix="0.0.0.0/0")))
    assert connects(address)
    assert net.asked == []


def test_a_crowd_is_refused_in_one_clear_line(
    net: Net, ports: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faafo_lab.cloud.emulator.machinery.switch.switch.RELAYS_PER_INSTANCE_MAX", 20)
    net.apply(one=plug(ports, address, ANYBODY))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            made = stack.enter_context(socket.create_connection((address, PORT), timeout=10))
            assert made.recv(6) == b"hello\n"
        assert not connects(address)
        assert not connects(address)
        ((id, line),) = net.lines
        assert (id, line) == ("one", f"switch: port {PORT}: more than 20 open connections: new ones are refused.")
    wait_for("room for new ones", lambda: connects(address))


@pytest.mark.parametrize("find", [peers.ask_kernel, peers.search_tables])
@pytest.mark.parametrize("mapped", [False, True])
def test_the_peers_socket_is_found_with_its_user(
    find: Callable[[peers.Address, peers.Address], peers.Socket | None], mapped: bool, address: str
) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        with (
            socket.create_connection((f"::ffff:{address}" if mapped else address, port)) as client,
            server.accept()[0] as accepted,
        ):
            found = peers.Socket(os.fstat(client.fileno()).st_ino, os.getuid())
            assert find(accepted.getpeername(), accepted.getsockname()) == found
    assert find(("127.0.0.1", 1), (address, 1)) is None


def test_a_thousand_short_connections_leave_nothing_open(net: Net, ports: Path, address: str) -> None:
    net.apply(one=plug(ports, address, ANYBODY))
    assert connects(address)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        assert connects(address)
    wait_for("the end of all relays", lambda: len(os.listdir("/proc/self/fd")) <= before + 2)
