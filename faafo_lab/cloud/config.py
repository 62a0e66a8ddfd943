"""One entry of clouds.yaml, read the same for every backend.

The reading is os-client-config's own: files by `OS_CLIENT_CONFIG_FILE`, then clouds.yaml here, in ~/.config/openstack
or /etc/openstack, secure.yaml beside them, and the cloud `envvars` where `OS_*` variables are set. The name `embedded`
is the lab's own cloud: its entry is in the file that the embedded cloud wrote.

An entry may have a section of the lab's own, all of it optional:

    faafo_lab:
      network: private                 # which network servers are on, where there are several
      external_network: public         # where floating addresses come from, where there are several
      ssh_user: debian                 # whom to log in as (default: what fits the image, and the usual ones)
      wait_seconds: 1800               # the limit of a wait for servers (FAAFO_LAB_WAIT_SECONDS goes before it)
      published_ports: {offset: 8000}  # ports below 1024 are published that much higher
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faafo_lab.cloud.errors import ConfigError, NotFound
from faafo_lab.paths import embedded_state_dir, name_a_stranger

EMBEDDED = "embedded"  # the name of the lab's own cloud
WAIT_VARIABLE = "FAAFO_LAB_WAIT_SECONDS"
EMBEDDED_WAIT_SECONDS = 300.0  # its servers boot within seconds, also on a busy machine
WAIT_SECONDS = 1800.0  # a real cloud boots a machine, which then installs packages
REQUEST_SECONDS = 60.0  # how long one answer of a cloud may take, unless its entry says otherwise (api_timeout)


@dataclass(frozen=True)
class CloudConfig:
    """What the backends need of an entry. Passwords are in `auth` and `loaded`, which therefore don't show."""

    name: str
    auth_type: str  # "password", "v3applicationcredential", …
    auth: Mapping[str, Any] = field(repr=False)
    region: str | None
    verify: bool | str  # check certificates: yes, no, or with this file of authorities
    timeout_seconds: float
    lab: Mapping[str, Any]  # the section `faafo_lab`
    loaded: Any = field(repr=False)  # os-client-config's own object

    @property
    def auth_url(self) -> str | None:
        """The identity service's address."""
        return self.auth.get("auth_url")

    @property
    def project(self) -> str | None:
        """The project's name, or else its id."""
        return self.auth.get("project_name") or self.auth.get("project_id")

    @property
    def network(self) -> str | None:
        """The name of the network that servers are on; None: the only one."""
        return self.lab.get("network")

    @property
    def external_network(self) -> str | None:
        """The name of the network of floating addresses; None: the first."""
        return self.lab.get("external_network")

    @property
    def ssh_user(self) -> str | None:
        """Whom to log in as on the servers; None: see `ssh.users`."""
        user = self.lab.get("ssh_user")
        return None if user is None else str(user)

    @property
    def wait_seconds(self) -> float:
        """The limit of a wait for servers, in seconds: the environment's, the entry's, else by the kind of cloud.

        Raises ConfigError where it is no positive number.
        """
        usual = EMBEDDED_WAIT_SECONDS if self.name == EMBEDDED else WAIT_SECONDS
        wanted = os.environ.get(WAIT_VARIABLE) or self.lab.get("wait_seconds") or usual
        try:
            seconds = float(wanted)
        except (TypeError, ValueError):
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise ConfigError(f"{WAIT_VARIABLE}, or wait_seconds in clouds.yaml, must be seconds, not {wanted!r}.")
        return seconds

    @property
    def port_offset(self) -> int:
        """How much higher ports below 1024 are published."""
        return int((self.lab.get("published_ports") or {}).get("offset", 0))


def load(name: str) -> CloudConfig:
    """Read the entry `name`. Raises ConfigError, which names the entries that exist."""
    name_a_stranger()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "os-client-config is no longer maintained"
        from os_client_config.config import OpenStackConfig
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import ConfigException
    from yaml import YAMLError

    own = embedded_state_dir() / "clouds.yaml"
    # The embedded cloud's entry is complete: nothing of the user's files or OS_* variables may mix with it.
    files = {"config_files": [str(own)], "secure_files": [], "load_envvars": False} if name == EMBEDDED else {}
    try:
        # shade breaks on a `cache:` section, and the lab wants to see the cloud as it is: no cache.
        loader = OpenStackConfig(**files, app_name="faafo-lab")
        loader._cache_class = "dogpile.cache.null"
        names = [entry for entry in loader.get_cloud_names() if entry != "defaults"]
        if name not in names:
            raise _missing(name, own, names)
        entry = loader.get_one_cloud(cloud=name)
    except (ConfigException, ClientException, YAMLError) as error:
        raise ConfigError(f"The entry of cloud {name!r} in clouds.yaml can't be used: {error}") from error
    values = entry.config
    auth_url = str(values.get("auth", {}).get("auth_url", ""))
    if not auth_url.startswith(("http://", "https://")):
        raise ConfigError(
            f"The entry of cloud {name!r} in clouds.yaml needs an auth_url that begins with https:// or http:// "
            f"(under auth); it has {auth_url!r}."
        )
    verify, _ = entry.get_requests_verify_args()
    values["api_timeout"] = float(values.get("api_timeout") or REQUEST_SECONDS)
    return CloudConfig(
        name=name,
        auth_type=str(values.get("auth_type", "password")),
        auth=dict(values["auth"]),
        region=entry.region_name or None,
        verify=verify,
        timeout_seconds=values["api_timeout"],
        lab=values.get("faafo_lab") or {},
        loaded=entry,
    )


def _missing(name: str, own: Path, names: list[str]) -> ConfigError:
    if name == EMBEDDED:
        return ConfigError(f"There is no embedded cloud in {own}: start it with `faafo-lab cloud start`.")
    hint = str(NotFound.among("cloud", name, [*names, EMBEDDED]))
    return ConfigError(f"{hint} Add an entry {name!r} to clouds.yaml, or choose another.")
