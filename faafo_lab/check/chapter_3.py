"""The exercises of chapter 03: scaling out."""

from collections import Counter

from faafo_lab import load
from faafo_lab.check.questions import reporting
from faafo_lab.check.verdict import exercise
from faafo_lab.cloud.base import Cloud
from faafo_lab.topology import discover, healthy


@exercise
def exercise_3_1(cloud: Cloud) -> str:
    """Six workers report, and each has made fractals."""
    app = discover(cloud)
    if hint := reporting(app, 6):
        return hint
    made = Counter(item.worker for item in load.completions(app.endpoint))
    few = [server.name for server in app.workers if made[server.name] < 3]
    if few:
        return f"{', '.join(few)} made fewer than 3 fractals: order enough of them for all six."
    return ""


@exercise
def exercise_3_2(cloud: Cloud) -> str:
    """The API server that the workers report to was deleted and is there again, and they report to the new one."""
    app = discover(cloud)
    names = {server.name: server for server in app.apis}
    if "app-api-1" not in names:
        return "app-api-1 is gone, and the workers have nobody to report to: deploy again, which repairs that."
    if "app-api-2" not in names:
        return "There is no app-api-2: deploy the application with two API servers first."
    first, second = names["app-api-1"].created, names["app-api-2"].created
    if first is None or second is None or first <= second:
        return "app-api-1 is older than app-api-2, so nobody has replaced it: delete it under load, then mend that."
    down = [name for name, url in app.endpoints.items() if not healthy(url)]
    if down or len(app.endpoints) < len(app.apis):
        return f"{', '.join(down) or 'an API server without a floating address'} does not serve: deploy again."
    return reporting(app, 1)


@exercise
def exercise_3_3(cloud: Cloud) -> str:
    """A worker is drained: still there, and done with work."""
    app = discover(cloud)
    names = {server.name for server in app.workers}
    states = {node["name"]: node["state"] for node in app.nodes() if node["role"] == "worker" and node["name"] in names}
    if "draining" in states.values():
        return "A worker is draining, and has not finished what it works on: ask again in a moment."
    if "drained" not in states.values():
        return "No worker is drained yet: app.drain does it, and leaves the server where it is."
    if not {"idle", "working"} & set(states.values()):
        return "Every worker is drained, so nobody works any more: leave one at work."
    return ""
