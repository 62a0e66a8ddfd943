"""tempest.conf and accounts.yaml for an embedded cloud, from the cloud's own APIs.

Every feature and every extension is claimed, so that what is missing fails and is not skipped.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import yaml
from keystoneauth1.exceptions import EndpointNotFound

from ... import clouds

TIMEOUT_SECONDS = 120
PROJECT_CIDR = "10.100.0.0/16"  # of the networks that tests make

Section = dict[str, Any]


def write(directory: Path, clouds_yaml: Path) -> Path:
    """Write both files into `directory`; returns the path of tempest.conf. `clouds_yaml` is the embedded cloud's."""
    entries = clouds.entries(clouds_yaml)
    demo, alt = entries["embedded"], entries["embedded-alt"]
    with clouds.connect(demo) as cloud:
        sections = _sections(directory, cloud, demo)
        project = cloud.current_project_id
    (directory / "accounts.yaml").write_text(yaml.safe_dump(_accounts(demo["auth"], alt["auth"], project)))
    parser = configparser.RawConfigParser()
    for name, section in sections.items():
        parser[name] = {key: str(value) for key, value in section.items()}
    path = directory / "tempest.conf"
    with path.open("w") as file:
        parser.write(file)
    return path


def _accounts(demo: Section, alt: Section, project: str) -> list[Section]:
    """The logins that tests may use: the order is what tempest gives them by: primary, other project, reader."""
    fixed = {"resources": {"network": "private"}}
    again = {"project_id": project}  # makes the same login another entry
    return [
        {**_login(demo), "roles": ["member"], **fixed},
        {**_login(alt), "roles": ["member"], **fixed},
        {**_login(demo), "roles": ["reader"], **fixed, **again},
    ]


def _login(auth: Section) -> Section:
    names = ("username", "password", "project_name", "user_domain_name", "project_domain_name")
    return {name: auth[name] for name in names}


def _sections(directory: Path, cloud: Any, entry: Section) -> dict[str, Section]:
    region = {"region": entry["region_name"]}
    build = {"build_timeout": TIMEOUT_SECONDS, "build_interval": 1}
    images = {image.name: image.id for image in cloud.image.images()}
    flavors = sorted(cloud.compute.flavors(get_extra_specs=False), key=lambda each: (each.ram, each.vcpus, each.disk))
    public = cloud.network.find_network("public", ignore_missing=False)
    volumes = _catalogued(cloud, "block-storage", "volumev3")
    services = ("nova", "neutron", "glance", "cinder", "swift")
    return {
        "DEFAULT": {"log_dir": directory, "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": directory / "locks"},
        "auth": {
            "use_dynamic_credentials": False,
            "test_accounts_file": directory / "accounts.yaml",
            "tempest_roles": "",
        },
        "identity": {
            "uri_v3": f"{entry['auth']['auth_url']}/v3",
            "auth_version": "v3",
            "v3_endpoint_type": "public",
            "default_domain_id": "default",
            **region,
        },
        "identity-feature-enabled": {"api_v2": False, "api_v3": True},
        "service_available": {"horizon": False, **dict.fromkeys(services, True)},
        "enforce_scope": dict.fromkeys(("nova", "neutron", "glance", "cinder"), False),
        "validation": {"run_validation": False},
        "compute": {
            "catalog_type": "compute",
            "image_ref": images["plain-linux"],
            "image_ref_alt": images["faafo-lab"],
            "flavor_ref": flavors[0].id,
            "flavor_ref_alt": next(each.id for each in flavors[1:] if each.disk >= flavors[0].disk),
            "fixed_network_name": "private",
            "max_microversion": _newest(cloud, "compute"),
            **region,
            **build,
        },
        "compute-feature-enabled": {
            **dict.fromkeys(("resize", "snapshot", "console_output", "suspend", "pause", "shelve", "rescue"), True),
            **dict.fromkeys(("vnc_console", "attach_encrypted_volume", "live_migration", "cold_migration"), False),
        },
        "network": {
            "catalog_type": "network",
            "public_network_id": public.id,
            "floating_network_name": public.name,
            "project_network_cidr": PROJECT_CIDR,
            "project_networks_reachable": False,
            **build,
        },
        "network-feature-enabled": {
            **dict.fromkeys(("ipv6", "ipv6_subnet_attributes", "floating_ips", "port_security"), True),
            "api_extensions": "all",
        },
        "image": {
            "catalog_type": "image",
            "container_formats": "bare",
            "disk_formats": "qcow2,raw",
            "http_image": "",
            **build,
        },
        "image-feature-enabled": {"api_v2": True, "import_image": False, "image_format_enforcement": False},
        "volume": {
            "catalog_type": volumes,
            "volume_size": 1,
            "disk_format": "raw",
            "max_microversion": _newest(cloud, volumes),
            **region,
            **build,
        },
        "volume-feature-enabled": {
            **dict.fromkeys(("api_v3", "snapshot", "clone", "backup"), True),
            **dict.fromkeys(("manage_volume", "manage_snapshot"), False),
            "api_extensions": "all",
        },
        "object-storage": {"catalog_type": "object-store", "operator_role": "member", **region},
        "object-storage-feature-enabled": {
            "discoverability": True,
            "discoverable_apis": "all",
            "object_versioning": True,
        },
    }


def _catalogued(cloud: Any, *types: str) -> str:
    """The first of a service's names that the catalogue has, or, where there is none, the first."""
    catalog = cloud.session.auth.get_access(cloud.session).service_catalog.catalog
    return next((name for name in types if any(each["type"] == name for each in catalog)), types[0])


def _newest(cloud: Any, service: str) -> str:
    """The newest microversion that a service has; `latest` where there is no such service."""
    try:
        endpoint = cloud.session.get_endpoint_data(service_type=service, interface="public")
    except EndpointNotFound:
        return "latest"
    newest = endpoint and endpoint.max_microversion
    return ".".join(map(str, newest)) if newest else "latest"
