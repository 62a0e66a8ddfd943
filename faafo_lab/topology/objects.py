"""The pictures' place in the project's object store: a container, and a credential that opens nothing else.

`deploy(images="objects")` makes both. The APIs log in with an application credential that is bound to the object store
(see `faafo_lab.credentials`), so no password of yours is on any server. Its secret is derived from the lab's own, so
the URL stays the same until the credential is revoked, and APIs that have it stay unchanged.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from urllib.parse import quote, urlsplit

from faafo_lab import credentials
from faafo_lab.cloud import direct, keys
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.cloud.errors import Forbidden, InUse, NotFound
from faafo_lab.cloud.marks import IMAGES_CONTAINER, NAME_PREFIX
from faafo_lab.topology.errors import TopologyError
from faafo_lab.topology.undo import Undo

OBJECTS = "objects"  # the place, as `deploy` and a server's metadata call it


def check(cloud: Cloud) -> None:
    """Raise TopologyError if this cloud's servers can keep no pictures in an object store."""
    try:
        cloud.containers()
    except (NotFound, Forbidden) as error:
        raise TopologyError(
            f"Pictures can't go to the object store ({str(error).rstrip('.')}): keep them in the database."
        ) from None
    if cloud.name != EMBEDDED and direct.is_local(cloud.config.auth_url):
        raise TopologyError(
            f"Servers can't log in at {cloud.config.auth_url}, an address of this machine, so pictures can't go to the "
            f"object store: keep them in the database."
        )


def url(cloud: Cloud) -> str:
    """The container's URL for the application, with the credential in it. Raises NotFound if there is no such
    credential (any more)."""
    found = credentials.find(cloud, _name(cloud))
    if found is None:
        raise NotFound("There is no credential for the pictures' container: app.deploy(images='objects') makes one.")
    return _url(cloud, found.id)


def ensure(cloud: Cloud, undo: Undo) -> str:
    """Create what is missing of container and credential, each with an undo step; returns what was done in words."""
    made = []
    if IMAGES_CONTAINER not in cloud.containers():
        cloud.create_container(IMAGES_CONTAINER)
        undo.add(f"container {IMAGES_CONTAINER}", functools.partial(_delete_empty, cloud))
        made.append("container created")
    if credentials.find(cloud, _name(cloud)) is None:
        undo.add("the pictures' credential", functools.partial(credentials.revoke, cloud, _name(cloud)))
        credential = credentials.create(cloud, _name(cloud), ["object-store"], _secret())
        only = "for the object store alone" if credential.restricted else "for all that you may do, as this cloud's "
        only += "" if credential.restricted else "object store knows no access rules"
        made.append(f"credential made, {only}")
    return "; ".join(made)


def remove(cloud: Cloud) -> str:
    """Revoke the credential, and delete the container with all pictures; returns what was done in words."""
    done = []
    if credentials.revoke(cloud, _name(cloud)):
        done.append("credential revoked")
    with suppress(NotFound, Forbidden):
        if IMAGES_CONTAINER in cloud.containers():
            pictures = cloud.objects(IMAGES_CONTAINER)
            for picture in pictures:
                cloud.delete_object(IMAGES_CONTAINER, picture.name)
            cloud.delete_container(IMAGES_CONTAINER)
            done.append(f"container deleted, with {len(pictures)} pictures")
    return "; ".join(done)


def _url(cloud: Cloud, id: str) -> str:
    keystone = urlsplit(str(cloud.config.auth_url))
    scheme = "swift" if keystone.scheme == "https" else "swift+http"
    path = keystone.path.rstrip("/").removesuffix("/v3")
    region = f"&region={quote(cloud.config.region, safe='')}" if cloud.config.region else ""
    return (
        f"{scheme}://{quote(id, safe='')}:{quote(_secret(), safe='')}@{keystone.netloc}{path}/{IMAGES_CONTAINER}"
        f"?credential=application{region}"
    )


def _name(cloud: Cloud) -> str:
    return f"{NAME_PREFIX}images-{keys.derive_secret(f'images on {cloud.name}')[:8]}"


def _secret() -> str:
    return keys.derive_secret("images")


def _delete_empty(cloud: Cloud) -> None:
    with suppress(InUse):  # what was put there meanwhile stays
        cloud.delete_container(IMAGES_CONTAINER)
