"""The load balancer in front of the APIs, which are its members: created, kept in step with them, removed.

`Front` is what a change of the application does with it:

    with Front(app, undo, wanted=True) as front:      # from here on new workers hand in results through the VIP
        front.build()                                 # create it, with a floating IP; its VIP is known at once
        ...                                           # servers are built, and the APIs serve
        front.join(["app-api-1", "app-api-2"])        # they become members, and are found healthy
        front.finish()                                # one that is no longer wanted is deleted

The APIs' security group opens port 80 to anybody, and Octavia opens the listener's port at the VIP by itself, so there
are no further rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from types import TracebackType

import requests

from faafo_lab import balancer
from faafo_lab.cloud import direct
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.model import Server
from faafo_lab.cloud.waiting import Look
from faafo_lab.topology.addresses import free_address
from faafo_lab.topology.application import Application
from faafo_lab.topology.undo import Undo

TO_COME = "its VIP"  # an address that no worker has yet
METRICS_SECONDS = 3.0
IN_FLIGHT = re.compile(r"^faafo_http_requests_in_flight (\S+)", re.MULTILINE)


class Front:
    """The balancer during one change. `wanted`: whether there is one afterwards (None: as before).

    Raises NoBalancer at the beginning where one is wanted and the cloud has none for this user.
    """

    def __init__(self, app: Application, undo: Undo, wanted: bool | None) -> None:
        self._app, self._undo, self._wanted = app, undo, wanted
        self._weights: dict[str, int] = {}

    def __enter__(self) -> Front:
        self._app.refresh()
        if self._wanted:
            self._app.front = balancer.find(self._app.cloud)
        there = self._app.front
        self.wanted = bool(there) if self._wanted is None else self._wanted
        self.new_addresses = int(self.wanted and not (there and there.floating_address))
        self._weights = {member.name: member.weight for member in there.members} if there else {}
        self._app.planned_vip = (there.address if there else TO_COME) if self.wanted else ""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._app.planned_vip = None

    def build(self) -> None:
        """Create the balancer if it is missing or in ERROR, and give it a floating IP. Does not wait for it."""
        if not self.wanted:
            return
        cloud, there = self._app.cloud, self._app.front
        if there and there.status in ("ERROR", "PENDING_DELETE"):
            balancer.delete(cloud, there)
            there = None
        made = there is None
        if there is None:
            self._undo.add(f"load balancer {balancer.NAME}", lambda: _delete(self._app))
            there = balancer.create(cloud, wait=False)
        if not there.floating_address:
            there = balancer.publish(cloud, there, free_address(cloud, self._undo))
        self._app.front, self._app.planned_vip = there, there.address
        self._app.report(f"load balancer {there.name}", "created" if made else "")

    def join(self, names: Collection[str]) -> None:
        """Make these APIs members, remove members whose servers are gone, and wait until all members are healthy."""
        there = self._app.front if self.wanted else None
        if there is None:
            return
        cloud = self._app.cloud
        homes = {server.name: server.addresses[0] for server in self._app.apis if server.addresses}
        for member in there.members:
            if homes.get(member.name) != member.address:
                there = balancer.remove_member(cloud, there, member, 0)
                self._app.report(f"member {member.name} of {there.name}", "removed, as its server is gone")
            elif member.weight == 0 and member.name in names:  # an interrupted drain
                there = balancer.set_weight(cloud, there, member, 1)
                self._app.report(f"member {member.name} of {there.name}", "takes requests again")
        for server in self._app.apis:
            if server.name in names and server.name not in {member.name for member in there.members}:
                there = balancer.add_member(cloud, there, server, self._weights.get(server.name) or 1)
                self._undo.add(f"member {server.name}", self._remover(server.name))
                self._app.report(f"member {server.name} of {there.name}", "added")

        def look() -> Look:
            self._app.front = found = self._app.balancer
            members = found.members if found else ()
            late = [each for each in members if each.name in names and each.status not in ("ONLINE", "NO_MONITOR")]
            words = ", ".join(f"{each.name} {each.status}" for each in late)
            return Look(len(names) - len(late), len(names), words)

        if names:
            cloud.wait_until(look, "members healthy")
        else:
            self._app.front = there

    def finish(self) -> None:
        """Delete a balancer that is no longer wanted."""
        if not self.wanted and self._app.front:
            remove(self._app)

    def _remover(self, name: str) -> Callable[[], object]:
        return lambda: balancer.remove_member(self._app.cloud, balancer.NAME, name, 0)


def leave(app: Application, servers: Iterable[Server]) -> None:
    """Take those of these servers that are members out from behind the balancer, each after its requests in flight."""
    if app.planned_vip is None:  # no change has looked it up
        app.front = app.balancer
    there = app.front
    for server in servers:
        for member in there.members if there else ():
            if server.addresses and member.address == server.addresses[0]:
                there = balancer.remove_member(app.cloud, there or "", member, is_idle=_idle(app, server))
                app.report(f"member {server.name} of {there.name}", "drained and removed")
    app.front = there


def remove(app: Application) -> bool:
    """Delete the balancer if there is one; returns whether there was. Its floating IP stays the project's."""
    there = app.balancer
    if there:
        balancer.delete(app.cloud, there)
        app.report(f"load balancer {there.name}", "deleted")
        app.front = None
    return there is not None


def _delete(app: Application) -> None:
    try:
        balancer.delete(app.cloud, balancer.NAME)
    except NotFound:
        return


def _idle(app: Application, server: Server) -> Callable[[], bool]:
    """Whether an API has no request in flight but our own, by its own metrics; one that does not answer has none."""
    url = app.endpoints.get(server.name)

    def idle() -> bool:
        try:
            text = direct.get(f"{url}/metrics", timeout=METRICS_SECONDS).text
        except requests.RequestException:
            return True
        found = IN_FLIGHT.search(text)
        return found is None or float(found[1]) <= 1

    return idle
