"""The exercises of chapter 01: a first server, and all of the application on it."""

import re
from collections.abc import Callable

from faafo_lab.check.questions import active, failed, no_function, server_named
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.model import FloatingIP, Server
from faafo_lab.reach import CONNECT_SECONDS, probe
from faafo_lab.topology import HTTP_PORT, ROLES, SSH_PORT, discover, healthy

GREETING = "greetings from greeter"
# A line of the console log that is the greeting; cloud-init puts its name, and the kernel the time, before it.
GREETS = re.compile(rf"^(?:\[ *[\d.]+\] )?(?:cloud-init\[\d+\]: )?{GREETING}[.!]?\s*$", re.MULTILINE)
# Of what cloud-init and shells say of a script that fails, the words without the script's path.
FAILED = re.compile(r"(?:line \d+: |Part \d+ of the user data |Unhandled non-multipart|Failed to run module ).*$", re.M)
NO_GREETER = Hint("There is no server named 'greeter' yet: solve exercise 1.1 first.")


@exercise
def exercise_1_1(cloud: Cloud) -> Hint | str:
    """A server `greeter` has printed `greetings from greeter` at its first boot, from its user data.

    The console log must have a line that is the greeting: an error message that quotes it does not count.
    """
    greeter = server_named(cloud, "greeter")
    if greeter is None:
        return Hint(
            "There is no server named 'greeter' yet.",
            "Boot one as you booted your first server, and give it a script as its user data.",
            'cloud.get_or_create_server("greeter", …, user_data=script)',
        )
    if hint := active(greeter):
        return hint
    log = cloud.console(greeter)
    if GREETS.search(log):
        return ""
    if failed := FAILED.search(log):
        return Hint(
            f"The user data of 'greeter' failed: the console log says {failed[0].strip()!r}.",
            "User data that is a script begins with `#!/usr/bin/env bash` and has a command on each line after it. It "
            "runs at the first boot alone, so delete this server, then boot a new one.",
            'cloud.delete_servers(["greeter"])',
        )
    return Hint(
        f"No line of the console log of 'greeter' is {GREETING!r}.",
        "What a script prints is in the console log a moment after the boot. User data runs at the first boot alone: "
        "where this server was made without it, delete the server, then boot a new one.",
        'user_data="#!/usr/bin/env bash\\necho greetings from $(hostname)\\n"',
    )


@exercise
def exercise_1_2(cloud: Cloud, give_address: Callable[[Server], object] | None = None) -> Hint | str:
    """Your function `give_address(server)` gives a server a floating IP, a free one if there is any, else a new one.

    Where the server has a floating IP already, nothing changes.

    The check calls it with `greeter` several times and looks at the project's floating IPs before and after each. It
    frees the floating IPs of `greeter` first, and releases those that were allocated by this `cloud`.
    """
    if not callable(give_address):
        return no_function(give_address, "check.exercise_1_2(give_address)")
    greeter = server_named(cloud, "greeter")
    if greeter is None:
        return NO_GREETER
    if hint := active(greeter):
        return hint
    for ip in _floating(cloud, greeter):
        if ip.id in cloud.created.get("floating IPs", {}):
            cloud.delete_floating_ip(ip)
        else:
            cloud.detach_floating_ip(ip)
    tried = []
    for _ in range(2):
        before = cloud.floating_ips()
        free = {ip.id for ip in before if ip.server_id is None}
        if hint := _called(cloud, give_address, greeter):
            return hint
        after = cloud.floating_ips()
        held, new = _floating(cloud, greeter), {ip.id for ip in after} - {ip.id for ip in before}
        if not held:
            return Hint(
                "After give_address(greeter) the server 'greeter' has no floating IP.",
                "A floating IP is attached to a server in a step of its own.",
                "cloud.attach_floating_ip(server, address)",
            )
        if free and new:
            return Hint(
                f"give_address(greeter) allocated a new floating IP, while the project had {len(free)} free.",
                "Look first for one that no server has: its `server_id` is None.",
                "[ip for ip in cloud.floating_ips() if ip.server_id is None], or cloud.free_floating_ip()",
            )
        if len(new) > 1:
            return Hint(
                f"give_address(greeter) allocated {len(new)} floating IPs at once.",
                "A server needs one, and all of them cost money.",
                "cloud.create_floating_ip()",
            )
        tried.append("a free one is used again" if free else "a new one is allocated where none is free")
        if hint := _called(cloud, give_address, greeter):
            return hint
        if {(ip.id, ip.server_id) for ip in after} != {(ip.id, ip.server_id) for ip in cloud.floating_ips()}:
            return Hint(
                "'greeter' had a floating IP, and give_address(greeter) changed something.",
                "Look first whether the server has one already: then there is nothing to do.",
                "[ip for ip in cloud.floating_ips() if ip.server_id == server.id]",
            )
        if tried[-1].startswith("a free"):
            break
        cloud.detach_floating_ip(held[0])
    return f"Tried: {', '.join(tried)}, nothing changes where the server has one."


