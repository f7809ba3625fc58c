"""The life of a streamer: it begins, reads its configuration again, and ends when nobody has to be cut off."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from secrets import token_hex
from signal import SIGINT
from typing import Any, Final

from attrs import asdict
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..engine.schemes import Scheme, find
from ..errors import UnsupportedScheme
from ..importers.several import Several
from ..interfaces import IImporter
from ..mirrors.standing import Standing
from ..streamer import Content
from ..streamer.admin import Admin, State, admin_site
from ..streamer.entrance import Entrance
from ..streamer.metrics import Metrics
from ..streamer.traffic import Traffic
from .configuration import Configuration
from .importers import open_importer
from .listeners import Listeners
from .memory import Memory
from .signals import Signals

__all__ = ["StreamerService"]

log = Logger()

LARGEST: Final = 2 * 1024 * 1024
"""Bytes of the largest blocks of memory that are used again and again."""


class StreamerService(Service):
    """
    A streamer with all that belongs to it.

    A signal ends it: SIGTERM or SIGINT when what runs has ended (or is cut, after C{Configuration.grace}), a second one
    at once.  SIGHUP has it read its configuration again.

    @ivar signal: the signal that cut answers; None if all were whole.
    """

    name = "pulp-streamer"

    def __init__(
        self, reactor: Any, read: Callable[[], Configuration], say: Callable[[str], object] | None = None
    ) -> None:
        """
        @param read: the configuration as it is now; raises an Exception for people if it cannot be used.
        @param say: takes what a person wants to know: addresses, the end.  None for the log.
        @raise ValueError: what C{read} raises, or an endpoint makes no sense.
        """
        self._reactor = reactor
        self._read = read
        self._say = say or _log
        self._configuration = self._begun_with = configuration = read()
        self._memory = Memory(reactor, configuration.mirror_state)
        self._traffic = Traffic(reactor, log_requests=configuration.log_requests)
        # Nobody answers before the process is who it will be: a catalogue is not opened by root.
        self._importer: IImporter = Several(())
        self._name = f"pulp_dl-{token_hex(4)}"
        self._content = Content(reactor, self._importer, configuration.answers, self._traffic, name=self._name)
        self._entrance = Entrance(reactor, self._content, configuration.connections)
        self._reloads: Counter[str] = Counter(ok=0, failed=0)
        self._trouble: str | None = None
        self._sick: str | None = None
        self._retired: set[Deferred[None]] = set()
        self._stopping: list[Deferred[None]] | None = None
        self._listening = self._stopped = self._cut = False
        self._grace: Any = None
        self._since: float = reactor.seconds()
        self._listeners = Listeners(reactor, configuration.listen, self._entrance)
        metrics = Metrics(self._traffic, self._entrance, self._reloads.items, self._mirrors)
        admin = Admin(reactor, self._traffic, metrics, self._state)
        self._admin = Listeners(reactor, configuration.admin, admin_site(reactor, admin))
        self._signals = Signals(reactor, self._end, self.reload)
        self.signal: int | None = None

    def privilegedStartService(self) -> None:
        """Ports below 1024 are root's to open.  (twist does not call this.)"""
        self._listen()
        super().privilegedStartService()  # type: ignore[no-untyped-call]  # of Twisted

    def _listen(self) -> None:
        self._admin.open()
        try:
            self._listeners.open()
        except BaseException:
            self._admin.close()
            raise
        self._listening = True

    def startService(self) -> None:
        # The GNU C library returns to the system what is larger than any block that it has seen come and go.  Without
        # this it does so with the pieces of a large body, and each of them costs a page fault for every page.
        bytes(LARGEST)
        if not self._listening:
            self._listen()
        self._memory.load()
        self._use(open_importer(self._reactor, self._configuration, self._name, self._memory.learnt))
        self._memory.begin()
        # Imported here, where nobody waits for it; else the first client would, and all others with it.
        with suppress(UnsupportedScheme):  # whoever needs it will be told
            http = find("http")
            if isinstance(http, Scheme):
                http.problem()
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self._signals.listen()
        self._reactor.callWhenRunning(self._announce)
        # What is here by now stays.  Else Python's collector looks through all of it again and again, in a tenth of the
        # time that a small file takes.
        self._reactor.callWhenRunning(gc.freeze)

    def _announce(self) -> None:
        """When signals are heard: whoever reads this may send one."""
        for address in self._listeners.addresses:
            self._say(f"Serving on {address}")
        for address in self._admin.addresses:
            self._say(f"Status on {address}status" if address.endswith("/") else f"Status on {address}")

    # the configuration

    def reload(self) -> None:
        """
        Read the configuration again.  New requests go by it; those that run end with what they began with.  If it
        cannot be used, everything stays.
        """
        if self._stopping is not None or not self.running:
            return
        try:
            configuration = self._read()
            learnt = self._memory.learnt.successor(configuration.mirror_state)
            importer = open_importer(self._reactor, configuration, self._name, learnt)
        except Exception as error:
            self._trouble = getattr(error, "message", None) or str(error)
            self._reloads["failed"] += 1
            log.error("the configuration was not taken: {trouble}", trouble=self._trouble)
            return
        self._configuration = configuration
        self._memory.learnt = learnt
        self._retire(self._importer)
        self._use(importer)
        self._content.answers = configuration.answers
        self._entrance.limits = configuration.connections
        self._traffic.log_requests = configuration.log_requests
        self._trouble = None
        self._reloads["ok"] += 1
        if late := ", ".join(self._needs_restart):
            log.warn("{late}: changed, which takes a restart", late=late)  # noqa: G010  # a logger of Twisted
        self._say("The configuration was read again")

    @property
    def _needs_restart(self) -> tuple[str, ...]:
        """Settings that are not what they were when it began, and are taken then only: its sockets."""
        begun, now = self._begun_with, self._configuration
        return tuple(name for name in ("listen", "admin") if getattr(begun, name) != getattr(now, name))

    def _use(self, importer: IImporter) -> None:
        """From now on, for new requests.  A first question tells whether it can answer at all."""

        def judge(failure: Failure) -> None:
            if failure.check(KeyError, CancelledError) is None and self._importer is importer:
                self._sick = failure.getErrorMessage()
                log.error("nothing can be served: {reason}", reason=self._sick)

        self._importer = self._content.importer = importer
        self._sick = None
        importer.find("/").addErrback(judge)

    def _retire(self, importer: IImporter) -> None:
        """Close it when nobody uses it any more."""

        def forget(_: None) -> None:
            self._retired.discard(closing)

        closing = self._content.settled().addCallback(lambda _: importer.close())
        if not closing.called:
            self._retired.add(closing)
        closing.addCallback(forget)

    # the end

    def _end(self, number: int) -> None:
        """A signal says so; another one is from somebody who does not want to wait."""
        if self._stopping is not None:
            self._break_off()
            return
        if running := len(self._traffic.running):
            self._say(f"Ending: {running} to be answered still, in {self._configuration.grace:g} s at most")
        self.stopService().addCallback(lambda _: self._leave(number))

    def _leave(self, number: int) -> None:
        if not self._cut:
            self._reactor.stop()
            return
        self.signal = number
        # twistd and twist then end by this signal themselves, which tells whoever waits for them.
        (self._reactor.sigInt if number == SIGINT else self._reactor.sigTerm)(number)

    def stopService(self) -> Deferred[None]:
        """
        No new requests; wait for those that run, and cut those that take longer than C{Configuration.grace}.  Fires
        when nothing is left; may be called again.
        """
        waiting: Deferred[None] = Deferred()
        if self._stopped:
            waiting.callback(None)
        elif self._stopping is not None:
            self._stopping.append(waiting)
        else:
            self._stopping = [waiting]
            super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
            Deferred.fromCoroutine(self._stop()).addErrback(lambda failure: log.failure("could not end", failure))
        return waiting

    async def _stop(self) -> None:
        self._grace = self._reactor.callLater(self._configuration.grace, self._late)
        await self._listeners.close()
        await self._content.draining()
        self._no_grace()
        await DeferredList([*self._retired, self._importer.close()])
        await self._memory.end()
        await self._admin.close()
        self._signals.ignore()
        self._stopped = True
        waiting, self._stopping = self._stopping or [], []
        for each in waiting:
            each.callback(None)

    def _late(self) -> None:
        self._grace = None
        self._break_off()

    def _break_off(self) -> None:
        self._no_grace()
        if self._traffic.running and not self._cut:
            self._cut = True
            self._say(f"Ending: {len(self._traffic.running)} cut")
        self._content.cut()

    def _no_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _state(self) -> State:
        stopping = self._stopping is not None
        return State(
            ready="ending" if stopping else self._sick if self.running else "beginning",
            since=self._since,
            listening=self._listeners.addresses,
            serves=self._configuration.serves,
            trouble=self._trouble,
            needs_restart=self._needs_restart,
            mirrors=self._mirrors(),
        )

    def _mirrors(self) -> tuple[dict[str, Any], ...]:
        """Each host once: of several views, as prefixes have their own, the worst."""
        standings: Iterable[Standing] = getattr(self._importer, "standings", ())
        worst = {each.host: each for each in sorted(standings, key=lambda each: (each.wait, each.trouble))}
        return tuple(asdict(each) for each in worst.values())


def _log(text: str) -> None:
    log.info("{text}", text=text)
