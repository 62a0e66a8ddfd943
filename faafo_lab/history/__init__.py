"""Histories: what clients did and saw, what the application said, and whether both fit: the checker.

    with history.recording(app) as record:              # reads before and after, and waits until all is made
        record.add(load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200)))
    verdict = history.verdict(record.history)           # true, false or unknown; verdict.witness
    plots.life(record.history, verdict.witness.order)   # order → queue → lease → death → lease over → again → done

    history.collect(app, rows)                          # the same for rows of a run that is over

Its rooms:

    events      Event, History: what happened, in a file and on one time axis
    checking    verdict: a pure function of the events
    collecting  recording, collect: from rows, readings and the application's own events
    clocks      how far the application's clock is ahead
    stages      one order's life, stay by stay
"""

from faafo_lab.history.checking import Verdict, Witness, verdict
from faafo_lab.history.collecting import Recording, collect, recording
from faafo_lab.history.events import Event, History, HistoryError, load
from faafo_lab.history.stages import Stage, stages

__all__ = [
    "Event",
    "History",
    "HistoryError",
    "Recording",
    "Stage",
    "Verdict",
    "Witness",
    "collect",
    "load",
    "recording",
    "stages",
    "verdict",
]
