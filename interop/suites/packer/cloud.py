"""What the tests ask of the cloud that packer works with: `python cloud.py VERB [IMAGE]`. OS_… log in.

group        create the security group of the builds, with SSH in it
image NAME   print an image's status, tags and properties, or `none`
boot NAME    boot a server of an image, print what was provisioned, and delete the server
left         print what the project has beside what every project has
"""

from __future__ import annotations

import base64
import sys
import time
from typing import Any

import openstack

WAIT_SECONDS = 60
SAY = b"#!/bin/sh\ncat ~/app/provisioned 2>&1 | sed 's/^/found: /'\necho 'found: END'\n"


def group(cloud: Any) -> None:
    """Create a security group named packer, which lets SSH in."""
    made = cloud.network.create_security_group(name="packer")
    rule = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "direction": "ingress"}
    cloud.network.create_security_group_rule(security_group_id=made.id, **rule)


def image(cloud: Any, name: str) -> None:
    """Print an image's status, tags and properties."""
    found = cloud.image.find_image(name)
    if found is None:
        print("none")
        return
    print(
        found.status,
        f"tags={','.join(found.tags)}",
        f"made_by={found.properties.get('made_by')}",
        f"min_disk={found.min_disk}",
    )


def boot(cloud: Any, name: str) -> None:
    """Print what a server of an image has in its home. Raises `TimeoutError`."""
    source = cloud.image.find_image(name, ignore_missing=False)
    flavor = cloud.compute.find_flavor("m1.tiny", ignore_missing=False)
    network = cloud.network.find_network("private", ignore_missing=False)
    server = cloud.compute.create_server(
        name=f"of-{name}",
        image_id=source.id,
        flavor_id=flavor.id,
        networks=[{"uuid": network.id}],
        user_data=base64.b64encode(SAY).decode(),
    )
    try:
        end = time.monotonic() + WAIT_SECONDS
        lines: list[str] = []
        while not lines or lines[-1] != "END":
            if time.monotonic() > end:
                raise TimeoutError(f"The server of {name} says nothing: {cloud.compute.get_server(server.id).status}.")
            time.sleep(0.2)
            console = cloud.compute.get_server_console_output(server.id)["output"]
            lines = [line.partition("found: ")[2] for line in console.splitlines() if "found: " in line]
        print(*lines[:-1], sep="\n")
    finally:
        cloud.compute.delete_server(server.id)
        cloud.compute.wait_for_delete(server)


def left(cloud: Any) -> None:
    """Print what builds may leave."""
    kinds = {
        "server": cloud.compute.servers(),
        "key pair": cloud.compute.keypairs(),
        "floating IP": cloud.network.ips(),
        "volume": cloud.block_storage.volumes(),
        "snapshot": cloud.block_storage.snapshots(),
        "image": cloud.image.images(sort="created_at:asc", tag="interop"),
    }
    for kind, found in kinds.items():
        for each in found:
            print(kind, each.name)


if __name__ == "__main__":
    with openstack.connect(load_yaml_config=False) as connection:
        {"group": group, "image": image, "boot": boot, "left": left}[sys.argv[1]](connection, *sys.argv[2:])
