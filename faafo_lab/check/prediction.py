"""A prediction beside what was measured. A learner who commits to a number first learns from the difference.

times = ...                                        # the learner's cell: empty, or a number
check.prediction(times, after / before, "times the throughput")
"""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import EllipsisType
from typing import TypeVar

from faafo_lab.cloud.errors import OneLine
from faafo_lab.tables import scrolling

Key = TypeVar("Key")
Guess = float | EllipsisType | None
MANY_TIMES = 10  # from here on, per cent say nothing
NO_PREDICTION = "you made no prediction"


class NotAPrediction(OneLine, TypeError):
    """What was given as a prediction is no number, or not the dict of numbers that is asked for."""


@dataclass(frozen=True)
class Prediction:
    """A line for each number: what it is, what was predicted (None: nothing), what was measured, and the unit."""

    lines: tuple[tuple[str, float | None, float], ...]
    unit: str = ""

    @property
    def made(self) -> bool:
        """Whether anything was predicted."""
        return any(guess is not None for _, guess, _ in self.lines)

    def __repr__(self) -> str:
        return "\n".join(
            f"{what}: measured {self._number(value)}, {self._verdict(guess, value)}"
            for what, guess, value in self.lines
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{html.escape(what)}</td><td>{html.escape(self._number(value))}</td>'
            f'<td style="text-align:left">{html.escape(self._verdict(guess, value))}</td></tr>'
            for what, guess, value in self.lines
        )
        head = '<tr><th></th><th>measured</th><th style="text-align:left">your prediction</th></tr>'
        return scrolling(rows, head)

    def _number(self, value: float) -> str:
        return f"{value:.3g} {self.unit}".strip()

    def _verdict(self, guess: float | None, value: float) -> str:
        if guess is None:
            return NO_PREDICTION
        words = f"you predicted {self._number(guess)}"
        if not math.isfinite(value) or (0 in (guess, value) and self.unit != "%"):  # no percentage of it says anything
            return words
        if self.unit != "%" and guess / value >= MANY_TIMES:
            return f"{words}: {guess / value:.0f} times as much"
        # Of percentages the difference itself: a percentage of a percentage misleads.
        off, of = (guess - value, "points") if self.unit == "%" else (100 * (guess - value) / abs(value), "%")
        return (
            f"{words}: {'right on' if abs(off) < 5 else f'{abs(off):.0f} {of} too ' + ('high' if off > 0 else 'low')}"
        )


def prediction(
    yours: Guess | Mapping[Key, Guess], measured: float | Mapping[Key, float], what: str, unit: str = ""
) -> Prediction:
    """What you predicted beside what was measured; `...` or None: no prediction.

    Both are numbers, or dicts of numbers with the same keys, which then name the lines. Raises NotAPrediction where
    they are something else.
    """
    if isinstance(measured, Mapping):
        guesses = {} if yours is None or yours is ... else yours
        if not isinstance(guesses, Mapping):
            raise NotAPrediction(
                f"This prediction has several numbers: give a dict with the keys {', '.join(map(str, measured))}."
            )
        pairs = [(f"{what}, {key}" if what else str(key), guesses.get(key), value) for key, value in measured.items()]
    elif isinstance(yours, Mapping):
        raise NotAPrediction("This prediction is one number, not a dict.")
    else:
        pairs = [(what, yours, measured)]
    return Prediction(tuple((name, _guess(guess), float(value)) for name, guess, value in pairs), unit)


def _guess(guess: object) -> float | None:
    if guess is None or guess is ...:
        return None
    if isinstance(guess, bool) or not isinstance(guess, Real):
        raise NotAPrediction(f"A prediction is a number, such as 2.5, not {guess!r}.")
    return float(guess)
