"""Measure API servers of a quarter core, and beside them the same two routes in Flask (``flask_app``).

two_apis_vs_one          requests/s of two servers against one: the lesser of POST's and GET's
api_vs_flask_per_core    requests for a second of the server's CPU time against Flask's: the lesser of POST's and GET's
api_post_1_per_second    served in an open loop that asks for more (OVERLOAD); likewise get, and 2 servers
api_post_1_p50_ms        and p95, p99: latency from the moment at which a request was due, in an open loop at LOAD

A POST is an order of a small fractal, a GET some page of ten. What is compared runs in turns; medians of ROUNDS.
"""

import statistics
from contextlib import ExitStack
from functools import partial
from time import sleep

from http_load import closed_loop, open_loop
from measure import Figures
from servers import Deployment, all_answered, deployed, fill, get_any, held, post, process_of, serve

from faafo_lab.cloud.emulator.machinery.hypervisor.governor import best_clock

CORES = 0.25
ROUNDS = 3
SECONDS, WARM_UP_SECONDS, LATENCY_SECONDS, SETTLE_SECONDS = 3.0, 2.0, 6.0, 1.0
CONNECTIONS = 16  # for each server, in a closed loop
OVERLOAD, LOAD = 1.5, 0.6  # of what a server can do
FRACTALS = 1_000
PERCENTILES = (50, 95, 99)
REQUESTS = {"get": partial(get_any, FRACTALS // 10), "post": post}  # in this order all lists are of a length


def figures() -> Figures:
    """All of it, by name."""
    return one_and_two() | beside_flask()


def one_and_two() -> Figures:
    """What one server serves and what two do, and how soon."""
    found: Figures = {}
    growth = []
    with deployed() as machine:
        addresses = [serve(machine, f"api-{number}", number) for number in (1, 2)]
        fill(machine, FRACTALS)
        with held(machine, CORES, "api-1", "api-2"):
            for method, request in REQUESTS.items():
                closed_loop(addresses, request, CONNECTIONS, WARM_UP_SECONDS)
                can = closed_loop(addresses[:1], request, CONNECTIONS, SECONDS).rate
                rates: dict[int, list[float]] = {1: [], 2: []}
                for _ in range(ROUNDS):
                    for servers, some in rates.items():
                        some.append(open_loop(addresses[:servers], request, OVERLOAD * can * servers, SECONDS).rate)
                growth.append(statistics.median(two / one for one, two in zip(*rates.values(), strict=True)))
                for servers, some in rates.items():
                    rate, name = statistics.median(some), f"api_{method}_{servers}"
                    sleep(SETTLE_SECONDS)
                    outcome = all_answered(open_loop(addresses[:servers], request, LOAD * rate, LATENCY_SECONDS))
                    found[f"{name}_per_second"] = (rate, "requests/s")
                    found |= {f"{name}_p{one}_ms": (outcome.percentile(one) * 1000, "ms") for one in PERCENTILES}
    show(found)
    return {"two_apis_vs_one": (min(growth), "ratio")} | found


def show(found: Figures) -> None:
    """Print the servers' figures as one table."""
    print(f"\nAPI servers of {CORES} cores; latencies at {LOAD:.0%} of their capacity")
    print("  method  servers  requests/s   p50 ms   p95 ms   p99 ms")
    for method in REQUESTS:
        for servers in (1, 2):
            names = ["per_second", *(f"p{percent}_ms" for percent in PERCENTILES)]
            rate, *latencies = (found[f"api_{method}_{servers}_{name}"][0] for name in names)
            row = f"  {method.upper():6}  {servers:7}  {rate:10.0f}"
            print(row, *(f"{latency:8.1f}" for latency in latencies), flush=True)


def beside_flask() -> Figures:
    """Requests for a second of CPU time, ours and Flask's, each held to the same share."""
    found: Figures = {}
    with deployed() as machine, deployed() as other, ExitStack() as governors:
        machines = {"api": machine, "flask": other}
        addresses = {name: serve(where, name, flask=name == "flask") for name, where in machines.items()}
        for name, where in machines.items():
            governors.enter_context(held(where, CORES, name))
            fill_by_post(addresses[name])
        ratios = {}
        for method, request in REQUESTS.items():
            rates: dict[str, list[float]] = {name: [] for name in machines}
            for _ in range(ROUNDS):
                for name, where in machines.items():
                    rates[name].append(per_cpu_second(where, name, addresses[name], request))
            found |= {f"{name}_{method}_per_core": (statistics.median(of), "requests/s") for name, of in rates.items()}
            ratios[method] = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
            found[f"api_vs_flask_{method}"] = (ratios[method], "ratio")
    return {"api_vs_flask_per_core": (min(ratios.values()), "ratio")} | found


def fill_by_post(address: str) -> None:
    """Order as many fractals as the pages need; it also warms the server up."""
    done = 0
    while done < FRACTALS:
        done += closed_loop([address], post, CONNECTIONS, WARM_UP_SECONDS).good


def per_cpu_second(machine: Deployment, name: str, address: str, request: partial[bytes]) -> float:
    """Good answers per second of the server's CPU time, including its work after them."""
    clock, pid = best_clock(), process_of(machine, name)
    before = clock(pid)
    outcome = all_answered(closed_loop([address], request, CONNECTIONS, SECONDS))
    sleep(SETTLE_SECONDS)
    return outcome.good / (clock(pid) - before) * 1e9
