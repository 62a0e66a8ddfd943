"""Whether the servers' CPU shares fit this machine. Where they don't, a measurement shows the machine's limit, and an
embedded cloud with smaller shares shows the application's.

    found = load.fit(app)
    found.fits, found.offer             # False, 0.5: `faafo-lab cloud start --shares 0.5`

Measured on one core: with whole shares, three workers make 2.6 to 2.8 times the fractals of one, and no CPU is left;
with half of the shares it is 2.9 times, and some is left. On two cores it is 3.0 times with whole shares.
"""

from dataclasses import dataclass

from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.load.host import IdleCpu
from faafo_lab.topology import Layout, Topology
from faafo_lab.topology.roles import ROLES

SCALED_OUT = Layout.scaled_out(api=2, worker=3)  # what chapter 03 measures
LAB_CORES = 0.2  # measured meanwhile, on one core: the embedded cloud uses 0.09, the kernel of the notebook 0.09
SMALLER = 0.5  # the shares on offer: with a quarter, what a task costs besides its pixels hides what they cost


@dataclass(frozen=True)
class Fit:
    """`servers` servers that may use `each` core with the cloud's present `shares`, on a machine with `cores` cores."""

    flavor: str
    servers: int
    each: float
    shares: float
    cores: float

    @property
    def fits(self) -> bool:
        """Whether all servers may be busy at once beside the lab's own processes."""
        return self._wanted(self.shares) <= self.cores

    @property
    def offer(self) -> float | None:
        """Smaller shares that fit; None where the present ones do, or these don't either."""
        return None if self.fits or self._wanted(SMALLER) > self.cores else SMALLER

    def _wanted(self, shares: float) -> float:
        return self.servers * self.each * shares / self.shares + LAB_CORES

    def __str__(self) -> str:
        together = f"{self.servers} servers of {self.flavor} may use {self.servers * self.each:g} cores together"
        given = f"{self.cores:g} core{'s' * (self.cores != 1)}"
        if self.fits:
            return f"{given}: {together}"
        words = f"{given} for the lab, and {together}: when all are busy they get less, and measurements show it."
        if self.offer is None:
            return f"{words} Smaller shares don't help here: give the lab more cores."
        command = f"!faafo-lab cloud stop && faafo-lab cloud start --shares {self.offer:g}"
        return f"{words} Smaller shares fit: run `{command}` in a cell, then this notebook from its first cell."

    __repr__ = __str__


def fit(app: Topology) -> Fit | None:
    """Whether chapter 03's servers fit this machine's cores, of which a container's limit and an affinity leave less.

    None where the cloud is elsewhere, or tells no shares. Raises CloudError.
    """
    each = app.flavor.cores
    if app.cloud.name != EMBEDDED or each is None:
        return None
    # With shares of 1, the cloud's largest flavors have a whole core for each vCPU.
    shares = max(flavor.cores / flavor.vcpus for flavor in app.cloud.flavors() if flavor.cores is not None)
    servers = sum(SCALED_OUT.count(role) or 0 for role in ROLES.values())
    return Fit(app.flavor.name, servers, each, shares, IdleCpu().total)
