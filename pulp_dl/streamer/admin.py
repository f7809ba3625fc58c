"""What is told apart from contents: is it alive, is it ready, what does it do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import asdict, frozen
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from .._version import __version__
from ..consumers.plain import NOT_ALLOWED
from .exchange import METHODS
from .metrics import Metrics
from .page import page
from .traffic import Traffic

__all__ = ["Admin", "State", "admin_site"]

PLAIN = "text/plain; charset=utf-8"


@frozen(kw_only=True)
class State:
    """
    How the service is.

    @ivar ready: why it takes no requests (in a few words), or None if it does.
    @ivar since: when it began, in seconds as the clock has them.
    @ivar listening: its addresses.
    @ivar serves: what it serves, one line each, fit to be shown.
    @ivar mirrors: how each host of mirrors stands: C{host}, C{circuit}, C{latency}, C{speed}, C{trouble}, C{wait}.
    @ivar trouble: what was wrong with the configuration when it was last read again, or None.
    @ivar needs_restart: names of settings that have changed, and take effect when it is started again.
    """

    ready: str | None
    since: float
    listening: tuple[str, ...]
    serves: tuple[str, ...]
    trouble: str | None
    mirrors: tuple[Mapping[str, Any], ...] = ()
    needs_restart: tuple[str, ...] = ()


@implementer(IResource)
class Admin(Resource):
    """C{/livez}, C{/readyz}, C{/status}, C{/metrics}."""

    isLeaf = True

    def __init__(self, clock: Any, traffic: Traffic, metrics: Metrics, state: Callable[[], State]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Twisted
        self._clock = clock
        self._traffic = traffic
        self._metrics = metrics
        self._state = state

    def render(self, request: Request) -> bytes:
        # Not by a method for each method: what has none gets a page of Twisted's own, which a cache may keep.
        request.channel.persistent = 0  # who looks does not stay, and nobody has to be sent away in the end
        request.setHeader(b"Connection", b"close")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        # What clients asked for is shown; whatever it is, no browser shall make anything of it.
        request.setHeader(b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'")
        answer = {
            b"/livez": self._live,
            b"/readyz": self._ready,
            b"/metrics": self._measure,
            b"/status": self._status,
            b"/": self._status,
        }.get(request.path, self._nothing)
        # twisted.web makes a HEAD of it: the same, without its body
        status, kind, content = (answer if request.method in METHODS else self._refuse)(request)
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", kind.encode())
        return content

    def _refuse(self, request: Request) -> tuple[int, str, bytes]:
        for field in NOT_ALLOWED.fields:
            request.setHeader(*field)
        return NOT_ALLOWED.status, PLAIN, NOT_ALLOWED.text

    def _live(self, _request: Request) -> tuple[int, str, bytes]:
        return 200, PLAIN, b"alive\n"

    def _ready(self, _request: Request) -> tuple[int, str, bytes]:
        why = self._state().ready
        return (200, PLAIN, b"ready\n") if why is None else (503, PLAIN, f"not ready: {why}\n".encode())

    def _nothing(self, _request: Request) -> tuple[int, str, bytes]:
        return 404, PLAIN, b"There are /livez, /readyz, /status and /metrics.\n"

    def _measure(self, request: Request) -> tuple[int, str, bytes]:
        try:
            content, kind = self._metrics.expose(request.getHeader("accept") or "")
        except ImportError:
            return 501, PLAIN, b"Metrics need prometheus-client; pip install 'pulp_dl[metrics]'\n"
        return 200, kind, content

    def _status(self, request: Request) -> tuple[int, str, bytes]:
        facts = self._facts()
        request.setHeader(b"Vary", b"Accept")
        if _wants_json(request):
            return 200, "application/json", json.dumps(facts, indent=2).encode() + b"\n"
        return 200, "text/html; charset=utf-8", page(facts).encode()

    def _facts(self) -> dict[str, Any]:
        now, traffic, state = self._clock.seconds(), self._traffic, self._state()
        running = [*traffic.running.values()]
        failed = [asdict(each) for each in traffic.failed()]
        for each in failed:
            each["seconds_ago"] = round(now - each.pop("at"), 1)
        return {
            "version": __version__,
            "ready": state.ready is None,
            "why_not_ready": state.ready,
            "seconds": round(now - state.since, 1),
            "listening": state.listening,
            "serves": state.serves,
            "configuration_trouble": state.trouble,
            "needs_restart": state.needs_restart,
            "mirrors": state.mirrors,
            "requests": traffic.answers.total(),
            "failures": dict(traffic.failures),
            "sent_bytes": traffic.sent + sum(each.sent for each in running),
            "received_bytes": traffic.brought,
            "bytes_per_second": round(traffic.rate(running)),
            "running": [self._running(each, now) for each in running],
            "failed_last_hour": failed,
        }

    def _running(self, exchange: Any, now: float) -> dict[str, Any]:
        return {
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "source": exchange.url,
            "status": exchange.status,
            "sent_bytes": exchange.sent,
            "total_bytes": exchange.total,
            "seconds": round(now - exchange.began_at, 1),
            "bytes_per_second": round(self._traffic.rate([exchange])),
        }


def _wants_json(request: Request) -> bool:
    """C{?format=json}, else what Accept likes better; HTML if it does not care."""
    asked = request.args.get(b"format", [b""])[-1]
    if asked in {b"json", b"html"}:
        return bool(asked == b"json")
    html, as_json = 0.0, 0.0
    for each in (request.getHeader("accept") or "*/*").split(","):
        kind, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            continue
        if kind in {"text/html", "text/*", "*/*"}:
            html = max(html, weight)
        if kind in {"application/json", "application/*", "*/*"}:
            as_json = max(as_json, weight)
    return as_json > html


def admin_site(reactor: Any, admin: Admin) -> Site:
    """What an endpoint listens with."""
    return _Quiet(admin, timeout=30, reactor=reactor)  # type: ignore[no-untyped-call]  # of Twisted


class _Quiet(Site):
    noisy = False

    def logPrefix(self) -> str:
        return "pulp-streamer status"

    def log(self, request: HTTPRequest) -> None:
        """Those who look are many, and of no interest."""
