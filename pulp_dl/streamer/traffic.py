"""What streams now, and what has: counted for metrics, kept for the status page."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from zope.interface import implementer

from ..errors import ConsumerGone
from ..interfaces import ITold
from .path import Refusal

__all__ = ["BOUNDS", "KEPT", "Failed", "Traffic"]

log = Logger()

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds: the upper ends of the histogram of durations."""

KEPT: Final = 200
"""Failures of which is known what they were."""

HOUR: Final = 3600.0


@frozen
class Failed:
    """An exchange that failed, fit to be shown."""

    at: float
    client: str
    method: str
    path: str
    status: int | None
    source: str | None
    error: str
    message: str
    attempts: tuple[str, ...]


@implementer(ITold)
class Traffic:
    """
    Listens to a L{Content}.

    @ivar log_requests: one line of the log for each exchange that has ended.
    @ivar running: exchanges that have begun and not ended, in the order in which they began.
    @ivar answers: how many have ended, by method and status.
    @ivar failures: how many of them failed, by the name of the error.
    @ivar attempts: at upstreams, by what they ended with: C{"ok"}, C{"outrun"}, or the name of an error.
    @ivar sent: bytes to clients, C{brought}: from upstreams; both of exchanges that have ended.
    @ivar durations: how many lasted no longer than each of L{BOUNDS}, and then all others; C{seconds}: all together.
    """

    def __init__(self, clock: Any, *, log_requests: bool = False) -> None:
        self._clock = clock
        self.log_requests = log_requests
        self.running: dict[int, Any] = {}
        self.answers: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.sent = self.brought = 0
        self.durations = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self._failed: deque[Failed] = deque(maxlen=KEPT)

    def began(self, exchange: Any) -> None:
        self.running[id(exchange)] = exchange

    def ended(self, exchange: Any) -> None:
        self.running.pop(id(exchange), None)
        now = self._clock.seconds()
        # What a client calls its method is the client's; there is an end to the names that are kept.
        method = exchange.method if exchange.method in {"GET", "HEAD"} else "other"
        self.answers[method, str(exchange.status or "none")] += 1
        self.sent += exchange.sent
        seconds = max(0.0, now - exchange.began_at)
        self.durations[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        done = exchange.report or exchange.error
        for attempt in getattr(done, "attempts", ()):
            self.brought += attempt.received
            well = "outrun" if attempt.outrun else "ok"
            self.attempts[well if attempt.error is None else type(attempt.error).__name__] += 1
        if exchange.error is not None:
            self._fail(exchange, exchange.error, now)
        if self.log_requests:
            log.info(
                "{client} {method} {path} {status} {sent} bytes in {seconds:.3f} s from {url}",
                client=exchange.client, method=exchange.method, path=exchange.path, status=exchange.status,
                sent=exchange.sent, seconds=seconds, url=exchange.url,
            )  # fmt: skip

    def _fail(self, exchange: Any, error: BaseException, now: float) -> None:
        self.failures[type(error).__name__] += 1
        if isinstance(error, ConsumerGone | CancelledError | Refusal):
            return  # that was the client's doing, or ours; nothing is wrong
        attempts = tuple(str(attempt) for attempt in getattr(error, "attempts", ()))
        self._failed.append(
            Failed(
                at=now, client=exchange.client, method=exchange.method, path=exchange.path, status=exchange.status,
                source=exchange.url, error=type(error).__name__, message=getattr(error, "message", ""),
                attempts=attempts,
            )
        )  # fmt: skip

    def failed(self) -> list[Failed]:
        """Those of the last hour, the newest first; no more than L{KEPT}."""
        since = self._clock.seconds() - HOUR
        return [each for each in reversed(self._failed) if each.at >= since]

    def cumulated(self) -> Iterator[tuple[str, float]]:
        """The histogram as Prometheus has it."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.durations, strict=True):
            total += count
            yield bound, float(total)

    def rate(self, exchanges: Iterable[Any]) -> float:
        """Bytes a second that these get together, on average over their lives so far."""
        now = self._clock.seconds()
        return sum((float(each.sent) / max(0.001, now - each.began_at) for each in exchanges), 0.0)
