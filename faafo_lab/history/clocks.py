"""How far the application's clock is ahead of this process's, as its answers show it.

clock = Clock()
clock.hear(began, ended, now)     # an answer that was asked for and had arrived then, and the time that it says
clock.ahead, clock.within         # seconds, and to within how many either way
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from faafo_lab.topology.api import timestamp

Answer = TypeVar("Answer", bound=Mapping[str, object])


class Clock:
    """The application's clock, by the quickest answer of the last `keep_seconds`: it was read between question and
    answer, so half way, give or take half of what they took. `known`: whether there was any."""

    def __init__(self, keep_seconds: float = math.inf) -> None:
        self.ahead = self.within = 0.0
        self._keep_seconds = keep_seconds
        self._heard: deque[tuple[float, float, float]] = deque()  # (within, when, ahead), each less quick than the next

    @property
    def known(self) -> bool:
        """Whether there was an answer."""
        return bool(self._heard)

    def hear(self, began: float, ended: float, now: float) -> None:
        """An answer says that it is `now` (seconds since 1970); it took from `began` to `ended`, by our clock."""
        within = max(0.0, ended - began) / 2
        while self._heard and self._heard[-1][0] >= within:
            self._heard.pop()
        self._heard.append((within, ended, now - (began + ended) / 2))
        while ended - self._heard[0][1] > self._keep_seconds:
            self._heard.popleft()
        self.within, _, self.ahead = self._heard[0]

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question to the application, which says its time as `now` (ISO 8601), and hear it."""
        began = time.time()
        answer = question()
        self.hear(began, time.time(), timestamp(str(answer["now"])))
        return answer
