"""Faults as verbs, each with an undo: what breaks in a cloud, broken on purpose.

    with chaos.freeze(app, "app-worker-1", service="faafo-worker") as fault:
        ...                                    # fault.what says it in words; at the block's end it is undone
    fault = chaos.delete(app, "app-worker-1"); fault.undo()

    chaos.kill | stop | freeze(app, server, service=None)     # a service on a server, or the server itself
    chaos.delete(app, server)
    chaos.close_gate(app, "services", port=5432)              # a security group's rule is lost
    chaos.active(); chaos.undo_all(); chaos.repair(app)

Its rooms:

    errors     ChaosError, NotPossible
    fault      a fault and its undo; what is active
    servers    kill, stop, freeze, delete
    gates      close_gate
    repairing  repair: what faults of any program have left
"""

from faafo_lab.chaos.errors import ChaosError, NotPossible
from faafo_lab.chaos.fault import Fault, active, undo_all
from faafo_lab.chaos.gates import close_gate
from faafo_lab.chaos.repairing import repair
from faafo_lab.chaos.servers import SERVICES, delete, freeze, kill, stop

__all__ = [
    "SERVICES",
    "ChaosError",
    "Fault",
    "NotPossible",
    "active",
    "close_gate",
    "delete",
    "freeze",
    "kill",
    "repair",
    "stop",
    "undo_all",
]
