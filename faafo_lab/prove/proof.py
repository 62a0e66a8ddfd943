"""The proof: every step through one backend after the other; at the end it removes every resource that it created."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

import faafo_lab
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.config import EMBEDDED
from faafo_lab.cloud.errors import CloudError
from faafo_lab.prove import versions
from faafo_lab.prove.application import Application
from faafo_lab.prove.budget import APPLICATION_SERVERS, APPLICATION_WORKERS, Budget, Guard
from faafo_lab.prove.leavings import Leavings, counts
from faafo_lab.prove.redaction import Redactor
from faafo_lab.prove.report import Report, Run
from faafo_lab.prove.steps import Runner, Step, Wrong
from faafo_lab.prove.verbs import Verbs
from faafo_lab.topology import Topology
from faafo_lab.topology.lock import alone
from faafo_lab.topology.package import Package

PARTS = ("verbs", "application")


class Refused(CloudError):
    """The proof does not begin: the budget has no room for it, or an application exists already."""


def tell(line: str) -> None:
    """Print a line at once. If the reader is gone (a closed pipe or terminal), go on all the same."""
    with suppress(OSError, RuntimeError):  # RuntimeError: a signal came while a line was printed
        print(line, flush=True)


def run(
    cloud: str | None,
    backends: Sequence[str],
    budget: Budget,
    parts: Sequence[str] = PARTS,
    image: str | None = None,
    flavor: str | None = None,
    say: Callable[[str], None] = tell,
) -> tuple[Report, int]:
    """Prove these parts ("verbs", "application") on this cloud; returns the report and an exit status.

    Raises Refused, and the CloudErrors of the first look at the cloud, before anything is built; after that what goes
    wrong is in the report.
    """
    if "application" in parts and budget.servers < APPLICATION_SERVERS:
        raise Refused(
            f"The application takes {APPLICATION_SERVERS} servers at a time, and the budget has {budget.servers}: give "
            f"it more (--servers {APPLICATION_SERVERS}), or try the verbs alone (--only verbs)."
        )
    clouds = [faafo_lab.connect(cloud, backend) for backend in backends]
    with ExitStack() as stack:
        if "application" in parts:
            stack.enter_context(alone(clouds[0], "prove that the lab works"))
            _refuse_beside(clouds[0])
        report = _report(clouds, budget, parts)
        say(f"{' and '.join(parts)} through {', '.join(backends)} on cloud {clouds[0].name!r}: {budget}.")
        say("Its resources have names of their own and are removed at the end, also after an interrupt.")
        guard = stack.enter_context(Guard(budget.minutes, say))
        for each in clouds:
            try:
                guard.shield(each)
                _prove(each, report, guard, image, flavor, say)
            except KeyboardInterrupt:
                report.ended = guard.reason
                break
    say(f"\n{'Every step is right.' if report.right else 'Not every step is right.'} {report.ended}".rstrip())
    return report, guard.status if report.ended else int(not report.right)


def _refuse_beside(cloud: Cloud) -> None:
    """Raise Refused if any lab resources exist: the application's names are the same, whoever builds it."""
    receipt = cloud.receipt()
    if not receipt.nothing_left:
        raise Refused(
            f"Lab resources exist already, and are left unchanged. {receipt.ending} Then run this again; "
            f"`--only verbs` can run beside it."
        )


def _report(clouds: Sequence[Cloud], budget: Budget, parts: Sequence[str]) -> Report:
    """A report without runs, which knows the words to redact. Raises CloudErrors."""
    redactor = Redactor()
    redactor.learn_machine()
    for cloud in clouds:
        redactor.learn_cloud(cloud)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    report = Report(budget, parts, at, clouds[0].name == EMBEDDED, redactor)
    report.versions, report.services = versions.of_lab(), versions.of_services(clouds[0])
    return report


def _prove(
    cloud: Cloud,
    report: Report,
    guard: Guard,
    image: str | None,
    flavor: str | None,
    say: Callable[[str], None],
) -> None:
    """All steps through one backend; then the clean-up of what they created, however they ended."""
    name = f"faafo-prove-{secrets.token_hex(3)}"
    runner, started = Runner(cloud, say, guard.check), time.monotonic()
    run = Run(cloud.backend, runner.outcomes)
    report.runs.append(run)
    workers = report.budget.servers - APPLICATION_SERVERS + APPLICATION_WORKERS
    app = Topology(cloud, image=image, flavor=flavor, say=lambda line: say(f"    {line}"))
    verbs = Verbs(cloud, name, app.image_name, app.flavor_name)
    parts = {"verbs": verbs.steps, "application": Application(app, workers, guard.check).steps}
    say(f"\n{cloud.backend}:")
    try:
        for part in report.parts:
            runner.run(part, parts[part]())
    finally:
        with guard.cleaning():
            end = Step("nothing is left", lambda: _clean_up(cloud, name, "application" in report.parts))
            runner.run("end", [end])
            run.seconds = time.monotonic() - started
            with suppress(CloudError):
                run.receipt = cloud.receipt()
    guard.check()


def _clean_up(cloud: Cloud, name: str, alone: bool) -> str:
    """Remove the steps' remaining resources. Raises Wrong if any stay; `alone`: no other lab resources may exist."""
    if alone:
        with suppress(CloudError):
            Package(cloud).withdraw()
    removed = Leavings(cloud, name).remove()
    if alone and (left := counts(cloud.receipt().left)):
        raise Wrong(f"left: {left}; `faafo-lab clean-up` removes it")
    return f"removed: {removed}" if removed else ""
