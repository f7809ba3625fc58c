"""
Every promise that the parts make to each other.

The docstrings are contracts: whoever implements an interface keeps them, and L{pulp_dl.testing} has the tests that
tell.  Names are C{snake_case}; those that come from Twisted keep its C{camelCase}.  Everything runs in the reactor
thread unless it says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from .errors import DownloadError
    from .flow.timers import Clock
    from .model.entry import Entry
    from .model.remote import Proxy, Remote
    from .model.report import Attempt, Report
    from .model.source import Head, Kept, Source, Span, Validators
    from .urls import URL

__all__ = [
    "IAuth",
    "IAuthenticator",
    "IBody",
    "IBodyConsumer",
    "ICheck",
    "ICopyableCheck",
    "IDownloader",
    "IExchange",
    "IExpectation",
    "IFetcher",
    "IImporter",
    "IListing",
    "IMirrors",
    "IProxies",
    "IResumable",
    "IRewindable",
    "IScheme",
    "IShared",
    "ISlot",
    "ISlots",
    "ITold",
    "IWorkerUser",
    "IWorkers",
]


class IDownloader(Interface):
    """All that an importer hands to a streamer: protocol, credentials, mirrors and limits stay inside."""

    def download(source: Source | str, consumer: IBodyConsumer) -> Deferred[Report]:
        """
        Bring one source to one consumer.

        Fires with a L{Report} when the consumer has made it last.  Fails with a L{DownloadError}, after
        C{consumer.fail} was called.  Cancelling drops the connection at once and fails with C{CancelledError}.  Fails
        with C{ConsumerFailed} at once while the consumer is in use by another download, which is all that it hears of.
        """

    def head(source: Source | str) -> Deferred[Head]:
        """
        Ask what would come.  Costs a HEAD (SIZE, stat), never a body.
        Fires with a L{Head}; fails and cancels as C{download} does, also if another size is announced than is expected.
        """

    def close() -> Deferred[None]:
        """
        End what runs (it fails with C{CancelledError}), drop every connection, stop every thread.  Fires with None when
        nothing is left, never fails, and may be called again.
        """


class IBodyConsumer(IConsumer):
    """
    Where the bytes of one download go.  Called in the reactor thread, in this order::

        (begin registerProducer write* unregisterProducer)? (finish | fail)

    The producer is a push producer; a C{write} may still come after C{pauseProducing} only when it had begun before it.
    What a method raises ends the download as C{ConsumerFailed}; if that is C{begin}, C{fail} follows at once.  It has
    one download at a time, and hears of no other.  What hands on to others is a L{pulp_dl.flow.claims.IComposite}.
    """

    def begin(head: Head) -> None:
        """
        The first byte that may be released is here (or the end of an empty body).  Until now any place could supply the
        head; from now on it stands, unless the consumer is L{IRewindable}.
        """

    def finish() -> Deferred[None] | None:
        """
        All bytes came and every expectation held: make it last.  If this fails, C{fail} follows.  It is not cancelled
        half-way: a cancel waits for it.
        """

    def fail(failure: Failure) -> None:
        """
        There will be no (more) bytes: take back what can be taken back.  Holds a L{DownloadError}, or C{CancelledError}
        when cancelled.  May come before C{begin}; comes at most once; must not raise.
        """

    def gone() -> Deferred[DownloadError]:
        """
        Fires with a L{DownloadError} (C{ConsumerFailed}, C{ConsumerGone}) as soon as the consumer can take no more,
        at any time from its construction on: a disk is full, a client left.  Never fails; need never fire.
        """


class IRewindable(IBodyConsumer):
    """A consumer that can forget: a file can, a response cannot."""

    def rewind(head: Head) -> None:
        """Forget every byte; this head replaces the one before.  Comes only while a producer is registered."""


class IResumable(IRewindable):
    """A consumer that may hold bytes of an earlier run."""

    def kept() -> Deferred[Kept | None]:
        """
        What is there already, asked once, before C{begin}.  Fires with a L{Kept}, or None for nothing.  C{begin}
        then goes on behind those bytes, unless a C{rewind} directly after it forgets them.
        """


class IFetcher(Interface):
    """One protocol for one L{Remote}.  It makes one attempt at one place; retries are the engine's."""

    def open(source: Source, span: Span | None = None, same_as: Validators | None = None) -> Deferred[IBody]:
        """
        Ask for C{source.url} and wait for the answer, not for the body.

        C{source.conditions} are sent as they are; C{source.span} is not looked at: C{span} is what is wanted,
        absolute and half-open.  C{same_as} asks for the span only if the entity is still that one (If-Range); else
        for the whole.

        Fires with an L{IBody} of status 200 or 206 (its span begins where it was asked to begin), or of 304 or 416 if
        conditions or a span were given; everything else fails with a L{DownloadError}.  Cancelling aborts at once.
        """

    def head(source: Source) -> Deferred[Head]:
        """As C{open}, with no body: costs a HEAD (SIZE, stat)."""

    def close() -> Deferred[None]:
        """Abort what runs and let go of everything.  Fires when nothing is left; never fails; may be called again."""


