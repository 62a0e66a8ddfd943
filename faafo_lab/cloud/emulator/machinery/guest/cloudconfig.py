"""A #cloud-config: what this cloud does of it, and a clear word for all else.

    bootcmd               commands, at every boot, before the units
    write_files           path, content, encoding, permissions, owner, append, defer; below the instance's own disk
    runcmd                commands, at first boot, among the scripts
    hostname, fqdn        the instance's name
    ssh_authorized_keys   more keys that open the instance; also those of `user` and of each of `users`
    final_message         the last line on the console
    merge_how             how a part joins those before it; else its keys replace theirs

`packages` is refused: an instance uses the programs of the machine it runs on. There is one account, so `users` makes
none.

Source: https://docs.cloud-init.io/en/latest/reference/modules.html, …/merging.html
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faafo_lab.cloud.emulator.machinery.guest.userdata import Part, UserDataError, gunzip, load_yaml

_PERMISSIONS = 0o644
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*")
_WITHOUT_EFFECT = {
    **dict.fromkeys(("chpasswd", "password", "ssh_pwauth"), "passwords open nothing here, only the key pair does"),
    **dict.fromkeys(("disable_root", "groups"), "there is one account, ubuntu"),
    **dict.fromkeys(("package_reboot_if_required", "package_update", "package_upgrade"), "no package manager is here"),
    "manage_etc_hosts": "names are the host's",
    "preserve_hostname": "the name is the server's, or the one in hostname",
}
_FILE_KEYS = {"path", "content", "encoding", "permissions", "owner", "append", "defer"}
_KEYS = ("ssh_authorized_keys", "ssh-authorized-keys")
_TRUE = ("true", "1", "on", "yes")

_RULE = re.compile(r"(\w+)\((.*?)\)")
_Rules = Mapping[str, Sequence[str]]  # how to merge values of the types `dict`, `list` and `str`: the options of each
_REPLACE: _Rules = {"dict": ["replace"], "list": [], "str": []}


@dataclass(frozen=True)
class File:
    """One of `write_files`."""

    path: str
    content: bytes
    permissions: int
    owner: str | None
    append: bool
    defer: bool


@dataclass
class CloudInitConfig:
    """The steps, what the guest cannot do (`errors`), and what has no effect (`warnings`)."""

    boot_commands: bytes | None = None  # a shell script
    commands: bytes | None = None  # a shell script
    files: list[File] = field(default_factory=list)
    hostname: str | None = None
    public_keys: list[str] = field(default_factory=list)
    final_message: str | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(parts: Iterable[Part]) -> CloudInitConfig:
    """The sum of these parts; one that cannot be read is among the errors."""
    found = CloudInitConfig()
    values: dict[str, Any] = {}
    for part in parts:
        try:
            value = load_yaml(part.data, "The #cloud-config")
            if value is None:
                continue
            if not isinstance(value, dict):
                raise UserDataError("The #cloud-config must be a mapping of names, such as runcmd, to what they want.")
            value = {str(name): each for name, each in value.items()}
            how = next((value.pop(name) for name in ("merge_how", "merge_type") if value.get(name)), part.merging)
            values = _merged(_rules(how) if how else _REPLACE, values, value)
        except UserDataError as error:
            found.errors.append(str(error))
    if values.get("hostname") is not None:
        values.pop("fqdn", None)
    for name, value in values.items():
        try:
            if name in _SETTINGS:
                attribute, parse = _SETTINGS[name]
                if value is not None:
                    setattr(found, attribute, parse(value))
            elif name in _MODULES:
                _MODULES[name](found, value)
            elif name not in _WITHOUT_EFFECT:
                found.warnings.append(f"{name} is not known to this cloud: it is ignored.")
            elif value:
                found.warnings.append(f"{name} has no effect: {_WITHOUT_EFFECT[name]}.")
        except UserDataError as error:
            found.errors.append(f"{name}: {error}")
    return found


def _rules(how: Any) -> _Rules:
    """Rules of merging: a text such as `list(append)+dict(recurse_list)`, or a list of names with their settings."""
    try:
        if isinstance(how, str):
            how = [(name, *options.split(",")) for name, options in _RULE.findall(re.sub(r"\s", "", how.lower()))]
        pairs = [(each["name"], each["settings"]) if isinstance(each, dict) else (each[0], each[1:]) for each in how]
        rules = {name: [str(option).replace("array", "list") for option in options] for name, options in pairs}
    except (LookupError, TypeError):
        rules = {}
    if "dict" not in rules or not set(rules) <= set(_REPLACE):
        raise UserDataError(
            f"The #cloud-config is not used: it asks for merging as {how!r}, which must name dict, and may name list "
            "and str, such as list(append)+dict(recurse_list)."
        )
    return rules


def _merged(rules: _Rules, old: Any, new: Any) -> Any:
    """What becomes of a value when that of a later part joins it; one of a type without a rule stays."""
    options = rules.get(type(old).__name__, ())
    if type(old).__name__ not in rules or type(old) is not type(new):
        return old

    def deeper(before: Any, after: Any, otherwise: Any) -> Any:
        return _merged(rules, before, after) if f"recurse_{type(after).__name__}" in options else otherwise

    if isinstance(old, dict):
        found = dict(old)
        options = ["recurse_dict", *options]  # always, as cloud-init has it
        for name, value in new.items():
            if name in old and value is None and "allow_delete" in options:
                del found[name]
            elif name in old and "replace" not in options:
                found[name] = deeper(old[name], value, old[name])
            else:
                found[name] = value
        return found
    if "append" in options:
        return old + new
    if isinstance(old, str):
        return new
    if "prepend" in options:
        return new + old
    if "no_replace" in options:
        return old
    return [deeper(before, after, after) for before, after in zip(old, new, strict=False)] + old[len(new) :]


def _commands(value: Any) -> bytes:
    """Commands as a script: texts are lines of the shell, lists are the words of one command."""
    if not isinstance(value, list):
        raise UserDataError("it must be a list of commands.")
    lines = ["#!/bin/sh"]
    for number, each in enumerate(value, 1):
        if isinstance(each, str):
            lines.append(each)
        elif isinstance(each, list) and not any(isinstance(word, list | dict) for word in each):
            lines.append(shlex.join(str(word) for word in each))
        elif each is not None:  # an item may be empty, or a comment
            raise UserDataError(f"command {number} must be a text or a list of words.")
    return "".join(f"{line}\n" for line in lines).encode()


def _write_files(config: CloudInitConfig, value: Any) -> None:
    if not isinstance(value, list):
        raise UserDataError("it must be a list of files.")
    for number, each in enumerate(value, 1):
        try:
            config.files.append(_file(each))
        except UserDataError as error:
            config.errors.append(f"write_files: file {number}: {error}")


def _file(value: Any) -> File:
    if not isinstance(value, dict) or not isinstance(value.get("path"), str) or not value["path"].startswith("/"):
        raise UserDataError("it needs a path that starts with /.")
    if "\0" in value["path"]:
        raise UserDataError("its path has a character that no path can have.")
    if unknown := sorted(str(name) for name in set(value) - _FILE_KEYS):
        raise UserDataError(f"{unknown[0]} is not known to this cloud: the file is not written.")
    content = value.get("content", "")
    if not isinstance(content, str | bytes):
        raise UserDataError("its content must be a text.")
    return File(
        path=value["path"],
        content=_decoded(content.encode() if isinstance(content, str) else content, value.get("encoding")),
        permissions=_permissions(value.get("permissions")),
        owner=None if value.get("owner") is None else str(value["owner"]),
        append=str(value.get("append")).lower() in _TRUE,
        defer=str(value.get("defer")).lower() in _TRUE,
    )


def _decoded(content: bytes, encoding: Any) -> bytes:
    """The content itself, for any of cloud-init's names of encodings."""
    steps = str(encoding or "text/plain").lower().split("+")
    for step in reversed(steps):
        if step in ("b64", "base64"):
            try:
                content = base64.b64decode(content)
            except (binascii.Error, ValueError) as error:
                raise UserDataError(f"its content is no base64: {error}.") from error
        elif step in ("gz", "gzip"):
            if not content.startswith(b"\x1f\x8b"):
                raise UserDataError("its content is not gzip'ed.")
            content = gunzip(content)
        elif step != "text/plain":
            raise UserDataError(f"the encoding {encoding} is unknown: use text/plain, b64, gz or gz+b64.")
    return content


