"""Counters for Prometheus, of one application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """requests: by route and status. seconds: in the model, by work. The others are gauges.

    shared: a folder for what several processes count, and the number of this one.
    """

    def __init__(self, shared: tuple[Path, int] | None = None) -> None:
        self._shared = shared
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

    def share(self) -> None:
        """Write what is counted here for the other processes; nothing where there are none."""
        if self._shared is not None:
            folder, number = self._shared
            partial = folder / f".{number}.partial"
            partial.write_bytes(generate_latest(self.registry))
            partial.replace(folder / f"{number}.prom")

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format; with a label of the process."""
        if self._shared is None:
            return generate_latest(self.registry)
        self.share()
        return generate_latest(_Together(self._shared[0]))


class _Together(CollectorRegistry):
    """What all processes wrote, with a label that tells them apart."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once, with the samples of all processes."""
        found: dict[str, Metric] = {}
        for path in sorted(self._folder.glob("*.prom")):
            for one in text_string_to_metric_families(path.read_text("utf-8")):
                whole = found.setdefault(one.name, Metric(one.name, one.documentation, one.type))
                for sample in one.samples:
                    labels = {**sample.labels, "process": path.stem}
                    whole.add_sample(sample.name, labels, sample.value)
        yield from found.values()
