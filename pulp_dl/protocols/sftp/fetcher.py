"""SFTP for one Remote: looks, opens, and hands over a body."""

from __future__ import annotations

import stat
from collections.abc import Callable, Coroutine
from functools import partial
from getpass import getuser
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.conch.ssh.filetransfer import FX_NO_SUCH_FILE, FX_PERMISSION_DENIED, ClientFile, SFTPError
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ...errors import AuthFailed, ConnectFailed, DownloadError, NotFound, ProtocolError, Refused, TimedOut, Unavailable
from ...flow.deadline import deadline
from ...flow.running import Running
from ...flow.steady import wall
from ...interfaces import IBody, IFetcher, IShared
from ...model.remote import Remote
from ...model.source import Head, Source, Span, Validators
from ..credentials import Credentials
from ..entity import Entity
from ..spaces import Homes, inside
from .body import Body
from .broken import Broken
from .connection import Connection
from .login import Identity
from .pool import Lease, Pool

__all__ = ["SFTPFetcher"]

SETTLED: Final = 60
"""
Seconds after which a time of change may be trusted to be the last one: dates are whole seconds, and clocks differ.  It
is what RFC 9110 section 8.8.2.2 asks of a Last-Modified that is to be strong.
"""


@implementer(IFetcher)
class SFTPFetcher:
    """
    C{sftp:}.

    The path is that of the URL, from the root of the server; a C{?} is part of a name.  Times of change become ETags,
    so that a body can be continued, when they are older than L{SETTLED}.
    """

    def __init__(self, reactor: Any, remote: Remote, shared: IShared) -> None:
        self._reactor = reactor
        self._remote = remote
        self._shared = shared
        self._pool: Pool = shared.keep("sftp", lambda: Pool(shared.slots, shared.timers))
        self._turn = shared.requests(remote)
        self._homes = Homes(reactor, remote, shared)
        self._credentials = Credentials(remote, shared)
        self._running = Running()
        self._bodies: set[Body] = set()

    def open(self, source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        return self._running.add(Deferred.fromCoroutine(self._open(source, span, same_as)))

    def head(self, source: Source) -> Deferred[Head]:
        async def ask(lease: Lease) -> Head:
            found = await self._stat(lease, source)
            lease.release()
            head: Head = found.head(source.url, None, None, source.conditions)
            return head

        return self._running.add(Deferred.fromCoroutine(self._ask(source, ask)))

    def close(self) -> Deferred[None]:
        self._running.cancel()
        for body in list(self._bodies):
            body.stopProducing()
        return succeed(None)

    async def _open(self, source: Source, span: Span | None, same_as: Validators | None) -> IBody:
        async def ask(lease: Lease) -> Body:
            file = None
            entity = await self._stat(lease, source)
            head = entity.head(source.url, span, same_as, source.conditions)
            if head.length or not entity.total:
                file, entity = await self._opened(lease, source)
                # Again, since it may have been replaced meanwhile.
                head = entity.head(source.url, span, same_as, source.conditions)
            return Body(lease, file, head, self._bodies.discard, public=not inside(self._remote, source))

        body: Body = await self._ask(source, ask)
        self._bodies.add(body)
        return body

    async def _ask(self, source: Source, question: Callable[[Lease], Coroutine[Any, Any, Any]]) -> Any:
        """
        Put a question, and again over another connection if that one had ended while it idled.  However much has to be
        asked for it, it has the time of one answer.
        """
        timeouts = self._remote.timeouts
        while True:
            lease = await self._lease(source)
            try:
                asking = Deferred.fromCoroutine(question(lease))
                return await deadline(asking, timeouts.head, self._shared.timers, "head", source.url)
            except BaseException as error:
                lease.release(silent=isinstance(error, TimedOut))
                if not isinstance(error, Broken):
                    raise
                if error.kind is not ConnectFailed or not lease.stale:
                    raise error.told(source.url) from error.__cause__

    # connections

    async def _lease(self, source: Source) -> Lease:
        if self._remote.proxy_for(source.place) is not None:
            raise Refused("sftp: goes through no proxy; leave Remote.proxy out", source.url)
        if self._turn is not None:
            await self._turn()
        floor = await self._homes.floor(source) if source.found else None
        identity = await self._identity(source)
        place, seconds = source.place, self._remote.timeouts.connect
        key = identity, seconds, floor

        def make() -> Connection:
            shared, learn = self._shared, partial(self._homes.learn, place)
            return Connection(self._reactor, shared.timers, shared.workers, place, identity, learn, seconds, floor)

        try:
            return await self._pool.lease((place.host, place.port), key, make)
        except Broken as broken:
            raise broken.told(source.url) from broken.__cause__

    async def _identity(self, source: Source) -> Identity:
        """Who may be known there: the user of the URL, else of the Remote; its key only within the scope."""
        trusted = inside(self._remote, source)
        ssh = self._remote.ssh if trusted else self._remote.ssh.public()
        if source.auth is not None:
            return Identity(source.auth.user, source.auth.password or None, ssh)
        if not trusted:
            return Identity("anonymous", None, ssh)
        found = await self._credentials.of(source.url)
        if found is None:
            return Identity(_local_user(), None, ssh)
        return Identity(found.user, found.password or None, ssh)

    # files

    async def _stat(self, lease: Lease, source: Source) -> Entity:
        try:
            found = await lease.ask(lease.client.stat(_path(source)))
        except (SFTPError, EOFError, NotImplementedError) as error:
            raise _refusal(error, source.url) from error
        return self._entity(found, source)

    async def _opened(self, lease: Lease, source: Source) -> tuple[ClientFile, Entity]:
        def too_late(file: ClientFile) -> None:
            lease.ask(file.close()).addErrback(lambda _: None)

        file = None
        try:
            file = await lease.ask(lease.client.read_only(_path(source)), too_late)
            entity = self._entity(await lease.ask(file.getAttrs()), source)
            if not entity.total and await self._holds_something(lease, file):
                raise Refused("this is no regular file: it does not tell its size, as in /proc", source.url)
            return file, entity
        except BaseException as error:
            if file is not None:
                too_late(file)
            if isinstance(error, SFTPError | EOFError | NotImplementedError):
                raise _refusal(error, source.url) from error
            raise

    async def _holds_something(self, lease: Lease, file: ClientFile) -> bool:
        try:
            return bool(await lease.ask(file.readChunk(0, 1)))
        except EOFError:
            return False

    def _entity(self, found: dict[str, int], source: Source) -> Entity:
        mode, size, changed = found.get("permissions"), found.get("size"), found.get("mtime")
        if mode is not None and stat.S_IFMT(mode) and not stat.S_ISREG(mode):
            # Not even opened: a FIFO would hold up the whole server.
            what = "a directory" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
            raise Refused(f"this is no regular file: {what}", source.url)
        if size is None:
            raise ProtocolError("the server does not tell the size of the file", source.url)
        etag = None
        if changed is not None and changed + SETTLED <= wall(self._reactor):
            etag = b'"%x-%x"' % (changed, size)
        return Entity(size, etag, changed)


def _path(source: Source) -> bytes:
    path = unquote_to_bytes(source.place.target)
    if b"\0" in path:
        raise NotFound(404, url=source.url, words="no file has a NUL in its name")
    return path


def _local_user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container may have no name for it
        return "anonymous"


def _refusal(error: Exception, url: str) -> DownloadError:
    if not isinstance(error, SFTPError):
        return ProtocolError("the server does not answer as SFTP has it", url)
    if error.code == FX_NO_SUCH_FILE:
        return NotFound(404, url=url, words="no such file")
    if error.code == FX_PERMISSION_DENIED:
        return AuthFailed(403, url=url, words="permission denied")
    said = f"{error.message} ({error.code})" if error.message else f"code {error.code}"
    return Unavailable(503, url=url, words=f"the server says: {said}")
