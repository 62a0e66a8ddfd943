"""Load for the application, and its results: one row per request, one per finished fractal.

    work = load.calibrate(app)                         # what one worker here computes in a second
    tasks = work.tasks(60, seconds=0.3)                # 60 fractals that each keep one worker busy for 0.3 s
    rows = load.create(app.endpoints, tasks)           # POST them, four at a time
    load.measure(app, work)                            # fractals per second, three times, and the host's idle CPU
    load.drill(app, send, tasks, kill)                 # your own client, while something dies: what is lost
    load.located(app)                                  # where each picture is, and which no API shows
    load.loss(app, kill)                               # how many pictures are lost when something dies
    timeline = load.Timeline(); timeline.mark("three workers"); timeline.collect(app.endpoint)
    timeline.rate(start, end)                          # fractals per second between two times

    load.run(app.endpoints, loop="closed", at_once=8, seconds=10)      # read a page, as fast as 8 clients get answers
    load.run(app.endpoints, loop="open", rate=20, seconds=10)          # read it 20 times a second, whatever happens
    load.run(app.endpoints, loop="open", rate=5, number=50, size=(320, 200))     # order 50 fractals, 5 a second
    load.run(app.endpoints, number=200, clients="fastest", retry=load.Retries(attempts=3, budget=0.1))
    load.start(...)                                    # the same in the background; `Load` has the settings

In a **closed loop** a fixed number of clients each send a request, wait for its answer, then send the next: a slow
server gets fewer requests. In an **open loop** requests arrive by the clock, as from the many visitors of a web page
who know nothing of each other: a slow server gets as many as before, and they queue.

A closed loop therefore hides waiting. Where a server stalls for a second, eight closed clients see eight slow requests
and send no others in that second: exactly the requests that would have waited are never sent. The measurement leaves
out, in step with the server, what would look bad: **coordinated omission** (Gil Tene, "How NOT to Measure Latency"). So
an open loop keeps its schedule, and a row's `latency` counts from the *intended* start, even if all the client's
connections were busy and the request went out late. `service_time` counts from the actual start, and hides that wait.

Its rooms:

    tasks      the fractals to order; work: tasks of a given number of seconds
    measuring  equal batches, several times; host: this machine's idle CPU; fitting: whether the servers' shares fit it
    drilling   the learner's own client while something dies; network: loses answers on the way
    losing     pictures while something dies
    sending    what to send and when: Load, run, start, create, read
    choosing   to which API: the strategies of clients; retrying: Retries, whether a request is sent again
    surging    a surge in a steady load: the retry storm
    runner     sends it, in the background; wire: one thread's connections
    rows       a row for each request, and their summary
    ordering   orders that go on until a block ends
    timeline   the finished fractals and events, on one clock
"""

from faafo_lab.load.drilling import Drill, drill
from faafo_lab.load.errors import LoadError
from faafo_lab.load.fitting import Fit, fit
from faafo_lab.load.host import IdleCpu
from faafo_lab.load.losing import Loss, located, loss
from faafo_lab.load.measuring import Measured, measure
from faafo_lab.load.ordering import steady
from faafo_lab.load.retrying import Failure, Retries
from faafo_lab.load.rows import Request, Rows, Summary, Try
from faafo_lab.load.runner import Run
from faafo_lab.load.sending import Load, create, read, run, schedule, start
from faafo_lab.load.surging import Surge, capacity, surge
from faafo_lab.load.tasks import HEIGHT_PIXELS, WIDTH_PIXELS, Task, new_tasks, same_tasks
from faafo_lab.load.timeline import Done, Lost, Timeline, busy_worker, completions, watch, workers_of
from faafo_lab.load.work import Work, calibrate

__all__ = [
    "HEIGHT_PIXELS",
    "WIDTH_PIXELS",
    "Done",
    "Drill",
    "Failure",
    "Fit",
    "IdleCpu",
    "Load",
    "LoadError",
    "Loss",
    "Lost",
    "Measured",
    "Request",
    "Retries",
    "Rows",
    "Run",
    "Summary",
    "Surge",
    "Task",
    "Timeline",
    "Try",
    "Work",
    "busy_worker",
    "calibrate",
    "capacity",
    "completions",
    "create",
    "drill",
    "fit",
    "located",
    "loss",
    "measure",
    "new_tasks",
    "read",
    "run",
    "same_tasks",
    "schedule",
    "start",
    "steady",
    "surge",
    "watch",
    "workers_of",
]
