"""A floating IP for something new: a free one of the project, else a new one, which a failed call releases again."""

import functools

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.model import FloatingIP
from faafo_lab.topology.undo import Undo


def free_address(cloud: Cloud, undo: Undo) -> FloatingIP:
    """A floating IP that leads nowhere yet."""
    had = {ip.id for ip in cloud.floating_ips()}
    address = cloud.free_floating_ip()
    if address.id not in had:
        undo.add(f"floating IP {address.address}", functools.partial(cloud.delete_floating_ip, address))
    return address
