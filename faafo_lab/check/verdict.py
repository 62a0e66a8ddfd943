"""What a check says, and what makes a function a check."""

import functools
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from faafo_lab import connect
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError

P = ParamSpec("P")


@dataclass(frozen=True)
class Verdict:
    """What a check says: passed, or one hint."""

    exercise: str  # "2.1"
    hint: str = ""  # what is still missing; empty: nothing

    @property
    def passed(self) -> bool:
        """Whether the exercise is solved."""
        return not self.hint

    def __repr__(self) -> str:
        return f"✔ Exercise {self.exercise}: passed" if self.passed else f"○ Exercise {self.exercise}: {self.hint}"

    def _repr_html_(self) -> str:
        # A bar in Okabe and Ito's blue or orange beside the text, which keeps the theme's own colours.
        colour = "#0072B2" if self.passed else "#E69F00"
        words = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(repr(self)))
        return (
            f'<div style="border-left:5px solid {colour};padding:.3em .8em;font-family:var(--jp-ui-font-family,'
            f'sans-serif);color:var(--jp-ui-font-color1,inherit)">{words}</div>'
        )


def exercise(looks: Callable[Concatenate[Cloud, P], str]) -> Callable[..., Verdict]:
    """A check, of a function that looks at a cloud and returns a hint, or "" where nothing is missing."""
    number = looks.__name__.removeprefix("exercise_").replace("_", ".")

    @functools.wraps(looks)
    def check(*args: Any, cloud: Cloud | None = None, **kwargs: Any) -> Verdict:
        try:
            return Verdict(number, looks(cloud or connect(), *args, **kwargs))
        except CloudError as error:  # such as no server of that name: it says itself what to do
            return Verdict(number, str(error))

    return check
