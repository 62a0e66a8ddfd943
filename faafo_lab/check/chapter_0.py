"""The exercises of chapter 00: a first look at the cloud."""

from faafo_lab.check.questions import for_anybody, group_named
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.model import Flavor
from faafo_lab.topology import HTTP_PORT


@exercise
def exercise_0_1(cloud: Cloud) -> Hint | str:
    """A security group named `hello` exists."""
    if group_named(cloud, "hello") is None:
        return Hint(
            "There is no security group named 'hello' yet.",
            "Ask the cloud for one: type `cloud.get_or_create_`, then press Tab.",
            'cloud.get_or_create_security_group("hello")',
        )
    return ""


@exercise
def exercise_0_2(cloud: Cloud) -> Hint | str:
    """The security group `hello` lets anybody in to port 80, and nobody to any other port."""
    group = group_named(cloud, "hello")
    if group is None:
        return Hint("There is no security group named 'hello' yet: solve exercise 0.1 first.")
    opened = [rule for rule in group.rules if for_anybody(rule)]
    if not any(rule.opens(HTTP_PORT) for rule in opened):
        rules = f"{len(group.rules)} rule{'' if len(group.rules) == 1 else 's'}"
        return Hint(
            f"The group 'hello' has {rules}, and none lets anybody in to port {HTTP_PORT}.",
            "A rule names a port; one that names no other group is for anybody.",
            f'cloud.get_or_create_rule("hello", {HTTP_PORT})',
        )
    if extra := [rule for rule in group.rules if not for_anybody(rule) or rule.port_min != rule.port_max]:
        return _wider(extra[0].port_min, extra[0].port_max)
    if extra := [rule for rule in group.rules if rule.port_min != HTTP_PORT]:
        return _wider(extra[0].port_min, extra[0].port_max)
    return ""


@exercise
def exercise_0_3(cloud: Cloud, flavor: Flavor | str | None = None) -> Hint | str:
    """You name the flavor whose servers may compute the most.

    The answer is its name, `check.exercise_0_3("m1.tiny")`, or the flavor itself.
    """
    if flavor is None:
        return Hint(
            "The check has no answer of yours yet: check.exercise_0_3('the name of a flavor').",
            "Compare the cores of the flavors (the vCPUs, where a cloud does not tell the cores).",
            "max(cloud.flavors(), key=lambda flavor: flavor.cores or flavor.vcpus)",
        )
    name = flavor.name if isinstance(flavor, Flavor) else str(flavor)
    cores = {each.name: each.cores if each.cores is not None else float(each.vcpus) for each in cloud.flavors()}
    if name not in cores:
        return Hint(str(NotFound.among("flavor", name, cores)))
    if cores[name] < max(cores.values()):
        return Hint(
            f"Flavor {name!r} may use {cores[name]:g} core{'s' * (cores[name] != 1)}, and another flavor gives more.",
            "Look at the column `cores` of the table of flavors above.",
            "max(cloud.flavors(), key=lambda flavor: flavor.cores or flavor.vcpus)",
        )
    return f"A server of flavor {name} may use {cores[name]:g} core{'s' * (cores[name] != 1)}."


def _wider(first: int | None, last: int | None) -> Hint:
    ports = "every port" if first is None else f"port {first}" if first == last else f"the ports {first} to {last}"
    return Hint(
        f"The group 'hello' has another rule, for {ports}.",
        f"Only the rule that opens port {HTTP_PORT} to anybody should be there: remove the extra rules.",
        'cloud.delete_rule(rule), for a rule of cloud.security_group("hello").rules',
    )
