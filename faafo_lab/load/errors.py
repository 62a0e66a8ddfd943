"""What load raises: one kind."""


class LoadError(ValueError):
    """An impossible run: the message names the wrong value, and what to give instead."""
