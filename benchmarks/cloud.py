"""Measure the embedded cloud itself: a module for each of its sides."""

from importlib import import_module

from measure import Figures

SIDES = ("cloud_instances", "cloud_servers")


def figures() -> Figures:
    """All sides' figures, by name."""
    found: Figures = {}
    for side in SIDES:
        found |= import_module(side).figures()
    return found