class IBody(Interface):
    """An answer whose body has not been read.  Exactly one of C{deliver} and C{abandon} is called, and soon."""

    head: Head = Attribute("The L{Head} of the answer.")
    url: str = Attribute("The URL that answered at last, after redirects, without userinfo.")

    public: bool = Attribute("True if who answered was shown no secrets: nor will it be shown them for the rest.")

    def deliver(consumer: IConsumer) -> Deferred[None]:
        """
        Register a producer with the consumer, write every byte as it was sent, unregister the producer.

        Fires with None when the body is whole by its own framing; fails with C{Truncated}, C{ProtocolError} or
        C{ConnectFailed}, and with C{NotResumable} if a part turns out not to be of the file that its head speaks of.
        If only a FIN ended it, beneath TLS, it fails with a C{Truncated} that is C{unproven}, and is whole where a size
        or a digest shows that nothing is missing.
        No write comes after it has fired.  The consumer may pause (then at most one receive buffer still comes), and
        may cancel the Deferred from inside a write.  Cancelling aborts at once, paused or not, and fails with
        C{CancelledError}.  If the whole body is there already, all of this may happen before C{deliver} returns; there
        is nothing to cancel then.
        """

    def abandon() -> None:
        """The body is not wanted.  The connection is freed at once."""


class IMirrors(Interface):
    """Where else a file may be had.  Never sees a connection, so it serves every protocol."""

    def locate(source: Source, direct: IDownloader) -> Iterable[Source] | AsyncIterable[Source] | Awaitable[Any]:
        """
        Places for this source, best first: an iterable, an async iterable, or an awaitable of either.  It is read
        lazily, once for each download.  C{source.at(url)} is another place.  If it fails with a L{DownloadError} (a
        list could not be fetched), the source's own URL is asked.

        @param direct: downloads without mirrors, for a list that has to be fetched itself.
        """

    def record(attempt: Attempt) -> None:
        """Learn from what an attempt did.  Must not raise."""


class IExpectation(Interface):
    """Something a body has to be."""

    enforced: bool = Attribute("False: a mismatch is reported in the Report, not raised.")
    partial: bool = Attribute("True if it also holds for a part (206); Size and Digest do not.")

    def start() -> ICheck:
        """A fresh check, for one pass over one body."""


class ICheck(Interface):
    """One pass of an L{IExpectation} over one body."""

    def update(data: bytes) -> None:
        """The next bytes.  May run in a worker thread: in order, never two at once."""

    def verify() -> Mapping[str, object]:
        """
        The end has come.  Return the facts that were found, such as C{{"sha256": "..."}}.

        @raise ValidationError: the bytes are not those that were expected.
        """


class ICopyableCheck(ICheck):
    """A check whose state can be copied: one body that is shared may then go on by several ways."""

    def copy() -> ICopyableCheck:
        """Another check, which has seen the same bytes; each goes on by itself."""


class IAuth(Interface):
    """Credentials as a value, in C{Remote.auth}."""

    def start(direct: IDownloader) -> IAuthenticator:
        """What all downloads of a Remote share.  C{direct} is as it says, without its C{auth}, mirrors and retries."""


class IAuthenticator(Interface):
    """
    Puts credentials on requests; asked only for the origin that the secrets belong to.  What it raises or fails with
    ends the attempt, as C{Refused} unless it is a L{DownloadError}.  Its Deferreds, or coroutines, are cancelled with
    the download.  If it has C{answered(method, url, head, sent)}, that is called for each answer that is no 401.
    """

    def authorize(method: bytes, url: str, headers: dict[bytes, bytes]) -> Any:
        """
        Add fields to C{headers}: any that C{Remote.headers} may have, others are C{Refused}.  Returns whatever
        identifies what was sent, or an awaitable of it.
        """

    def challenged(method: bytes, url: str, head: Head, sent: Any) -> Awaitable[bool]:
        """
        The server answered 401: once for each URL of a chain, and once more if nothing had been sent.  Fires with True
        if it is worth asking again; refreshes once, and only if C{sent} is still what would be sent.
        """


class IProxies(Interface):
    """Which proxy leads where, as a value in C{Remote.proxy}."""

    def to(place: URL) -> Proxy | None:
        """The L{Proxy} to ask for this place, or None to go there directly.  Always the same for one origin."""


class IScheme(IPlugin):
    """A protocol, found by C{twisted.plugin}."""

    names: tuple[str, ...] = Attribute("URL schemes, lower case.")

    def fetcher(reactor: Any, remote: Remote, shared: IShared) -> IFetcher:
        """A fetcher of this protocol for a Remote; made once for each Remote and Downloader."""


