"""
TLS sessions of one server, to be resumed: a handshake without certificates costs half as much.

A session that is resumed is not checked again: that the server has the key of the session proves that it is the one
that was checked.  So sessions belong to one host, one trust, one identity; they are kept only of connections whose
checks were passed; and from time to time everything is checked anew, for certificates expire.
"""

from __future__ import annotations

import weakref
from collections import deque
from time import monotonic
from typing import Any, Final

from OpenSSL import SSL

__all__ = ["CHECKED", "KEPT", "NotResumed", "Sessions"]

CHECKED: Final = 3600.0
"""Seconds after a handshake with all checks in which its sessions, and those that came of them, may be resumed."""
KEPT: Final = 16


class NotResumed(SSL.Error):
    """
    The handshake failed in which a session was offered.  There will be no other one like it: another try is a whole
    handshake.
    """


class Sessions:
    """
    Makes the connections to one server, and has each new one resume a session if there is one.

    A session is offered once (RFC 8446 appendix C.4): each connection that ends well leaves another one.
    """

    def __init__(self, context: SSL.Context, clock: Any = monotonic) -> None:
        self._context = context
        self._clock = clock
        self._kept: deque[tuple[SSL.Session, float]] = deque(maxlen=KEPT)
        self._newest: weakref.ref[_Connection] | None = None
        self._able = True

    def connection(self) -> SSL.Connection:
        """A connection that is to be a client's."""
        session, until = self._take()
        if session is None:
            return _Connection(self._context, self, self._clock() + CHECKED)
        connection = _Connection(self._context, self, until, resuming=True)
        connection.set_session(session)
        return connection

    def _take(self) -> tuple[SSL.Session | None, float]:
        newest = None if self._newest is None else self._newest()
        if not self._kept and newest is not None:
            newest.leave()
        now = self._clock()
        while self._kept:
            session, until = self._kept.pop()
            if now < until:
                return session, until
        return None, 0.0

    # for its connections

    def done(self, connection: _Connection) -> None:
        """The handshake is over, and all checks were passed."""
        self._newest = weakref.ref(connection)

    def keep(self, session: SSL.Session | None, until: float) -> None:
        if session is not None and self._able:
            self._kept.append((session, until))

    def broken(self) -> None:
        """The server cannot do it (OpenSSL's fails if it asks for certificates and was given no name for sessions)."""
        self._able = False
        self._kept.clear()


class _Connection(SSL.Connection):
    """
    Hands over its session when it ends, or before, if somebody asks: in TLS 1.3 that comes after the handshake.
    """

    def __init__(self, context: SSL.Context, sessions: Sessions, until: float, *, resuming: bool = False) -> None:
        super().__init__(context)
        self._sessions: Sessions | None = sessions
        self._until = until
        self._resuming = resuming
        self._proven = False

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error as error:
            if self._resuming and not self._proven and self._sessions is not None:
                self._sessions.broken()
                raise NotResumed(*error.args) from error
            raise
        if not self._proven and self._sessions is not None:
            self._proven = True
            self._sessions.done(self)

    def shutdown(self) -> bool:
        self.leave()
        return super().shutdown()

    def leave(self) -> None:
        """Leave its session to the next one, once."""
        if self._proven and self._sessions is not None:
            sessions, self._sessions = self._sessions, None
            sessions.keep(self.get_session(), self._until)
