"""The application's throughput: equal batches of fractals, repeated, and whether the host had CPU to spare.

measured = load.measure(app, work)        # three batches of twelve tasks a worker
measured.rate, measured.spread            # fractals per second: the mean of the batches, and how far they differ
"""

import itertools
import time
from dataclasses import dataclass
from statistics import fmean

from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.load.errors import LoadError
from faafo_lab.load.host import SHORT_OF, IdleCpu
from faafo_lab.load.runner import Endpoints
from faafo_lab.load.timeline import finish
from faafo_lab.load.work import Work, number_of_workers
from faafo_lab.topology import Topology


@dataclass(frozen=True)
class Measured:
    """The throughput of `workers` workers: `rates` in fractals per second, one for each of the equal batches.

    `start`, `end`: seconds since 1970. `idle_cores`: of this machine meanwhile, of `cores`; None if the cloud is
    elsewhere.
    """

    workers: int
    rates: tuple[float, ...]
    start: float
    end: float
    idle_cores: float | None = None
    cores: float | None = None

    @property
    def rate(self) -> float:
        """Fractals per second: the mean of the batches."""
        return fmean(self.rates)

    @property
    def spread(self) -> float:
        """The difference between the fastest and the slowest batch, in fractals per second."""
        return max(self.rates) - min(self.rates)

    @property
    def short(self) -> bool:
        """Whether this machine had no CPU to spare: then the rate shows the machine's limit, not the application's."""
        return self.idle_cores is not None and self.cores is not None and self.idle_cores < SHORT_OF * self.cores

    def __str__(self) -> str:
        noun = "worker" if self.workers == 1 else "workers"
        batches = ", ".join(f"{rate:.2f}" for rate in self.rates)
        words = f"{self.workers} {noun}: {self.rate:.2f} fractals/s"
        if len(self.rates) > 1:
            words += f" (batches: {batches})"
        if self.idle_cores is not None:
            words += f"; {self.idle_cores:.2f} of {self.cores:g} host cores idle"
        return words + (": the host was short of CPU" if self.short else "")

    __repr__ = __str__


def measure(
    app: Topology,
    work: Work,
    *,
    per_worker: int = 12,
    seconds: float = 0.25,
    repeats: int = 3,
    endpoints: Endpoints | None = None,
) -> Measured:
    """Order `repeats` batches of `per_worker` tasks for each worker, of `seconds` each, and wait until all are made.

    The batches are of equal cost and follow each other without a pause; a task for each worker goes before and after
    them, uncounted, so that every worker is busy in all of them. `endpoints`: where to order (default: the APIs in
    turn). Raises LoadError without a worker or
    where an order is refused, and as `watch` does.
    """
    app.refresh()
    workers = number_of_workers(app)
    if per_worker < 2 or repeats < 1:
        raise LoadError(f"per_worker={per_worker} and repeats={repeats}: give 2 tasks a worker and 1 repeat at least.")
    size = per_worker * workers
    tasks = work.tasks(repeats * size + 2 * workers, seconds)
    idle, start = IdleCpu(), time.time()
    times = [item.at for item in finish(app, tasks, endpoints)]
    end, idle_cores = time.time(), idle.cores()
    marks = [times[workers - 1 + batch * size] for batch in range(repeats + 1)]
    rates = tuple(size / (after - earlier) for earlier, after in itertools.pairwise(marks))
    if app.cloud.name != EMBEDDED:
        return Measured(workers, rates, start, end)
    return Measured(workers, rates, start, end, idle_cores, idle.total)
