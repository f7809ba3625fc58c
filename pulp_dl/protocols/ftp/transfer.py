"""What is asked of a session for one file: what it is, and then, perhaps, to bring it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...flow.steady import wall
from ...interfaces import IBody
from ...model.source import Head, Source, Span, Validators
from ..entity import Entity
from .body import Answer, Body
from .data import DataConnection, open_data
from .replies import Reply, missing, refusal
from .session import Session

if TYPE_CHECKING:
    from .fetcher import FTPFetcher

__all__ = ["Transfer", "look"]

_SIZE: Final = re.compile(r"213 +([0-9]{1,18})\s*")
_MDTM: Final = re.compile(r"213 +([0-9]{14})(?:\.[0-9]+)?\s*")
_UNKNOWN: Final = frozenset({500, 501, 502, 504})
_SETTLED: Final = 60.0
"""Seconds after which a time of change, told in whole seconds, tells versions apart (as RFC 9110 section 8.8.2.2)."""


async def look(session: Session, path: bytes, now: float) -> Entity | None:
    """
    What the server says of a file (RFC 3659 section 3 and 4); None if it says nothing.

    Its ETag is made of time and size, as those of nginx are, once it has not changed for a minute.

    @raise NotFound: there is no such file.
    """
    size = await _fact(session, b"SIZE", path)
    time = await _fact(session, b"MDTM", path)
    # One of them alone may be forbidden; whether the file is there, RETR will then tell.
    if size is not None and time is not None and size.code == time.code == 550:
        raise missing(size, session.client.url)
    total = modified = etag = None
    found = None if size is None else _SIZE.fullmatch(size.lines[-1])
    if found is not None:
        total = int(found[1])
    found = None if time is None else _MDTM.fullmatch(time.lines[-1])
    if found is not None:
        modified = _seconds(found[1])
    if total is None and modified is None:
        return None
    if total is not None and modified is not None and modified + _SETTLED <= now:
        etag = b'"%x-%x"' % (modified, total)
    return Entity(total, etag, modified)


async def _fact(session: Session, command: bytes, path: bytes) -> Reply | None:
    if command in session.lacks:
        return None
    reply = await session.tell(b"%b %b" % (command, path))
    if reply.code in _UNKNOWN:
        session.lacks.add(command)
        return None
    if reply.code == 530:
        raise refusal(reply, session.client.url)
    return reply


def _seconds(digits: str) -> int | None:
    try:
        month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
        return int(datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None


class Transfer:
    """One file, up to where the server begins to send it."""

    def __init__(self, fetcher: FTPFetcher, session: Session, path: bytes, source: Source, *, public: bool) -> None:
        self._fetcher = fetcher
        self._session = session
        self._path = path
        self._source = source
        self._public = public

    async def begin(self, span: Span | None, same_as: Validators | None) -> IBody:
        """
        @raise DownloadError: there is nothing to be had, or not now.
        """
        session, source = self._session, self._source
        entity = await look(session, self._path, wall(self._fetcher.reactor)) or Entity(None)
        head = entity.head(source.url, span, same_as, source.conditions)
        if head.status in {304, 416}:
            session.done()
            return Answer(head, public=self._public)
        data = await open_data(self._fetcher.reactor, session, self._fetcher.remote.timeouts)
        if head.span is not None and head.span.start and not await self._skip(head.span.start):
            head = entity.head(source.url, None, None, ())  # it can only bring the whole
        return await self._retrieve(data, head)

    async def _skip(self, offset: int) -> bool:
        """REST, directly before RETR; False if the server cannot begin there."""
        if b"REST" not in self._session.lacks:
            reply = await self._session.tell(b"REST %d" % offset)
            if reply.code == 350:
                return True
            self._session.lacks.add(b"REST")
        return False

    async def _retrieve(self, data: DataConnection, head: Head) -> IBody:
        session = self._session
        begun: Deferred[Any] = Deferred()
        session.client.marked = begun.callback
        finished = session.client.ask(b"RETR " + self._path)

        def ended(result: Reply | Failure) -> Reply | Failure:
            session.client.marked = None
            if not begun.called:
                begun.callback(result)  # or errback, if it is a Failure
                return None if isinstance(result, Failure) else result  # type: ignore[return-value]
            return result

        finished.addBoth(ended)
        try:
            reply: Reply = await begun
        except BaseException:
            finished.addErrback(lambda _: None)
            raise
        if not reply.good:
            data.abort()
            session.refused(reply)
            raise refusal(reply, self._source.url)
        proof: Callable[[], Deferred[None]] | None = None
        if head.status == 206 and head.etag is not None:
            proof = partial(self._fetcher.prove, session, self._source, head)
        return Body(self._fetcher, session, data, finished, head, public=self._public, proof=proof)
