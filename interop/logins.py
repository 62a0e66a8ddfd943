"""Ways to log in to a suite's cloud, as environment variables: OpenStack's own for a password, and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openstack
import yaml


def connect(clouds_yaml: Path) -> Any:
    """A connection of openstacksdk's as the cloud's user, whatever settings of OpenStack's there are."""
    entry = yaml.safe_load(clouds_yaml.read_text())["clouds"]["embedded"]
    login = {"auth": entry["auth"], "region_name": entry["region_name"]}
    return openstack.connect(load_yaml_config=False, load_envvars=False, **login)


def variables(clouds_yaml: Path) -> dict[str, str]:
    """OS_… of the cloud's user; an application credential's CREDENTIAL_ID and CREDENTIAL_SECRET, which it creates;
    STORE_URL and STORE_TOKEN, which open the object store without an identity service.
    """
    with connect(clouds_yaml) as cloud:
        login = {f"OS_{name.upper()}": value for name, value in cloud.config.config["auth"].items()}
        credential = cloud.identity.create_application_credential(cloud.current_user_id, "interop")
        return {
            **login,
            "OS_AUTH_URL": cloud.session.get_endpoint(service_type="identity", version=3),
            "OS_REGION_NAME": cloud.config.region_name,
            "OS_IDENTITY_API_VERSION": "3",
            "CREDENTIAL_ID": credential.id,
            "CREDENTIAL_SECRET": credential.secret,
            "STORE_URL": cloud.object_store.get_endpoint(),
            "STORE_TOKEN": cloud.auth_token,
        }
