"""Error budgets and burn rates, as in the SRE workbook, its hours scaled to minutes.

An objective of 95 % allows 5 % bad orders: the error budget. The burn rate is the share of bad orders of a window,
beside what the objective allows: at 1 the budget lasts exactly for its period. An alert needs both of its windows above
its rate: the long one says that it matters, the short one that it still goes on.
Source: https://sre.google/workbook/alerting-on-slos/ (table 5-8; 14.4 over 1 h and 5 min, 6 over 6 h and 30 min).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_SECONDS = 60.0  # of the workbook's hours: a minute here
RAISED, OVER = "alert raised: ", "alert over: "


@dataclass(frozen=True)
class Order:
    """An order: when it was meant to be placed (seconds since 1970), and how long until it was done; None: never."""

    at: float
    seconds: float | None


@dataclass(frozen=True)
class Objective:
    """That at least this share of the orders is done within so many seconds."""

    share: float = 0.95
    seconds: float = 10.0

    def good(self, order: Order) -> bool:
        """Whether the order was done in time."""
        return order.seconds is not None and order.seconds <= self.seconds

    def known_at(self, order: Order) -> float:
        """When it was known whether the order was done in time."""
        return order.at + min(self.seconds, self.seconds if order.seconds is None else order.seconds)

    def burnt(self, orders: Sequence[Order]) -> float:
        """How much of these orders' error budget is burnt: 1 is all of it, more is a missed objective."""
        return self._rate([self.good(order) for order in orders])

    def left(self, orders: Sequence[Order]) -> list[tuple[float, float]]:
        """How much of these orders' budget was left, in percent: (seconds since 1970, percent) from the first order on,
        then whenever it was known that one was late. Below 0 the objective is missed."""
        if not orders:
            return []
        bad = sorted(self.known_at(order) for order in orders if not self.good(order))
        each = 100 / len(orders) / (1 - self.share)
        found = [(min(order.at for order in orders), 100.0)]
        return found + [(at, 100 - number * each) for number, at in enumerate(bad, 1)]

    def burn_rate(self, orders: Sequence[Order], now: float, window_seconds: float) -> float:
        """The burn rate over a window that ends now, of the orders of which it is known by then."""
        known = [order for order in orders if now - window_seconds < self.known_at(order) <= now]
        return self._rate([self.good(order) for order in known])

    def _rate(self, good: Sequence[bool]) -> float:
        return good.count(False) / len(good) / (1 - self.share) if good else 0.0


@dataclass(frozen=True)
class Alert:
    """Raised while the burn rate over both windows is above `rate`."""

    name: str
    rate: float
    long_hours: float
    short_hours: float

    def firing(self, objective: Objective, orders: Sequence[Order], now: float) -> bool:
        """Whether it is raised at this time."""
        windows = self.long_hours * HOUR_SECONDS, self.short_hours * HOUR_SECONDS
        return all(objective.burn_rate(orders, now, window) > self.rate for window in windows)


ALERTS = (Alert("page, fast burn", 14.4, 1.0, 1 / 12), Alert("page, slow burn", 6.0, 6.0, 0.5))


def alerts(objective: Objective, orders: Sequence[Order]) -> list[tuple[float, str]]:
    """When each alert was raised and when it ended (seconds since 1970), in order, in steps of a second."""
    if not orders:
        return []
    found: list[tuple[float, str]] = []
    known = [objective.known_at(order) for order in orders]
    for alert in ALERTS:
        was, now = False, min(known)
        while now <= max(known) + alert.short_hours * HOUR_SECONDS + 1:
            if (fires := alert.firing(objective, orders, now)) != was:
                found.append((now, (RAISED if fires else OVER) + alert.name))
            was, now = fires, now + 1
    return sorted(found)
