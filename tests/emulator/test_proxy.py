"""An HTTP listener and hostile bytes: a real balancer and switch, and a member that keeps every byte it has seen.

Sources: RFC 9112, sections 2.2, 3.2, 5, 6, 7.1 and 11; RFC 9110, sections 7.6.1 and 7.8.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faafo_lab.cloud.emulator.machinery.balancing.balancer import Balancer
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Listener
from faafo_lab.cloud.emulator.machinery.balancing.pools import Member, Pool
from faafo_lab.cloud.emulator.machinery.switch.plug import Plug, Rule
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from tests.emulator import machine_room
from tests.emulator.machine_room import Machine
from tests.waiting import LIMIT_SECONDS, wait_for

machine = machine_room.machine

PORT = 8080
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Answer = Callable[[bytes], bytes | Iterable[bytes] | None]


def whole(seen: bytes) -> bool:
    """Whether this is a whole request, as a member reads it that trusts the first framing that it finds."""
    head, end, body = seen.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def ok(seen: bytes) -> bytes | None:
    return OK if whole(seen) else None


class Service:
    """A member on a socket file. It answers what `answer` gives for all that it has seen, in one piece or several, then
    ends its connection, or, where it `keeps` it, waits for another request."""

    def __init__(self, path: Path) -> None:
        self.seen: list[bytes] = []
        self.answer: Answer = ok
        self.keeps = False
        self.open = self.connections = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self.open += 1
        self.connections += 1
        with connection, contextlib.suppress(OSError):
            while self._request(connection) and self.keeps:
                pass
        self.open -= 1

    def _request(self, connection: socket.socket) -> bool:
        """One request and its answer; whether there may be another."""
        seen = b""
        while data := connection.recv(1 << 16):
            if not seen:
                place = len(self.seen)
                self.seen.append(b"")
            self.seen[place] = seen = seen + data
            if (said := self.answer(seen)) is not None:
                for piece in [said] if isinstance(said, bytes) else said:
                    connection.sendall(piece)
                while isinstance(said, bytes) and b" 101 " in said and (data := connection.recv(1 << 16)):
                    connection.sendall(data.upper())
                return said != b""
        return False

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Front:
    """A listener in front of the service."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.vip, self.member = machine_room.an_address(), machine_room.an_address()
        ports = machine.hypervisor.ports_dir(f"http{self.vip.rsplit('.', 1)[1]}")
        self.service = Service(ports / "80")
        self.switch = Switch(machine.hypervisor.owner, 8000, lambda id, line: None)
        self.balancer = machine.call(Balancer, self.switch)
        anybody = Plug(ports, (self.member,), self.member, (Rule(80, 80),))
        machine.call(self.switch.apply, {"one": anybody})
        self.listen()

    def listen(self, *, alone: bool = False, **more: Any) -> None:
        """Be a listener with these settings; `alone`: without the member."""
        settings: dict[str, Any] = {"client_seconds": LIMIT_SECONDS, "member_seconds": LIMIT_SECONDS, **more}
        listener = Listener((self.vip,), PORT, True, "pool", -1, connect_seconds=LIMIT_SECONDS, **settings)
        member = Member("one", self.member, 80, 1, False, f"{self.vip}/32", True, self.member, 80)
        pool = Pool("ROUND_ROBIN", () if alone else (member,))
        self._machine.call(self.balancer.apply, {"front": listener}, {"pool": pool})

    def close(self) -> None:
        self._machine.do(self.balancer.close())
        self._machine.do(self.switch.close())
        self.service.close()

    def connect(self) -> socket.socket:
        return socket.create_connection((self.vip, PORT), timeout=LIMIT_SECONDS)

    def talk(self, raw: bytes) -> bytes:
        """Say all this, and no more; all that comes back until the balancer ends it."""
        with self.connect() as made:
            made.sendall(raw)
            made.shutdown(socket.SHUT_WR)
            return rest(made)


def rest(made: socket.socket) -> bytes:
    answer = b""
    while data := made.recv(1 << 16):
        answer += data
    return answer


def exactly(made: socket.socket, size: int) -> bytes:
    answer = bytearray()
    while len(answer) < size:
        data = made.recv(1 << 16)
        assert data, len(answer)
        answer += data
    return bytes(answer)


