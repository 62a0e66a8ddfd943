"""systemd's unit files, a plain subset.

    [Unit]     Description, StartLimitIntervalSec, StartLimitBurst; After and the other orders are accepted, and
               everything is started at once
    [Service]  ExecStart (shell-like words, `${NAME}` from the environment), Environment, EnvironmentFile,
               WorkingDirectory, Restart=no|on-failure|always, RestartSec, TimeoutStopSec, KillSignal,
               KillMode=control-group|mixed|process, Type=simple|exec
    [Install]  WantedBy

Source: systemd.unit(5), systemd.service(5), systemd.kill(5).

UnitError    there is no such unit, or its file is wrong; one clear sentence
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faafo_lab.cloud.emulator.common.numbers import whole

_RESTARTS = ("no", "on-failure", "always")
_KILL_MODES = ("control-group", "mixed", "process")
_TYPES = ("simple", "exec")
_NAME = re.compile(r"[A-Za-z0-9:_.@-]{1,200}")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|sec|min|m|h)?\s*")
_SPAN_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class UnitError(Exception):
    """What is wrong with a unit, in one clear sentence."""


@dataclass(frozen=True)
class Unit:
    """A service, as its file says."""

    name: str
    """Without `.service`."""
    path: Path
    description: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[str, ...] = ()
    directory: str | None = None
    restart: str = "no"
    restart_seconds: float = 0.1
    start_limit_burst: int = 5
    start_limit_seconds: float = 10.0
    """So many starts in so short a time are enough: it is not started again."""
    stop_seconds: float = 90.0
    kill_signal: int = signal.SIGTERM
    kill_mode: str = "control-group"
    wanted_by: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Settings of [Service] that are not of this subset."""

    def argv(self, environment: Mapping[str, str]) -> list[str]:
        """The command, with `${NAME}` replaced."""
        return [re.sub(r"\$\{(\w+)\}", lambda m: environment.get(m[1], ""), word) for word in self.command]

    def variables(self) -> dict[str, str]:
        """Its own environment, files included. Raises UnitError for a file that is missing."""
        values: dict[str, str] = {}
        for name in self.environment_files:
            path = Path(name.removeprefix("-"))
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                if name.startswith("-"):
                    continue
                raise UnitError(f"Unit {self.name}: EnvironmentFile {path} cannot be read: {error}.") from error
            lines = (line.strip() for line in text.splitlines())
            words = [line for line in lines if line and line[0] not in "#;"]
            values.update(_assignments(self.name, "EnvironmentFile", words))
        return {**self.environment, **values}


def unit_name(name: str) -> str:
    """A unit's name without `.service`. Raises UnitError for a name that is none."""
    short = name.removesuffix(".service")
    if not _NAME.fullmatch(short) or short in (".", ".."):
        raise UnitError(f"'{name}' is no name of a unit.")
    return short


def read_unit(path: Path) -> Unit:
    """Read a unit file. Raises UnitError."""
    name = path.name.removesuffix(".service")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnitError(f"Unit {name}.service not found.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnitError(f"Unit {name}: {path} cannot be read: {error}.") from error
    settings = _settings(name, text)

    def last(key: str, default: str) -> str:
        return settings.get(key, [default])[-1]

    commands = [value for value in settings.pop("Service.ExecStart", []) if value]
    if len(commands) != 1:
        raise UnitError(f"Unit {name}: exactly one ExecStart= is needed, not {len(commands)}.")
    known = Unit(
        name=name,
        path=path,
        description=last("Unit.Description", name),
        command=tuple(_words(name, "ExecStart", commands[0])),
        environment=_assignments(
            name,
            "Environment",
            [word for value in settings.get("Service.Environment", []) for word in _words(name, "Environment", value)],
        ),
        environment_files=tuple(settings.get("Service.EnvironmentFile", [])),
        directory=last("Service.WorkingDirectory", "") or None,
        restart=_choice(name, "Restart", last("Service.Restart", "no"), _RESTARTS),
        restart_seconds=_seconds(name, "RestartSec", last("Service.RestartSec", "100ms")),
        start_limit_burst=_number(name, "StartLimitBurst", last("Unit.StartLimitBurst", "5")),
        start_limit_seconds=_seconds(name, "StartLimitIntervalSec", last("Unit.StartLimitIntervalSec", "10")),
        stop_seconds=_seconds(name, "TimeoutStopSec", last("Service.TimeoutStopSec", "90")),
        kill_signal=_signal(name, last("Service.KillSignal", "SIGTERM")),
        kill_mode=_choice(name, "KillMode", last("Service.KillMode", "control-group"), _KILL_MODES),
        wanted_by=tuple(word for value in settings.get("Install.WantedBy", []) for word in value.split()),
        ignored=tuple(key.split(".")[1] for key in settings if key.startswith("Service.") and key not in _SETTINGS),
    )
    _choice(name, "Type", last("Service.Type", "simple"), _TYPES)
    if not known.command:
        raise UnitError(f"Unit {name}: ExecStart= is empty.")
    return known


_SETTINGS = frozenset(
    f"Service.{key}"
    for key in (
        "Environment",
        "EnvironmentFile",
        "WorkingDirectory",
        "Restart",
        "RestartSec",
        "TimeoutStopSec",
        "KillSignal",
        "KillMode",
        "Type",
    )
)


def _settings(name: str, text: str) -> dict[str, list[str]]:
    """`Section.Key` to its values, in order; an empty value forgets those before, as systemd has it."""
    found: dict[str, list[str]] = {}
    section = ""
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and section:
            key, value = (part.strip() for part in line.split("=", 1))
            values = found.setdefault(f"{section}.{key}", [])
            if value:
                values.append(value)
            else:
                values.clear()
        else:
            raise UnitError(f"Unit {name}, line {number}: '{line}' is neither a [section] nor a key=value.")
    return {key: values for key, values in found.items() if values}


def _words(name: str, key: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise UnitError(f"Unit {name}: {key}={value}: {error}.") from error


def _assignments(name: str, key: str, words: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        variable, equals, value = word.partition("=")
        if not equals or not variable:
            raise UnitError(f"Unit {name}: {key}: '{word}' is not of the form NAME=value.")
        if key == "EnvironmentFile":
            value = "".join(_words(name, key, value)) if value[:1] in "\"'" and value else value
        values[variable.strip()] = value
    return values


def _choice(name: str, key: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UnitError(f"Unit {name}: {key}={value} is not supported: use {', '.join(choices)}.")
    return value


def _seconds(name: str, key: str, value: str) -> float:
    """A time span: `5`, `1.5s`, `100ms`, `1min 30s`, `infinity`."""
    if value == "infinity":
        return float("inf")
    parts = _SPAN.findall(value)
    if not parts or _SPAN.sub("", value):
        raise UnitError(f"Unit {name}: {key}={value} is no time span such as 5, 100ms or 1min 30s.")
    return sum(float(number) * _SPAN_SECONDS[unit] for number, unit in parts)


def _number(name: str, key: str, value: str) -> int:
    if (number := whole(value)) is None:
        raise UnitError(f"Unit {name}: {key}={value} is no number such as 5.")
    return number


def _signal(name: str, value: str) -> int:
    try:
        if (number := whole(value)) is not None:
            return int(signal.Signals(number))
        return int(signal.Signals[value if value.startswith("SIG") else f"SIG{value}"])
    except (KeyError, ValueError):
        raise UnitError(f"Unit {name}: KillSignal={value} is no signal such as SIGINT.") from None
