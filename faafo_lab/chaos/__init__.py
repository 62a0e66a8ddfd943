"""Faults as verbs, each with an undo: what breaks in a cloud, broken on purpose.

    with chaos.freeze(app, "app-worker-1", service="faafo-worker") as fault:
        ...                                    # fault.what says it in words; at the block's end it is undone
    fault = chaos.delete(app, "app-worker-1"); fault.undo()

    chaos.kill | stop | freeze(app, server, service=None)     # a service on a server, or the server itself
    chaos.delete(app, server)
    chaos.fill_disk(app, server)
    chaos.close_gate(app, "services", port=5432)              # a security group's rule is lost
    chaos.latency(app, source, target, milliseconds=100, jitter=20)     # source, target: a server, or "anywhere"
    chaos.bandwidth | slow_close | timeout | reset_peer | limit_data | loss(app, source, target, …)
    chaos.plan(seed, app, seconds=60).run(app)                # faults by a seed, and a journal
    chaos.active(); chaos.undo_all(); chaos.repair(app)

Its rooms:

    errors     ChaosError, NotPossible
    fault      a fault and its undo; what is active
    servers    kill, stop, freeze, delete
    disks      fill_disk
    gates      close_gate
    network    latency, bandwidth, …: through the embedded cloud's admin API, or by `tc` on a real server
    netem      the words for `tc`
    plans      faults by a seed: Plan, Journal
    provider   the verbs for Chaos Toolkit, whose experiments are in experiments/
    repairing  repair: what faults of any program have left
"""

from faafo_lab.chaos.disks import fill_disk
from faafo_lab.chaos.errors import ChaosError, NotPossible
from faafo_lab.chaos.fault import Fault, active, undo_all
from faafo_lab.chaos.gates import close_gate
from faafo_lab.chaos.network import (
    ANYWHERE,
    bandwidth,
    latency,
    limit_data,
    loss,
    reset_peer,
    slow_close,
    timeout,
)
from faafo_lab.chaos.plans import Event, Journal, Plan, plan
from faafo_lab.chaos.repairing import repair
from faafo_lab.chaos.servers import SERVICES, delete, freeze, kill, stop

__all__ = [
    "ANYWHERE",
    "SERVICES",
    "ChaosError",
    "Event",
    "Fault",
    "Journal",
    "NotPossible",
    "Plan",
    "active",
    "bandwidth",
    "close_gate",
    "delete",
    "fill_disk",
    "freeze",
    "kill",
    "latency",
    "limit_data",
    "loss",
    "plan",
    "repair",
    "reset_peer",
    "slow_close",
    "stop",
    "timeout",
    "undo_all",
]
