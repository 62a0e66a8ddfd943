"""What ``GET /metrics`` tells Prometheus. It holds nothing secret, so it needs no secret.

Counted by this API, since its start::

    faafo_http_requests_total{method,route,status}       faafo_http_request_duration_seconds{method,route}
    faafo_http_requests_in_flight                        faafo_fractals_accepted_total
    faafo_fractals_completed_total                       faafo_results_dropped_total
    faafo_leases_expired_total                           faafo_tasks_requeued_total
    faafo_failures_total{fault="task|worker"}

Of the whole deployment, as database and broker know it when they are asked (every API says the same: don't add them
up, and they are left out while the one who knows them is away)::

    faafo_fractals{state="waiting|working|done|failed"}  faafo_queue_messages{queue}
    faafo_nodes{role,state}                              faafo_dependency_up{dependency="database|broker"}

and ``process_…`` and ``python_info`` of this process. A route is as the description at ``/v1/openapi.json`` has it,
so the number of series does not grow with what clients send.
"""

from collections import Counter as Count
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of the lines, and nobody reads them

LATENCY_BUCKETS_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
OTHER = "other"


class Metrics:
    """One API's metrics, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("faafo_build", "The version of faafo-lab.", registry=registry).info({"version": version})
        self._requests = Counter(
            "faafo_http_requests", "HTTP requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "faafo_http_request_duration_seconds",
            "Time from a request's last byte to its answer.",
            ("method", "route"),
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("faafo_http_requests_in_flight", "HTTP requests being answered.", registry=registry)
        self.accepted = Counter("faafo_fractals_accepted", "Fractals accepted.", registry=registry)
        self.completed = Counter("faafo_fractals_completed", "Results kept.", registry=registry)
        self.dropped = Counter(
            "faafo_results_dropped", "Results dropped, since another one came first.", registry=registry
        )
        self.leases_expired = Counter(
            "faafo_leases_expired", "Tasks queued again, since their worker did not report.", registry=registry
        )
        self.requeued = Counter(
            "faafo_tasks_requeued", "Tasks queued again, since the broker has lost them.", registry=registry
        )
        self.failures = Counter(
            "faafo_failures",
            "Workers could not make a fractal, by whose fault.",
            ("fault",),
            registry=registry,
        )
        self._fractals = Gauge("faafo_fractals", "Fractals, by state.", ("state",), registry=registry)
        self._nodes = Gauge("faafo_nodes", "APIs and workers, by role and state.", ("role", "state"), registry=registry)
        self._up = Gauge(
            "faafo_dependency_up", "Whether database and broker answer.", ("dependency",), registry=registry
        )
        self._queue = Gauge("faafo_queue_messages", "Messages waiting in the queues.", ("queue",), registry=registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; ``method`` is what the client sent."""
        method = method if method in METHODS else OTHER
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def deployment(
        self,
        fractals: Mapping[str, int] | None,
        nodes: Sequence[Mapping[str, Any]] | None,
        queues: Mapping[str, int] | None,
    ) -> None:
        """Note how many fractals there are by state, the nodes, how many messages by queue; None: cannot be had now."""
        for gauge in (self._fractals, self._nodes, self._queue):
            gauge.clear()
        self._up.labels("database").set(fractals is not None)
        self._up.labels("broker").set(queues is not None)
        for state, count in (fractals or {}).items():
            self._fractals.labels(state).set(count)
        for labels, count in Count((one["role"], one["state"]) for one in nodes or ()).items():
            self._nodes.labels(*labels).set(count)
        for queue, count in (queues or {}).items():
            self._queue.labels(queue).set(count)

    def text(self) -> bytes:
        """All of it, in the format that every Prometheus reads (``CONTENT_TYPE``)."""
        return generate_latest(self.registry)
