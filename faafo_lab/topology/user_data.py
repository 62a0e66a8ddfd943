"""User data: the script that turns a server into its role at the first boot."""

import shlex
from collections.abc import Mapping, Sequence

from faafo_lab.topology.roles import DATABASE_PORT, RABBITMQ_PORT, VALKEY_PORT, Part, Role

IMAGES_IN_DATABASE = "database"
OWN_ADDRESS = "$(hostname -I | cut -d' ' -f1)"  # in a script: the server's first address


def script(
    role: Role,
    urls: Mapping[Part, Sequence[str]],
    *,
    before: str,
    secret: str,
    images: str,
    balanced: bool = False,
    own_url: str,
    waiting_max: int | None = None,
    volume: str = "",
) -> str:
    """The script for a server of this role, with the deployment's secret in it.

    `urls` are those of the parts that the role needs: all APIs', the first one of others. `before`: lines that provide
    the command `faafo-install`, "" if the image includes it. `images`: the APIs' place for them. `balanced`: the
    endpoint is a load balancer's, the only one that a worker uses. `own_url`: the API's
    address for workers, with `OWN_ADDRESS` in it. `waiting_max`: how many fractals may wait at once (None: the
    application's own default). `volume`: the id of the volume that the database is on, "" for the server's own disk.
    """
    settings = {"FAAFO_SECRET": secret}
    flags = f"faafo-install {role.install}"
    for part in role.needs:
        if part == "endpoint":
            flags += "".join(f" -e {url}" for url in urls[part]) + " -b" * balanced
        else:
            settings[f"FAAFO_{part.upper()}_URL"] = urls[part][0]
    if "endpoint" in role.offers:
        flags += f' -a "{own_url}"'
    if role.serves and waiting_max is not None:
        flags += f" -w {waiting_max}"
    if volume:
        flags += f" -v {volume}"
    if role.chooses_images and images != IMAGES_IN_DATABASE:
        settings["FAAFO_IMAGES_URL"] = images
    lines = ["#!/usr/bin/env bash", "set -eu"]
    lines += before.splitlines()
    # in the environment, which only root reads: everybody on the server sees the arguments of its processes
    lines += [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, flags]) + "\n"


def queue_url(host: str, secret: str, *, embedded: bool) -> str:
    """The URL of the queue on this host: Valkey's on the embedded image, RabbitMQ's on a distribution that installs
    it."""
    if embedded:
        return f"redis://:{secret}@{host}:{VALKEY_PORT}/0"
    return f"amqp://faafo:{secret}@{host}:{RABBITMQ_PORT}//"


def database_url(host: str, secret: str) -> str:
    """The SQLAlchemy URL of the PostgreSQL database on this host."""
    return f"postgresql://faafo:{secret}@{host}:{DATABASE_PORT}/faafo"
