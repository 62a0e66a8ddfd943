"""The command ``faafo``: create, list, show, get, retry and delete fractals, move their images, back up and restore.

What is not given to ``create`` is drawn at random, from the ranges below unless ``--min-…`` and ``--max-…`` say
otherwise. Any failure is one sentence on standard error and exit code 1 (a wrong option: 2; an image that can't be
moved: 3).
"""

import argparse
import json
import os
import random
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faafo_lab.app import settings
from faafo_lab.app.apis import Apis, Endpoints
from faafo_lab.app.backups import arguments as backups
from faafo_lab.app.errors import ApiAway, ApiRefused, AppError, SettingsError
from faafo_lab.interpreter import start_again

WAIT_STEP_SECONDS = 0.5
LINE_SECONDS = 0.2  # between two lines of what a long command has done
BAD_IMAGES = 3  # exit code
BLANK, FAILED = "-", "failed"  # of a fractal that is not made yet, or cannot be


MOVE_IMAGES = """\
Move the images that there are to another place. Run this as root on a machine
of the application, with the settings of its API; or anywhere with
FAAFO_DATABASE_URL. Meanwhile all images can be read.

A place is a URL, as FAAFO_IMAGES_URL has it: database, file:///DIRECTORY (this
machine's own disk), swift://..., s3://...; or what "image_at" of a fractal
says, where the APIs know it: file://HOST, swift://CONTAINER. Every user of a
machine can read its command lines: put a URL with a secret into the
environment, as FAAFO_MOVE_FROM or FAAFO_MOVE_TO. The URL of the new place is
noted in the database, so that all APIs can read from there. Where new images
go, FAAFO_IMAGES_URL alone says.

Each copy is read back, and must have the checksum of the fractal's row, before
the old image is deleted. The command may be interrupted at any moment: the same
command goes on. Several may run at once. An image that is missing or damaged is
reported and left alone."""


@dataclass(frozen=True)
class Range:
    """What ``create`` draws a value from, and its bounds' kind: whole numbers or floats."""

    name: str
    low: float
    high: float
    kind: type[int] | type[float]
    unit: str


RANGES = (
    Range("tasks", 1, 10, int, "how many fractals"),
    Range("width", 256, 1024, int, "pixels"),
    Range("height", 256, 1024, int, "pixels"),
    Range("iterations", 128, 512, int, "steps at most"),
    Range("xa", -4.0, -1.0, float, "left end of the box"),
    Range("xb", 1.0, 4.0, float, "right end of the box"),
    Range("ya", -3.0, -0.5, float, "one end of the box's height"),
    Range("yb", 0.5, 3.0, float, "the other end"),
)


def create(client: Apis, options: argparse.Namespace) -> None:
    """Ask for fractals; prints their uuids, and how many are new: an order whose answer got lost is sent again."""
    count = int(_draw(RANGES[0], options))
    if count < 1:
        raise SettingsError(f"--tasks must be at least 1: got {count}.")
    print(f"generating {count} task(s)")
    new = 0
    for _ in range(count):
        task: dict[str, Any] = {wanted.name: _draw(wanted, options) for wanted in RANGES[1:]}
        task["uuid"] = str(uuid.uuid4())
        new += client.order(task)
        print(task["uuid"], flush=True)
    print(f"{new} of {count} are new")


def list_(client: Apis, options: argparse.Namespace) -> None:
    """List all fractals."""
    fractals = client.call("GET", "/v1/fractal?results_per_page=-1")["objects"]
    _table(["UUID", "Dimensions", "Filesize"], ([one["uuid"], _dimensions(one), _size(one)] for one in fractals), "c")


