"""openstacksdk's own connection to a cloud, for the services that neither shade nor libcloud knows.

    with sdk.asking(cloud, "list load balancers") as connection:
        found = list(connection.load_balancer.load_balancers())

It uses the cloud's entry in clouds.yaml and its login, whatever the backend; its calls are on `cloud.tape()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from keystoneauth1 import exceptions as keystone

from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.keystone import translate
from faafo_lab.cloud.marks import DESCRIPTION

if TYPE_CHECKING:
    from openstack.connection import Connection

BACKEND = "openstacksdk"


class Taped(Protocol):
    """What a `Cloud` offers here."""

    config: CloudConfig
    _openstacksdk: Any

    def _taped(self, session: Any) -> None: ...

    def _calling(self, what: str, errors: Any, translate: Any) -> AbstractContextManager[None]: ...


def connection(cloud: Taped) -> Connection:
    """The cloud's openstacksdk `Connection`: one for each `Cloud` object, made when it is first asked for.

    It is not thread-safe, and raises openstacksdk's errors: `asking` cares for both.
    """
    from openstack.connection import Connection

    if cloud._openstacksdk is None:
        # As the other backends: later versions of the Compute API omit a server's flavor id.
        cloud.config.loaded.config["compute_default_microversion"] = "2.1"
        cloud.config.loaded.config["volume_api_version"] = "3"  # shade, if it is loaded, makes 2 the default
        cloud._openstacksdk = Connection(config=cloud.config.loaded)
        cloud._taped(cloud._openstacksdk.session.session)
    found: Connection = cloud._openstacksdk
    return found


@contextmanager
def asking(cloud: Taped, what: str) -> Iterator[Connection]:
    """The connection for a block of calls, which run as a verb's do: one thread at a time, and with the lab's errors.

    `what` names them, for an interrupt.
    """
    with cloud._calling(what, library_errors(), lambda error: lab_error(error, cloud.config)):
        yield connection(cloud)


def load_balancers(cloud: Taped) -> list[str]:
    """The names of the lab's load balancers."""
    with asking(cloud, "list load balancers") as connection:
        rows = connection.load_balancer.load_balancers(project_id=connection.current_project_id)
        return [row.name for row in rows if str(row.description or "").startswith(DESCRIPTION)]


@contextmanager
def identity(cloud: Taped, what: str) -> Iterator[tuple[Any, str]]:
    """As `asking`: openstacksdk's client of Keystone v3, and the id of the user who is logged in."""
    with asking(cloud, what) as connection:
        yield connection.identity, str(connection.current_user_id)


def application_credentials(cloud: Taped) -> list[dict[str, Any]]:
    """The user's application credentials for the cloud's project, as Keystone lists them."""
    with identity(cloud, "list application credentials") as (keystone_v3, user):
        found = [each.to_dict() for each in keystone_v3.application_credentials(user)]
    return [each for each in found if each["project_id"] == connection(cloud).current_project_id]


def library_errors() -> tuple[type[Exception], ...]:
    """The exceptions that openstacksdk raises."""
    from openstack.exceptions import SDKException

    return (SDKException, keystone.ClientException, OSError)


def lab_error(error: Exception, config: CloudConfig) -> CloudError:
    """The lab's error for one of `library_errors`."""
    from openstack.exceptions import ServiceDisabledException

    if isinstance(error, ServiceDisabledException):  # "…: public endpoint for compute service not found"
        error = keystone.EndpointNotFound(str(error).rpartition(": ")[2])
    return translate(error, BACKEND, config)
