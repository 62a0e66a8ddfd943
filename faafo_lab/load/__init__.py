"""Load for the application, and what came of it: one row per request, one per finished fractal.

    tasks = load.same_tasks(60)                        # the same work each time: so that two runs compare
    rows = load.create(app.endpoints, tasks)           # POST them, four at a time
    timeline = load.Timeline(); timeline.mark("three workers"); timeline.collect(app.endpoint)
    timeline.rate(start, end)                          # fractals per second between two times

    load.run(app.endpoints, loop="closed", at_once=8, seconds=10)      # read a page, as fast as 8 clients get answers
    load.run(app.endpoints, loop="open", rate=20, seconds=10)          # read it 20 times a second, come what may
    load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200))     # order 50 fractals, 5 a second
    load.start(...)                                    # the same in the background; `Load` says what there is to set

In a **closed loop** a fixed number of clients each send a request, wait for its answer, then send the next: a slow
server gets fewer requests. In an **open loop** requests arrive by the clock, as from the many visitors of a web page
who know nothing of each other: a slow server gets as many as before, and they queue.

A closed loop therefore hides waiting. Where a server stalls for a second, eight closed clients see eight slow requests
and send no others in that second: just the ones that would have waited are never sent. The measurement leaves out, in
step with the server, what would look bad: **coordinated omission** (Gil Tene, "How NOT to Measure Latency"). So an open
loop keeps its schedule, and a row's `latency` counts from the *intended* start, even if all the client's connections
were taken and the request went out late. `service_time`, from the actual start, is what one would have seen otherwise.

Its rooms:

    tasks      the fractals to order
    sending    what to send and when: Load, run, start, create, read
    runner     sends it, in the background; wire: one thread's connections
    rows       a row for each request, and what they say in sum
    ordering   orders that go on until a block ends
    timeline   what became of the orders
"""

from faafo_lab.load.ordering import steady
from faafo_lab.load.rows import Request, Rows, Summary
from faafo_lab.load.runner import Run
from faafo_lab.load.sending import Load, LoadError, create, read, run, schedule, start
from faafo_lab.load.tasks import HEIGHT_PIXELS, WIDTH_PIXELS, new_tasks, same_tasks
from faafo_lab.load.timeline import Done, Timeline, completions, watch, workers_of

__all__ = [
    "HEIGHT_PIXELS",
    "WIDTH_PIXELS",
    "Done",
    "Load",
    "LoadError",
    "Request",
    "Rows",
    "Run",
    "Summary",
    "Timeline",
    "completions",
    "create",
    "new_tasks",
    "read",
    "run",
    "same_tasks",
    "schedule",
    "start",
    "steady",
    "watch",
    "workers_of",
]
