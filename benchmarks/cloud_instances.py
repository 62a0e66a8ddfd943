"""Measure the embedded cloud's instances: how soon they serve, and how well they keep to their share of the CPU.

boot_seconds      from the request for a server to an API that answers or a worker that its API knows; the worse of the
                  two medians of BOOTS, nothing else at work
boot_api_seconds, boot_worker_seconds
cpu_share_error   1, 3 and 6 busy instances of a quarter of a core, of one process, of three, or of one short-lived
                  process after the other: the worst relative deviation of any over SHARE_SECONDS
"""

import asyncio
import base64
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import httpx
from measure import Figures

import faafo_lab
from faafo_lab.cloud.emulator.machinery.hypervisor import clocks
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest, Hypervisor
from faafo_lab.cloud.emulator.machinery.hypervisor.governor import LAUNCH_CREDIT_SECONDS
from faafo_lab.cloud.emulator.services.image.base_images import BASE_IMAGES, pack
from faafo_lab.cloud.emulator.system import tree
from faafo_lab.topology import ROLES, Topology
from faafo_lab.workbook import own_home

BOOTS = 7
LIMIT_SECONDS = 120.0
LOOK_SECONDS = 0.01
QUARTER = 0.25
SHARE_SECONDS = 10.0
BUSY = (
    "#!/bin/sh\nexec python3 -c 'while True: pass'\n",
    "#!/bin/bash\nfor n in 1 2 3; do python3 -c 'while True: pass' & done; wait\n",
    "#!/bin/bash\nwhile :; do /bin/true; done\n",
)


def figures() -> Figures:
    """All of it, by name."""
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        app = Topology(faafo_lab.connect(), say=lambda line: None).deploy(api=1, worker=0)
        medians = {role: statistics.median(boot_seconds(app, role)) for role in ("api", "worker")}
    found: Figures = {"boot_seconds": (max(medians.values()), "s")}
    found |= {f"boot_{role}_seconds": (seconds, "s") for role, seconds in medians.items()}
    return found | {"cpu_share_error": (asyncio.run(worst_share()), "relative")}


# How soon a server serves


def boot_seconds(app: Topology, role: str) -> list[float]:
    """Boot a server of this role, again and again."""
    times = []
    group = ROLES[role].group
    for number in range(BOOTS):
        name = f"boot-{role}-{number}"
        started = monotonic()
        app.cloud.create_server(
            name, image=app.image, flavor=app.flavor, security_groups=[group], user_data=app.user_data(role)
        )
        if role == "api":
            until(f"an address of {name}", lambda name=name: app.cloud.server(name).addresses)
            address = app.cloud.server(name).addresses[0]
            url = f"http://{address}:{app.cloud.published_port(80)}/v1/fractal?results_per_page=1"
            until(name, lambda url=url: answers(url))
        else:
            until(name, lambda name=name: any(node["name"] == name for node in app.nodes()))
        times.append(monotonic() - started)
        app.cloud.delete_servers([name], progress=False)
    print(f"{role} boots: {', '.join(f'{t:.2f}' for t in times)} s", flush=True)
    return times


def answers(url: str) -> bool:
    """Whether an API answers there."""
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def until(what: str, condition: Callable[[], object]) -> None:
    """Wait for a condition; raises TimeoutError."""
    deadline = monotonic() + LIMIT_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"{what} did not serve within {LIMIT_SECONDS:.0f} s")
        sleep(LOOK_SECONDS)


# How well they keep to their share


async def worst_share() -> float:
    """The worst deviation from a quarter of a core, relative to it."""
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="faafo-share") as place:
        image = Path(place) / "image.tar.gz"
        image.write_bytes(pack(BASE_IMAGES[1]))
        for count in (1, 3, 6):
            hypervisor = Hypervisor(Path(place) / f"state-{count}", lambda id: None)
            hypervisor.state_dir.mkdir()
            await hypervisor.start()
            try:
                shares = await measured_shares(hypervisor, image, count)
            finally:
                await hypervisor.close()
            print(f"{count} busy instances: {', '.join(f'{share:.3f}' for share in shares)} cores", flush=True)
            worst = max(worst, *(abs(share / QUARTER - 1) for share in shares))
    return worst


async def measured_shares(hypervisor: Hypervisor, image: Path, count: int) -> list[float]:
    """Cores that each of so many busy instances uses, once their launch credit is spent."""
    ids = [f"busy-{number}" for number in range(count)]
    for number, id in enumerate(ids):
        directory = hypervisor.state_dir / id
        directory.mkdir()
        script = base64.b64encode(BUSY[number % len(BUSY)].encode()).decode()
        await hypervisor.boot(
            Guest(id, id, str(directory), str(hypervisor.ports_dir(id)), str(image), QUARTER, 512, user_data=script)
        )
    deadline = monotonic() + LIMIT_SECONDS
    while min([await used_seconds(hypervisor, id) for id in ids]) < LAUNCH_CREDIT_SECONDS + QUARTER:
        if monotonic() > deadline:
            raise TimeoutError(f"{count} instances did not use their launch credit")
        await asyncio.sleep(0.1)
    begun, before = monotonic(), [await used_seconds(hypervisor, id) for id in ids]
    await asyncio.sleep(SHARE_SECONDS)
    elapsed, after = monotonic() - begun, [await used_seconds(hypervisor, id) for id in ids]
    return [(late - early) / elapsed for early, late in zip(before, after, strict=True)]


async def used_seconds(hypervisor: Hypervisor, id: str) -> float:
    """CPU time of an instance, that of its ended processes too, as the kernel counts it."""
    total = 0
    for pid in await hypervisor.pids(id):
        try:
            total += clocks.posix_clock(pid)
        except OSError:
            continue
        if seen := tree.stat(pid):
            total += seen.children_ns
    return total / 1e9
