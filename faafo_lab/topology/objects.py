"""The application's places in the project's object store, and the credential that opens nothing else.

The pictures' container is made by `deploy(images="objects")`, the backups' by `backup()`. The servers log in with an
application credential that is bound to the object store (see `faafo_lab.credentials`), so no password of yours is on
any server. Its secret is derived from the lab's own, so the URL stays the same until the credential is revoked, and
APIs that have it stay unchanged.
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


def check(cloud: Cloud, what: str = "Pictures", instead: str = ": keep them in the database") -> None:
    """Raise TopologyError if this cloud's servers can keep nothing in an object store."""
    try:
        cloud.containers()
    except (NotFound, Forbidden) as error:
        raise TopologyError(f"{what} can't go to the object store ({str(error).rstrip('.')}){instead}.") from None
    if cloud.name != EMBEDDED and direct.is_local(cloud.config.auth_url):
        raise TopologyError(
            f"Servers can't log in at {cloud.config.auth_url}, an address of this machine, so {what.lower()} can't go "
            f"to the object store{instead}."
        )


def url(cloud: Cloud, container: str = IMAGES_CONTAINER) -> str:
    """A container's URL for the application, with the credential in it. Raises NotFound if there is no such
    credential (any more)."""
    found = credentials.find(cloud, _name(cloud))
    if found is None:
        raise NotFound("There is no credential for the pictures' container: app.deploy(images='objects') makes one.")
    return _url(cloud, found.id, container)


def ensure(cloud: Cloud, undo: Undo, container: str = IMAGES_CONTAINER) -> str:
    """Create what is missing of container and credential, each with an undo step; returns what was done in words."""
    made = []
    if container not in cloud.containers():
        cloud.create_container(container)
        undo.add(f"container {container}", functools.partial(_delete_empty, cloud, container))
        made.append("container created")
    if credentials.find(cloud, _name(cloud)) is None:
        undo.add("the servers' credential", functools.partial(credentials.revoke, cloud, _name(cloud)))
        credential = credentials.create(cloud, _name(cloud), ["object-store"], _secret())
        only = "for the object store alone" if credential.restricted else "for all that you may do, as this cloud's "
        only += "" if credential.restricted else "object store knows no access rules"
        made.append(f"credential made, {only}")
    return "; ".join(made)


def remove(cloud: Cloud) -> str:
    """Revoke the credential, and delete the container with all pictures; returns what was done in words."""
    done = ["credential revoked"] if credentials.revoke(cloud, _name(cloud)) else []
    return "; ".join([*done, *filter(None, [empty(cloud, IMAGES_CONTAINER, "pictures")])])


def empty(cloud: Cloud, container: str, what: str) -> str:
    """Delete a container with all that is in it; returns what was done in words."""
    with suppress(NotFound, Forbidden):
        if container in cloud.containers():
            there = cloud.objects(container)
            for each in there:
                cloud.delete_object(container, each.name)
            cloud.delete_container(container)
            return f"container deleted, with {len(there)} {what}"
    return ""


def _url(cloud: Cloud, id: str, container: str) -> str:
    keystone = urlsplit(str(cloud.config.auth_url))
    scheme = "swift" if keystone.scheme == "https" else "swift+http"
    path = keystone.path.rstrip("/").removesuffix("/v3")
    region = f"&region={quote(cloud.config.region, safe='')}" if cloud.config.region else ""
    return (
        f"{scheme}://{quote(id, safe='')}:{quote(_secret(), safe='')}@{keystone.netloc}{path}/{container}"
        f"?credential=application{region}"
    )


def _name(cloud: Cloud) -> str:
    return f"{NAME_PREFIX}images-{keys.derive_secret(f'images on {cloud.name}')[:8]}"


def _secret() -> str:
    return keys.derive_secret("images")


def _delete_empty(cloud: Cloud, container: str) -> None:
    with suppress(InUse):  # what was put there meanwhile stays
        cloud.delete_container(container)
