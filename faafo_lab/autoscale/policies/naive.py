"""The loop of the original's to-do list: look at the load of the workers, and add one when they are overloaded."""

from dataclasses import dataclass

from faafo_lab.autoscale.samples import Decision, Samples, keep


@dataclass(frozen=True)
class Naive:
    """One worker more where the mean load average is above `load_average`, one less where it is below.

    Source: OpenStack's First App guide, which leaves such a loop to its reader: see the load of the servers, and add
    one when they are overloaded. The usual threshold is 1 per core; our workers have one task at a time, so theirs
    never passes 1. A Unix load average looks back over a minute, and a cloud's server is ready many decisions after the
    one that asked for it: this loop knows neither.
    """

    load_average: float = 0.7

    def __call__(self, samples: Samples) -> Decision:
        """How many workers there should be, by the samples so far, the newest last."""
        now = samples[-1]
        if now.load_average is None:
            return keep(now, "the load average is unknown")
        why = f"load average {now.load_average:.2f}, threshold {self.load_average:g}"
        return Decision(
            now.wanted + (now.load_average > self.load_average) - (now.load_average < self.load_average), why
        )
