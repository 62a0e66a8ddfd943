"""HTTP requests by the clock (an open loop) or one after the other (a closed one), over kept connections.

As little as measures: a protocol that writes bytes and counts the answer's. A latency counts from the moment at which
the request was *meant* to start, so a server that stalls cannot hide it (coordinated omission).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

ANSWER_SECONDS = 30.0
CONNECTIONS_MAX = 400

Request = Callable[[], bytes]  # makes the next request


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> int:
        """Send a request; the answer's status."""
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._received = b""
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._answer is None or self._answer.done():
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail every waiting request."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))


@dataclass
class Outcome:
    """What was measured: latencies in seconds, answers by status (0: none)."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def count(self, status: int, latency: float) -> None:
        """Note one answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(latency)

    @property
    def good(self) -> int:
        """How many were answered with 2xx."""
        return sum(number for status, number in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    def percentile(self, percent: float) -> float:
        """A latency in seconds, of all requests."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


class _Pool:
    """Connections to some servers, in turn."""

    def __init__(self, addresses: Sequence[str]):
        self._addresses = addresses
        self._idle: dict[str, list[Connection]] = {address: [] for address in addresses}
        self._open: list[Connection] = []
        self._next = 0

    async def ask(self, request: bytes, outcome: Outcome, intended: float, end: float = float("inf")) -> None:
        """Send a request to the next server; only what is answered by ``end`` is an answer."""
        address = self._addresses[self._next % len(self._addresses)]
        self._next += 1
        try:
            connection = self._idle[address].pop() if self._idle[address] else await self._connect(address)
            status = await asyncio.wait_for(connection.ask(request), ANSWER_SECONDS)
            self._idle[address].append(connection)
        except (OSError, TimeoutError):
            status = 0
        outcome.count(status if monotonic() <= end else 0, monotonic() - intended)

    async def _connect(self, address: str) -> Connection:
        if len(self._open) >= CONNECTIONS_MAX:
            raise ConnectionRefusedError("too many connections: the server does not keep up")
        loop = asyncio.get_running_loop()
        if address.startswith("unix:"):
            _, connection = await loop.create_unix_connection(Connection, address.removeprefix("unix:"))
        else:
            url = urlsplit(address)
            _, connection = await loop.create_connection(Connection, url.hostname, url.port or 80)
        self._open.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._open:
            if connection.transport is not None:
                connection.transport.abort()


def closed_loop(addresses: Sequence[str], request: Request, connections: int, seconds: float) -> Outcome:
    """``connections`` clients for each server, each sending its next request when it has the last one's answer."""
    outcome = Outcome()

    async def client(address: str, end: float) -> None:
        with _closing(_Pool([address])) as pool:
            while monotonic() < end:
                await pool.ask(request(), outcome, monotonic())

    async def run() -> None:
        start = monotonic()
        await asyncio.gather(*(client(one, start + seconds) for one in addresses for _ in range(connections)))
        outcome.seconds = monotonic() - start

    asyncio.run(run())
    return outcome


def open_loop(addresses: Sequence[str], request: Request, rate: float, seconds: float) -> Outcome:
    """``rate`` requests a second by the clock, whatever the answers do; each server gets every nth."""
    outcome = Outcome()

    async def run() -> None:
        with _closing(_Pool(addresses)) as pool:
            start = monotonic()
            tasks = []
            for number in range(int(rate * seconds)):
                intended = start + number / rate
                if (pause := intended - monotonic()) > 0:
                    await asyncio.sleep(pause)
                tasks.append(asyncio.create_task(pool.ask(request(), outcome, intended)))
            await asyncio.gather(*tasks)
            outcome.seconds = max(monotonic() - start, seconds)

    asyncio.run(run())
    return outcome


@contextmanager
def _closing(pool: _Pool):  # type: ignore[no-untyped-def]
    try:
        yield pool
    finally:
        pool.close()
