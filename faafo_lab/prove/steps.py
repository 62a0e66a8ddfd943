"""Steps: what to try, which steps it needs, and the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from faafo_lab.cloud.base import Cloud

State = Literal["ok", "absent", "failed", "skipped", "interrupted", "not run"]
RIGHT: tuple[State, ...] = ("ok", "absent")


class Wrong(Exception):
    """A step's result is not the required one."""


class Absent(Exception):
    """The cloud does not offer this optional feature."""


@dataclass(frozen=True)
class Step:
    """Something to try: `run` returns the result in a few words, and raises if it is wrong."""

    what: str
    run: Callable[[], str]
    needs: tuple[str, ...] = ()  # the steps that this one depends on


@dataclass(frozen=True)
class Outcome:
    """A step's outcome, the number of its HTTP calls to the cloud, and its duration in seconds."""

    part: str
    what: str
    state: State
    seconds: float = 0.0
    calls: int = 0
    detail: str = ""

    @property
    def right(self) -> bool:
        """Whether the step passed; a feature that the cloud does not offer passes."""
        return self.state in RIGHT

    def __str__(self) -> str:
        sign = self.state if self.right else self.state.upper()
        return f"{sign:<11} {self.seconds:6.1f} s {self.calls:4} calls  {self.what:<21}  {self.detail}".rstrip()


class Runner:
    """Runs steps through one cloud object and keeps their outcomes. `check` raises once the proof has to end."""

    def __init__(self, cloud: Cloud, say: Callable[[str], None], check: Callable[[], None]) -> None:
        self.outcomes: list[Outcome] = []
        self._cloud, self._say, self._check = cloud, say, check

    def run(self, part: str, steps: Iterable[Step]) -> None:
        """Run these steps in order. An interrupt propagates to the caller; the outcomes then say what was not run."""
        waiting = list(steps)
        states: dict[str, State] = {}
        try:
            while waiting:
                step = waiting.pop(0)
                states[step.what] = self._try(part, step, states)
        finally:
            for step in waiting:
                self._note(Outcome(part, step.what, "not run"))

    def _try(self, part: str, step: Step, states: dict[str, State]) -> State:
        missing = [need for need in step.needs if states[need] != "ok"]
        if missing:
            absent = all(states[need] == "absent" for need in missing)
            return self._note(Outcome(part, step.what, "absent" if absent else "skipped", 0, 0, f"no {missing[0]}"))
        started, before = time.monotonic(), self._cloud.tape(last=1).calls

        def outcome(state: State, detail: str) -> State:
            after = self._cloud.tape(last=1).calls
            calls = sum(call.number for call in after) - sum(call.number for call in before)
            return self._note(Outcome(part, step.what, state, time.monotonic() - started, calls, detail))

        try:
            detail = step.run()
            self._check()
        except Absent as error:
            return outcome("absent", str(error))
        except Exception as error:  # whatever it is: a crash of a client library fails this step alone
            return outcome("failed", str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}")
        except BaseException:
            outcome("interrupted", "")
            raise
        return outcome("ok", detail)

    def _note(self, outcome: Outcome) -> State:
        self.outcomes.append(outcome)
        self._say(str(outcome))
        return outcome.state
