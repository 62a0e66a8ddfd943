"""A first autoscaler: a loop that watches the application, asks the learner's `decide`, and adds or removes workers.

    def decide(samples):                               # returns how many workers there should be
        ...

    run = autoscale.run(app, decide, work, seconds=60)
    run.worst_wait, run.server_minutes                 # what people waited, and what it cost

Its rooms:

    loop      run: a step of load, samples, decisions, changes
    score     Sample, Run: what was seen, and what it comes to
"""

from faafo_lab.autoscale.loop import run
from faafo_lab.autoscale.score import Run, Sample

__all__ = ["Run", "Sample", "run"]
