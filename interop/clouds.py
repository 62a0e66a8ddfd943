"""What suites tell clients of the embedded cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openstack
import yaml

from .place import Place

NAMES = {  # DevStack's; the embedded cloud has no administrator: its answers say so to who needs one
    "devstack": "embedded",
    "devstack-alt": "embedded-alt",
    "devstack-admin": "embedded",
    "devstack-system-admin": "embedded",
}


def entries(clouds_yaml: Path) -> dict[str, Any]:
    """The clouds of a clouds.yaml."""
    return dict(yaml.safe_load(clouds_yaml.read_text())["clouds"])


def connect(entry: dict[str, Any]) -> Any:
    """A connection to a cloud that reads nothing else of the user's. The versions are named since shade, where it is
    in the same process, makes 2 their default."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        region_name=entry["region_name"],
        auth=entry["auth"],
        identity_api_version="3",
        volume_api_version="3",
    )


def devstack(place: Place) -> None:
    """Write clouds.yaml as DevStack does into a place's `out`: its processes find it in their working directory."""
    clouds = entries(place.clouds_yaml)
    written = {"clouds": {name: clouds[cloud] for name, cloud in NAMES.items()}}
    (place.out / "clouds.yaml").write_text(yaml.safe_dump(written))


def variables(clouds_yaml: Path) -> dict[str, str]:
    """OS_… of the cloud's user; an application credential's CREDENTIAL_ID and CREDENTIAL_SECRET, which it creates;
    STORE_URL and STORE_TOKEN, which open the object store without an identity service.
    """
    with connect(entries(clouds_yaml)["embedded"]) as cloud:
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
