"""ToResponse keeps the promises of a consumer, in every framing and with any request of twisted.web."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, Request

from pulp_dl import Head, Source, Span
from pulp_dl.consumers.response import Outdated, ToResponse
from pulp_dl.errors import ConsumerFailed, ConsumerGone, TooLarge, Truncated, Unavailable
from pulp_dl.testing.checks import ConsumerCase, check_consumer
from tests.streamer.client import Client, Seen, request
from tests.streamer.serving import until

HEAD = Head("http://a/f", 200, ((b"Content-Length", b"3"),), 3, None, 3)


class Asked:
    """A plain server of twisted.web that was asked one thing by one client."""

    request: Any

    def __init__(self, client: Client, seen: list[Seen]) -> None:
        self.client = client
        self._seen = seen

    def read(self) -> bytes | None:
        """What the client takes for a complete file."""
        return next((seen.body for seen in self._seen if seen.whole and seen.status in {200, 206}), None)


@asynccontextmanager
async def asking(reactor: Any, raw: bytes) -> AsyncIterator[Asked]:
    arrived: Deferred[Request] = Deferred()

    class Kept(Request):
        def process(self) -> None:
            arrived.callback(self)

    factory = HTTPFactory(reactor=reactor)
    factory.log = lambda request: None
    build = factory.buildProtocol

    def made(addr: Any) -> Any:
        protocol: Any = build(addr)
        protocol.requestFactory = Kept
        return protocol

    factory.buildProtocol = made
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    client: Client = await endpoint.connect(Factory.forProtocol(Client))
    seen: list[Seen] = []
    client.ask(raw).addCallback(seen.append)
    asked = Asked(client, seen)
    asked.request = await arrived
    try:
        yield asked
    finally:
        await client.close()
        await port.stopListening()


def to_response(raw: bytes) -> Any:
    @asynccontextmanager
    async def make(reactor: Any) -> AsyncIterator[ConsumerCase]:
        async with asking(reactor, raw) as asked:
            yield ConsumerCase(ToResponse(asked.request), lambda: _read(reactor, asked))

    return make


async def _read(reactor: Any, asked: Asked) -> bytes | None:
    """When what was written has arrived, if the answer was finished."""
    if asked.request.finished:
        await until(reactor, lambda: asked._seen)
    return asked.read()


class TestKept(check_consumer(to_response(request()))):  # type: ignore[misc]  # the class is made at run time
    """On a connection that is kept."""


class TestClosed(check_consumer(to_response(request("/f", "Connection: close")))):  # type: ignore[misc]  # as above
    """On one that is closed afterwards."""


class TestOld(check_consumer(to_response(request(version="1.0")))):  # type: ignore[misc]  # as above
    """For HTTP/1.0, where a body of unknown length ends with the connection."""


def asked_by_get(reactor: Any) -> AbstractAsyncContextManager[Asked]:
    return asking(reactor, request())


async def test_gone_fires_when_the_client_leaves_before_the_first_byte(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request)
        first, second = response.gone(), response.gone()
        await asked.client.close()

        assert isinstance(await first, ConsumerGone)
        assert isinstance(await second, ConsumerGone)
        assert isinstance(await response.gone(), ConsumerGone)
        response.begin(HEAD)  # all of it is allowed, and goes nowhere
        response.registerProducer(object(), True)
        response.write(b"abc")
        response.unregisterProducer()
        with pytest.raises(ConsumerGone):
            response.finish()
        response.fail(Failure(Truncated(1)))


async def test_a_response_to_a_client_that_has_left_already_is_gone_from_the_start(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        left = asked.request.notifyFinish()
        await asked.client.close()
        await left.addErrback(lambda _: None)

        assert isinstance(await ToResponse(asked.request).gone(), ConsumerGone)


async def test_gone_does_not_fire_for_a_client_that_leaves_with_its_answer(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request)
        gone: list[object] = []
        response.gone().addCallback(gone.append)
        response.begin(HEAD)
        response.write(b"abc")
        response.finish()
        await until(reactor, lambda: asked.read() == b"abc")
        await asked.client.close()

        assert gone == []


async def test_more_bytes_than_were_announced_are_refused(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request)
        response.begin(HEAD)
        response.write(b"ab")
        with pytest.raises(TooLarge):
            response.write(b"cd")
        response.fail(Failure(TooLarge(3)))

        assert not await asked.client.lost


async def test_fewer_bytes_than_were_announced_are_never_a_whole_answer(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request)
        response.begin(HEAD)
        response.write(b"ab")
        with pytest.raises(ConsumerFailed):
            response.finish()
        response.fail(Failure(ConsumerFailed("so the download fails")))

        assert not await asked.client.lost
        assert asked.read() is None


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("length", [100, None])
async def test_a_failure_after_the_first_byte_is_a_reset_in_every_framing(
    reactor: Any, version: str, length: int | None
) -> None:
    async with asking(reactor, request(version=version)) as asked:
        response = ToResponse(asked.request)
        response.begin(Head("http://a/f", 200, (), length))
        response.write(b"abc")
        await until(reactor, lambda: asked.client.raw.endswith(b"abc") or b"abc" in asked.client.raw)
        response.fail(Failure(Truncated(3)))

        assert not await asked.client.lost
        assert not asked._seen[0].whole
        assert asked._seen[0].body == b"abc"


async def test_a_failure_before_the_first_byte_is_a_status_without_a_word_of_anybody_else(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        ToResponse(asked.request).fail(Failure(Unavailable(503, "secret", "http://u:secret@a/?token=secret", 1.2)))
        await until(reactor, lambda: asked._seen)
        seen = asked._seen[0]

        assert (seen.status, seen.get("retry-after"), seen.get("cache-control")) == (503, b"2", b"no-store")
        assert b"secret" not in bytes(asked.client.raw)


@pytest.mark.parametrize("length", [3, None])
async def test_a_failure_between_the_head_and_the_first_byte_is_a_status_too(reactor: Any, length: int | None) -> None:
    """The head has not gone out, and what it said of the framing does not hold for what is said instead."""
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request)
        response.begin(Head("http://a/f", 200, ((b"X-Bear", b"brown"),), length, None, length))
        response.fail(Failure(Unavailable(503)))
        await until(reactor, lambda: asked._seen)
        seen = asked._seen[0]

        assert (seen.status, seen.whole, seen.get("x-bear")) == (503, True, None)
        assert seen.get("content-length") == b"%d" % len(seen.body)
        assert asked.client.raw.endswith(b"\r\n\r\n" + seen.body)
        assert b"Unavailable" in seen.body


async def test_a_head_gets_no_byte_of_the_body_that_is_brought_for_it(reactor: Any) -> None:
    async with asking(reactor, request(method="HEAD")) as asked:
        response = ToResponse(asked.request)
        response.begin(HEAD)
        response.write(b"abc")
        response.finish()
        await until(reactor, lambda: asked._seen)

        assert asked._seen[0].get("content-length") == b"3"
        assert asked.client.raw.endswith(b"\r\n\r\n")


async def test_fields_of_the_request_object_follow_those_of_the_answer(reactor: Any) -> None:
    async with asked_by_get(reactor) as asked:
        asked.request.responseHeaders.setRawHeaders(b"Server", [b"mine"])
        response = ToResponse(asked.request)
        response.begin(HEAD)
        response.write(b"abc")
        response.finish()
        await until(reactor, lambda: asked._seen)

        assert asked._seen[0].fields[-1] == (b"Server", b"mine")


async def test_a_part_that_is_not_of_the_file_the_client_has_is_refused(reactor: Any) -> None:
    part = Head("http://a/f", 206, ((b"ETag", b'"2"'),), 3, Span(0, 3), 9)
    async with asked_by_get(reactor) as asked:
        response = ToResponse(asked.request, source=Source("http://a/f", conditions=((b"If-Range", b'"1"'),)))
        with pytest.raises(Outdated) as caught:
            response.begin(part)
        response.fail(Failure(caught.value))
        await until(reactor, lambda: asked._seen)

        assert asked._seen[0].status == 503
