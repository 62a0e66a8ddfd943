"""What several policies measure in the samples: how many tasks a worker makes per second, and how many arrive."""

from itertools import pairwise

from faafo_lab.autoscale.samples import Sample, Samples

WINDOW_SECONDS = 10.0


def tasks_per_second(samples: Samples, window_seconds: float = WINDOW_SECONDS) -> float | None:
    """How many tasks a busy worker makes per second, over the last samples in which workers were busy, up to
    `window_seconds` of them; None: not known yet."""
    done = busy = measured = 0.0
    for before, now in reversed(list(pairwise(samples))):
        seconds = now.at - before.at
        workers = (_busy(before) + _busy(now)) / 2
        if now.rate is None or not _busy(before) or not _busy(now):
            continue
        done += now.rate * seconds
        busy += workers * seconds
        measured += seconds
        if measured >= window_seconds:
            break
    return done / busy if done and busy else None


def _busy(sample: Sample) -> int:
    """How many workers are busy: all of them where tasks wait. (The application hears with a heartbeat who has which
    task, and of a brief one never.)"""
    return sample.workers if sample.waiting else min(sample.working or 0, sample.workers)


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
