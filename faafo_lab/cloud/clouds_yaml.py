"""clouds.yaml and similar files, read by os-client-config, with each entry's place, which errors name.

os-client-config skips a file that is not YAML, and most mistakes in an entry end in a TypeError of its own or of
keystoneauth's. Here they end in a ConfigError, before any backend sees the entry.
"""

from __future__ import annotations

import itertools
import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from faafo_lab.cloud.errors import ConfigError, NotFound
from faafo_lab.cloud.login_lock import LoginLock

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # "os-client-config is no longer maintained"
    from os_client_config.config import OpenStackConfig

ROOMLESS = ("none", "admin_token", "http_basic", "noauth", "v2password", "v2token")
# Settings, some of them also for each service ("compute_interface"), and their required form.
FORMS = (
    (
        r"cacert|cert|key|profile|.*(interface|endpoint_type|region_name|service_name|service_type|source)",
        r".*",
        "text",
    ),
    (r".*_api_version|(.+_)?default_microversion", r"v?\d+(\.\d+)?|latest|", "a version, such as 2.1"),
    (r".*endpoint_override", r"https?://.*|", "an address that begins with https:// or http://"),
    (r".*(retries|retry_delay|rate_limit|concurrency)", r"\d+(\.\d+)?", "a number"),
)
SCOPES = ("project_name", "project_id", "trust_id")  # each of them names a login's project


class Files(OpenStackConfig):  # type: ignore[misc]
    """The user's configuration, or one file's alone. Raises ConfigError if a file can't be read."""

    def __init__(self, only: Path | None = None) -> None:
        self._places: dict[str, str] = {}  # of each entry
        self._read: list[str] = []
        # One file alone is complete: the user's files and OS_* variables must not mix with it.
        files = {"config_files": [str(only)], "secure_files": [], "load_envvars": False} if only else {}
        try:
            super().__init__(**files, app_name="faafo-lab")
        except ConfigError:
            raise
        except Exception as error:  # os-client-config's own errors on malformed sections
            raise ConfigError(f"{' and '.join(self._read)} can't be used: {_words(error)}.") from error
        # shade fails on a `cache:` section, and the lab needs the cloud's present state: no cache.
        self._cache_class = "dogpile.cache.null"

    @property
    def names(self) -> list[str]:
        """The entries' names."""
        return [name for name in self.get_cloud_names() if name != "defaults"]

    def place(self, name: str) -> str:
        """An entry's place: "/home/ann/clouds.yaml, line 7"."""
        return self._places.get(name) or ("the OS_* variables" if name == self.envvar_key else "clouds.yaml")

    def open(self, name: str) -> Any:
        """os-client-config's object for an entry. Raises ConfigError."""
        where = f"{self.place(name)}: the entry {name!r}"
        try:
            self._settle(self.cloud_config["clouds"][name])
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                entry = self.get_one_cloud(cloud=name)
        except ConfigError as error:
            raise ConfigError(f"{where} {error}") from None
        except Exception as error:  # os-client-config's and keystoneauth's own errors on malformed values
            raise ConfigError(f"{where} can't be used: {_words(error)}.") from error
        if lost := [_words(each.message) for each in told if "find the vendor profile" in str(each.message)]:
            raise ConfigError(f"{where} names an unknown profile: {lost[0]}. Correct it, or give auth_url.")
        entry.get_auth()._lock = LoginLock()
        return entry

    def missing(self, name: str, others: Iterable[str]) -> ConfigError:
        """The error for an entry that does not exist; it names the existing ones and the files read."""
        hint = str(NotFound.among("cloud", name, [*self.names, *others]))
        read = ", ".join(self._read) or "no file found"
        return ConfigError(f"{hint} Add an entry {name!r} to clouds.yaml (read: {read}), or choose another.")

    # ---- what os-client-config calls ----

    def _load_yaml_json_file(self, filelist: Iterable[str]) -> tuple[str, Any] | tuple[None, None]:
        """The first of these files that exists and is readable, and its content."""
        for path in filelist:
            try:
                data, lines = _read(Path(path))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError:
                self._read.append(f"not {path}, which you may not read")
                continue
            except OSError as error:
                raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
            self._read.append(path)
            for name, line in lines.items():
                self._places.setdefault(name, f"{path}, line {line}")
            return path, data
        return None, None

    def _fix_backwards_networks(self, cloud: dict[str, Any]) -> dict[str, Any]:
        """The settings with `networks`; those from old settings (external_network) lack keys that shade needs."""
        cloud = super()._fix_backwards_networks(cloud)
        for network in cloud["networks"]:
            for version in ("ipv4", "ipv6"):
                network.setdefault(f"routes_{version}_externally", network["routes_externally"])
            network.setdefault("nat_source", False)
        return cloud

    def _validate_auth(self, config: dict[str, Any], loader: Any) -> dict[str, Any]:
        """The settings, with the login's under `auth` in keystoneauth's form."""
        config = super()._validate_auth(config, loader)
        _check_login(config["auth_type"], config["auth"], {option.dest for option in loader.get_options()})
        return config

    def _settle(self, entry: Any) -> None:
        """Check that an entry has the form that os-client-config assumes, and drop empty settings."""
        if not isinstance(entry, dict):
            raise ConfigError("must hold settings (auth, region_name, …), indented below its name.")
        for key in [key for key, value in entry.items() if value is None]:
            del entry[key]
        if isinstance(entry.get("region_name"), list):
            entry["regions"] = entry.pop("region_name")
        for (key, value), (keys, form, words) in itertools.product(entry.items(), FORMS):
            right = isinstance(value, str) and re.fullmatch(form, value, re.DOTALL)
            if re.fullmatch(keys, str(key)) and not right:
                raise ConfigError(f"is wrong: {key} must be {words}, not {value!r}.")
        for key, kind, item, words in (
            ("auth", dict, str, "must hold auth_url, username, password, …, indented below it"),
            ("regions", list, str | dict, "must be a list of names: `regions: [NAME, …]`"),
            ("networks", list, dict, "must be a list of mappings: `networks: [{name: NAME, …}]`"),
        ):
            value = entry.get(key, kind())
            if not isinstance(value, kind) or not all(isinstance(each, item) for each in value):
                raise ConfigError(f"is wrong: {key} {words}.")
            if not all(isinstance(each.get("name"), str) for each in value if isinstance(each, dict)):
                raise ConfigError(f"is wrong: each of its {key} needs a name.")
        auth = entry["auth"] = {key: value for key, value in entry.get("auth", {}).items() if value is not None}
        for key, value in auth.items():
            if not isinstance(value, str):
                raise ConfigError(f"is wrong: {key} (under auth) must be text, such as '{key}: \"…\"' in quotes.")


