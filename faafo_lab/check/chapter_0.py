"""The exercises of chapter 00: a first look at the cloud."""

from faafo_lab.check.questions import for_anybody, group_named
from faafo_lab.check.verdict import exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import NotFound
from faafo_lab.topology import HTTP_PORT


@exercise
def exercise_0_1(cloud: Cloud) -> str:
    """A security group named `hello` exists."""
    if group_named(cloud, "hello") is None:
        return "There is no security group named 'hello' yet: cloud.get_or_create_security_group makes one."
    return ""


@exercise
def exercise_0_2(cloud: Cloud) -> str:
    """The security group `hello` lets anybody in to port 80, and nobody to any other."""
    group = group_named(cloud, "hello")
    if group is None:
        return "There is no security group named 'hello' yet: do exercise 0.1 first."
    opened = [rule for rule in group.rules if for_anybody(rule)]
    if not any(rule.opens(HTTP_PORT) for rule in opened):
        return f"The group 'hello' does not let anybody in to port {HTTP_PORT} yet: add a rule for it."
    if len(group.rules) > 1 or opened[0].port_min != opened[0].port_max:
        return f"The group 'hello' opens more than port {HTTP_PORT}: delete what is too much."
    return ""


@exercise
def exercise_0_3(cloud: Cloud, flavor: str | None = None) -> str:
    """The name of the flavor whose servers may compute most."""
    if flavor is None:
        return "Give the check your answer: check.exercise_0_3('the name of a flavor')."
    cores = {each.name: each.cores if each.cores is not None else float(each.vcpus) for each in cloud.flavors()}
    if flavor not in cores:
        return str(NotFound.among("flavor", flavor, cores))
    if cores[flavor] < max(cores.values()):
        return f"A server of flavor {flavor!r} may use {cores[flavor]:g} cores, and another flavor gives more."
    return ""