@exercise
def exercise_1_3(cloud: Cloud) -> Hint | str:
    """Three fractals of 320 by 200 pixels are made."""
    app = discover(cloud)
    sizes = [(one["width"], one["height"]) for one in app.fractals()]
    wanted = [one for one in app.fractals() if (one["width"], one["height"]) == (320, 200)]
    done = sum(one["generated_by"] is not None for one in wanted)
    if len(wanted) < 3:
        newest = " by ".join(map(str, sizes[-1])) if sizes else "none"
        return Hint(
            f"{len(wanted)} of 3 fractals of 320 by 200 pixels are ordered (the newest order: {newest}).",
            "The application's command runs on the server, and `faafo create --help` lists its options.",
            'cloud.run("app-all-in-one", "faafo create --tasks 3 --width 320 --height 200", check=True)',
        )
    if done < 3:
        return Hint(f"{done} of 3 fractals are made so far: give the worker a moment, then run the check again.")
    return ""


@exercise
def exercise_1_4(cloud: Cloud) -> Hint | str:
    """The application's page can be seen, and nobody can log in to its server: port 22 is closed."""
    app = discover(cloud)
    host = app.of_role("all-in-one")
    if not host:
        return Hint("There is no server app-all-in-one: deploy the application of this chapter first.")
    group = cloud.security_group(ROLES["all-in-one"].group)
    if not any(rule.opens(HTTP_PORT) for rule in group.rules) or not healthy(app.endpoint):
        return Hint(
            "The page of the application does not answer any more.",
            f"The group 'all-in-one' needs its rule for port {HTTP_PORT}.",
            f'cloud.get_or_create_rule("all-in-one", {HTTP_PORT})',
        )
    kept, _ = probe.probe(host[0].floating_addresses[0], cloud.published_port(SSH_PORT), CONNECT_SECONDS)
    if kept or any(rule.opens(SSH_PORT) for rule in group.rules):
        return Hint(
            f"Port {SSH_PORT} of app-all-in-one is still open.",
            "A rule of its security group opens it. Rules count at once, without a reboot.",
            'cloud.delete_rule(rule), for a rule of cloud.security_group("all-in-one").rules',
        )
    return ""


def _floating(cloud: Cloud, server: Server) -> list[FloatingIP]:
    return [ip for ip in cloud.floating_ips() if ip.server_id == server.id]


def _called(cloud: Cloud, give_address: Callable[[Server], object], greeter: Server) -> Hint | None:
    """Call the learner's function; a hint where it fails."""
    try:
        give_address(cloud.server(greeter.id))
    except CloudError as error:
        return Hint(f"give_address(greeter) failed: {error}")
    except Exception as error:
        return failed(
            "give_address(greeter)",
            error,
            "Call it yourself to see where.",
            'give_address(cloud.server("greeter"))',
        )
    return None
