"""One entry of clouds.yaml, read in the same way for every backend.

`clouds_yaml.py` reads it as every OpenStack client does: files by `OS_CLIENT_CONFIG_FILE`, then clouds.yaml here, in
~/.config/openstack or /etc/openstack, secure.yaml beside them, and the cloud `envvars` where `OS_*` variables are set.
The name `embedded` is the lab's own cloud: its entry is in the file that the embedded cloud wrote.

An entry may have a section of the lab's own, all of it optional:

    faafo_lab:
      network: private                 # the servers' network, if there are several
      external_network: public         # the floating IPs' network, if there are several
      ssh_user: debian                 # the user to log in as (default: the image's, then the usual ones)
      wait_seconds: 1800               # the limit of a wait for servers (FAAFO_LAB_WAIT_SECONDS goes before it)
      published_ports: {offset: 8000}  # ports below 1024 are published that much higher
"""

from __future__ import annotations

import math
import os
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
SETTINGS = ("external_network", "network", "published_ports", "ssh_user", "wait_seconds")  # of the section faafo_lab
ADMIN_TOKEN = "admin_token"  # noqa: S105  a setting that the embedded cloud writes itself: a file's path
REQUEST_SECONDS = 60.0  # how long one answer of a cloud may take, unless its entry says otherwise (api_timeout)


@dataclass(frozen=True)
class CloudConfig:
    """The backends' settings from an entry. Passwords are in `auth` and `loaded`, which `repr` therefore omits."""

    name: str
    entry: str  # its place, for errors: "entry 'mycloud' (/home/ann/clouds.yaml, line 7)"
    auth_type: str  # "password", "v3applicationcredential", …
    auth: Mapping[str, Any] = field(repr=False)
    region: str | None
    verify: bool | str  # check certificates: yes, no, or with this file of authorities
    certificate: Any  # a client certificate in requests' form, or None
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
        """The name of the servers' network; None: the only one."""
        name: str | None = self.lab.get("network") or self.loaded.get_nat_destination()
        return name

    @property
    def external_network(self) -> str | None:
        """The name of the floating IPs' network; None: the only one."""
        return self.lab.get("external_network")

    @property
    def routed_networks(self) -> list[str]:
        """The external networks by the entry's own section `networks`: the choice among several."""
        return list(self.loaded.get_external_networks())

    @property
    def ssh_user(self) -> str | None:
        """The user to log in as on the servers; None: see `ssh.users`."""
        user = self.lab.get("ssh_user")
        return None if user is None else str(user)

    @property
    def admin_token(self) -> Path | None:
        """The file with the token for the embedded cloud's own admin API; None: this cloud has no such API."""
        path = self.lab.get(ADMIN_TOKEN)
        return None if path is None else Path(path)

    @property
    def wait_seconds(self) -> float:
        """The limit of a wait for servers, in seconds: the environment's, the entry's, else by the kind of cloud.

        Raises ConfigError if it is not a positive number.
        """
        usual = EMBEDDED_WAIT_SECONDS if self.name == EMBEDDED else WAIT_SECONDS
        wanted = os.environ.get(WAIT_VARIABLE) or self.lab.get("wait_seconds") or usual
        return _seconds(f"{WAIT_VARIABLE}, or wait_seconds", wanted, self.entry)

    @property
    def port_offset(self) -> int:
        """How much higher ports below 1024 are published."""
        return int((self.lab.get("published_ports") or {}).get("offset", 0))


def load(name: str) -> CloudConfig:
    """Read the entry `name`. Raises ConfigError, which says where the entry is, or names those that exist."""
    name_a_stranger()
    from faafo_lab.cloud.clouds_yaml import Files

    own = embedded_state_dir() / "clouds.yaml"
    files = Files(own if name == EMBEDDED else None)
    if name not in files.names:
        if name == EMBEDDED:
            raise ConfigError(f"There is no embedded cloud in {own}: start it with `faafo-lab cloud start`.")
        raise files.missing(name, [EMBEDDED])
    entry = files.open(name)
    where = f"entry {name!r} ({files.place(name)})"
    values = entry.config
    verify, certificate = entry.get_requests_verify_args()
    for path in [certificate] if isinstance(certificate, str) else certificate or ():
        if not Path(path).is_file():
            raise ConfigError(f"The {where} is wrong: there is no file {path!r} (cert, key).")
    values["api_timeout"] = _seconds("api_timeout", values.get("api_timeout") or REQUEST_SECONDS, where)
    return CloudConfig(
        name=name,
        entry=where,
        auth_type=values["auth_type"],
        auth=dict(values["auth"]),
        region=entry.region_name or None,
        verify=_checked(verify, where),
        certificate=certificate,
        timeout_seconds=values["api_timeout"],
        lab=_section(values.get("faafo_lab") or {}, where),
        loaded=entry,
    )


def _section(lab: Any, where: str) -> Mapping[str, Any]:
    """The entry's section `faafo_lab`, in the form that this module's docstring shows. Raises ConfigError."""
    if not isinstance(lab, Mapping):
        raise ConfigError(f"The {where} is wrong: faafo_lab must hold settings by name, indented below it.")
    if unknown := sorted(set(map(str, lab)) - {*SETTINGS, ADMIN_TOKEN}):
        raise ConfigError(f"The {where} is wrong: {NotFound.among('faafo_lab setting', unknown[0], SETTINGS)}")
    for key in (ADMIN_TOKEN, "network", "external_network", "ssh_user"):
        if not isinstance(lab.get(key, ""), str):
            raise ConfigError(f"The {where} is wrong: {key} (under faafo_lab) must be a name, not {lab[key]!r}.")
    if "wait_seconds" in lab:
        _seconds("wait_seconds", lab["wait_seconds"], where)
    ports = lab.get("published_ports") or {}
    if not isinstance(ports, Mapping) or set(ports) - {"offset"} or not str(ports.get("offset", 0)).isdecimal():
        raise ConfigError(
            f"The {where} is wrong: published_ports (under faafo_lab) must have the form {{offset: 8000}}."
        )
    return lab


def _checked(verify: Any, where: str) -> bool | str:
    """Whether certificates are checked, or the authorities' existing file. Raises ConfigError."""
    if str(verify).lower() in ("true", "false", "yes", "no"):
        return str(verify).lower() in ("true", "yes")
    import ssl

    path = Path(str(verify))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(capath=path) if path.is_dir() else context.load_verify_locations(cafile=path)
    except OSError as error:
        why = (
            error.strerror
            if error.filename or not isinstance(error, ssl.SSLError)
            else "it contains no certificate (PEM)"
        )
        raise ConfigError(f"The {where} is wrong: its cacert {verify!r} can't be read: {why}.") from error
    return str(verify)


def _seconds(setting: str, wanted: Any, where: str) -> float:
    """A positive number of seconds. Raises ConfigError."""
    try:
        seconds = float(wanted)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{setting} ({where}) must be a number of seconds, not {wanted!r}.")
    return seconds
