"""Whole numbers as clients write them."""

from __future__ import annotations

import re


def whole(text: str, *, signed: bool = False) -> int | None:
    """The number that 1 to 18 ASCII digits are (`signed`: perhaps behind a minus sign); None for any other text.

    `int` takes more: other scripts' digits, 1_0, +1, and blanks around it.
    """
    return int(text) if re.fullmatch("-?[0-9]{1,18}" if signed else "[0-9]{1,18}", text) else None
