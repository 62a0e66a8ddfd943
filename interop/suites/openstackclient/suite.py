"""Run python-openstackclient's functional tests: they are in its wheel, and call the command `openstack`."""

from __future__ import annotations

from ... import clouds, pythontests
from ...place import Place
from ...results import Results

IMAGE = "cirros-plain-disk"  # they boot one of a name like this


def run(place: Place, results: Results) -> None:
    """Run the tests that `results` wants. Raises `OSError`."""
    clouds.devstack(place)
    with clouds.connect(clouds.entries(place.clouds_yaml)["embedded"]) as cloud:
        plain = cloud.image.find_image("plain-linux", ignore_missing=False)
        formats = {"disk_format": plain.disk_format, "container_format": plain.container_format}
        data = cloud.image.download_image(plain).content
        cloud.image.create_image(name=IMAGE, data=data, **formats)
    pythontests.run(place, results, [place.bin / "python", "-m", "subunit.run", *results.applicable])


def figures(results: Results) -> dict[str, int]:
    """How many failed."""
    return {"osc_failed": len(results.of("failed"))}
