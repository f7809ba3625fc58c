"""An order of places that learns."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from hashlib import sha256
from typing import Any, Final

from attrs import evolve
from zope.interface import alsoProvides, implementer

from ..errors import (
    AuthFailed,
    BadStatus,
    CircuitOpen,
    ConnectFailed,
    DownloadError,
    NotFound,
    ProtocolError,
    ProxyFailed,
    SizeMismatch,
    TimedOut,
    Truncated,
    Unavailable,
    ValidationError,
)
from ..interfaces import IDownloader, IMirrors
from ..model.remote import Timeouts
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import shown
from .interfaces import IScoring, IVouching
from .links import Duplicates
from .located import located
from .remembered import LONGEST, MOST, remember
from .standing import HEAL, Faded, Host, Standing

__all__ = ["Scores"]

ENOUGH: Final = 128 * 1024
"""Bytes of one attempt that tell a speed."""

SIZE: Final = 256 * 1024
"""Bytes of a file, until there were some."""

QUICKEST: Final = 1.5
"""Seconds without a byte after which a place that is known to be fast may be left."""

NEW: Final = 5.0
"""The same for a place of which nothing is known yet."""

SLOW: Final = 64 * 1024
"""Bytes a second under which a place may be left as long as no speed of any is known."""

REST: Final = 3600.0
"""Seconds that a host may ask for at most."""

# What a failure and a wrong file are worth in seconds.
_FAILED, _MISSING, _WRONG, _RANK = 1.0, 1.0, 3.0, 0.001


@implementer(IScoring)
class Scores:
    """
    The places of other mirrors, in the order of what was learnt of them: who answers soon, brings much and fails seldom
    comes first; what the mirrors themselves put first does among equals, and as long as nothing is known.

    A host that failed several times in a row, or that asks for it (Retry-After), is left alone for a while; then one
    request is let through to see (a circuit breaker).  A failure is forgotten by and by.  A place that has a file not,
    wrong or old comes later for files of that directory, and for no others.  Time in which a consumer could take no
    bytes is never held against a place.

    If there is no answer for longer than a place usually takes, the next one is asked beside it, and the slower one is
    dropped (a hedged request).

    One object serves all downloads of a Downloader, or of several.
    """

    def __init__(
        self,
        mirrors: IMirrors,
        *,
        explore: float = 0.05,
        heal: float = HEAL,
        slow_window: float = 5.0,
        hedge: float = 0.05,
        wide: int = 16,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param explore: share of the downloads that begin with a place of which nothing, or nothing new, is known,
            although something is known of others.
        @param heal: seconds in which half of a bad name is forgotten.
        @param slow_window: seconds for which a place may bring less than a twentieth of what is usual, or than
            L{SLOW} if that is not known, before another one is asked.
        @param hedge: so many of a Downloader's requests may be made beside another one that takes long, and a few
            more; 0: none.
        @param wide: places that are put in order, the first ones of the mirrors; others follow as they are, as a list
            may be long and a place costs a little for each file.
        @param wall: seconds since the epoch, for what is saved; C{clock} never goes back.
        """
        if isinstance(mirrors, Duplicates):
            raise TypeError("Scores reads several places at once, too early to be told of others: put it inside")
        if not 0 <= hedge <= 1:
            raise ValueError(f"Scores: hedge={hedge!r} is no share; give a number from 0 (never) to 1")
        self.hedge = hedge
        self._mirrors = mirrors
        if IVouching.providedBy(mirrors):
            alsoProvides(self, IVouching)
            vouching: Any = mirrors
            self.vouched = vouching.vouched
        self._explore = explore
        self._heal = heal
        self._slow_window = slow_window
        self._wide = max(1, wide)
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._hosts: dict[str, Host] = {}
        self._demerits: dict[str, Faded] = {}
        self._newest: dict[str, float] = {}  # Last-Modified by file
        self._size = float(SIZE)

    # the order

    async def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
        reading = located(self._mirrors, source, direct)
        places: list[Source] = []
        failed: DownloadError | None = None
        try:
            try:
                async for place in reading:
                    places.append(place)
                    if len(places) >= self._wide:
                        break
            except DownloadError as error:  # those before it count
                failed = error
            for place in self.order(places) if len(places) > 1 else places:
                yield place
            if failed is not None:
                raise failed
            async for place in reading:
                yield place
        finally:
            await reading.aclose()  # type: ignore[attr-defined]  # a generator

    def order(self, places: Iterable[Source]) -> list[Source]:
        """These places, the best first."""
        known = list(places)
        ranks = dict(zip(map(id, known), self._costs(known), strict=True))
        known.sort(key=lambda place: (self._wait(place), ranks[id(place)]))
        # As long as nothing is known of the first, there is nothing that could be better than the mirrors' own order.
        if len(known) > 1 and not self._is_new(known[0]) and self._chance() < self._explore:
            new = [place for place in known if self._is_new(place)]
            if new:
                place = new[int(self._chance() * len(new))]
                known.remove(place)
                known.insert(0, place)
        return known

    def standing(self, places: Iterable[Source]) -> list[Standing]:
        """How these places stand, in their order."""
        known = list(places)
        return [self._standing(place, cost) for place, cost in zip(known, self._costs(known), strict=True)]

    @property
    def hosts(self) -> list[Standing]:
        """How all hosts stand that are remembered."""
        return self.standing(Source(host + "/") for host in self._hosts)

    def _costs(self, places: list[Source]) -> list[float]:
        """Seconds that a file of the usual size would take, as far as that is known, and more for each failure."""
        times = [self._time(place) for place in places]
        known = [each for each in times if each is not None]
        usual = sum(known) / len(known) if known else 0.0
        return [
            (usual if seconds is None else seconds) + self._bad_name(place) + _RANK * rank
            for rank, (place, seconds) in enumerate(zip(places, times, strict=True))
        ]

    def _time(self, place: Source) -> float | None:
        host = self._hosts.get(_host(place))
        if host is None or host.latency is None:
            return None
        speed = host.speed or self._usual_speed()
        return host.latency + (self._size / speed if speed else 0.0)

    def _usual_speed(self) -> float | None:
        known = [host.speed for host in self._hosts.values() if host.speed]
        return sum(known) / len(known) if known else None

    def _bad_name(self, place: Source) -> float:
        host, demerits = self._hosts.get(_host(place)), self._demerits.get(_directory(place))
        return _FAILED * (0.0 if host is None else host.trouble.value) + (0.0 if demerits is None else demerits.value)

    def _wait(self, place: Source) -> float:
        host = self._hosts.get(_host(place))
        return 0.0 if host is None else host.breaker.wait

    def _is_new(self, place: Source) -> bool:
        host = self._hosts.get(_host(place))
        return host is None or (self._clock() - host.seen > self._heal and not host.breaker.wait)

    def _standing(self, place: Source, cost: float) -> Standing:
        host, demerits = self._hosts.get(_host(place)), self._demerits.get(_directory(place))
        if host is None:
            host = Host(self._clock, self._heal)
        return Standing(
            host=_host(place),
            cost=cost,
            latency=host.latency,
            speed=host.speed,
            trouble=host.trouble.value,
            demerits=0.0 if demerits is None else demerits.value,
            circuit=host.breaker.state,
            wait=host.breaker.wait,
        )

    # while a place is asked

    def refused(self, place: Source) -> CircuitOpen | None:
        seconds = self._host(place).breaker.ask()
        if seconds is None:
            return None
        return CircuitOpen(f"{_host(place)} is left alone for {seconds:.0f} s", place.url, seconds)

    def answered(self, place: Source, head: Head, seconds: float) -> None:
        host = self._host(place)
        host.waited(seconds)
        host.breaker.answered()

    def usual(self, place: Source) -> float:
        return self._host(place).usual

    def hurried(self, place: Source, timeouts: Timeouts) -> Timeouts | None:
        host = self._host(place)
        answer = NEW if host.latency is None else max(QUICKEST, 4 * host.latency)
        idle = NEW if host.speed is None else max(answer, 20 * 65536 / host.speed)
        known = (each.speed for each in self._hosts.values() if each is not host and each.speed)
        slow = max(known, default=host.speed or 20 * SLOW) / 20
        return evolve(
            _no_longer(timeouts, head=answer, connect=answer, idle=idle),
            low_speed=max(slow, timeouts.low_speed or 0),
            low_speed_window=min(self._slow_window, timeouts.low_speed_window),
        )

    # and afterwards

    def record(self, attempt: Attempt) -> None:
        self._mirrors.record(attempt)
        host, error = self._host(attempt.source), attempt.error
        if attempt.outrun:
            host.outrun(attempt.seconds)
            host.breaker.unknown()
            return
        slow = isinstance(error, TimedOut) and error.phase == "low_speed" and attempt.received
        if (slow or attempt.received >= ENOUGH) and attempt.open_seconds > 0:
            host.brought(attempt.received, attempt.open_seconds)
        if attempt.received and error is None:
            self._size += 0.1 * (attempt.received - self._size)
        if error is None:
            if attempt.status is None:
                host.breaker.unknown()  # nobody waited for its answer
            else:
                self._went_well(attempt, host)
        elif isinstance(error, Unavailable) and error.retry_after:
            host.breaker.unknown()  # it is there, and says when to come again
            host.breaker.rest(min(REST, error.retry_after))
        elif isinstance(error, CircuitOpen):
            pass  # it was not even asked
        elif isinstance(error, ProxyFailed):
            host.breaker.unknown()  # whether it is there, only the proxy knows
            host.trouble.add(1)
        elif isinstance(error, Unavailable | ConnectFailed | TimedOut | ProtocolError | Truncated):
            if isinstance(error, TimedOut) and error.phase == "total":
                host.breaker.unknown()
                return
            host.trouble.add(1)
            host.breaker.failed()
        else:
            self._bad_file(attempt, host, error)

    def _went_well(self, attempt: Attempt, host: Host) -> None:
        host.breaker.answered()
        host.trouble.add(-host.trouble.value / 2)
        demerits = self._demerits.get(_directory(attempt.source))
        if demerits is not None:
            demerits.add(-demerits.value / 2)
        modified = None if attempt.head is None else attempt.head.modified
        if modified is not None:
            place = attempt.source  # its scope is mostly the file's own URL, but several files may have one
            file = f"{place.scope or place.url} {place.url.rpartition('/')[2]}".encode("utf-8", "surrogatepass")
            name = sha256(file).hexdigest()  # however long they are, with all that signs them
            newest = self._newest.pop(name, modified)
            remember(self._newest, name, max(newest, modified))
            if modified < newest:  # another place has a newer one
                self._demerit(attempt.source, _MISSING)

    def _bad_file(self, attempt: Attempt, host: Host, error: DownloadError) -> None:
        """The host is there; but has it this file?"""
        if isinstance(error, BadStatus):
            host.waited(attempt.seconds)
            host.breaker.answered()
            if isinstance(error, AuthFailed | NotFound):
                self._demerit(attempt.source, _MISSING)
        elif isinstance(error, ValidationError) and _is_its_own(attempt):
            # Else nobody knows whose part was wrong.
            self._demerit(attempt.source, _WRONG)
        else:
            host.breaker.unknown()

    def _demerit(self, place: Source, amount: float) -> None:
        directory = _directory(place)
        demerits = self._demerits.pop(directory, None) or Faded(self._clock, self._heal)
        demerits.add(amount)
        remember(self._demerits, directory, demerits)

    def _host(self, place: Source) -> Host:
        name = _host(place)
        host = self._hosts.pop(name, None) or Host(self._clock, self._heal)
        return remember(self._hosts, name, host)

    # what outlives a process

    def to_json(self) -> str:
        """All that was learnt, for C{from_json}.  URLs in it are masked, as they are wherever they are printed."""
        return json.dumps(
            {
                "version": 1,
                "saved": self._wall(),
                "size": self._size,
                "hosts": {name: host.dump() for name, host in self._hosts.items()},
                "demerits": {shown(name): each.value for name, each in self._demerits.items() if each.value},
            }
        )

    def from_json(self, text: str) -> None:
        """
        Take over what was learnt in another process, in place of what is known.

        @raise ValueError: this is not what C{to_json} has made; nothing has changed.
        """
        try:
            state: dict[str, Any] = json.loads(text, parse_constant=_no_number)
            if state["version"] != 1:
                raise ValueError(f"version {state['version']} is not known")
            ago = max(0.0, self._wall() - float(state["saved"]))
            hosts: dict[str, Host] = {}
            for name, each in list(state["hosts"].items())[-MOST:]:
                Source(name + "/")
                hosts[name] = Host(self._clock, self._heal)
                hosts[name].restore(each, ago, self._heal)
            faded = 0.5 ** (ago / self._heal)
            found = [each for each in state["demerits"].items() if len(each[0]) <= LONGEST][-MOST:]
            demerits = {name: Faded(self._clock, self._heal, float(value) * faded) for name, value in found}
            size = float(state["size"])
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is not what was saved: {type(error).__name__}: {error}") from error
        self._hosts, self._demerits, self._size = hosts, demerits, max(1.0, size)


def _no_longer(timeouts: Timeouts, **limits: float) -> Timeouts:
    """Nothing takes longer than these, nor than it might before."""
    usual = ((name, getattr(timeouts, name)) for name in limits)
    return evolve(
        timeouts, **{name: limits[name] if limit is None else min(limit, limits[name]) for name, limit in usual}
    )


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _is_its_own(attempt: Attempt) -> bool:
    """Has it announced what is wrong, or brought all of it?"""
    announced = isinstance(attempt.error, SizeMismatch) and not attempt.received
    return announced or (attempt.status == 200 and attempt.received >= ((attempt.head and attempt.head.total) or 0))


def _host(place: Source) -> str:
    return place.place.base


def _directory(place: Source) -> str:
    return place.url.partition("?")[0].rpartition("/")[0]
