"""What happens to load balancers: parts come, change and go, and each change takes the load balancer a moment.

While it is PENDING, every other change is refused with a 409, as on a real cloud: who does not wait learns it here.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterable

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, now
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.balancing.balancer import Balancer
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.services.load_balancer import kinds
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.load_balancer.plan import Plan
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2  # how long a change takes; on a real cloud it is a second, and a minute for a new load balancer
_TRY_AGAIN_SECONDS = 5.0


class Changes:
    """Changes of load balancers and their parts, and the data path that follows them."""

    def __init__(self, site: Site, collection: Collection, network: Network) -> None:
        self._site = site
        self._all = collection
        self._network = network
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._applying: asyncio.Handle | None = None

    # Start and stop

    def setup(self) -> None:
        """Finish what was going on when the emulator ended."""
        for row in self._all.table(kinds.LOAD_BALANCER):
            self._settled(row["id"])

    def begin(self, switch: Switch) -> None:
        """Balance from now on."""
        self._all.balancer = Balancer(switch)
        self._site.store.watch({kind.name for kind in kinds.KINDS} | {"port", "floatingip"}, self._changed)
        self._apply()

    async def close(self) -> None:
        """Close every listener and connection."""
        for task in self._settling.values():
            task.cancel()
        balancer, self._all.balancer = self._all.balancer, None
        if balancer is not None:
            await balancer.close()

    def _changed(self) -> None:
        if self._applying is None and self._all.balancer is not None:
            self._applying = asyncio.get_running_loop().call_soon(self._apply)

    def _apply(self) -> None:
        self._applying = None
        if self._all.balancer is not None:
            plan = Plan(self._all, self._network)
            self._all.balancer.apply(plan.listeners, plan.pools)

    # A load balancer's state

    def change(self, kind: kinds.Kind, row: Row, status: str = "PENDING_UPDATE", **changes: object) -> Row:
        """Change a row; its load balancer, and a member's or monitor's pool, are busy for a moment."""
        row = self._all.table(kind).update(row["id"], **changes, provisioning_status=status, updated_at=now()[:-1])
        self.busy(row["id"] if kind is kinds.LOAD_BALANCER else row["loadbalancer_id"], row.get("pool_id"))
        return row

    def busy(self, id: str, pool: str | None = None) -> None:
        """A load balancer, and perhaps one of its pools, is busy for a moment."""
        for kind, each in ((kinds.LOAD_BALANCER, id), (kinds.POOL, pool)):
            row = self._all.table(kind).get(each)
            if row is not None and not row["provisioning_status"].startswith("PENDING_"):
                self._all.table(kind).update(row["id"], provisioning_status="PENDING_UPDATE")
        if id not in self._settling:
            self._settling[id] = asyncio.get_running_loop().create_task(self._settle(id))

    async def _settle(self, id: str) -> None:
        wait = SETTLE_SECONDS
        while True:
            await asyncio.sleep(wait)
            try:
                self._settled(id)
                del self._settling[id]
                return
            except sqlite3.Error as error:
                log.error("load balancer %s: %s; trying again", id, error)
                wait = _TRY_AGAIN_SECONDS

    def _settled(self, id: str) -> None:
        """What was pending has come about."""
        with self._site.store.transaction():
            balancer = self._all.table(kinds.LOAD_BALANCER).get(id)
            if balancer is None:
                return
            gone = balancer["provisioning_status"] == "PENDING_DELETE"
            for kind in kinds.KINDS:
                rows = [balancer] if kind is kinds.LOAD_BALANCER else self._all.table(kind).where(loadbalancer_id=id)
                for row in rows:
                    if gone or row["provisioning_status"] == "PENDING_DELETE":
                        self._all.table(kind).delete(row["id"])
                    elif row["provisioning_status"] != "ACTIVE":
                        self._all.table(kind).update(row["id"], provisioning_status="ACTIVE")
            if gone and balancer["own_port"]:
                self._network.ports.remove(balancer["vip_port_id"])

    # New parts. All of these are called in a transaction.

    def add_listener(self, balancer: Row, body: JSON) -> Row:
        """A new listener, and the pool that comes along with it."""
        values = kinds.LISTENER.values(body)
        values.pop("loadbalancer_id")
        for other in self._all.table(kinds.LISTENER).where(loadbalancer_id=balancer["id"]):
            if other["protocol_port"] == values["protocol_port"]:
                raise Fault(409, "Another Listener on this Load Balancer is already using protocol_port "
                                 f"{values['protocol_port']}")  # fmt: skip
        nested = body.get("default_pool")
        if nested is not None:
            schema.check(nested, {"type": "object"}, "default_pool")
            values["default_pool_id"] = self._pool_like(balancer, nested)["id"]
        self.check_pool(balancer["id"], values, values["default_pool_id"])
        self.busy(balancer["id"])
        return self._all.new(kinds.LISTENER, balancer["project_id"], balancer["id"], values)

    def _pool_like(self, balancer: Row, body: JSON) -> Row:
        """The pool that has this name, where the body says no more; or a new one."""
        if set(body) == {"name"}:
            for row in self._all.table(kinds.POOL).where(loadbalancer_id=balancer["id"], name=body["name"]):
                return row
            raise Fault(400, f"Pool {schema.shown(body['name'])} not found.")
        return self.add_pool(balancer, body)

    def check_pool(self, balancer: str, listener: JSON, id: str | None) -> None:
        """Whether a listener can have this default pool. Raises a `Fault`."""
        if id is None:
            return
        pool = self._all.table(kinds.POOL).get(id)
        if pool is None or pool["loadbalancer_id"] != balancer:
            raise Fault(404, f"Pool {id} not found.")
        if listener["protocol"] == "HTTP" and pool["protocol"] != "HTTP":
            raise Fault(400, f"Validation failure: The pool protocol '{pool['protocol']}' is invalid while the "
                             "listener protocol is 'HTTP'.")  # fmt: skip

    def add_pool(self, balancer: Row, body: JSON, listener: Row | None = None) -> Row:
        """A new pool with its members and health monitor; `listener` gets it as its default pool."""
        values = kinds.POOL.values(body)
        values.pop("loadbalancer_id")
        values.pop("listener_id")
        check_persistence(values)
        if listener is not None and listener["default_pool_id"] is not None:
            raise Fault(409, f"Listener {listener['id']} already has a default pool.")
        row = self._all.new(kinds.POOL, balancer["project_id"], balancer["id"], values)
        if listener is not None:
            self.check_pool(balancer["id"], listener, row["id"])
            self.change(kinds.LISTENER, listener, default_pool_id=row["id"])
        for member in parts_of(body, "members"):
            self.add_member(row, member)
        if body.get("healthmonitor") is not None:
            schema.check(body["healthmonitor"], {"type": "object"}, "healthmonitor")
            self.add_monitor(row, {**body["healthmonitor"], "pool_id": row["id"]})
        self.busy(balancer["id"])
        return row

    def add_member(self, pool: Row, body: JSON) -> Row:
        """A new member of a pool."""
        values = kinds.MEMBER.values(body)
        if values["subnet_id"] is not None:
            self._subnet(pool["project_id"], values["subnet_id"])
        for other in self._all.table(kinds.MEMBER).where(pool_id=pool["id"]):
            if all(other[name] == values[name] for name in ("address", "protocol_port")):
                raise Fault(409, f"Another member on this pool is already using ip {values['address']} on "
                                 f"protocol_port {values['protocol_port']}")  # fmt: skip
        self.busy(pool["loadbalancer_id"], pool["id"])
        values["pool_id"] = pool["id"]
        return self._all.new(kinds.MEMBER, pool["project_id"], pool["loadbalancer_id"], values)

    def add_monitor(self, pool: Row, body: JSON) -> Row:
        """A pool's health monitor."""
        values = check_monitor(kinds.HEALTH_MONITOR.values(body))
        if self._all.monitor(pool["id"]) is not None:
            raise Fault(409, "This pool already has a health monitor")
        self.busy(pool["loadbalancer_id"], pool["id"])
        return self._all.new(kinds.HEALTH_MONITOR, pool["project_id"], pool["loadbalancer_id"], values)

    # What a request asks for

    def whose(self, request: Request, id: object) -> Row:
        """The load balancer that is to change. Raises a `Fault`, a 409 where it may not change now."""
        if id is None:
            raise Fault(400, "Validation failure: loadbalancer_id or listener_id must be given.")
        balancer = self._all.part(kinds.LOAD_BALANCER, request.project, str(id))
        if balancer["provisioning_status"].startswith("PENDING_"):
            raise Fault(409, f"Load Balancer {balancer['id']} is immutable and cannot be updated.")
        return balancer

    def update(self, request: Request, kind: kinds.Kind, row: Row) -> JSON:
        """Change a part; what it is then. Raises a `Fault`."""
        body = parse_part(request, kind.key)
        with self._site.store.transaction():
            self.whose(request, row["id"] if kind is kinds.LOAD_BALANCER else row["loadbalancer_id"])
            changes = kind.changes(body)
            if kind is kinds.LISTENER:
                self.check_pool(row["loadbalancer_id"], row, changes.get("default_pool_id"))
            elif kind is kinds.POOL:
                check_persistence({**row, **changes})
            elif kind is kinds.HEALTH_MONITOR:
                whole = check_monitor({**row, **changes})
                changes = {name: whole[name] for name in kind.attributes}
            return self._all.view(kind, self.change(kind, row, **changes))

    def new_pool(self, request: Request, body: JSON) -> Row:
        """A new pool of a load balancer or of a listener. Raises a `Fault`."""
        listener = None
        if body.get("listener_id") is not None:
            listener = self._all.part(kinds.LISTENER, request.project, str(body["listener_id"]))
        balancer = self.whose(request, listener["loadbalancer_id"] if listener else body.get("loadbalancer_id"))
        return self.add_pool(balancer, body, listener)

    def new_balancer(self, request: Request, body: JSON) -> Row:
        """A new load balancer with its address and all its parts. Raises a `Fault`."""
        values = kinds.LOAD_BALANCER.values(body)
        if values["provider"] not in (kinds.PROVIDER, "amphora"):
            raise Fault(400, f"Provider {schema.shown(values['provider'])} is not enabled.")
        row = self._all.new(kinds.LOAD_BALANCER, request.project, "", values)
        row = self._all.table(kinds.LOAD_BALANCER).update(row["id"], **self._take_vip(request, row))
        for pool in parts_of(body, "pools"):
            self.add_pool(row, pool)
        for listener in parts_of(body, "listeners"):
            self.add_listener(row, listener)
        self.busy(row["id"])
        return self._all.table(kinds.LOAD_BALANCER)[row["id"]]

    # Addresses (VIPs), each on a port of the network service

    def _subnet(self, project: str, id: str) -> Row:
        """A subnet that the project may use. Raises a 400 `Fault`."""
        row = self._network.subnets.usable(project, id)
        if row is None:
            raise Fault(400, f"Subnet {id} not found.")
        return row

    def _take_vip(self, request: Request, row: Row) -> JSON:
        """The address: on a port of the client's, or on a new one."""
        network = self._network
        subnet = self._subnet(request.project, row["vip_subnet_id"]) if row["vip_subnet_id"] else None
        try:
            if row["vip_port_id"] is not None:
                port = network.ports.own(request, row["vip_port_id"])
                balancers = self._all.table(kinds.LOAD_BALANCER).where(vip_port_id=port["id"])
                if port["device_owner"] or len(balancers) > 1 or not port["fixed_ips"]:
                    raise Fault(409, f"Port {port['id']} is in use, or has no address.")
                port = network.ports.touch(port["id"], status="ACTIVE")
            else:
                id = subnet["network_id"] if subnet else row["vip_network_id"]
                if id is None:
                    raise Fault(400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, "
                                     "vip_subnet_id.")  # fmt: skip
                network.networks.find(request, id)
                fixed = {"subnet_id": subnet["id"]} if subnet else {}
                if row["vip_address"] is not None:
                    fixed["ip_address"] = row["vip_address"]
                values = {"name": f"octavia-lb-{row['id']}", "network_id": id, "fixed_ips": [fixed]}
                values = {**network.ports.defaults(), **values, "security_groups": []}
                owned = {"device_id": f"lb-{row['id']}", "device_owner": "Octavia", "status": "ACTIVE"}
                port = network.ports.plug(request.project, values, owned)
        except Fault as fault:
            raise Fault(fault.status if fault.status != 404 else 400, fault.message) from None
        ip = port["fixed_ips"][0]
        return {
            "vip_port_id": port["id"],
            "vip_address": ip["ip_address"],
            "vip_subnet_id": ip["subnet_id"],
            "vip_network_id": port["network_id"],
            "own_port": row["vip_port_id"] is None,
            "provider": kinds.PROVIDER,
        }

    # Parts that go

    def empty_pool(self, row: Row) -> None:
        """All that is in a pool goes with it, and no listener has it any more."""
        for listener in self._all.table(kinds.LISTENER).where(default_pool_id=row["id"]):
            self.change(kinds.LISTENER, listener, default_pool_id=None)
        for kind in (kinds.MEMBER, kinds.HEALTH_MONITOR):
            for each in self._all.table(kind).where(pool_id=row["id"]):
                self.change(kind, each, "PENDING_DELETE")


