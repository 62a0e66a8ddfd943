"""Which ports answer: real TCP connections from this machine. `connections.py` sends this file to servers: stdlib
alone.

python3 probe.py 2.0 10.0.0.5:22 10.0.0.5:6379      {"listening": [22], "answers": [["10.0.0.5", 22, true, ""], …]}
"""

import json
import os
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

HOLD_SECONDS = 1.0  # a connection that is closed after it was accepted is closed within this time
NO_ANSWER = "no answer"
NOBODY = (NO_ANSWER, "no route to host", "network is unreachable")  # reasons that mean that no host answers
PROC_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"  # the state in /proc/net/tcp
LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def probe(host: str, port: int, timeout_seconds: float) -> tuple[bool, str]:
    """Connect once; returns whether the other end keeps the connection, and if not, the reason in a few words."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as connection:
            connection.settimeout(HOLD_SECONDS)
            try:
                return (True, "") if connection.recv(1) else (False, "closed by the other end")
            except TimeoutError:
                return True, ""  # it waits for our first bytes, like HTTP
    except TimeoutError:
        return False, NO_ANSWER
    except OSError as error:
        return False, (error.strerror or str(error)).lower()


def listening() -> list[int]:
    """The TCP ports on which this machine listens for other machines."""
    if "INSTANCE_PORTS" in os.environ:  # an instance of the embedded cloud
        names = os.listdir(os.environ["INSTANCE_PORTS"])
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())
    ports: set[int] = set()
    for table in PROC_TABLES:
        try:
            with open(table, encoding="utf-8") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        for row in rows:
            address, port = row[1].split(":")
            if row[3] == LISTEN and address not in LOOPBACK:
                ports.add(int(port, 16))
    return sorted(ports)


def answers(targets: Sequence[tuple[str, int]], timeout_seconds: float) -> list[tuple[str, int, bool, str]]:
    """Try all (host, port) pairs at once: a row (host, port, kept, reason) for each."""
    with ThreadPoolExecutor(max(1, len(targets))) as pool:
        results = pool.map(lambda target: probe(target[0], target[1], timeout_seconds), targets)
        return [(host, port, *result) for (host, port), result in zip(targets, results, strict=True)]


if __name__ == "__main__":
    TIMEOUT_SECONDS = float(sys.argv[1])
    TARGETS = [(host, int(port)) for host, port in (word.rsplit(":", 1) for word in sys.argv[2:])]
    print(json.dumps({"listening": listening(), "answers": answers(TARGETS, TIMEOUT_SECONDS)}))