def _check_login(auth_type: str, auth: dict[str, Any], known: set[str]) -> None:
    """Check that keystoneauth has all that a project's login needs, and set every OpenStack client's defaults.

    `known`: the settings of this login type. Raises ConfigError.
    """
    if not auth.get("auth_url", "").startswith(("http://", "https://")):
        raise ConfigError(
            f"needs an auth_url (under auth) that begins with https:// or http://; it has {auth.get('auth_url', '')!r}."
        )
    if auth_type in ROOMLESS:
        raise ConfigError(f"has auth_type {auth_type}, which does not log in to a project: choose password, token, …")
    by_password = auth_type in ("password", "v3password")
    if by_password and "password" not in auth:
        for key, better in (("application_credential_secret", "v3applicationcredential"), ("token", "token")):
            if key in auth:
                raise ConfigError(f"has {key} and no auth_type: add `auth_type: {better}` to it (not under auth).")
    needed: list[tuple[str, ...]] = []
    if by_password:
        needed = [("username", "user_id"), ("password",), SCOPES]
    elif auth_type in ("token", "v3token"):
        needed = [("token",), SCOPES]
    elif auth_type == "v3applicationcredential":
        needed = [("application_credential_id", "application_credential_name"), ("application_credential_secret",)]
    for names in needed:
        if not any(auth.get(name) for name in names):
            raise ConfigError(f"needs {' or '.join(names[:2])} under auth: add it (a secret may be in secure.yaml).")
    if auth_type == "v3applicationcredential" and any(name in auth for name in SCOPES):
        raise ConfigError(
            "has an application credential, which belongs to one project: remove project_name and similar settings."
        )
    if odd := sorted(set(auth) - known):
        raise ConfigError(f"has {', '.join(odd)} under auth, which a login by {auth_type} does not know: remove it.")
    if "user_id" not in auth:
        _assume_domain("user", auth, known)
    if "project_name" in auth:
        _assume_domain("project", auth, known)


def _assume_domain(whose: str, auth: dict[str, Any], known: set[str]) -> None:
    """Set the domain "default" if the entry names none, like the command `openstack`."""
    id, name = f"{whose}_domain_id", f"{whose}_domain_name"
    given = {id, name, "default_domain_id", "default_domain_name"} & set(auth)
    if id in known and not given:
        auth[id] = "default"


class _Text(yaml.SafeLoader):
    """YAML whose numbers and dates stay text, as written: a password of 0123, a project 1e10, a cloud 2024."""


_Text.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in ("bool", "null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(path: Path) -> tuple[Any, dict[str, int]]:
    """A file's content, and the line in which each of its clouds begins. Raises ConfigError, OSError."""
    lines: dict[str, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text, parse_int=str, parse_float=str), lines
        reader = _Text(text)
        try:
            root: Any = reader.get_single_node()
            for name in _entries(root):
                name.tag = "tag:yaml.org,2002:str"  # also "yes" and "null" stay text
                lines[name.value] = name.start_mark.line + 1
            data = reader.construct_document(root) if root else None
        finally:
            reader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: this is not YAML ({error.problem}).") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not a YAML or JSON file: {_words(error)}.") from error
    if not isinstance(data, dict | None):
        raise ConfigError(f"{path} must hold `clouds:`, and below it the entries by name.")
    if data and "clouds" in data:
        data["clouds"] = data["clouds"] or {}
        if not isinstance(data["clouds"], dict):
            raise ConfigError(f"{path}: `clouds` must hold entries by name, indented below it.")
    return data, lines


def _entries(root: Any) -> list[yaml.ScalarNode]:
    """The nodes of the names below `clouds` in PyYAML's parsed file."""
    below = [value for key, value in root.value if key.value == "clouds"] if _is_map(root) else []
    keys = [key for value in below if _is_map(value) for key, _ in value.value if isinstance(key, yaml.ScalarNode)]
    return [key for key in keys if not key.tag.endswith(":merge")]


def _is_map(node: Any) -> bool:
    return isinstance(node, yaml.MappingNode)


def _words(error: Exception | str) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if " " in text else f"{type(error).__name__} {text}"  # a KeyError's words are a name alone
