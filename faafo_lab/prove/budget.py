"""The budget, and what ends a proof early: an interrupt, a signal, the time limit. Requests under way are finished.

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

from faafo_lab.cloud.base import VERBS, Cloud
from faafo_lab.cloud.receipt import CREATED

APPLICATION_WORKERS = 2
APPLICATION_SERVERS = 2 + APPLICATION_WORKERS  # services, and an API
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Budget:
    """The most servers at a time, and the minutes after which the proof ends and cleans up."""

    servers: int = APPLICATION_SERVERS
    minutes: float = 60.0

    def __str__(self) -> str:
        return f"at most {self.servers} server{'s' * (self.servers != 1)} at a time, {self.minutes:g} minutes"


class Guard:
    """Ends the main thread's work by a KeyboardInterrupt; then `reason` says why, and `status` is the exit status.

    No created resource is lost: while a verb creates one, the end waits until the ledger has noted it.
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
        """Let this object's creating verbs finish, and keep it from taking a free floating IP that others allocated."""
        for verb in CREATED.keys() & VERBS:  # what else is created, modules above the interface do
            setattr(cloud, verb, self._whole(getattr(cloud, verb)))
        cloud.free_floating_ip = cloud.create_floating_ip  # type: ignore[method-assign]

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """The clean-up's block, which the time limit does not end."""
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        self._cleaning = True
        yield
        self._cleaning = False
        signal.setitimer(signal.ITIMER_REAL, left)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the proof has to end: an interrupted call may have returned as usual."""
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
        """Answer a signal during the clean-up: the first one is only told so."""
        if number == signal.SIGALRM:
            return
        if not self.reason:
            self._because(number)
        self._asked += 1
        if self._asked > 1:
            raise KeyboardInterrupt
        self._say("clean-up is still running; interrupt once more to stop it and keep the remaining resources")

    def _whole(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def whole(*args: Any, **kwargs: Any) -> Any:
            with self.finishing():
                return verb(*args, **kwargs)

        return whole

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Delay the end until the block has finished."""
        self._creating += 1
        try:
            yield
        finally:
            self._creating -= 1
            if self._late and not self._creating:
                self._late = False
                raise KeyboardInterrupt
