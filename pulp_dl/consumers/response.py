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

__all__ = ["ToResponse"]


@implementer(IBodyConsumer, IPushProducer)
class ToResponse:
    """
    Answers a request of C{twisted.web} over HTTP/1: C{downloader.download(source, ToResponse(request))}.

    It cannot forget, so its end is held back until every check has passed.  What fails before the first byte is
    answered with a status; what fails later breaks the connection, so that no client takes it for a whole file.

    Fields go out as they came in, in order and case; those of C{request.responseHeaders} follow them.

    @ivar answers: how it is answered; may be replaced before C{begin}.
    @ivar status: of the answer, or None before there is one.
    @ivar total: bytes of the body that was announced, or None.
    @ivar ended: True if nothing more will be said.
    """

    def __init__(self, request: Request, answers: Answers | None = None, source: Source | None = None) -> None:
        self._request = request
        self.answers = answers or Answers()
        self._etag: bytes | None = None
        self._size: int | None = None
        self._if_range: bytes | None = None
        if source is not None:
            self.asked_for(source)
        self.status: int | None = None
        self.total: int | None = None
        self.ended = False
        self._last = b""
        self._producer: Any = None
        self._leaving: list[Deferred[DownloadError]] = []
        self._left = getattr(request, "channel", None) is None
        if not self._left:
            request.notifyFinish().addErrback(self._leave)

    def asked_for(self, source: Source) -> None:
        """
        This is what the client asks for: its digest gives the ETag, and its size the length that an origin did not
        tell.  Only before C{begin}.
        """
        self._etag, self._size = etag_of(source), size_of(source)
        self._if_range = find(source.conditions, b"if-range")

    # the client

    def gone(self) -> Deferred[DownloadError]:
        leaving: Deferred[DownloadError] = Deferred()
        if self._left and not self.ended:
            leaving.callback(ConsumerGone("the client left"))
        else:
            self._leaving.append(leaving)
        return leaving

    def _leave(self, _: Failure) -> None:
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
        known = {None, head.etag, head.get(b"last-modified")}
        if head.status == 206 and self._etag is None and self._if_range not in known:
            # The condition went with the first attempt only; another one may have found another file.
            raise ConsumerFailed("the part is not of the file that the client has", head.url)
        self.total = self._length(head)
        self._start(head.status, self.answers.fields(head, self.total, self._etag))

    def _length(self, head: Head) -> int | None:
        if head.status == 304:  # a length would be the file's, which nobody knows
            return None
        return self._size if head.length is None and head.whole else head.length

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not self._over:
            self._producer = producer
            self._request.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        if self._producer is not None:
            self._producer = None
            if not self._left:
                self._request.unregisterProducer()

    def write(self, data: bytes) -> None:
        if self._over or self._bodiless:
            return
        if self.total is not None:
            left = self.total - self._request.sentLength - len(self._last) - len(data)
            if left < 0:
                raise TooLarge(self.total)
            if left == 0:
                # With it the client would have all, and C{finish} has not been called.
                self._last += data
                return
        self._request.write(data)

    def finish(self) -> None:
        if self.ended:
            return
        if self._left:
            raise ConsumerGone("the client left")
        given = self._request.sentLength + len(self._last)
        if not self._bodiless and self.total not in {None, given}:
            # No client would ever take it for whole, and some wait for the rest.
            raise ConsumerFailed(f"{given} bytes were given of {self.total}")
        if self._last:
            self._request.write(self._last)
        self._end()
        self._request.finish()

    def fail(self, failure: Failure) -> None:
        if self._over:
            return
        if self.status is None:
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
        if plain.status == 304 and self.answers.max_age is not None:
            fields += ((b"Cache-Control", self.answers.caching),)
        self._start(plain.status, fields)
        if not self._bodiless:
            self._request.write(plain.text)
        self._request.finish()

    def cut(self) -> None:
        """
        Break the connection: a reset, whatever the framing.  A body that ends where the connection does (HTTP/1.0)
        would otherwise look whole, and what is still buffered for a slow client would go on for as long as that likes.
        """
        self._end()
        transport: Any = self._request.transport
        transport.abortConnection()

    def _end(self) -> None:
        self.ended = True
        self._leaving.clear()  # who waits there leads back here, and a collector would have to find it

    def _start(self, status: int, fields: Pairs) -> None:
        request: Any = self._request
        self.status = request.code = status
        own = [(name, value) for name, values in request.responseHeaders.getAllRawHeaders() for value in values]
        if request.clientproto != b"HTTP/1.1" and not request.responseHeaders.hasHeader(b"connection"):
            own.append((b"Connection", b"close"))
        if find(fields, b"content-length") is None and not self._bodiless and request.clientproto == b"HTTP/1.1":
            request.chunked = 1
            own.append((b"Transfer-Encoding", b"chunked"))
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, PHRASES[status])]
        lines += [b"%b: %b\r\n" % pair for pair in (*fields, *own)]
        lines.append(b"\r\n")
        # Not by request.write: that would spell the names in its own way.
        request.startedWriting = 1
        request.channel.write(b"".join(lines))

    @property
    def _over(self) -> bool:
        return self.ended or self._left

    @property
    def _bodiless(self) -> bool:
        return self.status == 304 or bool(self._request.method == b"HEAD")

    # the client's connection, towards the producer

    def pauseProducing(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The connection was lost; C{gone} tells."""
