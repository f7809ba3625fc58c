"""One request and its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..consumers.plain import NOT_ALLOWED, Plain
from ..consumers.response import Outdated, ToResponse
from ..engine.task import Task
from ..errors import ConsumerGone, DownloadError, NotFound
from ..interfaces import IDownloader, IExchange, IListing
from ..model.headers import CONTROL
from ..model.report import Report
from ..model.source import Source
from ..urls import shown
from .asked import asked
from .listing import Page
from .path import Refusal, path_of, printable

if TYPE_CHECKING:
    from .channel import Asking
    from .content import Content

__all__ = ["Exchange"]

log = Logger()
T = TypeVar("T")

METHODS: Final = (b"GET", b"HEAD")


@implementer(IExchange)
class Exchange:
    """Asks the importer, brings both ends together, and says how it went."""

    def __init__(self, content: Content, request: Asking) -> None:
        self._content = content
        self._request = request
        self._importer: Any = content.importer
        self._response = ToResponse(request, content.answers)
        self._waiting: Deferred[Any] | None = None
        self._left = False
        request.when_lost(self._leave)
        self.method: str = request.method.decode("ascii")
        self.path = printable(request.uri)
        self.client = str(getattr(request.client, "host", "local"))
        self.began_at: float = content.reactor.seconds()
        self._source: Source | None = None
        self.report: Report | None = None
        self.error: BaseException | None = None

    @property
    def status(self) -> int | None:
        return self._response.status

    @property
    def sent(self) -> int:
        sent: int = self._request.sentLength
        return sent

    @property
    def total(self) -> int | None:
        return self._response.total

    @property
    def url(self) -> str | None:
        return None if self._source is None else shown(self._source.url)

    def start(self, ended: Callable[[Exchange], None]) -> None:
        """
        @param ended: called once, when the request is answered, or broken off.
        """
        Task(self._run(ended), _never).start()

    def _leave(self) -> None:
        self._left = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self, deferred: Deferred[T]) -> T:
        """Wait for what a client need not wait for that leaves."""
        self._waiting = deferred
        try:
            if self._left:
                deferred.cancel()
            return await deferred
        finally:
            self._waiting = None

    async def _run(self, ended: Callable[[Exchange], None]) -> None:
        try:
            await self._end()
        except Exception:  # such as an error of an importer's own that cannot be answered
            log.failure("{method} {path}: a fault of ours", method=self.method, path=self.path)
            if not self._response.ended:
                self._response.cut()
        finally:
            ended(self)

    async def _end(self) -> None:
        try:
            plain = await self._answer()
            if plain is not None:
                self._say(plain)
        except Refusal as refusal:
            self.error = refusal
            self._say(refusal.plain)
        except Exception as error:
            self.error = (
                ConsumerGone("the client left") if self._left and not isinstance(error, DownloadError) else error
            )
            if not (self._left or isinstance(error, DownloadError | CancelledError)):
                log.failure("{method} {path}: a fault of ours", method=self.method, path=self.path)
            # A download has told its consumer already; then this does nothing.
            self._response.fail(Failure(error))
        if self.error is not None:
            self._log(self.error)

    async def _answer(self) -> Plain | None:
        """Answer, or say what is to be answered."""
        request = self._request
        if request.method not in METHODS:
            return NOT_ALLOWED
        fields = {name.lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        if request.clientproto == b"HTTP/1.1" and len(fields.get(b"host", ())) != 1:
            raise Refusal(400, "no Host field, or several")  # RFC 9112 section 3.2
        path = path_of(request.uri, self._content.answers.max_target)
        way = self._way(fields.get(b"via"))
        found = await self._find(path)
        if found is None or isinstance(found, Plain):
            return found
        downloader, source = found
        if way is not None and source.place.scheme != "file":
            source = evolve(source, headers=(*source.headers, (b"Via", way)))
        self._source = source
        wanted = asked(fields, source, part=request.method == b"GET")
        self._response.asked_for(source if isinstance(wanted, Plain) else wanted)
        if isinstance(wanted, Plain):
            return wanted
        if request.method == b"HEAD":
            await self._head(downloader, wanted)
        else:
            self.report = await self._download(downloader, wanted)
        return None

    async def _download(self, downloader: IDownloader, source: Source) -> Report:
        self._response.asks_again = bool(source.conditions)
        try:
            return await downloader.download(source, self._response)
        except Outdated:
            whole = evolve(source, span=None, conditions=())
            self._response.asked_for(whole)
            return await downloader.download(whole, self._response)

    def _way(self, vias: Sequence[bytes] | None) -> bytes | None:
        """Where the request has been, and here: for the next one on its way.  None for a client's own request."""
        name = self._content.name
        if name is None or not vias:
            return None
        way = b", ".join(vias)
        if name in {hop.split()[1] for hop in way.split(b",") if len(hop.split()) > 1}:
            # Not one of the statuses for which it would be tried again and again, at each place on the way.
            raise Refusal(421, "it has been here before: where files come from leads back to here")
        return None if CONTROL.search(way) else b"%b, 1.1 %b" % (way, name)

    async def _find(self, path: str) -> tuple[IDownloader, Source] | Plain | None:
        """Who has it; or the answer; or None if it was a directory, which is shown."""
        listing = IListing.providedBy(self._importer)
        if listing and path.endswith("/"):
            try:
                entries = await self._wait(self._importer.list(path))
            except KeyError:
                pass  # not of ours; the importer may have an index of somebody else's
            else:
                await self._show(path, entries)
                return None
        try:
            found: tuple[IDownloader, Source] = await self._wait(self._importer.find(path))
            return found
        except KeyError:
            if listing and not path.endswith("/") and await self._is_directory(path + "/"):
                # For now: what is published next may have a file of that name.
                there = quote(path + "/").encode("ascii")
                return Plain(301, ((b"Location", there), (b"Cache-Control", b"no-cache")))
            return Plain(404)

    async def _is_directory(self, path: str) -> bool:
        try:
            await self._wait(self._importer.list(path))
        except KeyError:
            return False
        return True

    async def _show(self, path: str, entries: Any) -> None:
        self._response.answers = evolve(self._content.answers, via=None)  # nobody else made it
        await self._wait(Page(path, entries, self._response).show(head_only=self._request.method == b"HEAD"))

    async def _head(self, downloader: IDownloader, source: Source) -> None:
        self._response.begin(await self._wait(downloader.head(source)))
        self._response.finish()

    def _say(self, plain: Plain) -> None:
        if not self._left:
            self._response.say(plain)

    def _log(self, error: BaseException) -> None:
        """One line for what went wrong: what, where, and why."""
        attempts = [str(each) for each in getattr(error, "attempts", ())]
        reason = f"{type(error).__name__}: {error}"
        kind = log.info if isinstance(error, ConsumerGone | NotFound | Refusal) else log.warn
        kind(
            "{method} {path} for {client}: {status}, {sent} bytes: {reason}{tries}",
            method=self.method, path=self.path, client=self.client, status=self.status, sent=self.sent,
            reason=reason, attempts=attempts, tries="".join(f"; {each}" for each in attempts),
        )  # fmt: skip


def _never(error: CancelledError) -> None:
    """An exchange is not cancelled; its client leaves."""
