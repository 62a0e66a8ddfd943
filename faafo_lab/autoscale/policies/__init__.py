"""Policies with their published formulas and defaults: how many workers there should be, by the samples so far.

Each is a page of code, a frozen dataclass that is called with the samples, the newest last:

    queue_age          QueueAge: the time that a task waits, with a cooldown (ours)
    target_tracking    TargetTracking: the backlog per worker
    hpa                HPA: Kubernetes' Horizontal Pod Autoscaler
    steps              Steps: step scaling, a table
    dask               Dask: adaptive scaling, with votes
    naive              Naive: the load average
    measured           what several measure: tasks per second of a worker, arrivals
"""

from collections.abc import Callable, Mapping

from faafo_lab.autoscale.policies.dask import Dask
from faafo_lab.autoscale.policies.hpa import HPA
from faafo_lab.autoscale.policies.naive import Naive
from faafo_lab.autoscale.policies.queue_age import QueueAge
from faafo_lab.autoscale.policies.steps import Steps
from faafo_lab.autoscale.policies.target_tracking import TargetTracking
from faafo_lab.autoscale.samples import Policy

POLICIES: Mapping[str, Callable[[], Policy]] = {  # by the name on the command line, with their defaults
    "queue-age": QueueAge,
    "target-tracking": TargetTracking,
    "hpa": HPA,
    "steps": Steps,
    "dask": Dask,
    "naive": Naive,
}

__all__ = ["HPA", "POLICIES", "Dask", "Naive", "QueueAge", "Steps", "TargetTracking"]
