"""Durations for people: in a unit that shows something."""


def duration(seconds: float) -> str:
    """Two digits of it, such as "0.41 s" or "3.2 ms"; whole seconds from ten on."""
    for unit, factor, least in (("s", 1, 0.1), ("ms", 1e3, 1.0), ("µs", 1e6, 0.05)):
        value = seconds * factor
        if value >= least:
            digits = 0 if value >= 9.95 else 1 if value >= 0.995 else 2
            return f"{value:.{digits}f} {unit}"
    return "0 s"
