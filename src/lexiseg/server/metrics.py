"""Counters for Prometheus, of one application."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """requests: by route and status. seconds: in the model, by work. The others are gauges."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lexiseg_requests", "Requests answered", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "lexiseg_model_seconds", "Time in the model", ("work",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.abandoned = Counter(
            "lexiseg_abandoned", "Requests whose client left or whose time was up", ("why",),
            registry=self.registry,
        )  # fmt: skip

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is asked for."""
        Gauge(f"lexiseg_{name}", about, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self.registry)
