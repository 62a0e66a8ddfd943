"""Scaling by itself: watch the application, decide how many workers there should be, and act.

    def decide(samples):                               # returns how many workers there should be
        ...

    run = autoscale.run(app, decide, work, seconds=60)
    run.worst_wait, run.server_minutes                 # what people waited, and what it cost

    with autoscale.Autoscaler(app, autoscale.QueueAge(), maximum=6) as scaler:     # in the background
        ...
    scaler.run                                         # the same score

Its rooms:

    samples     Sample, Decision, Policy: what is seen, and what is decided
    policies    published policies: QueueAge, TargetTracking, HPA, Steps, Dask, Naive
    limits      bounded: any policy within a minimum, a maximum, cooldown and hysteresis
    autoscaler  Autoscaler: watch, decide, act in the background, until it is stopped
    fleet       the workers as they are, and what has to change
    loop        run: a step of load, scored
    traces      Trace: how much load there is when
    simulator   simulate: the same loop on a simulated application, in milliseconds
    oracle      oracle: a policy that knows the trace
    duel        duel: policies on the same traces, cost against waiting
    score       Run: what a run, real or simulated, comes to
"""

from faafo_lab.autoscale.autoscaler import Autoscaler
from faafo_lab.autoscale.duel import Duel, duel
from faafo_lab.autoscale.limits import Limits, bounded
from faafo_lab.autoscale.loop import run
from faafo_lab.autoscale.oracle import oracle
from faafo_lab.autoscale.policies import HPA, POLICIES, Dask, Naive, QueueAge, Steps, TargetTracking
from faafo_lab.autoscale.samples import Decision, Policy, Sample
from faafo_lab.autoscale.score import Run
from faafo_lab.autoscale.simulator import simulate
from faafo_lab.autoscale.traces import Trace

__all__ = [
    "HPA",
    "POLICIES",
    "Autoscaler",
    "Dask",
    "Decision",
    "Duel",
    "Limits",
    "Naive",
    "Policy",
    "QueueAge",
    "Run",
    "Sample",
    "Steps",
    "TargetTracking",
    "Trace",
    "bounded",
    "duel",
    "oracle",
    "run",
    "simulate",
]
