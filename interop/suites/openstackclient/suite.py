"""Run python-openstackclient's functional tests: they are in its wheel, and call the command `openstack`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ... import clouds, pythontests
from ...place import Place
from ...results import Results

IMAGE = "cirros-plain-disk"  # they boot one of a name like this
PROCESSES = 5  # they wait more than they work: looks at a server's state are ten seconds apart
SERVERS = "openstackclient.tests.functional.compute.v2.test_server.ServerTests."
ALONE = (
    f"{SERVERS}test_server_add_fixed_ip",  # takes an address that it has found free
    f"{SERVERS}test_server_boot_from_volume",  # the first server of all has to be its own
)
PRELOADED = Path(__file__).with_name("preloaded.py")


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    clouds.devstack(place)
    with clouds.connect(clouds.entries(place.clouds_yaml)["embedded"]) as cloud:
        plain = cloud.image.find_image("plain-linux", ignore_missing=False)
        formats = {"disk_format": plain.disk_format, "container_format": plain.container_format}
        data = cloud.image.download_image(plain).content
        cloud.image.create_image(name=IMAGE, data=data, **formats)
    with (
        (place.out / "preloaded.txt").open("w") as errors,
        place.started(
            [place.bin / "python", PRELOADED, place.temporary], stdout=subprocess.PIPE, stderr=errors
        ) as server,
    ):
        assert server.stdout is not None
        if server.stdout.readline() != "ready\n":
            raise OSError(f"The command openstack cannot be loaded: see {place.out / 'preloaded.txt'}.")
        path = {"PATH": f"{place.temporary}:{place.environment()['PATH']}"}
        pythontests.side_by_side(place, results, "openstackclient/tests/functional", PROCESSES, ALONE, path)


def figures(results: Results) -> dict[str, int]:
    """How many failed."""
    return {"osc_failed": len(results.of("failed"))}
