"""
Sessions that wait to be used again.

As with HTTP's connections: a session that is done is handed to whoever waits for such a one, else it idles where the
slots may have it closed.  What is new is that servers count, too: one that says there are too many of us gets no more
of them for a while, and those who wait share the ones there are.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from copy import copy
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from ...errors import DownloadError
from ...flow.timers import Call, Clock
from ...interfaces import ISlot, ISlots
from .login import Crowded
from .session import Session

__all__ = ["CALM", "IDLE", "Key", "SessionPool"]

IDLE: Final = 60.0
"""Seconds that a session idles before it is closed."""
CALM: Final = 60.0
"""Seconds for which no more sessions are tried than a server took."""
SOCKETS: Final = 2
"""
What a session counts for among the slots, idle or not: its control connection, and the data connection it may have at
any time.  Both are taken at once, so nobody holds one and waits for the other.
"""

Dial = Callable[[Session], Coroutine[Any, Any, None]]


@frozen(cache_hash=True)
class Key:
    """
    Sessions with equal keys can stand in for each other.

    @ivar host: what the limit for each host counts by.
    @ivar identity: all else that makes a difference: scheme, user and password, trust and client certificate.
    """

    host: Hashable
    identity: Hashable = field(repr=False)


@define(eq=False)
class _Place:
    """
    @ivar sessions: all, from before they are opened until they are closed.
    @ivar idle: of these; the one that was used last is used next.
    @ivar seekers: who waits, in the order of asking; C{unasked}: of these, those who have not asked for a slot.
    @ivar dialling: who waits no more, but for a session of its own to be connected and logged in.
    @ivar most: how many the server took when it said that there are too many; C{since}: when that was.
    """

    sessions: set[Session] = field(factory=set)
    idle: list[Session] = field(factory=list)
    seekers: dict[_Seeker, None] = field(factory=dict)
    unasked: dict[_Seeker, None] = field(factory=dict)
    dialling: set[_Seeker] = field(factory=set)
    most: int | None = None
    since: float = 0.0


class SessionPool:
    """
    The FTP sessions of one Downloader.

    @ivar unresumed: servers that do not resume a TLS session, the first to be forgotten first.
    """

    def __init__(self, slots: ISlots, timers: Clock) -> None:
        self.slots = slots
        self.timers = timers
        self.unresumed: dict[Key, None] = {}
        self._places: dict[Key, _Place] = {}
        self._resting: dict[Session, Call] = {}
        self._closed = False
        self._awaited: list[Deferred[None]] = []

    def take(self, key: Key, url: str, dial: Dial) -> Deferred[Session]:
        """
        A session for one transfer; whoever gets it ends that by C{Session.done}, C{linger} or C{abort}.

        Fires with an L{Session} that is logged in; fails as C{dial} does.  Cancelling, while it waits for a slot or
        logs in, leaves nothing; so does C{close}.

        @param dial: connects and logs in a new one.
        """
        if self._closed:
            return fail(CancelledError("the pool is closed"))
        place = self._places.setdefault(key, _Place())
        while place.idle:
            session = place.idle[-1]
            self.wake(session)
            if session.usable:
                session.slot.unpark()
                return succeed(session)
            session.abort()
        seeker = _Seeker(self, key, url, dial)
        self.enter(seeker)
        self._admit(key)
        return seeker.result

    def close(self) -> Deferred[None]:
        """
        Abort everything: what is under way fails with C{CancelledError}.

        Fires with None when every socket is closed and every slot is back; never fails; may be called again.
        """
        self._closed = True
        for place in list(self._places.values()):
            for seeker in [*place.seekers, *place.dialling]:
                seeker.result.cancel()
            for session in list(place.sessions):
                session.abort()
        if not any(place.sessions for place in self._places.values()):
            return succeed(None)
        left: Deferred[None] = Deferred()
        self._awaited.append(left)
        return left

    # those who wait

    def _admit(self, key: Key) -> None:
        """Those whom the server would take, too, ask for a slot."""
        place = self._places.get(key)
        if place is None:
            return
        if place.most is not None and (not place.sessions or self.timers.seconds() - place.since > CALM):
            place.most = None
        while place.unasked:
            asking = len(place.seekers) - len(place.unasked)
            if place.most is not None and len(place.sessions) + asking >= place.most:
                return
            seeker = next(iter(place.unasked))
            del place.unasked[seeker]
            seeker.ask()

    def enter(self, seeker: _Seeker) -> None:
        """It waits, and has not asked for a slot (any more)."""
        place = self._places.setdefault(seeker.key, _Place())
        place.seekers[seeker] = place.unasked[seeker] = None

    def leave(self, seeker: _Seeker) -> None:
        place = self._places[seeker.key]
        place.seekers.pop(seeker, None)
        place.unasked.pop(seeker, None)
        self._forget(seeker.key)  # a session that it has by now is known already

    def dials(self, seeker: _Seeker, session: Session) -> None:
        """It waits no longer: it has a slot, and this is to be its session."""
        place = self._places[seeker.key]
        place.sessions.add(session)
        place.dialling.add(seeker)
        self.leave(seeker)

    def dialled(self, seeker: _Seeker) -> None:
        """Its session is there, or will never be."""
        place = self._places.get(seeker.key)
        if place is not None:
            place.dialling.discard(seeker)

    def crowded(self, seeker: _Seeker, session: Session, error: DownloadError) -> None:
        """
        The server has turned this one away.  It waits for another session; if there is none, it fails, and so do all
        who would only hear the same.
        """
        place = self._places[seeker.key]
        others = sum(not each.aborted for each in place.sessions if each is not session)
        if not others or self._closed:
            waiting = list(place.seekers)
            seeker.fail(copy(error))
            for each in waiting:
                if each in place.seekers:  # else whoever heard of the first has given it up
                    each.fail(copy(error))
            return
        place.most, place.since = others, self.timers.seconds()
        self.enter(seeker)
        # Those who wait for a slot, but would be turned away as well, leave it to others.
        for each in list(place.seekers):
            each.withdraw()
            self.enter(each)
        if place.idle:  # it has become idle meanwhile, and nobody would hand it over
            idle = place.idle[-1]
            self.wake(idle)
            idle.slot.unpark()
            self.rest(idle)

    # sessions come, rest and go

    def discard(self, session: Session) -> None:
        """It is closed."""
        place = self._places.get(session.key)
        if place is not None:
            place.sessions.discard(session)
            self._admit(session.key)
            self._forget(session.key)
        if not any(place.sessions for place in self._places.values()):
            awaited, self._awaited = self._awaited, []
            for left in awaited:
                left.callback(None)

    def rest(self, session: Session) -> None:
        """It may bring something else."""
        if not session.usable or self._closed:
            session.abort()
            return
        place = self._places[session.key]
        for seeker in place.seekers:
            if seeker.request is None or not session.slot.owed(seeker.request):
                seeker.take(session)
                return
            break
        place.idle.append(session)
        self._resting[session] = self.timers.callLater(IDLE, self._expire, session)
        session.slot.park(session.abort)

    def _expire(self, session: Session) -> None:
        del self._resting[session]
        self._places[session.key].idle.remove(session)
        session.abort()

    def wake(self, session: Session) -> None:
        """It rests no more, if it did."""
        timer = self._resting.pop(session, None)
        if timer is not None:
            timer.cancel()
            self._places[session.key].idle.remove(session)

    def _forget(self, key: Key) -> None:
        place = self._places.get(key)
        if place is not None and not place.sessions and not place.seekers:
            del self._places[key]


class _Seeker:
    """Somebody wants a session: waits for a slot and logs in, unless one that others are done with comes first."""

    def __init__(self, pool: SessionPool, key: Key, url: str, dial: Dial) -> None:
        self._pool = pool
        self._url = url
        self._dial = dial
        self._session: Session | None = None
        self._dialling: Deferred[None] | None = None
        self.key = key
        self.request: Deferred[ISlot] | None = None
        self.result: Deferred[Session] = Deferred(self._cancel)

    def ask(self) -> None:
        """For a slot."""
        request = self.request = self._pool.slots.acquire(self.key.host, SOCKETS)
        request.addCallbacks(self._granted, lambda _: None)  # it is cancelled by nobody but us

    def withdraw(self) -> None:
        """It waits for a slot no more."""
        request, self.request = self.request, None
        if request is not None:
            request.cancel()

    def take(self, session: Session) -> None:
        """Use this one instead of waiting any longer."""
        self._pool.leave(self)
        self.withdraw()
        self.result.callback(session)

    def _granted(self, slot: ISlot) -> None:
        session = self._session = Session(self._pool, self.key, slot, self._url)
        self._pool.dials(self, session)
        self.request = None
        dialling = self._dialling = Deferred.fromCoroutine(self._dial(session))
        dialling.addCallbacks(self._dialled, self._failed)

    def _dialled(self, _: None) -> None:
        self._pool.dialled(self)
        session, self._session = self._session, None
        if session is not None:
            self.result.callback(session)

    def _failed(self, failure: Failure) -> None:
        self._pool.dialled(self)
        session, self._session = self._session, None
        if session is None:
            return  # cancelled
        if isinstance(failure.value, Crowded):
            self._pool.crowded(self, session, failure.value.error)
        else:
            self.result.errback(failure)
        session.abort()

    def fail(self, error: DownloadError) -> None:
        """It will have none."""
        self._pool.leave(self)
        self.withdraw()
        self.result.errback(error)

    def _cancel(self, _: Deferred[Session]) -> None:
        session, self._session = self._session, None
        if session is None:
            self._pool.leave(self)
            self.withdraw()
        else:
            assert self._dialling is not None
            self._pool.dialled(self)
            self._dialling.cancel()
            session.abort()
