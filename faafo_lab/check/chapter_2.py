"""The exercises of chapter 02: the architecture."""

import random
import threading
from collections.abc import Callable
from contextlib import closing

from faafo_lab import load, reach
from faafo_lab.check.questions import active, for_anybody, no_function, reporting, server_named
from faafo_lab.check.verdict import Hint, exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.load import Task
from faafo_lab.load.network import Network
from faafo_lab.topology import DATABASE_PORT, ROLES, discover

ORDERS = 6
ORDER_LIMIT_SECONDS = 30.0
NOTHING_BUILT = Hint("There is no app-controller: build the application of this chapter first.")


@exercise
def exercise_2_1(cloud: Cloud) -> Hint | str:
    """Two workers report to the controller."""
    return reporting(discover(cloud), 2) or ""


@exercise
def exercise_2_2(cloud: Cloud) -> Hint | str:
    """Six orders at least wait in the queue, while no worker runs."""
    app = discover(cloud)
    if not app.of_role("controller"):
        return NOTHING_BUILT
    running = [server.name for server in app.workers if server.status != "SHUTOFF"]
    if running:
        return Hint(
            f"{', '.join(running)} {'is' if len(running) == 1 else 'are'} not stopped.",
            "Stop every worker, then wait until each of them is SHUTOFF.",
            'cloud.stop_server(server), then cloud.wait_for(app.workers, "SHUTOFF")',
        )
    waiting = app.stats()["waiting"]
    if waiting < ORDERS:
        return Hint(
            f"No worker runs, and {waiting} of {ORDERS} orders wait.",
            "Order some now. Tasks that were ordered before make nothing new: `new` of the answer counts those that "
            "were new.",
            f"load.create(app.endpoints, list(itertools.islice(load.new_tasks(), {ORDERS}))).new",
        )
    return f"{waiting} orders wait, and none is lost."


@exercise
def exercise_2_3(cloud: Cloud) -> Hint | str:
    """A server of another kind, `watcher`, reaches the queue, and no other port that is not open to anybody."""
    app = discover(cloud)
    watcher = server_named(cloud, "watcher")
    if watcher is None:
        return Hint(
            "There is no server named 'watcher' yet.",
            "Make a new security group first, which opens SSH; then boot the server in it.",
            'cloud.get_or_create_server("watcher", …, security_groups=[group])',
        )
    if hint := active(watcher):
        return hint
    if ROLES["worker"].group in watcher.security_groups:
        return Hint(
            "The server 'watcher' is a member of the security group 'worker'.",
            "It is no worker, so it gets a group of its own. Delete the server, then boot it in that group.",
            'cloud.delete_servers(["watcher"])',
        )
    controller = app.of_role("controller")
    if not controller:
        return NOTHING_BUILT
    rules = [rule for rule in cloud.security_group(ROLES["controller"].group).rules if rule.opens(app.queue_port)]
    if any(for_anybody(rule) for rule in rules):
        return Hint(
            f"Anybody may connect to port {app.queue_port} of the controller now.",
            "Delete that rule, and name a remote group instead.",
            f'cloud.get_or_create_rule("control", {app.queue_port}, remote_group=…)',
        )
    host = controller[0].addresses[0]
    answer = reach.run_probe(cloud, watcher, [(host, app.queue_port), (host, DATABASE_PORT)])
    to_queue, to_database = answer.reasons
    if to_queue:
        return Hint(
            f"'watcher' does not reach the queue: {to_queue}.",
            f"The group 'control' needs a rule for port {app.queue_port} that names the group of 'watcher'.",
            f'cloud.get_or_create_rule("control", {app.queue_port}, remote_group=…)',
        )
    if not to_database:
        return Hint(
            "'watcher' reaches the database, too.",
            f"A rule of the group 'control' opens port {DATABASE_PORT} to it: delete that one.",
            'cloud.delete_rule(rule), for a rule of cloud.security_group("control").rules',
        )
    return f"'watcher' reaches port {app.queue_port}, and not port {DATABASE_PORT}."


@exercise
def exercise_2_4(cloud: Cloud, order: Callable[[Task, str], object] | None = None) -> Hint | str:
    """Your function `order(task, url)` orders a fractal exactly once, although an answer is lost on the way.

    `task` is a dict as the API takes it, without a `uuid`; `url` is an API's ("http://…"). The check calls it once,
    with the URL of a relay that hands the request to the API and drops the first answer: the client sees a
    ConnectionError, and the API has the order. Then the check counts the fractals of this order: one is right.
    """
    app = discover(cloud)
    if not app.endpoints:
        return NOTHING_BUILT
    if not callable(order):
        return no_function(order, "check.exercise_2_4(order)")
    mark = random.uniform(-0.8, -0.75)  # by where it begins in the plane, this order is known again
    task = {**next(load.new_tasks(width=96, height=64)), "xa": mark}
    del task["uuid"]
    failed: list[Exception] = []

    def call() -> None:
        try:
            order(task, network.urls[0])
        except Exception as error:
            failed.append(error)

    with closing(Network([app.endpoint], loses=1)) as network:
        client = threading.Thread(target=call, daemon=True, name="order")
        client.start()
        cloud.wait_until(lambda: not client.is_alive(), "your order() returned", ORDER_LIMIT_SECONDS)
        requests = len(network.answers)
        refused = (answer for answer in network.answers if not answer.startswith(b"HTTP/1.1 2"))
        refusal = next(refused, b"").partition(b"\r\n\r\n")[2].decode(errors="replace")
    made = sum(fractal["xa"] == mark for fractal in app.fractals())
    if refusal:
        return Hint(
            f"The API refused the order: {refusal}",
            "The task comes without a `uuid`, which every order needs: your function gives it one.",
            "uuid.uuid4()",
        )
    if not requests:
        said = f"order(task, url) failed with {type(failed[0]).__name__}: {failed[0]}" if failed else "Nothing was sent"
        return Hint(
            f"{said}; no order arrived at the URL.",
            "Send it there, and not to app.endpoint.",
            'requests.post(url + "/v1/fractal", json=task, timeout=5)',
        )
    if made > 1:
        return Hint(
            f"One order made {made} fractals: it was sent {requests} times, each time under another uuid.",
            "The API can tell that an order is the same by its uuid alone: choose it once, before the first request.",
            "uuid.uuid4(), outside the loop",
        )
    if requests == 1:
        gave_up = f"failed with {type(failed[0]).__name__}" if failed else "returned"
        return Hint(
            f"The answer was lost, and order(task, url) {gave_up} after one request: your client does not know whether "
            "the API has the order.",
            "Catch the error, then send the same order again.",
            "except requests.ConnectionError",
        )
    if failed:
        return Hint(f"The order is placed, but order(task, url) failed with {type(failed[0]).__name__}: {failed[0]}.")
    return f"{requests} requests, the first answer lost, and one fractal."
