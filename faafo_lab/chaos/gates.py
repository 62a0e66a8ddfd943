"""A lost rule of a security group: new connections to a port are no longer let in."""

from __future__ import annotations

from faafo_lab.chaos.errors import ChaosError
from faafo_lab.chaos.fault import Fault, inject
from faafo_lab.topology import Topology


def close_gate(app: Topology, group: str, port: int) -> Fault:
    """Delete the rules by which the security group `group` ("services", "api", "worker", …) lets anybody in to a port.

    Connections that are open stay open. Raises NotFound if there is no such group, ChaosError if it has no such rule.
    """
    cloud = app.cloud
    found = cloud.security_group(group)
    rules = [rule for rule in found.rules if rule.opens(port)]
    if not rules:
        raise ChaosError(f"Security group {group!r} lets nobody in to port {port}: no rule of it can be lost.")

    def close() -> None:
        for rule in rules:
            cloud.delete_rule(rule)

    def open_again() -> None:
        for rule in rules:
            ports = rule.port_min or 1, rule.port_max or 65535
            cloud.get_or_create_rule(found, *ports, rule.protocol or "tcp", rule.remote_prefix, rule.remote_group)

    return inject(app, f"port {port} of security group {group} is closed", close, open_again)
