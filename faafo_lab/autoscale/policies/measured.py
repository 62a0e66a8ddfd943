"""What several policies measure in the samples: how many tasks a worker makes per second, and how many arrive."""

from itertools import pairwise

from faafo_lab.autoscale.samples import Samples

WINDOW_SECONDS = 10.0


def tasks_per_second(samples: Samples, window_seconds: float = WINDOW_SECONDS) -> float | None:
    """How many tasks a busy worker makes per second, over the last samples in which workers were busy, up to
    `window_seconds` of them; None: not known yet."""
    done = busy = measured = 0.0
    for before, now in reversed(list(pairwise(samples))):
        seconds = now.at - before.at
        if now.rate is None or not before.working or not now.working:
            continue
        done += now.rate * seconds
        busy += (min(before.working, before.workers) + min(now.working, now.workers)) / 2 * seconds
        measured += seconds
        if measured >= window_seconds:
            break
    return done / busy if done and busy else None


def arrivals_per_second(samples: Samples, window_seconds: float = WINDOW_SECONDS) -> float:
    """How many tasks were ordered per second, over the last `window_seconds`."""
    orders = measured = 0.0
    for before, now in reversed(list(pairwise(samples))):
        if now.orders_per_second is not None:
            orders += now.orders_per_second * (now.at - before.at)
            measured += now.at - before.at
        if measured >= window_seconds:
            break
    return orders / measured if measured else 0.0