def show(client: Apis, options: argparse.Namespace) -> None:
    """Show one fractal."""
    one = client.call("GET", f"/v1/fractal/{_uuid(options)}")
    duration = one.get("duration")
    rows = {
        "uuid": one["uuid"],
        "duration": BLANK if duration is None else f"{duration:f} seconds",  # as the original has it
        "dimensions": _dimensions(one),
        **{name: one[name] for name in ("iterations", "xa", "xb", "ya", "yb")},
        "size": _size(one),
        "checksum": one.get("checksum") or BLANK,
        "generated_by": one.get("generated_by") or BLANK,
        **({"lost": ", ".join(lost["worker"] for lost in one["lost"])} if one.get("lost") else {}),
        **({"failure": one["failure"]} if one.get("failure") else {}),
    }
    _table(["Parameter", "Value"], rows.items(), "l")


def get(client: Apis, options: argparse.Namespace) -> None:
    """Download one fractal's PNG."""
    address = f"/fractal/{_uuid(options)}"
    path = options.output or Path(f"{options.uuid}.png")
    unfinished = path.with_name(f"{path.name}.part")
    from tqdm import tqdm  # only those who download pay for it

    try:
        # on standard error, and only where that is a terminal
        with unfinished.open("wb") as file, tqdm(unit="B", unit_scale=True, desc=path.name, disable=None) as bar:

            def progress(there: int, total: int) -> None:
                bar.total = total
                bar.update(there - bar.n)

            client.download(address, file, progress)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    print(path)


def retry(client: Apis, options: argparse.Namespace) -> None:
    """Ask once more for a fractal that has failed."""
    one = client.call("GET", f"/v1/fractal/{_uuid(options)}")
    client.call("POST", "/v1/fractal", {name: one[name] for name in ("uuid", *(wanted.name for wanted in RANGES[1:]))})


def delete(client: Apis, options: argparse.Namespace) -> None:
    """Delete one fractal."""
    client.call("DELETE", f"/v1/fractal/{_uuid(options)}")


def move_images(client: Apis, options: argparse.Namespace) -> None:
    """Move the images that there are to another place."""
    from tqdm import tqdm  # only those who move images pay for it, and for all of the database

    from faafo_lab.app import moving

    said = 0.0
    with tqdm(unit="B", unit_scale=True, desc="images", disable=True if options.lines else None) as bar:

        def show(moved: moving.Moved, number: int, size: int) -> None:
            nonlocal said
            bar.total = size
            bar.set_postfix_str(f"{moved.moved} of {number}", refresh=False)
            bar.update(moved.bytes - bar.n)
            if options.lines and time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                print(json.dumps({"moved": moved.moved, "of": number}), flush=True)

        moved = moving.run(options.source, options.to, show)
    print(json.dumps(asdict(moved)) if options.lines else moved)
    if moved.left:
        raise SystemExit(1)
    if moved.missing or moved.damaged:
        raise SystemExit(BAD_IMAGES)


def main() -> None:
    """The command ``faafo``."""
    start_again()
    options = _parser().parse_args()
    try:
        endpoints = [options.endpoint_url] if options.endpoint_url else settings.endpoint_urls()
        client = Apis(Endpoints(endpoints), _secret())
        if options.wait:
            _wait(client, options.wait)
        options.run(client, options)
    except BrokenPipeError:  # of ``faafo list | head``
        sys.stderr.close()
        raise SystemExit(1) from None
    except ApiRefused as error:
        if options.debug:
            raise
        hint = " Set FAAFO_SECRET." if error.status == 401 else ""
        _fail(f"{error}{hint}")
    except (AppError, OSError) as error:
        if options.debug:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Interrupted.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faafo", description="Ask for fractals, and see what became of them.")
    parser.add_argument(
        "--endpoint-url",
        metavar="URL",
        help="where the API is (default: FAAFO_ENDPOINT_URL, or what this instance was installed with)",
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait this long for the API to be healthy"
    )
    parser.add_argument("-d", "--debug", action="store_true", help="show where in the program a failure is")
    commands = parser.add_subparsers(
        required=True, metavar="create|list|show|get|retry|delete|move-images|backup|restore"
    )
    command = commands.add_parser("create", help="ask for fractals, random ones unless told otherwise")
    command.set_defaults(run=create)
    for wanted in RANGES:
        bounds = f"{wanted.low:g} to {wanted.high:g}"
        command.add_argument(f"--{wanted.name}", type=wanted.kind, help=f"{wanted.unit} (default: random, {bounds})")
        command.add_argument(f"--min-{wanted.name}", type=wanted.kind, help=argparse.SUPPRESS)
        command.add_argument(f"--max-{wanted.name}", type=wanted.kind, help=argparse.SUPPRESS)
    command.epilog = "Each has --min-… and --max-…, such as --min-width 500 --max-width 800, to draw from."
    commands.add_parser("list", help="list all fractals").set_defaults(run=list_)
    for name, run in (("show", show), ("get", get), ("retry", retry), ("delete", delete)):
        command = commands.add_parser(name, help=(run.__doc__ or "").rstrip(".").lower())
        command.add_argument("uuid")
        command.set_defaults(run=run)
        if run is get:
            command.add_argument("--output", type=Path, metavar="FILE", help="where to put it (default: UUID.png)")
    _add_move_images(commands)
    backups.add_to(commands)
    return parser


