#!/usr/bin/env python3
"""Scaling out on one page: chapter 03's building steps as a program.

    python scaling_out.py                 2 API servers and 3 workers, at work
    python scaling_out.py --workers 5     two workers more, the rest is kept
    python scaling_out.py --clean-up      remove all that it made

It runs on the embedded cloud or on a cloud of your clouds.yaml. Servers,
groups and rules that exist already are kept, so it may be run again.
"""

import argparse
import time

import requests

import faafo_lab
from faafo_lab import load
from faafo_lab.cloud.errors import CloudError
from faafo_lab.topology import Topology


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Build the Fractals application with several API "
        "servers and workers, and put it to work."
    )
    parser.add_argument(
        "--cloud",
        help="a cloud of your clouds.yaml "
        "(default: FAAFO_LAB_CLOUD, else embedded)",
    )
    parser.add_argument(
        "--backend",
        choices=("shade", "libcloud", "openstacksdk"),
        help="the library to use",
    )
    parser.add_argument(
        "--apis",
        type=int,
        default=2,
        metavar="N",
        help="API servers (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=3,
        metavar="N",
        help="workers (default: %(default)s)",
    )
    parser.add_argument(
        "--fractals",
        type=int,
        default=24,
        metavar="N",
        help="to order (default: %(default)s)",
    )
    parser.add_argument(
        "--clean-up",
        action="store_true",
        help="remove all that this program made, and stop",
    )
    options = parser.parse_args()
    if min(options.apis, options.workers, options.fractals) < 1:
        parser.error("at least one API server, one worker and one fractal")
    try:
        app = Topology(
            faafo_lab.connect(options.cloud, backend=options.backend)
        )
        if options.clean_up:
            app.destroy()
        else:
            build(app, options.apis, options.workers)
            order(app, options.fractals)
    except (
        CloudError
    ) as error:  # it says in a sentence what is wrong, and what to do
        raise SystemExit(f"scaling_out: {error}") from None


def build(app: Topology, apis: int, workers: int) -> None:
    """The servers, kind by kind: user data names those that are there."""
    # 1. Who may connect to whom. Rules name groups, not addresses, so new
    #    servers need no new rules.
    app.make_groups("api", "worker", "services")

    # 2. What must exist once: the database and the message queue.
    app.add_services()

    # 3. API servers, all alike. Each gets a floating IP: a free one, or else
    #    a new one.
    app.ensure_apis(apis)

    # 4. Workers, all alike. They know the queue and every API server, and
    #    nobody needs to know them.
    app.ensure_workers(workers)

    # 5. ACTIVE is not serving: wait until the application itself lists all
    #    of them.
    app.wait_serving()
    for name, url in app.endpoints.items():
        print(f"{name}: {url}")


def order(app: Topology, number: int) -> None:
    """Order fractals from all API servers in turn; who made them, how fast."""
    work = load.calibrate(app)
    before, start = app.stats()["done"], time.time()
    rows = load.create(app.endpoints, work.tasks(number, seconds=0.25))
    load.watch(app, done=before + rows.new)

    timeline = load.Timeline()
    timeline.collect(app.endpoint)
    made = timeline.makers(start)
    print(
        f"{made.total()} fractals, "
        f"{timeline.rate(start, time.time()):.1f} a second"
    )
    for worker, count in sorted(made.items()):
        print(f"  {worker}: {count}")

    # The API servers keep nothing of their own: each can show what was
    # ordered from another one.
    uuid = rows[0].uuid
    pictures = {
        requests.get(f"{url}/fractal/{uuid}", timeout=30).content
        for url in app.endpoints.values()
    }
    print("every API server shows the same picture:", len(pictures) == 1)


if __name__ == "__main__":
    main()
