"""clouds.yaml and its kin, read by os-client-config, with the place of each entry, for errors that say where.

os-client-config skips a file that is no YAML, and most of what is odd in an entry ends in a TypeError of its own or of
keystoneauth's. Here it ends in a ConfigError, before any backend sees the entry.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from faafo_lab.cloud.errors import ConfigError, NotFound
from faafo_lab.cloud.keystone import LoginLock

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # "os-client-config is no longer maintained"
    from os_client_config.config import OpenStackConfig

ROOMLESS = ("none", "admin_token", "http_basic", "noauth", "v2password", "v2token")
SCOPES = ("project_name", "project_id", "trust_id")  # one of them says of which project a login is


class Files(OpenStackConfig):  # type: ignore[misc]
    """The user's configuration, or that of one file alone. Raises ConfigError where a file can't be read."""

    def __init__(self, only: Path | None = None) -> None:
        self._places: dict[str, str] = {}  # of each entry
        self._read: list[str] = []
        # What is told of one file is complete: nothing of the user's files or OS_* variables may mix with it.
        files = {"config_files": [str(only)], "secure_files": [], "load_envvars": False} if only else {}
        try:
            super().__init__(**files, app_name="faafo-lab")
        except ConfigError:
            raise
        except Exception as error:  # whatever os-client-config makes of odd sections
            raise ConfigError(f"{' and '.join(self._read)} can't be used: {_words(error)}.") from error
        # shade breaks on a `cache:` section, and the lab wants to see the cloud as it is: no cache.
        self._cache_class = "dogpile.cache.null"

    @property
    def names(self) -> list[str]:
        """The entries."""
        return [name for name in self.get_cloud_names() if name != "defaults"]

    def place(self, name: str) -> str:
        """Where an entry is: "/home/ann/clouds.yaml, line 7"."""
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
        except Exception as error:  # whatever os-client-config and keystoneauth make of odd values
            raise ConfigError(f"{where} can't be used: {_words(error)}.") from error
        if lost := [str(each.message) for each in told if "find the vendor profile" in str(each.message)]:
            raise ConfigError(f"{where} names a profile that nobody knows: {lost[0]}. Correct it, or give auth_url.")
        entry.get_auth()._lock = LoginLock()
        return entry

    def missing(self, name: str, others: Iterable[str]) -> ConfigError:
        """That there is no entry of this name, with those that exist and what was read."""
        hint = str(NotFound.among("cloud", name, [*self.names, *others]))
        read = ", ".join(self._read) or "none, there is no such file"
        return ConfigError(f"{hint} Add an entry {name!r} to clouds.yaml (read: {read}), or choose another.")

    # ---- what os-client-config calls ----

    def _load_yaml_json_file(self, filelist: Iterable[str]) -> tuple[str, Any] | tuple[None, None]:
        """The first of these files that exists and may be read, and what is in it."""
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

    def _validate_auth(self, config: dict[str, Any], loader: Any) -> dict[str, Any]:
        """The settings with all of a login's under `auth`, as keystoneauth is given them."""
        config = super()._validate_auth(config, loader)
        _check_login(config["auth_type"], config["auth"], {option.dest for option in loader.get_options()})
        return config

    def _settle(self, entry: Any) -> None:
        """See that an entry has the shape that os-client-config takes for granted, and drop what is left empty."""
        if not isinstance(entry, dict):
            raise ConfigError("must hold settings (auth, region_name, …), indented below its name.")
        for key in [key for key, value in entry.items() if value is None]:
            del entry[key]
        for key, kind, item, words in (
            ("auth", dict, str, "must hold auth_url, username, password, …, indented below it"),
            ("regions", list, str | dict, "must be a list of names: `regions: [NAME, …]`"),
            ("networks", list, dict, "must be a list of mappings: `networks: [{name: NAME, …}]`"),
        ):
            value = entry.get(key, kind())
            if not isinstance(value, kind) or not all(isinstance(each, item) for each in value):
                raise ConfigError(f"is wrong: {key} {words}.")
            if not all("name" in each for each in value if isinstance(each, dict)):
                raise ConfigError(f"is wrong: each of its {key} needs a name.")
        auth = entry["auth"] = {key: value for key, value in entry.get("auth", {}).items() if value is not None}
        for key, value in auth.items():
            if not isinstance(value, str):
                raise ConfigError(f"is wrong: {key} (under auth) must be text, such as '{key}: \"…\"' in quotes.")


def _check_login(auth_type: str, auth: dict[str, Any], known: set[str]) -> None:
    """See that keystoneauth has what it needs for a project's login, and set what every OpenStack client assumes.

    `known`: what a login of this type takes. Raises ConfigError.
    """
    if not auth.get("auth_url", "").startswith(("http://", "https://")):
        raise ConfigError(
            f"needs an auth_url (under auth) that begins with https:// or http://; it has {auth.get('auth_url', '')!r}."
        )
    if auth_type in ROOMLESS:
        raise ConfigError(f"has auth_type {auth_type}, which logs in to no project: choose password, token, …")
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
        raise ConfigError("has an application credential, which is of one project: take project_name and the like out.")
    if odd := sorted(set(auth) - known):
        raise ConfigError(f"has {', '.join(odd)} under auth, which a login by {auth_type} does not know: take it out.")
    if "user_id" not in auth:
        _assume_domain("user", auth, known)
    if "project_name" in auth:
        _assume_domain("project", auth, known)


def _assume_domain(whose: str, auth: dict[str, Any], known: set[str]) -> None:
    """The first domain, where the entry names none, as the command `openstack` does."""
    id, name = f"{whose}_domain_id", f"{whose}_domain_name"
    given = {id, name, "default_domain_id", "default_domain_name"} & set(auth)
    if id in known and not given:
        auth[id] = "default"


class _Text(yaml.SafeLoader):
    """YAML whose numbers and dates stay text, as they are written: a password of 0123, a project 1e10, a cloud 2024."""


_Text.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] in ("bool", "null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(path: Path) -> tuple[Any, dict[str, int]]:
    """What is in a file, and in which line each of its clouds begins. Raises ConfigError, OSError."""
    lines: dict[str, int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text, parse_int=str, parse_float=str), lines
        reader = _Text(text)
        try:
            root: Any = reader.get_single_node()
            for name in _entries(root):
                name.tag = "tag:yaml.org,2002:str"  # whatever it looks like: "yes", "null"
                lines[name.value] = name.start_mark.line + 1
            data = reader.construct_document(root) if root else None
        finally:
            reader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: this is no YAML ({error.problem}).") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is no YAML or JSON file: {_words(error)}.") from error
    if not isinstance(data, dict | None):
        raise ConfigError(f"{path} must hold `clouds:`, and below it the entries by name.")
    if data and "clouds" in data:
        data["clouds"] = data["clouds"] or {}
        if not isinstance(data["clouds"], dict):
            raise ConfigError(f"{path}: `clouds` must hold entries by name, indented below it.")
    return data, lines


def _entries(root: Any) -> list[yaml.ScalarNode]:
    """The names below `clouds`, in what PyYAML has read of a file."""
    below = [value for key, value in root.value if key.value == "clouds"] if _is_map(root) else []
    return [key for value in below if _is_map(value) for key, _ in value.value if isinstance(key, yaml.ScalarNode)]


def _is_map(node: Any) -> bool:
    return isinstance(node, yaml.MappingNode)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    plain = isinstance(error, Mapping) or " " in text  # a KeyError's words are a name alone
    return text if plain else f"{type(error).__name__} {text}"
