"""How much a project may have: a service's own limits, the site's in their place, and what is used.

quotas = Quotas(site, {"volumes": 10}, lambda overs: Fault(413, f"{overs[0].used} are too many"))
quotas.claim("demo", {"volumes": 1})  # raises the Fault
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from faafo_lab.cloud.emulator.common.service import JSON, Fault
from faafo_lab.cloud.emulator.site import Site


class Over(NamedTuple):
    """A limit that a claim would exceed."""

    name: str
    limit: int
    used: int
    wanted: int


class Quotas:
    """A service's quotas; a limit of -1 is none."""

    def __init__(
        self,
        site: Site,
        defaults: Mapping[str, int],
        refusal: Callable[[Sequence[Over]], Fault],
        used: Callable[[str, str], int] | None = None,
    ) -> None:
        """`refusal` words the answer to a claim from the limits that it exceeds; `used` says how much a project has of
        what a quota names.

        Without `used` that is its rows in the table of that name.
        """
        self._limits = {name: site.quotas.get(name, limit) for name, limit in defaults.items()}
        self.used = used or (lambda project, name: len(site.store.table(name).where(project_id=project)))
        self._refusal = refusal

    def limit(self, name: str) -> int:
        """How much a project may have; -1: any number."""
        return self._limits[name]

    def limits(self) -> dict[str, int]:
        """All limits by name."""
        return dict(self._limits)

    def usage(self, project: str, key: str) -> dict[str, JSON]:
        """All limits with what the project uses of them, which is called `key`."""
        return {
            name: {"limit": limit, key: self.used(project, name), "reserved": 0} for name, limit in self._limits.items()
        }

    def over(self, project: str, wanted: Mapping[str, int]) -> list[Over]:
        """The limits that the project would exceed with so much more."""
        limits = {name: self._limits[name] for name in wanted if self._limits[name] >= 0}
        claims = (Over(name, limit, self.used(project, name), wanted[name]) for name, limit in limits.items())
        return [claim for claim in claims if claim.limit < claim.used + claim.wanted]

    def claim(self, project: str, wanted: Mapping[str, int]) -> None:
        """Check that the project may have so much more. Raises the service's `Fault`."""
        if overs := self.over(project, wanted):
            raise self._refusal(overs)
