"""The same for Prometheus, by its conventions for names and units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from .._version import __version__
from .entrance import Entrance
from .traffic import Traffic

__all__ = ["Metrics"]

PREFIX: Final = "pulp_streamer_"


class Metrics:
    """
    A collector for prometheus_client.  Numbers are read when they are asked for, so that counting costs a request
    nothing but an addition.
    """

    def __init__(
        self,
        traffic: Traffic,
        entrance: Entrance,
        reloads: Callable[[], Iterable[tuple[str, int]]],
        mirrors: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        """
        @param reloads: how often the configuration was read again, by how it went.
        @param mirrors: how their hosts stand, as in L{pulp_dl.streamer.admin.State}.
        """
        self._mirrors = mirrors
        self._traffic = traffic
        self._entrance = entrance
        self._reloads = reloads

    def expose(self, accept: str) -> tuple[bytes, str]:
        """
        All of it, in the best format for an Accept field; and the type of that.

        @raise ImportError: prometheus_client is not installed.
        """
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        encode, kind = choose_encoder(accept)
        return encode(registry), kind

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        traffic, entrance = self._traffic, self._entrance

        def counter(name: str, text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Any:
            family = CounterMetricFamily(PREFIX + name, text, labels=labels)
            for names, value in values:
                family.add_metric(names, value)
            return family

        def one(number: float) -> list[tuple[tuple[str, ...], float]]:
            return [((), number)]

        def by(numbers: Iterable[tuple[str, int]]) -> list[tuple[tuple[str, ...], float]]:
            return [((name,), number) for name, number in numbers]

        sent = traffic.sent + sum(each.sent for each in traffic.running.values())
        yield counter("requests", "Requests that were answered.", ["method", "status"], traffic.answers.items())
        yield counter("failures", "Requests that failed.", ["error"], by(traffic.failures.items()))
        yield counter("sent_bytes", "Bytes of bodies that clients were sent.", [], one(sent))
        yield counter("received_bytes", "Bytes of bodies that came from upstreams.", [], one(traffic.brought))
        yield counter("attempts", "Attempts at upstreams.", ["result"], by(traffic.attempts.items()))
        yield HistogramMetricFamily(
            PREFIX + "request_duration_seconds", "From a request to the last byte of its answer.",
            buckets=[*traffic.cumulated()], sum_value=traffic.seconds,
        )  # fmt: skip
        yield GaugeMetricFamily(PREFIX + "requests_running", "Requests that are being answered.", len(traffic.running))
        yield GaugeMetricFamily(PREFIX + "connections", "Open connections of clients.", entrance.connections)
        refused = by(entrance.refused.items())
        yield counter("refused_connections", "Connections there was no room for.", ["limit"], refused)
        yield counter("reloads", "Readings of the configuration after the first.", ["result"], by(self._reloads()))
        yield from self._of_mirrors(GaugeMetricFamily)
        info = GaugeMetricFamily(PREFIX + "build_info", "Always 1; its labels say what runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info

    def _of_mirrors(self, gauge: Any) -> Iterator[Any]:
        mirrors = list(self._mirrors())
        circuits = gauge(PREFIX + "mirror_circuit", "1 for the state that the circuit to a mirror is in.",
                         labels=["mirror", "state"])  # fmt: skip
        for each in mirrors:
            for state in ("closed", "half-open", "open"):
                circuits.add_metric([each["host"], state], float(each["circuit"] == state))
        yield circuits
        for key, name, text in (
            ("latency", "mirror_latency_seconds", "Seconds to an answer of a mirror, on average."),
            ("speed", "mirror_bytes_per_second", "Bytes a second of a body from a mirror, on average."),
            ("trouble", "mirror_recent_failures", "Failures of a mirror that are not forgotten yet."),
        ):
            family = gauge(PREFIX + name, text, labels=["mirror"])
            for each in mirrors:
                if each[key] is not None:
                    family.add_metric([each["host"]], each[key])
            yield family