def until(made: socket.socket, mark: bytes) -> bytes:
    answer = b""
    while mark not in answer:
        data = made.recv(1 << 16)
        assert data, answer
        answer += data
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"(?:^|ok|>\n|\r\n\r\n)HTTP/1\.1 (\d+) ", answer)]


@pytest.fixture(scope="module")
def running(machine: Machine) -> Iterator[Front]:
    made = Front(machine)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def front(running: Front) -> Front:
    """A listener as it is by default, whose member has seen nothing yet."""
    wait_for("the end of earlier connections", lambda: running.service.open == 0)
    running.service.answer = ok
    running.service.keeps = False
    running.service.seen.clear()
    running.service.connections = 0
    running.listen()
    return running


def request(line: str = "POST / HTTP/1.1", *fields: str, body: str = "", host: str = "Host: x") -> bytes:
    return "\r\n".join([line, *([host] if host else []), *fields, "", body]).encode("latin1")


CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = {
    "TE and CL": (400, request("POST / HTTP/1.1", CHUNKED, "Content-Length: 5", body="0\r\n\r\n" + SMUGGLED)),
    "CL and TE": (400, request("POST / HTTP/1.1", "Content-Length: 5", CHUNKED, body="0\r\n\r\n" + SMUGGLED)),
    "two lengths": (400, request("POST / HTTP/1.1", "Content-Length: 0", "Content-Length: 3", body="abc")),
    "a list of lengths": (400, request("POST / HTTP/1.1", "Content-Length: 3, 4", body="abcd")),
    "+3": (400, request("POST / HTTP/1.1", "Content-Length: +3", body="abc")),
    "-3": (400, request("POST / HTTP/1.1", "Content-Length: -3", body="abc")),
    "0x3": (400, request("POST / HTTP/1.1", "Content-Length: 0x3", body="abc")),
    "3 4": (400, request("POST / HTTP/1.1", "Content-Length: 3 4", body="abc")),
    "an empty length": (400, request("POST / HTTP/1.1", "Content-Length:", body="abc")),
    "a Unicode digit": (400, request("POST / HTTP/1.1", "Content-Length: \xb3", body="abc")),
    "a huge length": (400, request("POST / HTTP/1.1", "Content-Length: 1" + "0" * 30)),
    "identity, chunked": (501, request("POST / HTTP/1.1", "Transfer-Encoding: identity, chunked", body="0\r\n\r\n")),
    "chunked, identity": (501, request("POST / HTTP/1.1", "Transfer-Encoding: chunked, identity", body="0\r\n\r\n")),
    "chunked twice": (501, request("POST / HTTP/1.1", CHUNKED, CHUNKED, body="0\r\n\r\n")),
    "xchunked": (501, request("POST / HTTP/1.1", "Transfer-Encoding: xchunked", body="0\r\n\r\n")),
    "chunked behind a tab of another kind": (400, request("POST / HTTP/1.1", "Transfer-Encoding: \x0bchunked")),
    "chunked in HTTP/1.0": (400, request("POST / HTTP/1.0", CHUNKED, body="0\r\n\r\n")),
    "a chunk of 0x1": (400, request("POST / HTTP/1.1", CHUNKED, body="0x1\r\na\r\n0\r\n\r\n")),
    "a chunk of +1": (400, request("POST / HTTP/1.1", CHUNKED, body="+1\r\na\r\n0\r\n\r\n")),
    "a chunk of -1": (400, request("POST / HTTP/1.1", CHUNKED, body="-1\r\na\r\n0\r\n\r\n")),
    "a chunk of 1_0": (400, request("POST / HTTP/1.1", CHUNKED, body="1_0\r\n" + "a" * 16 + "\r\n0\r\n\r\n")),
    "a chunk without a size": (400, request("POST / HTTP/1.1", CHUNKED, body="\r\na\r\n0\r\n\r\n")),
    "a fold before any field": (400, request("GET / HTTP/1.1", host=" Host: x")),
    "a bare CR in a field": (400, request("GET / HTTP/1.1", "A: b\rTransfer-Encoding: chunked")),
    "a bare CR in the first line": (400, request("GET /\r HTTP/1.1")),
    "a blank before the colon": (400, request("POST / HTTP/1.1", "Content-Length : 3", body="abc")),
    "a field without a colon": (400, request("GET / HTTP/1.1", "nonsense")),
    "a field without a name": (400, request("GET / HTTP/1.1", ": nonsense")),
    "NUL in a name": (400, request("GET / HTTP/1.1", "A\0: b")),
    "NUL in a value": (400, request("GET / HTTP/1.1", "A: b\0c")),
    "NUL in a path": (400, request("GET /\0 HTTP/1.1")),
    "a blank in a path": (400, request("GET /a b HTTP/1.1")),
    "two blanks": (400, request("GET  / HTTP/1.1")),
    "a tab": (400, request("GET\t/ HTTP/1.1")),
    "a relative path": (400, request("GET a HTTP/1.1")),
    "an authority with a user": (400, request("GET http://a@b/ HTTP/1.1")),
    "CONNECT": (501, request("CONNECT 127.0.0.1:22 HTTP/1.1", body=SMUGGLED)),
    "no Host": (400, request("GET / HTTP/1.1", host="")),
    "two Hosts": (400, request("GET / HTTP/1.1", "Host: y")),
    "a Host with a path": (400, request("GET / HTTP/1.1", host="Host: x/y")),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"),
    "70 kB of one field": (431, request("GET / HTTP/1.1", "A: " + "b" * 70_000)),
    "70 kB of many fields": (431, request("GET / HTTP/1.1", *["A: " + "b" * 97] * 700)),
    "70 kB of first line": (414, request("GET /" + "a" * 70_000 + " HTTP/1.1")),
    "70 kB and no end of the line": (414, b"GET /" + b"a" * 70_000),
    "70 kB and no end of the head": (431, b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000),
    "half a head": (400, b"GET / HTTP/1.1\r\nHost: x\r\n"),
    "half a line": (400, b"GET / HT"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_no_member_acts_on_it(front: Front, name: str) -> None:
    status, raw = REFUSED[name]
    answer = front.talk(raw)
    assert statuses(answer) == [status]
    assert not any(map(whole, front.service.seen))
    assert not any(b"smuggled" in seen for seen in front.service.seen)


LINE = "POST / HTTP/1.1"
PASSED = {
    # what is sent: each request that the member has seen, by its first line and body
    "a chunk's extension": (
        request(LINE, CHUNKED, body='3;a="b"\r\nabc\r\n0\r\n\r\n'), [(LINE, "3\r\nabc\r\n0\r\n\r\n")]),
    "trailers": (
        request(LINE, CHUNKED, body="3\r\nabc\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 9\r\n\r\n"),
        [(LINE, "3\r\nabc\r\n0\r\n\r\n")],
    ),
    "one length twice": (request(LINE, "Content-Length: 3", "Content-Length: 3", body="abc"), [(LINE, "abc")]),
    "a list of one length": (request(LINE, "Content-Length: 3, 3", body="abc"), [(LINE, "abc")]),
    "Chunked": (
        request(LINE, "Transfer-Encoding: Chunked", body="1\r\na\r\n0\r\n\r\n"), [(LINE, "1\r\na\r\n0\r\n\r\n")]),
    "lines that end in LF": (b"GET /a HTTP/1.1\nHost: x\n\nGET /b HTTP/1.1\nHost: x\n\n",
                             [("GET /a HTTP/1.1", ""), ("GET /b HTTP/1.1", "")]),
    "blank lines before": (b"\r\n\r\n" + request("GET / HTTP/1.1"), [("GET / HTTP/1.1", "")]),
    "an absolute target": (request("GET http://host:81?q HTTP/1.1"), [("GET /?q HTTP/1.1", "")]),
    "the whole server": (request("OPTIONS * HTTP/1.1"), [("OPTIONS * HTTP/1.1", "")]),
    "a method of its own": (request("brew /pot HTTP/1.1"), [("brew /pot HTTP/1.1", "")]),
    "bytes above ASCII": (
        request("GET /\xff%ff?\xc3\xa4 HTTP/1.1", "A: \xff"), [("GET /\xff%ff?\xc3\xa4 HTTP/1.1", "")]),
    "HTTP/1.0": (request("GET / HTTP/1.0", "Connection: keep-alive", host="") + request(), [("GET / HTTP/1.1", "")]),
    "a body in HTTP/1.0": (request("POST / HTTP/1.0", "Content-Length: 3", body="abc"), [(LINE, "abc")]),
    "HTTP/1.7": (request("GET / HTTP/1.7"), [("GET / HTTP/1.1", "")]),
    "a pipeline": (
        request("GET /a HTTP/1.1") + request(LINE, "Content-Length: 3", body="abc")
        + request(LINE, CHUNKED, body="1\r\na\r\n0\r\n\r\n") + request("GET /d\xff HTTP/1.1", "Connection: close")
        + request("GET /smuggled HTTP/1.1"),
        [("GET /a HTTP/1.1", ""), (LINE, "abc"), (LINE, "1\r\na\r\n0\r\n\r\n"), ("GET /d\xff HTTP/1.1", "")],
    ),
    "a body that looks like a request": (
        request(LINE, f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED), [(LINE, SMUGGLED)]),
    "Connection: Content-Length": (
        request(LINE, "Connection: Content-Length", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
        [(LINE, SMUGGLED)],
    ),
    "Connection: Transfer-Encoding": (
        request(LINE, "Connection: Transfer-Encoding", CHUNKED, body="1\r\na\r\n0\r\n\r\n"),
        [(LINE, "1\r\na\r\n0\r\n\r\n")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSED)
def test_what_can_be_read_in_one_way_only_is_passed_on_as_that(front: Front, name: str) -> None:
    raw, expected = PASSED[name]
    answer = front.talk(raw)
    assert statuses(answer) == [200] * len(expected)
    seen = [(each.partition(b"\r\n")[0], each.partition(b"\r\n\r\n")[2]) for each in front.service.seen]
    assert seen == [(line.encode("latin1"), body.encode("latin1")) for line, body in expected]
    assert b"192.0.2.1" not in b"".join(front.service.seen)


def fields(seen: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in seen.partition(b"\r\n\r\n")[0].decode("latin1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name, []).append(value)
    return found


def test_a_client_cannot_take_fields_away_by_naming_them_in_connection(front: Front) -> None:
    kept = {"Host": ["x"], "Cookie": ["a=b"], "Authorization": ["Basic Og=="], "Cache-Control": ["no-store"],
            "X-Forwarded-For": ["192.0.2.9"], "Content-Type": ["text/plain"], "If-Match": ['"a"'],
            "Accept": ["*/*"]}  # fmt: skip
    sent = [f"{name}: {value[0]}" for name, value in kept.items() if name != "Host"]
    raw = request("GET / HTTP/1.1", *sent, f"Connection: X-Hop, close, {', '.join(kept)}", "X-Hop: 1", "TE: trailers")
    assert statuses(front.talk(raw)) == [200]
    assert fields(front.service.seen[0]) == kept


def test_a_forwarded_address_cannot_be_taken_away_and_an_absolute_target_names_the_host(front: Front) -> None:
    front.listen(insert_headers=("X-Forwarded-For", "X-Forwarded-Port"))
    raw = request("GET http://host:81/ HTTP/1.1", "Connection: X-Forwarded-For, X-Forwarded-Port", "A: b\r\n c")
    assert statuses(front.talk(raw)) == [200]
    assert fields(front.service.seen[0]) == {"Host": ["host:81"], "A": ["b c"], "X-Forwarded-For": ["127.0.0.1"],
                                             "X-Forwarded-Port": [str(PORT)]}  # fmt: skip
    front.talk(request("GET / HTTP/1.0", host=""))
    assert fields(front.service.seen[1])["Host"] == [f"{front.vip}:{PORT}"]


UPGRADE = request("GET / HTTP/1.1", "Connection: keep-alive, Upgrade", "Upgrade: echo")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def test_a_member_that_does_not_switch_gets_no_tunnel_and_no_forged_address(front: Front) -> None:
    front.listen(insert_headers=("X-Forwarded-For",))
    forged = request("GET /forged HTTP/1.1", "X-Forwarded-For: 10.0.0.1")
    answer = front.talk(UPGRADE + forged)
    assert statuses(answer) == [200, 200]
    first, second = front.service.seen
    assert b"forged" not in first
    assert fields(first)["Upgrade"] == ["echo"]
    assert fields(second)["X-Forwarded-For"] == ["10.0.0.1", "127.0.0.1"]


def test_a_tunnel_begins_after_the_members_101_and_each_direction_ends_for_itself(front: Front) -> None:
    front.service.answer = lambda seen: SWITCHING + b"at once " if whole(seen) else None
    with front.connect() as made:
        made.sendall(UPGRADE)
        assert until(made, b"at once ").startswith(b"HTTP/1.1 101 ")
        made.sendall(b"hello")
        assert until(made, b"HELLO") == b"HELLO"
        made.sendall(b" and good-bye")
        made.shutdown(socket.SHUT_WR)
        assert rest(made) == b" AND GOOD-BYE"


def test_a_silent_tunnel_is_cut(front: Front) -> None:
    front.service.answer = lambda seen: SWITCHING if whole(seen) else None
    front.listen(client_seconds=0.3)
    with front.connect() as made:
        made.sendall(UPGRADE)
        assert until(made, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        with contextlib.suppress(ConnectionResetError):
            assert rest(made) == b""
    stats = front.balancer.frontends["front"].stats
    wait_for("its end", lambda: stats.active_connections == 0)


@pytest.mark.parametrize("asked", [UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"), request("GET / HTTP/1.1"),
                                   request("GET / HTTP/1.1", "Upgrade: echo")])  # fmt: skip
def test_a_101_that_nobody_has_asked_for_is_no_answer(front: Front, asked: bytes) -> None:
    front.service.answer = lambda seen: SWITCHING if whole(seen) else None
    assert statuses(front.talk(asked)) == [502]


@pytest.mark.parametrize("framing", ["Content-Length: 10000000", CHUNKED])
def test_an_answer_given_before_the_body_was_read_reaches_the_client(front: Front, framing: str) -> None:
    too_large = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nok"
    front.service.answer = lambda seen: too_large if b"\r\n\r\n" in seen else None
    body = "a" * 10_000_000 if framing != CHUNKED else "989680\r\n" + "a" * 10_000_000 + "\r\n0\r\n\r\n"
    assert statuses(front.talk(request("POST / HTTP/1.1", framing, body=body))) == [413]
    with front.connect() as made:  # and at once, where the client waits for it
        made.sendall(request("POST / HTTP/1.1", framing, "Expect: 100-continue"))
        answer = rest(made)
    assert statuses(answer) == [413]
    assert b"\r\nConnection: close\r\n" in answer


def test_a_body_is_sent_when_the_member_says_go_on(front: Front) -> None:
    front.service.answer = lambda seen: ok(seen) if seen.endswith(b"abc") else None
    with front.connect() as made:
        made.sendall(request("POST / HTTP/1.1", "Content-Length: 3", "Expect: 100-continue"))
        wait_for("the head", lambda: any(b"Expect: 100-continue" in seen for seen in front.service.seen))
        made.sendall(b"abc")
        assert until(made, b"ok").startswith(b"HTTP/1.1 200 ")
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    front.service.answer = lambda seen: early + OK if whole(seen) else None
    assert front.talk(request("GET / HTTP/1.1")).startswith(b"HTTP/1.1 103 ")
    assert statuses(front.talk(request("GET / HTTP/1.0"))) == [200]


ANSWERS = {
    "both framings": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", [502]),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok ", [502]),
    "a length of +2": (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", [502]),
    "NUL": (b"HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 2\r\n\r\nok", [502]),
    "70 kB": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, [502]),
    "nonsense": (b"nonsense\r\n\r\n", [502]),
    "nothing": (b"", [502]),
    "a body until the end": (b"HTTP/1.1 200 OK\r\n\r\nok", [200]),
    "two answers": (OK + OK, [200]),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", [204]),
    "Connection: Content-Length": (OK.replace(b"\r\n\r\n", b"\r\nConnection: Content-Length\r\n\r\n"), [200]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_members_answer_is_framed_anew_or_a_502(front: Front, name: str) -> None:
    said, expected = ANSWERS[name]
    front.service.answer = lambda seen: said if whole(seen) else None
    assert statuses(front.talk(request("GET / HTTP/1.1"))) == expected


def test_an_answer_that_is_cut_short_is_seen_to_be(front: Front) -> None:
    front.service.answer = lambda seen: OK[:-1] if whole(seen) else None
    assert front.talk(request("GET / HTTP/1.1")).endswith(b"\r\nContent-Length: 2\r\n\r\no")
    front.service.answer = lambda seen: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    assert front.talk(request("GET / HTTP/1.1")).endswith(b"\r\n\r\n2\r\nok\r\n")


def test_a_client_that_is_silent_in_the_midst_of_its_request_is_told_so(front: Front) -> None:
    front.listen(client_seconds=0.3)
    for raw in (b"GET / HT", b"GET / HTTP/1.1\r\nA", request("POST / HTTP/1.1", "Content-Length: 3", body="a")):
        with front.connect() as made:
            made.sendall(raw)
            assert statuses(rest(made)) == [408]
    with front.connect() as made:
        assert rest(made) == b""


def test_a_client_that_resets_its_connection_leaves_nothing_open(front: Front) -> None:
    for raw in (b"GET", request("POST / HTTP/1.1", "Content-Length: 3", body="a")):
        with front.connect() as made:
            made.sendall(raw)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stats = front.balancer.frontends["front"].stats
    wait_for("their end", lambda: stats.active_connections == 0)


def test_a_kept_connection_serves_again_but_only_what_may_be_repeated(front: Front) -> None:
    front.service.keeps = True
    get, post = request("GET / HTTP/1.1"), request("POST / HTTP/1.1", "Content-Length: 3", body="abc")
    assert statuses(front.talk(get * 5)) == [200] * 5
    assert front.service.connections == 1
    assert statuses(front.talk(post + get + post)) == [200] * 3
    assert front.service.connections == 3
    wait_for("the end of those that nobody uses", lambda: front.service.open == 0)


def test_a_kept_connection_that_its_member_ends_costs_nothing(front: Front) -> None:
    front.service.keeps = True
    get, post = request("GET /a HTTP/1.1"), request("POST / HTTP/1.1", "Content-Length: 3", body="abc")
    assert statuses(front.talk(get)) == [200]

    def once(seen: bytes) -> bytes | None:
        front.service.answer = ok
        return b""  # the member ends the connection as the next request comes

    front.service.answer = once
    assert statuses(front.talk(request("GET /b HTTP/1.1"))) == [200]
    assert [seen.split()[1] for seen in front.service.seen] == [b"/a", b"/b", b"/b"]
    front.service.answer = once
    assert statuses(front.talk(post)) == [502]  # nobody knows whether it was done: it is not sent again
    assert sum(b"POST" in seen for seen in front.service.seen) == 1


@pytest.mark.parametrize("unclean", [
    OK + OK, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK.replace(b"1.1", b"1.0"),
])  # fmt: skip
def test_a_connection_that_is_not_clean_is_not_kept(front: Front, unclean: bytes) -> None:
    front.service.keeps = True
    front.service.answer = lambda seen: unclean if whole(seen) else None
    assert statuses(front.talk(request("GET / HTTP/1.1") * 3)) == [200] * 3
    assert front.service.connections == 3


# -- the common request, which nothing reads twice -------------------------------------------------------------------


LARGE = random.Random(1).randbytes(1 << 24)  # more than what sockets hold


def framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it_and_then_the_next_one(front: Front) -> None:
    front.service.keeps = True
    front.service.answer = lambda seen: (framed(LARGE) if b"/large" in seen else OK) if whole(seen) else None
    stats = front.balancer.frontends["front"].stats
    with front.connect() as made:
        before = stats.bytes_out
        made.sendall(request("GET /large HTTP/1.1"))
        wait_for("more than the client takes", lambda: stats.bytes_out > before)
        made.sendall(request("GET /next HTTP/1.1"))  # in the midst of the answer
        assert exactly(made, len(framed(LARGE) + OK)) == framed(LARGE) + OK
    assert front.service.connections == 1


def test_a_client_that_takes_no_more_of_its_answer_is_cut_and_so_is_the_member(front: Front) -> None:
    front.service.answer = lambda seen: framed(LARGE) if whole(seen) else None
    front.listen(client_seconds=0.3)
    stats = front.balancer.frontends["front"].stats
    before = stats.bytes_out
    with front.connect() as made:
        made.sendall(request("GET / HTTP/1.1"))
        wait_for("the answer", lambda: stats.bytes_out > before)
        wait_for("the end", lambda: stats.active_connections == 0)
        wait_for("the member's end", lambda: front.service.open == 0)
        assert 0 < stats.bytes_out - before < len(LARGE)


def test_an_answer_to_a_post_that_is_odd_from_its_middle_on_is_handed_over_and_nothing_is_sent_twice(
    front: Front,
) -> None:
    front.service.keeps, body, go = True, b"0123456789" * 100_000, threading.Event()

    def answer(seen: bytes) -> Iterable[bytes] | None:
        if not whole(seen):
            return None
        return pieces() if seen.startswith(b"POST") else [OK]

    def pieces() -> Iterator[bytes]:
        yield b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body[:1000]
        go.wait(LIMIT_SECONDS)
        yield body[1000:] + b"\r\n0\r\n\r\n"

    front.service.answer = answer
    with front.connect() as made:
        made.sendall(request("POST / HTTP/1.1", "Content-Length: 3", body="abc"))
        first = until(made, body[:1000])
        go.set()
        said = first + until(made, b"\r\n0\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 201 Created\r\n")
        chunks = re.split(rb"(?:^|\r\n)[0-9a-f]+\r\n", said.partition(b"\r\n\r\n")[2])
        assert b"".join(chunks).rstrip() == body
        made.sendall(request("GET / HTTP/1.1"))
        assert until(made, b"ok") == OK
    assert [seen.split()[0] for seen in front.service.seen] == [b"POST", b"GET"]


@pytest.mark.parametrize(("line", "answer"), [
    ("HEAD / HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    ("HEAD / HTTP/1.1", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("GET / HTTP/1.1", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET / HTTP/1.1", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
])  # fmt: skip
def test_what_has_no_body_is_not_waited_for_whatever_its_length(front: Front, line: str, answer: bytes) -> None:
    front.service.keeps = True
    front.service.answer = lambda seen: answer if b"A: b" in seen else ok(seen)
    with front.connect() as made:
        for _ in range(2):
            made.sendall(request(line, "A: b"))
            assert until(made, b"\r\n\r\n") == answer
            made.sendall(request("GET / HTTP/1.1"))
            assert until(made, b"ok") == OK
    assert front.service.connections == 1


def test_fields_are_added_to_each_request_of_a_connection_and_its_own_stay_behind(front: Front) -> None:
    front.service.keeps = True
    front.listen(insert_headers=("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"))
    keep = ("Connection: keep-alive", "Keep-Alive: timeout=5")
    added = {"X-Forwarded-For": ["127.0.0.1"], "X-Forwarded-Port": [str(PORT)], "X-Forwarded-Proto": ["http"]}
    front.service.answer = lambda seen: (
        OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") if whole(seen) else None
    )
    with front.connect() as made:
        for _ in range(2):
            made.sendall(request("GET / HTTP/1.1", "A: b", *keep))
            assert until(made, b"ok") == OK
        made.sendall(request("POST / HTTP/1.1", *keep, "Content-Length: 3", body="abc"))
        assert until(made, b"ok") == OK
    get, again, post = front.service.seen
    assert fields(get) == fields(again) == {"Host": ["x"], "A": ["b"], **added}
    assert fields(post) == {"Host": ["x"], "Content-Length": ["3"], **added}
    assert post.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize("raw", [
    request("GET / HTTP/1.1"),
    request("POST / HTTP/1.1", "Content-Length: 3", body="abc"),
    request("POST / HTTP/1.1", CHUNKED, body="3\r\nabc\r\n0\r\n\r\n"),
])  # fmt: skip
def test_a_silent_member_that_is_gone_is_a_502_soon_and_an_answer_that_it_has_begun_is_finished(
    front: Front, raw: bytes
) -> None:
    go = threading.Event()

    def half(seen: bytes) -> Iterator[bytes]:
        yield OK[:-1]
        go.wait(LIMIT_SECONDS)
        yield OK[-1:]

    front.service.answer = lambda seen: half(seen) if b"/begun" in seen else None
    with front.connect() as begun, front.connect() as silent:
        begun.sendall(request("GET /begun HTTP/1.1"))
        assert until(begun, OK[:-1]) == OK[:-1]
        silent.sendall(raw)
        wait_for("the request", lambda: any(b"/begun" not in seen and whole(seen) for seen in front.service.seen))
        front.listen(alone=True)
        assert statuses(rest(silent)) == [502]
        go.set()
        assert until(begun, b"k") == b"k"