def _permissions(value: Any) -> int:
    """`0644`, which YAML reads as a number, or `'0644'`."""
    if value is None:
        return _PERMISSIONS
    text = oct(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not re.fullmatch(r"(0o?)?[0-7]{1,4}", text):
        raise UserDataError(f"permissions {value!r} are none: write them as '0644'.")
    return int(text.removeprefix("0o"), 8)


def _hostname(value: Any) -> str:
    """Of a qualified name the first part."""
    if not isinstance(value, str) or not _HOSTNAME.fullmatch(value):
        raise UserDataError(f"{value!r} is no host name.")
    return value.partition(".")[0]


def _ssh_authorized_keys(config: CloudInitConfig, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(key, str) and "\n" not in key.strip() for key in value):
        raise UserDataError("it must be a list of public keys, each a line.")
    config.public_keys += [key.strip() for key in value]


def _packages(config: CloudInitConfig, value: Any) -> None:
    if value:
        names = value if isinstance(value, list) else [value]
        raise UserDataError(
            f"{', '.join(str(name) for name in names)} cannot be installed: an instance of this cloud has no package "
            "manager, it uses the programs of the machine it runs on. Install them there."
        )


def _users(config: CloudInitConfig, value: Any) -> None:
    """The keys of all users open the one account; what else is wanted of them is told."""
    if isinstance(value, dict):
        value = [each if isinstance(each, dict) else {"name": name} for name, each in value.items()]
    users = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(users, list):
        raise UserDataError("it must be a list of users.")
    for each in users:
        user = each if isinstance(each, dict) else {"name": str(each).strip()}
        for name in _KEYS:
            if user.get(name):
                _ssh_authorized_keys(config, user[name])
        told = ", ".join(sorted(str(name) for name in user if name not in ("name", *_KEYS)))
        if user.get("name") not in ("default", "ubuntu") or told:
            config.warnings.append(
                f"users: {user.get('name')} is not created: an instance has one account, ubuntu, for every name; its "
                f"keys open that{told and f', and {told} has no effect'}."
            )


_SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bootcmd": ("boot_commands", _commands),
    "final_message": ("final_message", str),
    "fqdn": ("hostname", _hostname),
    "hostname": ("hostname", _hostname),
    "runcmd": ("commands", _commands),
}
_MODULES: dict[str, Callable[[CloudInitConfig, Any], None]] = {
    "packages": _packages,
    "ssh_authorized_keys": _ssh_authorized_keys,
    "user": lambda config, value: _users(config, [value]),
    "users": _users,
    "write_files": _write_files,
}
