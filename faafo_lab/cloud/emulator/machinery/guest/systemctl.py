"""The instance's `systemctl`: verbs, words and exit codes of the real one, as far as units are concerned.

Source: systemctl(1); exit codes of LSB: 3 not active, 4 no such unit, 5 not installed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from faafo_lab.cloud.emulator.machinery.guest.children import shutdown_code
from faafo_lab.cloud.emulator.machinery.guest.initsocket import Reply
from faafo_lab.cloud.emulator.machinery.guest.supervisor import SupervisedUnit, Supervisor
from faafo_lab.cloud.emulator.machinery.guest.units import UnitError, unit_name

_LOG_LINES = 10
_SIGNAL = "--signal="
_NOT_ACTIVE, _NO_SUCH_UNIT, _NOT_INSTALLED = 3, 4, 5
_ACCEPTED = {"--no-pager", "--no-block", "--quiet", "-q", "--system", "--force", "-f", "--full", "-l", "--all", "-a"}


async def systemctl(supervisor: Supervisor, words: Sequence[str]) -> Reply:
    options = [word for word in words if word.startswith("-")]
    arguments = [word for word in words if not word.startswith("-")]
    signals = [word for word in options if word.startswith(_SIGNAL)]
    if unknown := set(options) - _ACCEPTED - {"--now", *signals}:
        return Reply(1, error=f"systemctl: option {sorted(unknown)[0]} is not supported here.\n")
    verb, names = (arguments[0], arguments[1:]) if arguments else ("list-units", [])
    do: dict[str, Callable[[str], Awaitable[None] | None]] = {
        "start": supervisor.start,
        "stop": supervisor.stop,
        "restart": supervisor.restart,
        "enable": supervisor.enable,
        "disable": supervisor.disable,
        "freeze": supervisor.freeze,
        "thaw": supervisor.thaw,
        "kill": partial(_kill, supervisor, (signals or [_SIGNAL + "SIGTERM"])[-1].removeprefix(_SIGNAL)),
    }
    tell = {"status": _status, "is-active": _is_active, "is-enabled": _is_enabled}
    if verb == "daemon-reload":  # files are read when they are needed
        return Reply(0)
    if verb == "list-units":
        return _list_units(supervisor)
    if verb not in do and verb not in tell:
        return Reply(1, error=f"Unknown command verb '{verb}': use {', '.join([*do, *tell, 'list-units'])}.\n")
    if not names:
        return Reply(1, error=f"systemctl: {verb} needs the name of a unit.\n")
    verbs = [verb]
    if "--now" in options and verb in ("enable", "disable"):
        verbs.append("start" if verb == "enable" else "stop")
    replies = []
    for name in names:
        if verb in tell:
            replies.append(tell[verb](supervisor, name))
            continue
        for each in verbs:
            try:
                if (work := do[each](name)) is not None:
                    await work
            except UnitError as error:
                replies.append(Reply(_NOT_INSTALLED if "not found" in str(error) else 1, error=f"{error}\n"))
                break
    return Reply(
        next((reply.code for reply in replies if reply.code), 0),
        "".join(reply.output for reply in replies),
        "".join(reply.error for reply in replies),
    )


def _kill(supervisor: Supervisor, signal_name: str, name: str) -> None:
    number = getattr(signal, f"SIG{signal_name.removeprefix('SIG')}", None)
    if not isinstance(number, signal.Signals):
        raise UnitError(f"Failed to parse signal string {signal_name}.")
    supervisor.kill(name, number)


def _is_active(supervisor: Supervisor, name: str) -> Reply:
    try:
        state = supervisor.service(name).state
    except UnitError:
        state = "inactive"
    return Reply(0 if state == "active" else _NOT_ACTIVE, f"{state}\n")


def _is_enabled(supervisor: Supervisor, name: str) -> Reply:
    try:
        supervisor.unit(name)
    except UnitError as error:
        return Reply(_NO_SUCH_UNIT, error=f"{error}\n")
    enabled = supervisor.is_enabled(name)
    return Reply(0 if enabled else 1, "enabled\n" if enabled else "disabled\n")


_WORDS = {
    "active": "active (running)",
    "activating": "activating (auto-restart)",
    "deactivating": "deactivating (stop-sigterm)",
    "inactive": "inactive (dead)",
    "failed": "failed (Result: exit-code)",
}


def _status(supervisor: Supervisor, name: str) -> Reply:
    try:
        service = supervisor.service(name)
    except UnitError as error:
        return Reply(_NO_SUCH_UNIT, error=f"Unit {unit_name(name)}.service could not be found. {error}\n")
    unit = service.unit
    enabled = "enabled" if supervisor.is_enabled(unit.name) else "disabled"
    lines = [
        f"{'●' if service.state == 'active' else '○'} {unit.name}.service - {unit.description}",
        f"     Loaded: loaded ({unit.path}; {enabled})",
        f"     Active: {_WORDS[service.state]}{_since(service)}",
    ]
    if service.state == "active" and service.child:
        lines.append(f"   Main PID: {service.child.pid} ({unit.command[0].rsplit('/', 1)[-1]})")
    elif service.last_code is not None:
        lines.append(f"   Main PID: none ({shutdown_code(service.last_code)})")
    tail = supervisor.log_end(unit.name, _LOG_LINES)
    text = "\n".join([*lines, *([""] if tail else []), *tail]) + "\n"
    return Reply(0 if service.state == "active" else _NOT_ACTIVE, text)


def _since(service: SupervisedUnit) -> str:
    if service.child is None:
        return ""
    moment = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(service.since))
    return f" since {moment}; {time.time() - service.since:.0f}s ago"


def _list_units(supervisor: Supervisor) -> Reply:
    lines = [f"  {'UNIT':<28} {'LOAD':<8} {'ACTIVE':<12} DESCRIPTION"]
    for name in supervisor.names():
        try:
            service = supervisor.service(name)
            state, loaded, description = service.state, "loaded", service.unit.description
        except UnitError as error:
            state, loaded, description = "inactive", "bad", str(error)
        lines.append(f"  {name + '.service':<28} {loaded:<8} {state:<12} {description}")
    return Reply(0, "\n".join(lines) + "\n")