def _add_move_images(commands: Any) -> None:
    command = commands.add_parser(
        "move-images",
        help="move the images that there are to another place",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=MOVE_IMAGES,
        epilog="Exit code 3: some images are missing or damaged. 1: it failed, or was interrupted.",
    )
    command.set_defaults(run=move_images)
    command.add_argument(
        "--from",
        dest="source",
        metavar="URL|PLACE",
        default=os.environ.get("FAAFO_MOVE_FROM", ""),
        help="where they are (default: FAAFO_MOVE_FROM, or everywhere that this machine reaches)",
    )
    to = os.environ.get("FAAFO_MOVE_TO", "")
    command.add_argument(
        "--to", metavar="URL|PLACE", default=to, required=not to, help="where they go (default: FAAFO_MOVE_TO)"
    )
    command.add_argument("--lines", action="store_true", help="print JSON, a line for each step: for programs")


def _draw(wanted: Range, options: argparse.Namespace) -> float:
    """The value that was given, or a random one."""
    given = getattr(options, wanted.name)
    if given is not None:
        return float(given) if wanted.kind is float else int(given)
    low, high = (getattr(options, f"{end}_{wanted.name}") for end in ("min", "max"))
    if low is None:
        low = wanted.low if high is None else min(wanted.low, high)
    if high is None:
        high = max(wanted.high, low)
    if low > high:
        raise SettingsError(f"--min-{wanted.name} must not be greater than --max-{wanted.name}: got {low:g}, {high:g}.")
    return random.uniform(low, high) if wanted.kind is float else random.randint(int(low), int(high))


def _uuid(options: argparse.Namespace) -> str:
    try:
        return str(uuid.UUID(options.uuid))
    except ValueError:
        raise SettingsError(f"'{options.uuid}' is no uuid: 'faafo list' shows them.") from None


def _dimensions(one: dict[str, Any]) -> str:
    return f"{one['width']} x {one['height']} pixels"


def _size(one: dict[str, Any]) -> str:
    if one.get("size") is None:
        return FAILED if one.get("failed_at") else BLANK
    return f"{one['size']} bytes"


def _table(head: list[str], rows: Iterable[Iterable[object]], align: str) -> None:
    from prettytable import PrettyTable  # only those who print tables pay for it

    table = PrettyTable(head)
    table.align = align  # type: ignore[assignment]
    table.add_rows([list(row) for row in rows])
    print(table)


def _secret() -> str | None:
    """``FAAFO_SECRET``, or, for those who may read it, what this machine's services were installed with."""
    if given := settings.secret():
        return given
    try:
        lines = (settings.root() / "etc/faafo/secret").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return lines[0] if lines else None


def _wait(client: Apis, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.call("GET", "/health")
            return
        except ApiAway as error:
            if time.monotonic() > deadline:
                raise ApiAway(f"Waited {seconds:g} s: {error}") from None
        time.sleep(WAIT_STEP_SECONDS)


def _fail(message: str) -> None:
    print(f"faafo: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
