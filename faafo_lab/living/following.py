"""Following the application: a look about once a second, also when parts of it don't answer, and the recent throughput.

    follower = Follower(app)
    moment = follower.look()     # takes a few seconds at most; an unreachable part raises nothing
    moment.rates                 # of the last minute
    moment.problem               # "" or one sentence
    follower.measured = Meter(app).read(app.servers.values())   # the CPU use of those that don't report it, over SSH

Both have a connection to the cloud of their own, so that threads may look while cells work with theirs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from faafo_lab.cloud import direct
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import SecurityGroup, Server
from faafo_lab.topology import ROLES, Api, Machine, Moment, TakenOver, Topology, TopologyError, in_thread
from faafo_lab.topology.errors import first_line
from faafo_lab.topology.moment import machines, observe

LIST_PAUSE_SECONDS = 3.0  # between two questions to the cloud; the application is asked at each look
GROUPS_PAUSE_SECONDS = 6.0  # between two listings of the security groups, which change seldom
ASK_LIMIT_SECONDS = 2.0
RATE_WINDOW_SECONDS = 4.0  # the throughput shown is the mean over this time
HISTORY_SECONDS = 60.0
METER_PAUSE_SECONDS = 12.0  # between two logins, each of which costs the server some hundredths of a second
METER_COMMAND = "cat ${PROCFS:-/proc}/loadavg ${PROCFS:-/proc}/stat"  # PROCFS: an embedded instance's own files
METER_LIMIT_SECONDS = 10.0


Measured = tuple[float, float]  # load average over a minute; CPU use (%)


class Follower:
    """Looks at one application. To be used by one thread at a time. `groups`: the security groups, as last listed."""

    def __init__(self, topology: Topology) -> None:
        self.topology = in_thread(topology)
        self.last = Moment(0.0)
        self._session = direct.Session()
        self._api = Api(
            lambda: self.topology.endpoints.values(), timeout_seconds=ASK_LIMIT_SECONDS, session=self._session
        )
        self.groups: Sequence[SecurityGroup] = ()
        self.measured: Mapping[str, Measured] = {}
        self._listed = self._grouped = float("-inf")
        self._closer = threading.Event()
        self._endpoints: Mapping[str, str] = {}
        self._queue_port, self._front = self.last.queue_port, self.last.front
        self._done: deque[tuple[float, int]] = deque()  # (time, fractals done), as far back as a rate needs
        self._rates: deque[tuple[float, float | None]] = deque()

    def look(self, listed: Callable[[Moment], object] | None = None) -> Moment:
        """Ask the cloud (now and then) and the application. `problem` names what does not answer; the other values
        stay. `listed` is told what the cloud says before the application, which may take seconds, is asked."""
        problem = self._list()
        servers = list(self.topology.servers.values())
        if listed is not None:
            listed(self._listed_moment(servers))
        if self.topology.doubles:
            problem = problem or f"Several servers are named {', '.join(self.topology.doubles)}: deploy again."
        if not servers:
            problem = problem or "There is no application yet: deploy one, and it appears."
        try:
            moment = observe(servers, self._api)
            done = moment.done
        except TopologyError:
            moment, done = replace(self.last, at=time.time(), machines=machines(servers)), None
            problem = problem or "No API of the application answers at the moment. Retrying every second."
        problem = self._list() or problem  # asking may have taken seconds, and the servers be others by now
        there = self.topology.servers
        rate = self._note(moment.at, done)
        self.last = replace(
            moment,
            machines=tuple(
                self._with_load(replace(machine, status=there[machine.name].status))
                for machine in moment.machines
                if machine.name in there
            ),
            endpoints=self._endpoints,
            rate=rate,
            rates=tuple((moment.at - at, value) for at, value in self._rates),
            problem=problem,
            queue_port=self._queue_port,
            front=self._front,
        )
        return self.last

    def _listed_moment(self, servers: Iterable[Server]) -> Moment:
        """The last moment with these servers: their states are the cloud's, what they do is as it was."""
        last = {(machine.name, machine.address): machine for machine in self.last.machines}
        there = tuple(
            replace(last.get((machine.name, machine.address), machine), status=machine.status)
            for machine in machines(servers)
        )
        return replace(self.last, at=time.time(), machines=there, endpoints=self._endpoints, front=self._front)

    def _list(self) -> str:
        """Ask the cloud what there is, if that was LIST_PAUSE_SECONDS ago; returns why it does not say, or ""."""
        if self._closer.is_set():
            self._closer.clear()  # before the listing: a change during it wants another one
            self._listed = self._grouped = float("-inf")
        if time.monotonic() - self._listed < LIST_PAUSE_SECONDS:
            return ""
        try:
            self.topology.refresh()
            self._queue_port, self._front = self.topology.queue_port, self.topology.front
            self._endpoints = self.topology.endpoints
            self._listed = time.monotonic()
            if self._listed - self._grouped >= GROUPS_PAUSE_SECONDS:
                self.groups = self.topology.cloud.security_groups()
                self._grouped = self._listed
        except TakenOver as error:
            return first_line(error)
        except CloudError as error:
            self.topology.cloud = _again(self.topology.cloud)
            return f"The cloud does not answer:  {first_line(error)}"
        return ""

    def look_closer(self) -> None:
        """Make the next look query the cloud as well, after a change. Any thread may ask for it."""
        self._closer.set()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self.topology.cloud.close()

    def _with_load(self, machine: Machine) -> Machine:
        """The machine with what was measured of it, where the application does not say it."""
        if machine.name not in self.measured or machine.cpu_percent is not None:
            return machine
        load_average, cpu_percent = self.measured[machine.name]
        return replace(machine, load_average=load_average, cpu_percent=cpu_percent)

    def _note(self, now: float, done: int | None) -> float | None:
        """Keep a count; returns the throughput over the last RATE_WINDOW_SECONDS, None while it is not known."""
        rate = None
        if done is None or (self._done and done < self._done[-1][1]):  # away, or another application
            self._done.clear()
        if done is not None:
            self._done.append((now, done))
            while len(self._done) > 2 and now - self._done[1][0] >= RATE_WINDOW_SECONDS:
                self._done.popleft()
            before, count = self._done[0]
            rate = (done - count) / (now - before) if now - before > 0.5 else None
        self._rates.append((now, rate))
        while now - self._rates[0][0] > HISTORY_SECONDS:
            self._rates.popleft()
        return rate