class IShared(Interface):
    """What all fetchers of one Downloader share."""

    slots: ISlots = Attribute("L{ISlots}: no socket is opened without one.")
    workers: IWorkers = Attribute("L{IWorkers} for work that would block the reactor.")
    timers: Clock = Attribute("C{seconds} and C{callLater} as a reactor has them, for limits of time.")
    direct: IDownloader = Attribute("L{IDownloader} without mirrors, for what a protocol has to fetch itself.")

    def keep(name: str, make: Callable[[], Any]) -> Any:
        """
        The one object of this name for the life of the Downloader, made at first use: a connection pool.  If it has
        C{close()}, that is called, and its Deferred awaited, when the Downloader closes.
        """

    def requests(remote: Remote) -> Callable[[], Deferred[None]] | None:
        """
        What to call before each request, and before its slot is taken: the Deferred fires when it may be sent, in the
        order of asking; cancelling leaves the queue.  None if C{Limits.requests_per_second} is no limit.
        """


class ISlots(Interface):
    """The right to hold open sockets, in total and per host."""

    def acquire(host: object, sockets: int = 1) -> Deferred[ISlot]:
        """
        Fires with an L{ISlot} when there is room, in the order of asking.  Cancelling leaves the queue.

        @param sockets: for how many at a time, all or none: who held one and waited for another might wait for ever.
            Where fewer are allowed at all, it is for as many as are allowed.
        """


class ISlot(Interface):
    """One open socket, or several of one owner, who gives it back when they are closed, not before."""

    def release() -> None:
        """The socket is closed.  May be called again."""

    def park(evict: Callable[[], None]) -> None:
        """
        The socket idles.  C{evict} may be called when somebody else needs the place: it closes the socket, which then
        leads to C{release}.
        """

    def unpark() -> None:
        """The socket is used again."""

    def owed(request: Deferred[ISlot]) -> bool:
        """
        Before the socket is used again for whoever made this C{request} and still waits: True if somebody asked
        earlier, has waited too long, and would be served by its place.  Then it is to be parked, and will be evicted.
        """


class IWorkers(Interface):
    """A few threads of our own, for disks and long hashes (the reactor's are for getaddrinfo)."""

    def lane(relieved: Callable[[], None], failed: Callable[[Failure], None], limit: int | None = 1 << 20) -> Any:
        """
        A L{pulp_dl.flow.workers.Lane}: jobs in order on some worker thread, never two at once.

        @param limit: weight of jobs at which it is full; None for a share of what all lanes may have.
        """

    def run(job: Callable[[], Any]) -> Deferred[Any]:
        """One job alone.  Fires with its result.  Cancelling lets it run to its end unheard."""


class IWorkerUser(Interface):
    """A consumer that has work for threads."""

    def use(workers: IWorkers) -> None:
        """These are the Downloader's threads.  Called once, before anything else."""


class IImporter(Interface):
    """Who knows what is published: all that a streamer asks."""

    def find(path: str) -> Deferred[tuple[IDownloader, Source]]:
        """
        What is published at this path, and who can bring it.  The downloader stays the importer's: whoever asks never
        closes it.  Fires with both; fails with C{KeyError} if there is nothing there.  Cancelling fails with
        C{CancelledError}.

        @param path: decoded once, begins with one slash, has no segment C{.} or C{..} and no control character.
        """

    def close() -> Deferred[None]:
        """Let go of everything.  Fires when nothing is left; never fails; may be called again."""


class IListing(IImporter):
    """An importer that can tell what is in a directory."""

    def list(path: str) -> Deferred[Iterable[Entry]]:
        """
        What is directly in this directory, in the order to be shown; the iterable may be lazy.  Fires with it; fails
        with C{KeyError} if there is no such directory.

        @param path: as for C{find}, with a slash at its end.
        """


class IExchange(Interface):
    """One request of a client and what became of it.  It changes while it runs; look, and change nothing."""

    method: str = Attribute("As the client sent it.")
    path: str = Attribute("What was asked for, decoded, fit to be printed; without the query.")
    client: str = Attribute("The client's address.")
    began_at: float = Attribute("Seconds, on the clock of the reactor.")
    status: int | None = Attribute("The status of the answer, or None before there is one.")
    sent: int = Attribute("Bytes of the body that were handed to the network.")
    total: int | None = Attribute("Bytes of the body that will be sent, if that is known.")
    url: str | None = Attribute("Where it comes from, masked, or None while that is not known.")
    report: Report | None = Attribute("The L{Report} of a download that went well.")
    error: BaseException | None = Attribute("Why there was no answer, or no whole one.")


class ITold(Interface):
    """Is told of every request.  Called in the reactor thread; must not raise."""

    def began(exchange: IExchange) -> None:
        """A request is there."""

    def ended(exchange: IExchange) -> None:
        """It has been answered, or broken off; exactly once for each that began."""
