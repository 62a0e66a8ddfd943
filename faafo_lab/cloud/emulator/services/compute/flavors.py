"""The flavors: what an instance may use. `quota:cpu_period` and `quota:cpu_quota` are Nova's words for a CPU cap."""

from __future__ import annotations

from dataclasses import dataclass

CPU_PERIOD_MICROSECONDS = 100_000


@dataclass(frozen=True)
class Flavor:
    """A flavor. `cpu_quota` is the CPU time of each vCPU in a period, in microseconds."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    cpu_quota: int

    @property
    def extra_specs(self) -> dict[str, str]:
        """The CPU cap, in Nova's words."""
        return {"quota:cpu_period": str(CPU_PERIOD_MICROSECONDS), "quota:cpu_quota": str(self.cpu_quota)}

    @property
    def cores(self) -> float:
        """The CPU cap of the whole instance, in cores."""
        return self.vcpus * self.cpu_quota / CPU_PERIOD_MICROSECONDS


FLAVORS = {
    flavor.id: flavor
    for flavor in (
        Flavor("1", "m1.tiny", vcpus=1, ram_mb=512, disk_gb=1, cpu_quota=25_000),
        Flavor("2", "m1.small", vcpus=1, ram_mb=1024, disk_gb=5, cpu_quota=50_000),
        Flavor("3", "m1.medium", vcpus=1, ram_mb=2048, disk_gb=10, cpu_quota=100_000),
        Flavor("4", "m1.large", vcpus=2, ram_mb=4096, disk_gb=20, cpu_quota=100_000),
    )
}
