"""systemd's unit files, a plain subset.

    [Unit]     Description, StartLimitIntervalSec, StartLimitBurst; targets in After, Wants and the like
    [Service]  ExecStart, Environment, EnvironmentFile, WorkingDirectory, Restart, RestartSec, TimeoutStopSec,
               KillSignal, KillMode=control-group|mixed|process, Type=simple|exec|idle
    [Install]  WantedBy

Drop-ins (NAME.service.d/*.conf), templates (NAME@.service) and specifiers (%i) are as systemd has them; the places
that specifiers tell (%S, say) are on the instance's disk. A setting that is not of this subset is in `ignored`.

Source: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.syntax(7).

UnitError    there is no such unit, or its file is wrong; one clear sentence
"""

from __future__ import annotations

import glob
import os
import platform
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.numbers import whole

_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|sec|min|m|h)?\s*")
_SPAN_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_PIECE = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\(?:x[0-9A-Fa-f]{2}|[0-7]{3}|.)|[^\s"'\\]"""
_ESCAPE = re.compile(r"\\(?:([abfnrtvs\\\"'])|x([0-9A-Fa-f]{2})|([0-7]{3}))")
_ESCAPED = dict(zip("abfnrtvs", "\a\b\f\n\r\t\v ", strict=True))
# The one variable that a program's name may have here: an instance's own programs are below it
_ROOT = "${INSTANCE_ROOT}"
_NOT_HERE = "aAbBdDgGmMoqwWyY"  # specifiers of systemd's that tell nothing of an instance


class UnitError(ValueError):
    """What is wrong with a unit, in one clear sentence."""


@dataclass(frozen=True)
class Unit:
    """A service, as its files say."""

    name: str  # without `.service`
    path: Path
    command: tuple[str, ...]
    literal: bool = False  # ExecStart=:…: dollar signs are nothing special
    may_fail: bool = False  # ExecStart=-…: any exit status is one of success
    description: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[str, ...] = ()
    directory: str = ""
    restart: str = "no"
    restart_seconds: float = 0.1
    start_limit_burst: int = 5
    start_limit_seconds: float = 10.0  # so many starts in so short a time are enough: it is not started again
    stop_seconds: float = 90.0
    kill_signal: int = signal.SIGTERM
    kill_mode: str = "control-group"
    wanted_by: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()  # settings that are not of this subset

    def argv(self, environment: Mapping[str, str]) -> list[str]:
        """The command: `${NAME}` replaced, `$NAME` by the words of its value, `$$` by a dollar sign."""
        words = [self.command[0].replace(_ROOT, environment.get("INSTANCE_ROOT", ""))]
        for word in self.command[1:]:
            if self.literal:
                words.append(word)
            elif word[:1] == "$" and word[1:2] not in ("", "$", "{"):
                words += shlex.split(environment.get(word[1:], ""))
            else:
                words.append(
                    re.sub(r"\$\$|\$\{(.*?)\}", lambda m: "$" if m[1] is None else environment.get(m[1], ""), word)
                )
        return words

    def variables(self) -> dict[str, str]:
        """Its own environment, files included. Raises UnitError for a file that is missing or wrong."""
        values = dict(self.environment)
        for name in self.environment_files:
            pattern = name.removeprefix("-")
            for path in sorted(glob.glob(pattern)) or [pattern]:
                try:
                    values |= _environment_file(Path(path).read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    if name.startswith("-") and isinstance(error, OSError):
                        continue
                    raise UnitError(f"Unit {self.name}: EnvironmentFile {path} cannot be read: {error}") from error
        return values


def unit_name(name: str) -> str:
    """A unit's name without `.service`. Raises UnitError for a name that is none."""
    short = name.removesuffix(".service")
    if not _NAME.fullmatch(short) or short in (".", ".."):
        raise UnitError(f"'{name}' is no name of a unit.")
    return short


def read_unit(path: Path, environment: Mapping[str, str] = os.environ) -> Unit:
    """Read a unit's file and its drop-ins; specifiers tell of the instance's `environment`. Raises UnitError."""
    name = path.name.removesuffix(".service")
    template = path.with_name(re.sub("@.*", "@.service", path.name))
    drop_ins = {file.name: file for place in (template, path) for file in Path(f"{place}.d").glob("*.conf")}
    path = path if path.exists() else template
    settings: dict[str, list[str]] = {}
    for file in (path, *(drop_ins[each] for each in sorted(drop_ins))):
        try:
            _add_settings(settings, file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnitError(f"Unit {name}.service not found.") from None
        except (OSError, ValueError) as error:
            raise UnitError(f"Unit {name}: {file} cannot be read: {error}") from error
    resolve = partial(_resolved, _specifiers(name, environment))
    found: dict[str, Any] = {"description": name, "ignored": ()}
    for key, values in settings.items():
        try:
            if key == "Service.ExecStart":
                found |= _command(values, resolve)
            elif key == "Service.Environment":
                words = [word for value in values for word in _split(value)]
                found["environment"] = dict(_assignment(resolve(_unquoted(word))) for word in words)
            elif key == "Service.EnvironmentFile":
                found["environment_files"] = tuple(resolve(value) for value in values)
            elif key == "Install.WantedBy":
                found["wanted_by"] = tuple(" ".join(values).split())
            elif key in _SETTINGS:
                attribute, parse = _SETTINGS[key]
                found[attribute] = parse(resolve(values[-1]))
            elif not _changes_nothing(key, values):
                found["ignored"] += (key.partition(".")[2],)
        except ValueError as error:
            raise UnitError(f"Unit {name}: {key.partition('.')[2]}={' '.join(values)} {error}") from error
    if "command" not in found:
        raise UnitError(f"Unit {name}: exactly one ExecStart= is needed, not 0.")
    found.pop("type", None)  # all that are supported are the same here
    return Unit(name=name, path=path, **found)


def _add_settings(found: dict[str, list[str]], text: str) -> None:
    """Add `Section.Key` with its values, in order; an empty value forgets those before, as systemd has it."""
    section = ""
    for number, line in enumerate(re.sub(r"\\\n([ \t]*[#;].*\n)*", " ", text).splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and section:
            key, value = (part.strip() for part in line.split("=", 1))
            if value:
                found.setdefault(f"{section}.{key}", []).append(value)
            else:
                found.pop(f"{section}.{key}", None)
        else:
            raise UnitError(f"line {number}: '{line}' is neither a [section] nor a key=value.")


def _changes_nothing(key: str, values: list[str]) -> bool:
    """Whether all is as it says anyway: other targets than multi-user.target are reached as soon as it is."""
    section, _, setting = key.partition(".")
    targets = all(word.endswith(".target") for value in values for word in value.split())
    return section.startswith("X-") or setting == "Documentation" or (setting in _ORDERS and targets)


# Values


def _split(value: str) -> list[str]:
    """The words of a value, quotes and escapes as they are."""
    if not re.fullmatch(rf"(?:\s|{_PIECE})*", value, re.DOTALL):
        raise UnitError("has an open quotation mark, or ends in a backslash.")
    return re.findall(rf"(?:{_PIECE})+", value, re.DOTALL)


def _unquoted(word: str) -> str:
    """A word without its quotes, and its escapes replaced; what is no escape of systemd's stays as it is."""
    pieces = re.findall(_PIECE, word, re.DOTALL)
    return "".join(_ESCAPE.sub(_character, piece[1:-1] if piece[0] in "\"'" else piece) for piece in pieces)


def _character(escape: re.Match[str]) -> str:
    letter, hexadecimal, octal = escape.groups()
    if letter:
        return _ESCAPED.get(letter, letter)
    number = int(hexadecimal, 16) if hexadecimal else int(octal, 8)
    if not 0 < number < 256:
        raise UnitError(f"has {escape[0]}, which is no character.")
    return os.fsdecode(bytes([number]))


def _specifiers(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    prefix, _, instance = name.partition("@")
    root, host = environment.get("INSTANCE_ROOT", ""), environment.get("HOSTNAME", "")
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), instance.replace("-", "/"))
    names = {"%": "%", "n": f"{name}.service", "N": name, "p": prefix, "P": prefix.replace("-", "/")}
    names |= {"i": instance, "I": plain, "f": f"/{plain or prefix}", "j": prefix.rpartition("-")[2]}
    places = {"t": "run", "S": "var/lib", "C": "var/cache", "L": "var/log", "E": "etc", "V": "var/tmp", "T": "tmp"}
    account = {"h": "HOME", "u": "USER", "s": "SHELL", "H": "HOSTNAME"}
    return {
        **names,
        **{letter: f"{root}/{place}" for letter, place in places.items()},
        **{letter: environment.get(variable, "") for letter, variable in account.items()},
        "l": host.partition(".")[0],
        "U": str(os.getuid()),
        "v": platform.release(),
    }


def _resolved(specifiers: Mapping[str, str], text: str) -> str:
    """With its specifiers replaced: what is no specifier of systemd's stays as it is."""
    if unknown := re.search(rf"%[{_NOT_HERE}]", text.replace("%%", "")):
        raise UnitError(f"has {unknown[0]}, which is not supported here: write %% where a percent sign is meant.")
    return re.sub("%(.)", lambda m: specifiers.get(m[1], m[0]), text)


def _command(values: list[str], resolve: Callable[[str], str]) -> dict[str, Any]:
    """ExecStart's program and arguments, and what its prefixes say: those of rights change nothing here."""
    words = _split(values[0])
    prefix = re.match(r"[-@:+!|]*", words[0])[0]  # type: ignore[index]
    if len(values) > 1 or ";" in words:
        raise UnitError(r"has more than one command, which is not supported: write \; where a semicolon is meant.")
    if unknown := set(prefix) & set("@|"):
        raise UnitError(f"has the prefix {unknown.pop()}, which is not supported.")
    words[0] = words[0][len(prefix) :]
    if not words[0] or words[0].removeprefix(_ROOT).startswith("$"):
        raise UnitError(f"must begin with a program, not with a variable (but {_ROOT}).")
    command = tuple(";" if word == r"\;" else resolve(_unquoted(word)) for word in words)
    return {"command": command, "literal": ":" in prefix, "may_fail": "-" in prefix}


def _assignment(text: str) -> tuple[str, str]:
    variable, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(variable.strip()):
        raise UnitError(f"has '{text}', which is not of the form NAME=value.")
    return variable.strip(), value


def _environment_file(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.replace("\\\n", "").splitlines())
    pairs = dict(_assignment(line) for line in lines if line and line[0] not in "#;")
    return {name: "".join(shlex.split(value)) if value[:1] in ("'", '"') else value for name, value in pairs.items()}


def _choice(*choices: str) -> Callable[[str], str]:
    def choose(value: str) -> str:
        if value not in choices:
            raise UnitError(f"is not supported: use {', '.join(choices)}.")
        return value

    return choose


def _seconds(value: str) -> float:
    """A time span: `5`, `1.5s`, `100ms`, `1min 30s`, `infinity`."""
    if value == "infinity":
        return float("inf")
    parts = _SPAN.findall(value)
    if not parts or _SPAN.sub("", value):
        raise UnitError("is no time span such as 5, 100ms or 1min 30s.")
    return sum(float(number) * _SPAN_SECONDS[unit] for number, unit in parts)


def _number(value: str) -> int:
    if (number := whole(value)) is None:
        raise UnitError("is no number such as 5.")
    return number


def _signal(value: str) -> int:
    try:
        if (number := whole(value)) is not None:
            return int(signal.Signals(number))
        return int(signal.Signals[value if value.startswith("SIG") else f"SIG{value}"])
    except (KeyError, ValueError):
        raise UnitError("is no signal such as SIGINT.") from None


def _directory(value: str) -> str:
    """An absolute path, `~` for the home, and `-` before one that may be missing."""
    path = value.removeprefix("-")
    if path != "~" and not path.startswith("/"):
        raise UnitError("is no absolute path.")
    return "" if path == "~" or (value != path and not os.path.isdir(path)) else path


_ORDERS = ("After", "Before", "Wants", "Requires", "BindsTo", "PartOf", "Requisite", "Upholds", "Conflicts")
_LIMITS = ("Unit.StartLimitIntervalSec", "Unit.StartLimitInterval", "Service.StartLimitInterval")
_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Unit.Description": ("description", str),
    **dict.fromkeys(_LIMITS, ("start_limit_seconds", _seconds)),
    **dict.fromkeys(("Unit.StartLimitBurst", "Service.StartLimitBurst"), ("start_limit_burst", _number)),
    "Service.KillMode": ("kill_mode", _choice("control-group", "mixed", "process")),
    "Service.KillSignal": ("kill_signal", _signal),
    "Service.Restart": ("restart", _choice("no", "on-success", "on-failure", "on-abnormal", "on-abort", "always")),
    "Service.RestartSec": ("restart_seconds", _seconds),
    "Service.TimeoutStopSec": ("stop_seconds", lambda value: _seconds(value) or float("inf")),
    "Service.Type": ("type", _choice("simple", "exec", "idle")),
    "Service.WorkingDirectory": ("directory", _directory),
}
