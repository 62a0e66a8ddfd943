"""The exercises of chapter 01: a first server, and all of the application on it."""

from faafo_lab.check.questions import server_named
from faafo_lab.check.verdict import exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.reach import CONNECT_SECONDS, probe
from faafo_lab.topology import HTTP_PORT, ROLES, SSH_PORT, discover, healthy


@exercise
def exercise_1_1(cloud: Cloud) -> str:
    """A server `greeter` whose user data said hello at its first boot."""
    greeter = server_named(cloud, "greeter")
    if greeter is None:
        return "There is no server named 'greeter' yet: cloud.create_server makes one."
    if greeter.status != "ACTIVE":
        return f"The server 'greeter' is {greeter.status}: wait for it with cloud.wait_for."
    if "greetings from greeter" not in cloud.console(greeter):
        return "The console log of 'greeter' has no 'greetings from greeter': user data runs only at a first boot."
    return ""


@exercise
def exercise_1_2(cloud: Cloud) -> str:
    """The server `greeter` has a floating address."""
    greeter = server_named(cloud, "greeter")
    if greeter is None:
        return "There is no server named 'greeter' yet: do exercise 1.1 first."
    if not any(ip.server_id == greeter.id for ip in cloud.floating_ips()):
        return "The server 'greeter' has no floating address yet: get a free one, then attach it."
    return ""


@exercise
def exercise_1_3(cloud: Cloud) -> str:
    """Three fractals of 320 by 200 pixels are made."""
    wanted = [one for one in discover(cloud).fractals() if (one["width"], one["height"]) == (320, 200)]
    done = sum(one["generated_by"] is not None for one in wanted)
    if len(wanted) < 3:
        return f"{len(wanted)} of 3 fractals of 320 by 200 pixels are ordered: `faafo create` on the server makes more."
    if done < 3:
        return f"{done} of 3 fractals are made so far: the worker is at it, so ask again in a moment."
    return ""


@exercise
def exercise_1_4(cloud: Cloud) -> str:
    """The application's page can be seen, and nobody can log in to its server."""
    app = discover(cloud)
    host = app.of_role("all-in-one")
    if not host:
        return "There is no server app-all-in-one: deploy the application first."
    group = cloud.security_group(ROLES["all-in-one"].group)
    if not any(rule.opens(HTTP_PORT) for rule in group.rules) or not healthy(app.endpoint):
        return f"The page is not to be seen any more: give the group 'all-in-one' its rule for port {HTTP_PORT} back."
    kept, _ = probe.probe(host[0].floating_addresses[0], cloud.published_port(SSH_PORT), CONNECT_SECONDS)
    if kept or any(rule.opens(SSH_PORT) for rule in group.rules):
        return f"Port {SSH_PORT} of app-all-in-one still answers: delete the rule that opens it."
    return ""
