"""The `faafo-lab` command: the embedded cloud, and the application on any cloud."""

import argparse
import functools
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from faafo_lab import chapters
from faafo_lab.cloud import BACKENDS
from faafo_lab.cloud.emulator.control import quota, seconds
from faafo_lab.interpreter import start_again
from faafo_lab.paths import embedded_state_dir

T = TypeVar("T", int, float)
POLICIES = ("queue-age", "target-tracking", "hpa", "steps", "dask", "naive")  # those of autoscale, not imported here
PROVE_MINUTES = 60.0  # for each backend: real clouds whose servers are emulated machines take that long


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 after one sentence on standard error."""
    if arguments is None:
        start_again()
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.ERROR)
    from faafo_lab.cloud.emulator.errors import EmulatorError
    from faafo_lab.cloud.errors import CloudError

    try:
        return int(options.run(options) or 0)
    except (CloudError, EmulatorError, chapters.UnknownChapter) as error:
        print(f"faafo-lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("faafo-lab: interrupted; `faafo-lab clean-up` removes what was created so far", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of the command line: each command's options set `run`."""
    top = argparse.ArgumentParser(prog="faafo-lab", description="Learn to scale out a cloud application.")
    top.add_argument("-v", "--verbose", action="store_true", help="log the libraries' activity")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    cloud = commands.add_parser("cloud", help="start, check or stop the embedded cloud")
    verbs = cloud.add_subparsers(required=True, metavar="start|status|stop")
    for name, run, text in (
        ("start", cloud_start, "start it unless it runs, and print its addresses"),
        ("status", cloud_status, "print whether it runs, and its addresses"),
        ("stop", cloud_stop, "stop it and every instance; its state is kept for the next start"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument(
            "--state-dir",
            type=Path,
            default=None,
            help="its state directory (default: FAAFO_LAB_HOME/embedded)",
        )
        if name == "start":
            verb.add_argument("--port", type=int, default=None, help="the APIs' port (default: a free one)")
            verb.add_argument(
                "--quota",
                action="append",
                default=[],
                metavar="NAME=N",
                type=quota,
                help="a project's quota, such as instances=10 or floatingip=4; can be repeated",
            )
            verb.add_argument(
                "--address-lag",
                type=seconds,
                default=0.0,
                metavar="SECONDS",
                help="seconds until Nova lists a new floating IP, as real clouds need some (default: 0)",
            )
        verb.set_defaults(run=run)

    scale_out = commands.add_parser(
        "scale-out",
        help="deploy the application (services, API servers, workers), or scale it to these numbers",
    )
    clean_up = commands.add_parser("clean-up", help="remove every resource of the lab from the cloud")
    autoscale = commands.add_parser(
        "autoscale",
        help="add and remove workers by a policy, until you interrupt it",
        description=(
            "Adds and removes workers as a policy wants it, with a line for each decision, until you interrupt it "
            "(Ctrl-C); then workers that drain finish first. It can be started again at any time, and a second one on "
            "this machine stands by."
        ),
    )
    for command in (scale_out, clean_up, autoscale, *add_gameday(commands)):
        command.add_argument("--cloud", help="a cloud of your clouds.yaml (default: FAAFO_LAB_CLOUD, else embedded)")
        command.add_argument(
            "--backend",
            choices=tuple(BACKENDS),
            help="the library to use (default: FAAFO_LAB_BACKEND, else shade)",
        )
    scale_out.add_argument("--api", type=int, default=2, help="API servers (default: %(default)s)")
    scale_out.add_argument("--worker", type=int, default=3, help="workers (default: %(default)s)")
    scale_out.add_argument("--image", help="what the servers boot from (default: FAAFO_LAB_IMAGE, else faafo-lab)")
    scale_out.add_argument("--flavor", help="the servers' size (default: FAAFO_LAB_FLAVOR, else m1.tiny)")
    scale_out.add_argument("--plan", action="store_true", help="print the plan, and change nothing")
    scale_out.set_defaults(run=scale_out_run)
    clean_up.set_defaults(run=clean_up_run)
    add_autoscale(autoscale)
    fresh = commands.add_parser(
        "fresh",
        help="restore a chapter, your copy is kept; without a chapter: list what you have changed",
        description="Restores a chapter. Your changed copy is kept beside it, with the date in its name.",
    )
    fresh.add_argument("chapter", nargs="?", help="its number, such as 02 (default: list what you have changed)")
    fresh.set_defaults(run=fresh_run)
    add_prove(commands)
    add_replay(commands)
    return top


def add_autoscale(command: argparse.ArgumentParser) -> None:
    """Add the options of `autoscale`."""
    command.add_argument("--max", type=positive(int), required=True, metavar="N", help="the most workers")
    command.add_argument(
        "--min", type=positive(int), default=1, metavar="N", help="the fewest workers (default: %(default)s)"
    )
    command.add_argument(
        "--policy", choices=POLICIES, default="queue-age", help="how it decides (default: %(default)s)"
    )
    command.add_argument(
        "--every", type=positive(float), default=2.0, metavar="SECONDS", help="between decisions (default: %(default)g)"
    )
    command.add_argument(
        "--cooldown",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="after a change, remove no worker for so long (default: the policy's own cooldown alone)",
    )
    command.set_defaults(run=autoscale_run)


def add_gameday(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> list[argparse.ArgumentParser]:
    """Add the command `gameday`; returns the parsers of those of its verbs that need a cloud."""
    text = "list missions, repair what one breaks, or let waves of orders and faults come"
    verbs = commands.add_parser("gameday", help=text, description=f"Game day: {text}.").add_subparsers(
        required=True, metavar="missions|play|survive"
    )
    verbs.add_parser("missions", help="list the missions").set_defaults(run=gameday_missions)
    play = verbs.add_parser(
        "play",
        help="break something; you find and repair it",
        description="Breaks something in the application, undone at the end, and says what users see. You repair it.",
    )
    play.add_argument("mission", type=int, help="its number, such as 1")
    play.set_defaults(run=gameday_play)
    survive = verbs.add_parser(
        "survive",
        help="let waves of orders and faults come",
        description="Lets waves of orders and faults come, prints the score, and what a post-mortem begins with.",
    )
    survive.add_argument("--seed", type=int, required=True, help="the same seed, the same waves")
    survive.add_argument("--waves", type=positive(int), default=3, metavar="N", help="how many (default: %(default)s)")
    survive.add_argument(
        "--seconds", type=positive(float), default=60.0, help="how long each takes (default: %(default)g)"
    )
    survive.add_argument("--policy", choices=POLICIES, help="how workers are scaled meanwhile (default: not at all)")
    survive.add_argument(
        "--max",
        type=positive(int),
        default=6,
        metavar="N",
        help="the most workers, with a policy (default: %(default)s)",
    )
    survive.set_defaults(run=gameday_survive)
    return [play, survive]


def add_prove(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `prove` with its options."""
    prove = commands.add_parser(
        "prove",
        help="test every function of the lab on a cloud, and write a report that others can compare",
        description=(
            "Tries every verb on a cloud, then the application: deploys it, orders fractals, checks its security "
            "groups, scales it, kills a busy worker, and removes it. Prints one line per step and writes prove.md and "
            "prove.json, without names, addresses, ids or secrets. Its resources have names of their own and are "
            "removed at the end, also after an error, an interrupt, or when the time is up. It refuses to start if the "
            "application runs already."
        ),
        epilog="Exit status: 0 if every step is right, 1 if one is not, 128 + the signal's number after an interrupt.",
    )
    prove.add_argument("--cloud", help="a cloud of your clouds.yaml (default: FAAFO_LAB_CLOUD, else embedded)")
    prove.add_argument(
        "--backend",
        action="append",
        choices=(*BACKENDS, "all"),
        help="the library to use; can be repeated (default: FAAFO_LAB_BACKEND, else shade)",
    )
    prove.add_argument(
        "--only", choices=("verbs", "application"), help="run only this part; the verbs can run beside your application"
    )
    prove.add_argument(
        "--servers",
        type=positive(int),
        default=4,
        metavar="N",
        help="the most servers at a time: services, one API, the rest workers (default: %(default)s)",
    )
    prove.add_argument(
        "--minutes",
        type=positive(float),
        metavar="N",
        help="minutes after which it stops and cleans up (default: 60 per backend)",
    )
    prove.add_argument("--image", help="what the servers boot from (default: FAAFO_LAB_IMAGE, else faafo-lab)")
    prove.add_argument("--flavor", help="the servers' size (default: FAAFO_LAB_FLAVOR, else m1.tiny)")
    prove.add_argument(
        "--report", type=Path, metavar="DIR", help="the report's directory (default: build if it exists, else .)"
    )
    prove.set_defaults(run=prove_run)


def add_replay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `replay` with its options."""
    replay = commands.add_parser(
        "replay",
        help="say what recordings hold, or make a page of them that plays in any browser",
        description=(
            "Prints when a recording was made and what it holds. With --html it writes one page that plays it in any "
            "browser, without a cloud and without asking any host; several recordings are side by side, each from its "
            "own start."
        ),
    )
    replay.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a recording: faafo_lab.record writes them")
    replay.add_argument("--html", type=Path, metavar="OUT", help="write the page to this file")
    replay.add_argument("--title", metavar="TEXT", help="the page's title (default: those of the recordings)")
    replay.set_defaults(run=replay_run)


def positive(kind: Callable[[str], T]) -> Callable[[str], T]:
    """A number above zero, for argparse."""

    def number(text: str) -> T:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    number.__name__ = "positive number"
    return number


def cloud_start(options: argparse.Namespace) -> None:
    """Start the embedded cloud, and print its addresses and how to use it."""
    from faafo_lab.cloud.emulator import control

    running = control.start(
        state_dir(options),
        port=options.port,
        quotas=dict(options.quota),
        address_lag_seconds=options.address_lag,
    )
    print(f"auth URL:     {running.auth_url}\nclouds.yaml:  {running.clouds_yaml}  (the cloud is named embedded)")
    settings = f"OS_CLIENT_CONFIG_FILE={shlex.quote(str(running.clouds_yaml))}"
    print(f"to use it:    {settings} openstack --os-cloud embedded server list")


def cloud_status(options: argparse.Namespace) -> int:
    """Print whether the embedded cloud runs; exit status 3 if it does not, like systemctl's."""
    from faafo_lab.cloud.emulator import control

    running = control.status(state_dir(options))
    if running is None:
        print(f"not running (state: {state_dir(options)})")
        return 3
    print(f"running, process {running.pid}\nauth URL:     {running.auth_url}\nclouds.yaml:  {running.clouds_yaml}")
    return 0


def cloud_stop(options: argparse.Namespace) -> None:
    """Stop the embedded cloud with its instances; its state is kept."""
    from faafo_lab.cloud.emulator import control

    stopped = control.stop(state_dir(options))
    print("stopped" if stopped else "not running")


def scale_out_run(options: argparse.Namespace) -> None:
    """Deploy the application, or scale the one that runs."""
    import faafo_lab
    from faafo_lab.topology import Layout, Topology

    layout = Layout.scaled_out(options.api, options.worker)  # impossible numbers are refused before anything starts
    started = time.monotonic()
    cloud = faafo_lab.connect(cloud=options.cloud, backend=options.backend)
    app = Topology(cloud, image=options.image, flavor=options.flavor)
    if options.plan:
        print(app.plan(layout))
        return
    app.deploy(api=options.api, worker=options.worker)
    print(f"{len(app.servers)} servers serve after {time.monotonic() - started:.1f} s:")
    for name, url in app.endpoints.items():
        print(f"  {name}  {url}")


def autoscale_run(options: argparse.Namespace) -> None:
    """Scale the application by itself, until an interrupt or a SIGTERM."""
    import faafo_lab
    from faafo_lab import autoscale
    from faafo_lab.load import LoadError
    from faafo_lab.topology import TopologyError, discover

    try:
        autoscale.Limits(options.max, options.min)  # impossible numbers are refused before anything starts
    except LoadError as error:
        raise TopologyError(str(error)) from None
    scaler = autoscale.Autoscaler(
        discover(faafo_lab.connect(cloud=options.cloud, backend=options.backend)),
        autoscale.POLICIES[options.policy](),
        maximum=options.max,
        minimum=options.min,
        in_cooldown_seconds=options.cooldown,
        every_seconds=options.every,
        say=functools.partial(print, flush=True),
        say_each=True,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), scaler:
        scaler.wait()


def gameday_missions(options: argparse.Namespace) -> None:
    """List the missions."""
    from faafo_lab import gameday

    for mission in gameday.MISSIONS:
        print(f"{mission.title}: {mission.symptom}")


def gameday_play(options: argparse.Namespace) -> None:
    """Start a mission, and do what standard input says until it is solved or given up."""
    import faafo_lab
    from faafo_lab import gameday
    from faafo_lab.topology import discover

    mission = gameday.mission(options.mission)
    with mission.start(discover(faafo_lab.connect(cloud=options.cloud, backend=options.backend))) as incident:
        print(incident)
        print("h: a hint, c: is all well again?, q: give up; all else is noted for the post-mortem", flush=True)
        for line in sys.stdin:
            words = line.strip()
            if words == "q":
                break
            if words in ("h", "c"):
                print(incident.hint() if words == "h" else incident.check(), flush=True)
            elif words:
                incident.journal.note(words)
            if incident.solved:
                break
    print(gameday.post_mortem(incident))


def gameday_survive(options: argparse.Namespace) -> None:
    """Let waves come, and print what a post-mortem begins with."""
    import faafo_lab
    from faafo_lab import autoscale, gameday, load
    from faafo_lab.topology import discover

    app = discover(faafo_lab.connect(cloud=options.cloud, backend=options.backend))
    policy = autoscale.POLICIES[options.policy]() if options.policy else None
    waves = gameday.waves(options.seed, options.waves, options.seconds)
    result = gameday.survive(
        app,
        load.calibrate(app),
        seed=options.seed,
        waves=waves,
        policy=policy,
        maximum=options.max,
        say=functools.partial(print, flush=True),
    )
    print(gameday.post_mortem(result))


def clean_up_run(options: argparse.Namespace) -> None:
    """Remove every resource of the lab from the cloud."""
    import faafo_lab
    from faafo_lab.topology import discover

    discover(faafo_lab.connect(cloud=options.cloud, backend=options.backend)).destroy()


def fresh_run(options: argparse.Namespace) -> None:
    """Give the learner a fresh chapter, or list the copies."""
    if options.chapter:
        print(chapters.fresh(options.chapter))
        return
    print(f"your copies, in {chapters.folder()}:")
    for name, state in chapters.states().items():
        print(f"  {name:30} {state}")


def prove_run(options: argparse.Namespace) -> int:
    """Prove that the lab works on a cloud, and write the report; returns the exit status."""
    from faafo_lab import prove

    chosen = options.backend or [os.environ.get("FAAFO_LAB_BACKEND") or "shade"]
    backends = list(BACKENDS) if "all" in chosen else list(dict.fromkeys(chosen))
    budget = prove.Budget(options.servers, options.minutes or PROVE_MINUTES * len(backends))
    parts = [options.only] if options.only else prove.PARTS
    report, status = prove.run(options.cloud, backends, budget, parts, options.image, options.flavor)
    directory = options.report or (Path("build") if Path("build").is_dir() else Path())
    print(f"report: {', '.join(map(str, report.write(directory)))}")
    return status


def replay_run(options: argparse.Namespace) -> int:
    """Print what the recordings hold, or write a page that plays them; returns the exit status."""
    from faafo_lab.living import page, recording

    try:
        recordings = [recording.load(path) for path in options.files]
        if options.html is None:
            for path, each in zip(options.files, recordings, strict=True):
                print(f"{path}: {page.recorded(each.events)}. {each}")
            return 0
        panes: list[page.Pane] = [
            {"title": each.title or path.stem, "events": each.events}
            for path, each in zip(options.files, recordings, strict=True)
        ]
        html = page.page(panes, options.title or ", ".join(pane["title"] for pane in panes))
        page.write(options.html, html)
    except recording.RecordingError as error:
        print(f"faafo-lab: {error}", file=sys.stderr)
        return 1
    print(f"{options.html}: {len(html.encode()) / 1e6:.2f} MB, plays in any browser")
    return 0


def state_dir(options: argparse.Namespace) -> Path:
    """The embedded cloud's state directory: the option's, else the lab's own."""
    return options.state_dir.absolute() if options.state_dir else embedded_state_dir(os.environ)


if __name__ == "__main__":
    sys.exit(main())
