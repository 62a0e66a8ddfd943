"""Traces: how much load there is when, told in workers' worth, and the orders that make it up.

    Trace.steps((60, 0.6), (60, 3.5), (60, 0.6))      # seconds and load, one piece after the other
    Trace.wave(low=1, high=3, period_seconds=40)      # a load that oscillates
    Trace.random(7)                                   # one of many: calm, steps and bursts
    trace.arrivals(task_seconds=0.25)                 # when which order comes, in seconds

A load of 3.5 keeps three and a half workers busy, however long a task takes: so one trace serves the simulator and
clouds of any speed.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from faafo_lab.load import LoadError

SECONDS = 240.0  # of a trace, unless told otherwise
WAVE_PIECES = 12  # of one period
CALM, BUSY = (0.2, 1.5), (1.5, 5.0)  # between which loads pieces of a random trace are
PIECE_SECONDS = (10.0, 45.0)  # how long they are
BUSY_SHARE = 0.4  # how many of them are busy


@dataclass(frozen=True)
class Trace:
    """Pieces of (seconds, load in workers' worth), one after the other; `seed` decides when exactly orders arrive.

    Orders are independent of each other (their gaps are exponential), or in equal gaps where `even`, as `load.start`
    sends them. Raises LoadError for pieces that make no trace.
    """

    pieces: tuple[tuple[float, float], ...]
    seed: int = 0
    name: str = "trace"
    even: bool = False

    def __post_init__(self) -> None:
        if not self.pieces:
            raise LoadError("A trace without a piece has no load: give (seconds, load) at least once.")
        for seconds, load in self.pieces:
            if not 0 < seconds < math.inf or not 0 <= load < math.inf:
                raise LoadError(f"({seconds!r}, {load!r}) is no piece: give seconds above 0, and a load of 0 or more.")

    @classmethod
    def steps(cls, *pieces: tuple[float, float], seed: int = 0, name: str = "steps", even: bool = False) -> "Trace":
        """These pieces of (seconds, load), one after the other. Raises LoadError as the class does."""
        return cls(tuple(pieces), seed, name, even)

    @classmethod
    def wave(
        cls,
        low: float = 1.0,
        high: float = 3.0,
        period_seconds: float = 40.0,
        seconds: float = SECONDS,
        seed: int = 0,
        name: str = "wave",
    ) -> "Trace":
        """A load that swings between low and high, and begins at low. Raises LoadError."""
        _check(period_seconds=period_seconds, seconds=seconds)
        piece = period_seconds / WAVE_PIECES
        middle, swing = (low + high) / 2, (high - low) / 2
        turns = [2 * math.pi * (number + 0.5) / WAVE_PIECES for number in range(max(1, round(seconds / piece)))]
        return cls(tuple((piece, middle - swing * math.cos(turn)) for turn in turns), seed, name)

    @classmethod
    def random(cls, seed: int, seconds: float = SECONDS) -> "Trace":
        """A trace that this seed decides: calm pieces (CALM) and busy ones (BUSY), in any order. Raises LoadError."""
        _check(seconds=seconds)
        chance = random.Random(f"faafo-lab trace {seed}")
        pieces, left = [], seconds
        while left > 0:
            piece = min(left, chance.uniform(*PIECE_SECONDS))
            pieces.append((piece, chance.uniform(*(BUSY if chance.random() < BUSY_SHARE else CALM))))
            left -= piece
        return cls(tuple(pieces), seed, f"random {seed}")

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(seconds for seconds, _ in self.pieces)

    def load(self, at: float) -> float:
        """The load at this second, in workers' worth; 0 after the end."""
        for seconds, load in self.pieces:
            if at < seconds:
                return load
            at -= seconds
        return 0.0

    def arrivals(self, task_seconds: float) -> list[float]:
        """When each order arrives (seconds from the start), if a task keeps one worker busy for so long.

        The same trace always has the same. Raises LoadError.
        """
        _check(task_seconds=task_seconds)
        return [at * task_seconds for at in self._arrivals(task_seconds)]

    def _arrivals(self, task_seconds: float) -> Iterator[float]:
        """In units of a task's time."""
        chance = random.Random(f"faafo-lab arrivals {self.seed}")
        start, owed = 0.0, 0.0  # what an order still lacks: it may begin in one piece and arrive in another
        due = 0.5 if self.even else chance.expovariate(1.0)
        for seconds, load in self.pieces:
            length = seconds / task_seconds
            while owed + load * length >= due:
                passed = (due - owed) / load
                start, length, owed = start + passed, length - passed, 0.0
                due = 1.0 if self.even else chance.expovariate(1.0)
                yield start
            owed += load * length
            start += length


def _check(**times: float) -> None:
    for name, seconds in times.items():
        if not 0 < seconds < math.inf:
            raise LoadError(f"{name}={seconds!r}: give a number of seconds above 0.")