class Meter:
    """Reads the load of the servers that do not report theirs to the application: the services. One thread's own."""

    def __init__(self, topology: Topology) -> None:
        self._cloud = in_thread(topology).cloud
        self._before: dict[str, tuple[int, int]] = {}  # by server id: ticks busy, ticks in all

    def read(self, servers: Iterable[Server]) -> dict[str, Measured]:
        """Load average over a minute, and CPU use (%) since the last reading, by server name; of no server that does
        not let us in."""
        measured = {}
        for server in servers:
            role = ROLES.get(server.metadata[ROLE_KEY])
            if role is None or role.nodes or server.status != "ACTIVE":
                continue
            try:
                words = self._cloud.run(server, METER_COMMAND, METER_LIMIT_SECONDS).stdout.split("\n")
                busy, total = _ticks(words[1])
                average = float(words[0].split()[0])
            except (CloudError, OSError, ValueError, IndexError):
                self._cloud = _again(self._cloud)
                continue
            except RuntimeError:  # the process ends, and no thread can be started any more
                break
            busy_before, total_before = self._before.get(server.id, (busy, total))
            self._before[server.id] = busy, total
            if total > total_before:
                measured[server.name] = average, 100.0 * (busy - busy_before) / (total - total_before)
        return measured

    def close(self) -> None:
        """Close the connections."""
        self._cloud.close()


def _again(cloud: Cloud) -> Cloud:
    """A new connection to a cloud that does not answer: it may have come back with new tokens."""
    cloud.close()
    try:
        return cloud.again()
    except CloudError:
        return cloud


def _ticks(line: str) -> tuple[int, int]:
    """Of the first line of proc's `stat` (proc(5)): how long all cores were busy, and for how long that counts."""
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks) - sum(ticks[3:5]), sum(ticks)  # without idle and iowait
