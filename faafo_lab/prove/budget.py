"""The budget, and what ends a proof early: an interrupt, a signal, the last minute. What is begun is known then.

with Guard(minutes=60) as guard:
    guard.shield(cloud)
    …                         # KeyboardInterrupt at the end of the budget, or by SIGINT, SIGTERM, SIGHUP
    with guard.cleaning():    # here the end of the budget ends nothing, and a signal only when it comes twice
        …
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.receipt import CREATED

APPLICATION_WORKERS = 2
APPLICATION_SERVERS = 2 + APPLICATION_WORKERS  # services, and an API
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Budget:
    """At most so many servers at a time, and so many minutes until all that was made is removed."""

    servers: int = APPLICATION_SERVERS
    minutes: float = 60.0

    def __str__(self) -> str:
        return f"at most {self.servers} server{'s' * (self.servers != 1)} at a time, {self.minutes:g} minutes"


class Guard:
    """Ends what goes on, in the main thread, by a KeyboardInterrupt; `reason` then says why, and `status` how to exit.

    What a verb creates is not lost: while one creates something, an end waits until the ledger has it.
    """

    def __init__(self, minutes: float, say: Callable[[str], None] = print) -> None:
        self.reason, self.status = "", 0
        self._minutes, self._say = minutes, say
        self._creating, self._late, self._cleaning, self._asked = 0, False, False, 0
        self._before: dict[int, Any] = {}
        self._timer = (0.0, 0.0)

    def __enter__(self) -> Self:
        for number in (*SIGNALS, signal.SIGALRM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._end)
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._minutes * 60)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, *self._timer)

    def shield(self, cloud: Cloud) -> None:
        """Let this object's verbs that create something finish, and let it take no free floating address of others."""
        for verb in CREATED:
            setattr(cloud, verb, self._whole(getattr(cloud, verb)))
        cloud.free_floating_ip = cloud.create_floating_ip  # type: ignore[method-assign]

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Inside, what was made is removed: that takes the time that it takes."""
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        self._cleaning = True
        yield
        self._cleaning = False
        signal.setitimer(signal.ITIMER_REAL, left)

    def check(self) -> None:
        """Raise KeyboardInterrupt if this has ended: what was interrupted may have returned as if nothing were."""
        if self.reason and not self._cleaning:
            raise KeyboardInterrupt

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._cleaning or self.reason:
            self._once_more(number)
            return
        self._because(number)
        if self._creating:
            self._late = True
        else:
            raise KeyboardInterrupt

    def _because(self, number: int) -> None:
        if number == signal.SIGALRM:
            self.reason, self.status = f"the budget of {self._minutes:g} minutes is used up", 1
        else:
            self.reason, self.status = f"interrupted by {signal.Signals(number).name}", 128 + number

    def _once_more(self, number: int) -> None:
        """Somebody asks while all is being removed."""
        if number == signal.SIGALRM:
            return
        if not self.reason:
            self._because(number)
        self._asked += 1
        if self._asked > 1:
            raise KeyboardInterrupt
        self._say("still removing what was made; interrupt once more, and the rest stays")

    def _whole(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def whole(*args: Any, **kwargs: Any) -> Any:
            with self.finishing():
                return verb(*args, **kwargs)

        return whole

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """What is done inside is finished before this ends."""
        self._creating += 1
        try:
            yield
        finally:
            self._creating -= 1
            if self._late and not self._creating:
                self._late = False
                raise KeyboardInterrupt
