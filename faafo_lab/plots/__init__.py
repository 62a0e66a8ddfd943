"""Plots of measurements. Each is a `Picture`: a PNG in the notebook, its alt text and its data everywhere else.

    plots.throughput(timeline, phases)                      fractals per second over time, by worker, events marked
    plots.gantt(timeline, start, end)                       which worker had which task when
    plots.latency({"before": rows, "after": rows})          how long requests waited
    plots.outcomes({"turns": rows}, events)                 which requests failed when, and who answered the others
    plots.autoscaling(run)                                  load, workers and waiting over an autoscaler's run
    plots.signals(run)                                      its four signals, each in % of its own highest
    plots.duel(duel)                                        what scaling policies cost, against how long tasks wait
    plots.bottleneck({("read", 1, 1): 250, ...})            what another API, or more workers, gain for which load
    plots.storm({"eager": surge, "budget": surge})          what remains of a surge of load: see load.surge
    plots.scaling([(1, 0.75), (2, 1.4)], prediction=...)    throughput against workers, and the law behind it
    plots.life(history, uuid)                               one order: where it was when, and what its clients saw
    plots.recovery(arrivals, backup, accident, restored, n) how many orders an accident left, and what came back
    plots.answers({"app-api-1": [200, 404], ...})           which API showed which picture
    plots.places({"before": load.located(app), ...})        where each picture was, at several moments

Its rooms:

    over_time  throughput, gantt; events: the marks for events
    waits      latency; outcomes: who answered, and what failed; surges: storm
    autoscaling an autoscaler's run, signals; duels: duel
    bottleneck two kinds of load on four layouts
    workers    scaling; usl: the Universal Scalability Law behind it
    places     answers, places; life: one order's; recovery: the database's
    picture    Picture, and what all of them share: sizes, colours
"""

from faafo_lab.plots.autoscaling import autoscaling, signals
from faafo_lab.plots.bottleneck import bottleneck
from faafo_lab.plots.duels import duel
from faafo_lab.plots.life import life
from faafo_lab.plots.outcomes import outcomes
from faafo_lab.plots.over_time import gantt, throughput
from faafo_lab.plots.picture import Picture
from faafo_lab.plots.places import answers, places
from faafo_lab.plots.recovery import recovery
from faafo_lab.plots.surges import storm
from faafo_lab.plots.waits import latency
from faafo_lab.plots.workers import scaling

__all__ = [
    "Picture",
    "answers",
    "autoscaling",
    "bottleneck",
    "duel",
    "gantt",
    "latency",
    "life",
    "outcomes",
    "places",
    "recovery",
    "scaling",
    "signals",
    "storm",
    "throughput",
]
