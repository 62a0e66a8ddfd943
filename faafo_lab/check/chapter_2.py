"""The exercises of chapter 02: the architecture."""

from faafo_lab import reach
from faafo_lab.check.questions import for_anybody, reporting, server_named
from faafo_lab.check.verdict import exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import DATABASE_PORT, ROLES, discover


@exercise
def exercise_2_1(cloud: Cloud) -> str:
    """Two workers report to the controller."""
    return reporting(discover(cloud), 2)


@exercise
def exercise_2_2(cloud: Cloud) -> str:
    """The API takes orders while no worker is there to do them."""
    app = discover(cloud)
    if not app.workers:
        return "There is no worker to stop: build the application of this chapter first."
    running = [server.name for server in app.workers if server.status != "SHUTOFF"]
    if running:
        return f"{', '.join(running)} still runs: stop every worker with cloud.stop_server."
    waiting = app.stats()["waiting"]
    if waiting < 6:
        return f"{waiting} orders wait, and there should be 6 at least: order some now that nobody works."
    return ""


@exercise
def exercise_2_3(cloud: Cloud) -> str:
    """A server of another kind, `watcher`, gets to the queue, and to nothing else that is not for all."""
    app = discover(cloud)
    watcher = server_named(cloud, "watcher")
    if watcher is None:
        return "There is no server named 'watcher' yet: boot one, in a new security group."
    if watcher.status != "ACTIVE":
        return f"The server 'watcher' is {watcher.status}: wait for it with cloud.wait_for."
    if ROLES["worker"].group in watcher.security_groups:
        return "The server 'watcher' is a member of 'worker': give it a group of its own."
    controller = app.of_role("controller")
    if not controller:
        return "There is no app-controller: build the application of this chapter first."
    rules = [rule for rule in cloud.security_group(ROLES["controller"].group).rules if rule.opens(app.queue_port)]
    if any(for_anybody(rule) for rule in rules):
        return f"Anybody may connect to port {app.queue_port} now: delete that rule, and name a remote group instead."
    host = controller[0].addresses[0]
    answer = reach.run_probe(cloud, watcher, [(host, app.queue_port), (host, DATABASE_PORT)])
    to_queue, to_database = answer.reasons
    if to_queue:
        return f"'watcher' does not get to the queue ({to_queue}): add a rule to 'control' that names its group."
    if not to_database:
        return f"'watcher' gets to the database too: delete the rule of 'control' that opens port {DATABASE_PORT}."
    return ""
