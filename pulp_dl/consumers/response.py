"""A body as the answer to an HTTP request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from ..errors import ConsumerFailed, ConsumerGone, DownloadError, TooLarge
from ..interfaces import IBodyConsumer
from ..model.headers import Pairs, find
from ..model.source import Head, Source
from .answers import Answers, etag_of, size_of
from .plain import PHRASES, Plain, answer_to

if TYPE_CHECKING:
    from twisted.web.http import Request

__all__ = ["Outdated", "ToResponse"]


class Outdated(ConsumerFailed):
    """
    The client has a part of another file than the one that is there.  Its condition (If-Range) went with the first
    attempt only, and a later one has found this; so the whole is to be asked for (RFC 9110 section 13.1.5).
    """

    answer = 503


@implementer(IBodyConsumer, IPushProducer)
class ToResponse:
    """
    Answers a request of C{twisted.web} over HTTP/1: C{downloader.download(source, ToResponse(request))}.

    It cannot forget, so its end is held back until every check has passed.  What fails before the first byte is
    answered with a status; what fails later breaks the connection, so that no client takes it for a whole file.

    Fields go out as they came in, in order and case; those of C{request.responseHeaders} follow them.

    @ivar answers: how it is answered; may be replaced before C{begin}.
    @ivar asks_again: whoever downloads asks for the whole after L{Outdated}; else that is answered.
    @ivar status: of the answer, or None before there is one.
    @ivar total: bytes of the body that was announced, or None.
    @ivar ended: True if nothing more will be said.
    """

    def __init__(self, request: Request, answers: Answers | None = None, source: Source | None = None) -> None:
        self._request = request
        self.answers = answers or Answers()
        self.asks_again = False
        self._etag: bytes | None = None
        self._size: int | None = None
        self._mutable = False
        self._if_range: bytes | None = None
        if source is not None:
            self.asked_for(source)
        self.status: int | None = None
        self.total: int | None = None
        self.ended = False
        self._head = b""  # goes out with the first bytes of the body
        self._last = b""
        self._bodiless = request.method == b"HEAD"
        self._producer: Any = None
        self._registered = False
        self._leaving: list[Deferred[DownloadError]] = []
        self._left = getattr(request, "channel", None) is None
        if not self._left:
            when_lost = getattr(request, "when_lost", None)
            if when_lost is None:
                request.notifyFinish().addErrback(self._leave)
            else:  # for the streamer's own requests, which tell without a Deferred
                when_lost(self._leave)

    def asked_for(self, source: Source) -> None:
        """
        This is what the client asks for: its digest gives the ETag, and its size the length that an origin did not
        tell.  Only before C{begin}.
        """
        self._etag, self._size, self._mutable = etag_of(source), size_of(source), source.mutable
        self._if_range = find(source.conditions, b"if-range") if source.conditions else None

    # the client

    def gone(self) -> Deferred[DownloadError]:
        leaving: Deferred[DownloadError] = Deferred()
        if self._left and not self.ended:
            leaving.callback(ConsumerGone("the client left"))
        else:
            self._leaving.append(leaving)
        return leaving

    def _leave(self, _: Failure | None = None) -> None:
        self._left = True
        leaving, self._leaving = self._leaving, []
        if not self.ended:
            for each in leaving:
                each.callback(ConsumerGone("the client left"))

    # the body

    def begin(self, head: Head) -> None:
        if self._over:
            return
        if head.status == 416:  # what came with it speaks of another answer's body
            of = b"*" if head.total is None else b"%d" % head.total
            self.say(Plain(416, ((b"Content-Range", b"bytes */" + of),)))
            return
        judged = head.status != 206 or self._etag is not None or self._if_range is None
        if not judged and self._if_range not in {head.etag, head.get(b"last-modified")}:
            raise Outdated("the part is not of the file that the client has", head.url)
        self.total = self._length(head)
        self._start(head.status, self.answers.fields(head, self.total, self._etag, mutable=self._mutable))

    def _length(self, head: Head) -> int | None:
        if head.status == 304:  # a length would be the file's, which nobody knows
            return None
        return self._size if head.length is None and head.whole else head.length

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._over:
            return
        self._producer = producer
        if not streaming:
            self._register(streaming=False)

    def _register(self, *, streaming: bool) -> None:
        self._registered = True
        self._request.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        self._producer = None
        if self._registered:
            self._registered = False
            if not self._left:
                self._request.unregisterProducer()

    def write(self, data: bytes) -> None:
        if self.ended or self._left or self._bodiless:
            return
        if self.total is not None:
            left = self.total - self._request.sentLength - len(self._last) - len(data)
            if left < 0:
                raise TooLarge(self.total)
            if left == 0:
                # With it the client would have all, and C{finish} has not been called.
                self._last += data
                return
        if self._producer is not None and not self._registered:
            self._register(streaming=True)  # most bodies are at their end by now, and have nothing to pause
        self._send(data)

    def finish(self) -> None:
        if self.ended:
            return
        if self._left:
            raise ConsumerGone("the client left")
        given = self._request.sentLength + len(self._last)
        if not self._bodiless and self.total not in {None, given}:
            # No client would ever take it for whole, and some wait for the rest.
            raise ConsumerFailed(f"{given} bytes were given of {self.total}")
        self._end()
        self._send(self._last)
        self._request.finish()

    def _send(self, data: bytes) -> None:
        request: Any = self._request
        request.sentLength += len(data)
        if request.chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            request.channel.write(data)

    def fail(self, failure: Failure) -> None:
        if self._over or (self.asks_again and failure.check(Outdated)):
            return
        if self.status is None or self._head:  # the client has heard nothing yet
            self._unsay()
            error: Any = failure.value
            self.say(answer_to(error))
        else:
            self.cut()

    # what an answer is made of

    def say(self, plain: Plain) -> None:
        """Answer in our own words.  Only before C{begin}."""
        self._end()
        self.total = len(plain.text)
        fields = plain.head()
        caching = self.answers.caching(self._etag, mutable=self._mutable) if plain.status == 304 else None
        if caching is not None:
            fields += ((b"Cache-Control", caching),)
        self._start(plain.status, fields)
        self._send(b"" if self._bodiless else plain.text)
        self._request.finish()

    def cut(self) -> None:
        """
        Break the connection: a reset, whatever the framing.  A body that ends where the connection does (HTTP/1.0)
        would otherwise look whole, and what is still buffered for a slow client would go on for as long as that likes.
        """
        self._end()
        transport: Any = self._request.transport
        transport.abortConnection()

    def _unsay(self) -> None:
        request: Any = self._request
        request.chunked = 0
        self.status, self._head, self._last = None, b"", b""
        self._bodiless = request.method == b"HEAD"

    def _end(self) -> None:
        self.ended = True
        self._leaving.clear()  # who waits there leads back here, and a collector would have to find it

    def _start(self, status: int, fields: Pairs) -> None:
        request: Any = self._request
        self.status = request.code = status
        self._bodiless = self._bodiless or status == 304
        lines = [b"HTTP/1.1 %d %b" % (status, PHRASES[status]), *map(b": ".join, fields)]
        own = request.responseHeaders
        lines += [b"%b: %b" % (name, value) for name, values in own.getAllRawHeaders() for value in values]
        modern = request.clientproto == b"HTTP/1.1"
        if not modern and not own.hasHeader(b"connection"):
            lines.append(b"Connection: close")
        if modern and self.total is None and not self._bodiless:
            request.chunked = 1
            lines.append(b"Transfer-Encoding: chunked")
        lines.append(b"\r\n")
        # Not by request.write: that would spell the names in its own way.
        request.startedWriting = 1
        self._head = b"\r\n".join(lines)

    @property
    def _over(self) -> bool:
        return self.ended or self._left

    # the client's connection, towards the producer

    def pauseProducing(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The connection was lost; C{gone} tells."""
