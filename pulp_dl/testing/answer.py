"""Right answers for scripts: an honest HTTP server in one step, to be cut, dripped and mixed with wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import responses
from typing import Literal

from attrs import frozen

from ..model.headers import Pairs
from .entity import Entity, History, Reply
from .script import Act, Chunk, Close, Request, Send, Step

__all__ = ["Framing", "Respond", "answer", "redirect", "response_head"]

Framing = Literal["length", "chunked", "close"]


def response_head(status: int, headers: Pairs = (), reason: bytes | None = None, version: bytes = b"HTTP/1.1") -> bytes:
    """The head of a response as it goes on the wire, with its empty line.  Nothing is checked: it may be wrong."""
    if reason is None:
        reason = responses.get(status, "Unknown").encode("ascii")
    lines = (b"%s %d %s" % (version, status, reason), *(name + b": " + value for name, value in headers))
    return b"".join(line + b"\r\n" for line in (*lines, b""))


@frozen
class Respond(Step):
    """
    The answer of an honest server.

    @ivar entity: what it has; C{status}: None for what the request asks for, else always this one, with the whole body.
    @ivar headers: more fields.
    @ivar framing: how the end of the body is told: Content-Length, the last chunk, or the end of the connection.
    @ivar piece: bytes in one Send, or one chunk.
    """

    entity: Entity | History
    status: int | None = None
    headers: Pairs = ()
    framing: Framing = "length"
    piece: int = 65536

    def acts(self, request: Request) -> Iterator[Act]:
        entity = self.entity.at(request.nth) if isinstance(self.entity, History) else self.entity
        reply = entity.reply(request.method, request.headers)
        if self.status is not None:
            reply = Reply(self.status, entity.whole().headers, entity.data)
        bodiless = reply.status in {204, 304} or reply.status < 200
        closing = self.framing == "close" or (request.get(b"connection") or b"").lower() == b"close"
        fields = (*reply.headers, *self.headers, *(() if bodiless else self._framing(len(reply.body))))
        yield Send(response_head(reply.status, (*fields, (b"Connection", b"close")) if closing else fields))
        if not bodiless and request.method != "HEAD":
            yield from self._body(reply.body)
        if closing:
            yield Close()

    def _framing(self, length: int) -> Pairs:
        return {
            "length": ((b"Content-Length", b"%d" % length),),
            "chunked": ((b"Transfer-Encoding", b"chunked"),),
            "close": (),
        }[self.framing]

    def _body(self, body: bytes) -> Iterator[Act]:
        for at in range(0, len(body), self.piece):
            piece = body[at : at + self.piece]
            yield Send(Chunk(piece).wire if self.framing == "chunked" else piece)
        if self.framing == "chunked":
            yield Send(Chunk(b"").wire)


def answer(
    body: bytes | Entity | History = b"",
    status: int | None = None,
    headers: Pairs = (),
    framing: Framing = "length",
    piece: int = 65536,
) -> Respond:
    """
    The right answer to any request for this body: HEAD, Range, If-Range and conditions as RFC 9110 has them.

    @param body: bytes stand for C{Entity(body)}; with a status of its own they have no validators.
    @param status: always this status, with the whole body: C{answer(b"later", 503)}.
    """
    if isinstance(body, bytes):
        body = Entity(body) if status is None else Entity(body, etag=None, ranges=False)
    return Respond(body, status, tuple(headers), framing, piece)


def redirect(location: str | bytes, status: int = 302, body: bytes = b"") -> Respond:
    """The answer that sends a client elsewhere."""
    value = location if isinstance(location, bytes) else location.encode("utf-8")
    return answer(body, status, ((b"Location", value),))
