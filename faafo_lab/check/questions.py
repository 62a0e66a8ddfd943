"""Questions that several exercises ask."""

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import Rule, SecurityGroup, Server
from faafo_lab.topology import Topology
from faafo_lab.topology.api import LOST


def reporting(app: Topology, workers: int) -> str:
    """A hint where fewer workers than this exist, or one of those that do does not report."""
    if len(app.workers) < workers:
        return f"{len(app.workers)} of {workers} workers are there: app.ensure_workers builds those that are missing."
    heard = {node["name"] for node in app.nodes() if node["role"] == "worker" and node["state"] != LOST}
    silent = [server.name for server in app.workers if server.name not in heard]
    return (
        f"{', '.join(silent)} does not report: wait a moment with app.wait_serving, or deploy again." if silent else ""
    )


def group_named(cloud: Cloud, name: str) -> SecurityGroup | None:
    """The security group of this name, None where there is none."""
    return next((group for group in cloud.security_groups() if group.name == name), None)


def server_named(cloud: Cloud, name: str) -> Server | None:
    """The server of this name, None where there is none."""
    return next((server for server in cloud.servers() if server.name == name), None)


def for_anybody(rule: Rule) -> bool:
    """Whether a rule lets anybody in."""
    return rule.remote_group is None and rule.remote_prefix in (None, "0.0.0.0/0")
