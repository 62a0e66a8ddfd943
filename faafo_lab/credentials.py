"""Application credentials: what a program logs in with instead of you. They open one project, and can be revoked.

    from faafo_lab import credentials

    made = credentials.create(cloud, "backup")            # may use the object store, and nothing else
    made.id, made.secret                                  # the secret is known now, and never shown again
    credentials.revoke(cloud, "backup")                   # what logged in with it is refused from now on

*Access rules* bound a credential to requests of some services: Keystone names them with the credential's tokens, and
each service refuses what no rule allows. To a service that does not know them Keystone confirms no such token, so it
refuses everything; then the credential is made without rules, and `restricted` says so.

One small module above the `Cloud` interface, and no verbs in it: neither libcloud nor shade can make application
credentials, so it is written once, with openstacksdk's `identity` client (`cloud/sdk.py`), and works beside every
backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from faafo_lab.cloud import sdk
from faafo_lab.cloud.arguments import checked
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import BadRequest, Forbidden, NotFound
from faafo_lab.cloud.keystone import endpoint

if TYPE_CHECKING:
    from keystoneauth1.identity.base import BaseIdentityPlugin
    from openstack.connection import Connection

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
EVERY_PATH = "/**"
REFUSED = (401, 403)  # by a service that does not know access rules, or that Keystone gives no such token


@dataclass(frozen=True)
class Credential:
    """An application credential. `repr` omits the secret."""

    id: str
    name: str
    secret: str | None = field(repr=False)  # None: known only to whoever made it
    restricted: bool  # whether access rules bound it to its services; otherwise it may do all that its user may


@checked
def create(
    cloud: Cloud, name: str, services: Iterable[str] = ("object-store",), secret: str | None = None
) -> Credential:
    """Make an application credential for the cloud's project that may use these services only ("object-store", …).

    `secret`: a given one; None: one that the cloud chooses. Access rules that the cloud does not know, or that one of
    the services does not honour, are left out: see `Credential.restricted`. Raises AlreadyExists if the user has one of
    this name; Forbidden if the cloud's own login is a credential that may make no others.
    """
    types = list(services)
    rules = [{"service": each, "method": method, "path": EVERY_PATH} for each in types for method in METHODS]
    try:
        made = _create(cloud, name, secret, rules)
    except BadRequest:  # a Keystone that knows no access rules
        return _create(cloud, name, secret, [])
    if made.restricted and not all(_honoured(cloud, made, each) for each in types):
        revoke(cloud, name)
        made = _create(cloud, name, secret, [])
    return made


@checked
def find(cloud: Cloud, name: str) -> Credential | None:
    """The user's application credential of this name for the cloud's project, without its secret; None if there is
    none, or no such thing on this cloud."""
    row = _row(cloud, name)
    return None if row is None else _credential(row)


@checked
def revoke(cloud: Cloud, name: str) -> bool:
    """Delete the application credential of this name, with the access rules that no other one has; returns whether
    there was one. What logged in with it is refused from now on."""
    row = _row(cloud, name)
    if row is None:
        return False
    with sdk.identity(cloud, "revoke an application credential") as (keystone, user):
        keystone.delete_application_credential(user, row["id"])
    cloud._ledger.note("delete_application_credential", _credential(row), None)
    for rule in row.get("access_rules") or []:
        with suppress(NotFound, Forbidden), sdk.identity(cloud, "delete an access rule") as (keystone, user):
            keystone.delete_access_rule(user, rule["id"], ignore_missing=False)  # 403: another one has it
    return True


def _create(cloud: Cloud, name: str, secret: str | None, rules: list[dict[str, str]]) -> Credential:
    wanted: dict[str, Any] = {"name": name, "description": "made by faafo-lab"}
    wanted |= {"secret": secret} if secret else {}
    wanted |= {"access_rules": rules} if rules else {}
    with sdk.identity(cloud, "create an application credential") as (keystone, user):
        made = keystone.create_application_credential(user, **wanted)
    found = replace(_credential(made.to_dict()), secret=made.secret)
    cloud._ledger.note("create_application_credential", name, found)
    return found


def _row(cloud: Cloud, name: str) -> Mapping[str, Any] | None:
    with suppress(NotFound):
        return next((row for row in sdk.application_credentials(cloud) if row["name"] == name), None)
    return None


def _credential(row: Mapping[str, Any]) -> Credential:
    return Credential(row["id"], row["name"], None, bool(row.get("access_rules")))


def _honoured(cloud: Cloud, credential: Credential, service: str) -> bool:
    """Whether this service lets in who logs in with the credential. Raises NoService if there is none."""
    with sdk.asking(cloud, f"ask {service} what it makes of access rules") as connection:
        place = endpoint(cloud.config, connection.session, service)
        answer = _as(connection, credential).get(place, raise_exc=False)
    return answer.status_code not in REFUSED


def _as(connection: Connection, credential: Credential) -> Any:
    """A session that is logged in with the credential, and otherwise as the connection's."""
    from keystoneauth1.identity.v3 import ApplicationCredential
    from keystoneauth1.session import Session

    login = ApplicationCredential(
        cast("BaseIdentityPlugin", connection.session.auth).auth_url or "",
        application_credential_id=credential.id,
        application_credential_secret=credential.secret or "",
    )
    base = connection.session
    return Session(auth=login, session=base.session, verify=base.verify, cert=base.cert, timeout=base.timeout)