def parse_part(request: Request, key: str) -> JSON:
    """The object that a body has under its one key. Raises a 400 `Fault`."""
    found = request.parse().get(key)
    if not isinstance(found, dict):
        raise Fault(400, f"Invalid input for field/attribute {key}. It must be a JSON object.")
    return found


def parts_of(body: JSON, name: str) -> Iterable[JSON]:
    """The parts that a body names below itself. Raises `schema.Invalid`."""
    found = body.get(name)
    if found is None:
        return ()
    schema.check(found, {"type": "array", "items": {"type": "object"}}, name)
    return list(found)


def check_persistence(values: JSON) -> None:
    """Whether a pool can bind its clients so. Raises a `Fault`."""
    bound = values["session_persistence"]
    if bound is None:
        return
    if (bound["type"] == "APP_COOKIE") is (bound.get("cookie_name") is None):
        raise Fault(400, "Validation failure: cookie_name is required for APP_COOKIE, and for nothing else.")
    if bound["type"] != "SOURCE_IP" and values["protocol"] != "HTTP":
        raise kinds.unsupported(f"session_persistence {bound['type']} in a {values['protocol']} pool")


def check_monitor(values: JSON) -> JSON:
    """A monitor's values, completed; a check by connection has nothing to do with HTTP. Raises a `Fault`."""
    if values["type"] == "HTTP":
        if values["domain_name"] and values["http_version"] != 1.1:
            raise Fault(400, "Validation failure: http_version must be 1.1 with domain_name.")
        return {**values, **{name: values[name] or default for name, default in kinds.HTTP_CHECK.items()}}
    wrong = [name for name in (*kinds.HTTP_CHECK, "http_version", "domain_name") if values[name] is not None]
    if wrong:
        raise Fault(400, f"Validation failure: {', '.join(wrong)} cannot be set for a health monitor of type TCP.")
    return values
