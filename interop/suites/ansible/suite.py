"""Run Ansible's playbooks twice each, and see what the second runs change."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ... import clouds
from ...place import CommandFailed, Place
from ...results import Results

HERE = Path(__file__).parent
ENDINGS = {"failed": "failed", "unreachable": "failed", "ok": "ok", "skipped": "ok"}  # Ansible's, as ours
UP, UP_AGAIN, DOWN, DOWN_AGAIN, LEFT = (
    "up.yml sets everything up",
    "up.yml once more changes nothing",
    "down.yml deletes everything",
    "down.yml once more changes nothing",
    "nothing is left",
)


def run(place: Place, results: Results) -> None:
    """Run the playbooks, whatever of them `results` wants. Raises `OSError`."""
    before = _resources(place)
    for name, playbook, again in (
        (UP, "up.yml", False),
        (UP_AGAIN, "up.yml", True),
        (DOWN, "down.yml", False),
        (DOWN_AGAIN, "down.yml", True),
    ):
        with results.step(name):
            changed = _play(place, playbook)
            assert changed if not again else not changed, "\n".join(changed) or "Nothing was changed."
    with results.step(LEFT):
        left = _resources(place) - before
        assert not left, "\n".join(sorted(left))


def figures(results: Results) -> dict[str, int]:
    """How many tasks the second runs changed; a run that failed counts as one."""
    reasons = [results.result(name).reason for name in (UP_AGAIN, DOWN_AGAIN) if name in results.wanted]
    return {"ansible_changed_second_run": sum(len(reason.splitlines()) for reason in reasons)}


def _play(place: Place, playbook: str) -> list[str]:
    """Run a playbook, and print its tasks as they end. Returns those that changed something. Raises `CommandFailed`."""
    settings = {
        "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
        "ANSIBLE_HOME": str(place.home / ".ansible"),
        "ANSIBLE_REMOTE_TEMP": str(place.temporary / "ansible"),
        "OS_CLIENT_CONFIG_FILE": str(place.clouds_yaml),
        "LC_ALL": "C.UTF-8",
    }
    changed: list[str] = []
    failed: list[str] = []
    command = [place.bin / "python", place.bin / "ansible-playbook", HERE / playbook]
    with (
        (place.out / "stderr.txt").open("a") as errors,
        (place.out / "events.jsonl").open("a") as log,
        place.started(command, settings, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            event = json.loads(line) if line.startswith("{") else {}
            kind = ENDINGS.get(event.get("_event", "").removeprefix("v2_runner_on_"))
            for host, result in event.get("hosts", {}).items() if kind else ():
                task = f"{event['task']['name']} ({host})"
                if kind == "failed":
                    failed.append(f"{task}: {_reason(result)}")
                elif result.get("changed"):
                    changed.append(task)
                print(f"     {'changed' if result.get('changed') else kind:<8}{task}", flush=True)
        process.wait()
    if failed or process.returncode:
        raise CommandFailed("\n".join(failed) or f"ansible-playbook: exit {process.returncode}: see {errors.name}")
    return changed


def _reason(result: dict[str, object]) -> str:
    """Why a task failed, in one line: of a loop, its items' reasons."""
    items = result.get("results")
    if isinstance(items, list):
        return "; ".join(_reason(item) for item in items if item.get("failed"))
    return " ".join(str(result.get("msg") or result.get("exception") or "no reason is given").split())


def _resources(place: Place) -> set[str]:
    """What the project has, by kind and name."""
    with clouds.connect(clouds.entries(place.clouds_yaml)["embedded"]) as cloud:
        kinds = {
            "server": cloud.compute.servers(),
            "key pair": cloud.compute.keypairs(),
            "server group": cloud.compute.server_groups(),
            "network": cloud.network.networks(),
            "subnet": cloud.network.subnets(),
            "port": cloud.network.ports(),
            "router": cloud.network.routers(),
            "floating IP": cloud.network.ips(),
            "security group": cloud.network.security_groups(),
            "volume": cloud.block_storage.volumes(),
            "snapshot": cloud.block_storage.snapshots(),
            "container": cloud.object_store.containers(),
            "load balancer": cloud.load_balancer.load_balancers(),
        }
        return {f"{kind} {each.id or each.name}" for kind, found in kinds.items() for each in found}
