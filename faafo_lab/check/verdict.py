"""What a check says, and what makes a function a check."""

import functools
import html
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from faafo_lab import connect
from faafo_lab.check.memory import remember
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError
from faafo_lab.topology import Topology

P = ParamSpec("P")
EXERCISES: dict[str, str] = {}  # number → what is to be reached, in a sentence
MORE = "(Run the check again for the next hint.)"


@dataclass(frozen=True)
class Hint:
    """What a check saw instead of a solution, and how to go on, in three steps: a sentence, a second one, a call."""

    nudge: str  # the state that was seen
    pointer: str = ""  # where to look
    method: str = ""  # such as "cloud.wait_for(server)"

    def words(self, step: int) -> str:
        """The hint at its first, second or third step; a hint that has no more steps stays as it is."""
        steps = [self.nudge, self.pointer, self.method and f"Use `{self.method}`."]
        known = [sentence for sentence in steps if sentence]
        said = " ".join(known[:step])
        return f"{said} {MORE}" if step < len(known) else said


@dataclass(frozen=True)
class Verdict:
    """What a check says: passed, and what it measured; or a hint, at the step that the tries have reached."""

    exercise: str  # "2.1"
    hint: Hint | None = None
    measured: str = ""
    step: int = 1
    note: str = ""  # on what else the learner should know

    @property
    def passed(self) -> bool:
        """Whether the exercise is solved."""
        return self.hint is None

    def __repr__(self) -> str:
        if self.hint:
            said = f"○ Exercise {self.exercise}: {self.hint.words(self.step)}"
        else:
            said = f"✔ Exercise {self.exercise}: passed" + (f". {self.measured}" if self.measured else "")
        return f"{said}\n{self.note}" if self.note else said

    def _repr_html_(self) -> str:
        # A bar in Okabe and Ito's blue or orange beside the text, which keeps the theme's own colours.
        colour = "#0072B2" if self.passed else "#E69F00"
        words = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(repr(self))).replace("\n", "<br>")
        return (
            f'<div style="border-left:5px solid {colour};padding:.3em .8em;font-family:var(--jp-ui-font-family,'
            f'sans-serif);color:var(--jp-ui-font-color1,inherit)">{words}</div>'
        )


def exercise(looks: Callable[Concatenate[Cloud, P], Hint | str]) -> Callable[..., Verdict]:
    """A check, of a function that looks at a cloud (and at an answer) and returns a hint where something is missing,
    else what it measured, in a sentence ("": nothing).

    The check takes the answer (`...`, as in a cell that is still empty, is none), and the cloud or its Topology in any
    place; without one it connects. Each try is remembered. Raises TypeError where the number of answers is wrong.
    """
    number = looks.__name__.removeprefix("exercise_").replace("_", ".")
    EXERCISES[number] = " ".join((inspect.getdoc(looks) or "").partition("\n\n")[0].split())
    signature = inspect.signature(looks)

    @functools.wraps(looks)
    def check(*args: Any, cloud: Cloud | Topology | None = None, **kwargs: Any) -> Verdict:
        answers: list[Any] = [None if each is ... else each for each in args if not isinstance(each, Cloud | Topology)]
        place = next((each for each in args if isinstance(each, Cloud | Topology)), cloud)
        try:
            signature.bind(None, *answers, **kwargs)
        except TypeError as error:
            raise TypeError(f"check.{looks.__name__} takes {_answers(signature)}: {error}.") from None
        try:
            found = looks(place.cloud if isinstance(place, Topology) else place or connect(), *answers, **kwargs)
        except CloudError as error:  # such as no server of that name: it says itself what to do
            found = Hint(str(error))
        return _remembered(number, found)

    return check


def _answers(signature: inspect.Signature) -> str:
    names = list(signature.parameters)[1:]
    return f"your answer ({', '.join(names)})" if names else "no answer"


def _remembered(number: str, found: Hint | str) -> Verdict:
    """The verdict, at the step that this try has reached."""
    hint, measured = (found, "") if isinstance(found, Hint) else (None, found)
    try:
        record, note = remember(number, (hint.pointer or hint.nudge) if hint else "")
    except (OSError, CloudError) as error:
        return Verdict(number, hint, measured, note=f"This try is not remembered: {error}")
    return Verdict(number, hint, measured, record.times, note)
