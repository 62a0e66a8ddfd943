"""A page that shows a widget of the moving picture, as the kernel knows it: what it hears, and what it says."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from faafo_lab.living.events import Event, Scene, scene_at
from faafo_lab.widgets.moving import Moving


class Page:
    """What a page hears of a widget, from now on, and what it says to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, widget: Moving) -> None:
        self.heard: list[Any] = []
        monkeypatch.setattr(widget, "send", lambda content: self.heard.append(content))
        self._widget = widget

    def say(self, message: Any) -> None:
        """As the module does by `model.send`."""
        self._widget._handle_custom_msg(message, [])

    @property
    def events(self) -> Sequence[Event]:
        """All that the page knows: from the last start on."""
        known: list[Event] = []
        for message in tuple(self.heard):
            if message["type"] == "start":
                known = list(message["events"])
            elif message["type"] == "events":
                known += message["events"]
        return known

    @property
    def scene(self) -> Scene:
        """What the page shows as standing now."""
        return scene_at(self.events, math.inf)

    def notes(self) -> list[str]:
        """The notes that it shows."""
        return [event["text"] for event in self.events if event["k"] == "note"]
