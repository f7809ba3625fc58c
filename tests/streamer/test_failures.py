"""What fails is seen by the client, told to who listens, and says nothing that is not the client's to know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from pulp_dl import TLS, Basic, Digest, Places, Remote, Retries, Size, Source, Timeouts
from pulp_dl.errors import ConsumerGone, DigestMismatch, DownloadError, Truncated, Unavailable
from pulp_dl.testing import Close, Cut, CutTLS, Entity, Hold, Nth, Reset, Send, ServerTLS, answer
from pulp_dl.testing.strategies import bodies, faults, framings
from tests.streamer.serving import serving, sha256, until

DATA = bytes(range(250)) * 4000  # 1,000,000 bytes
SHA = sha256(DATA)
BAD = DATA[:-1] + b"!"


# ---- before the first byte: a status


@pytest.mark.parametrize(
    ("script", "status", "fields"),
    [
        (answer(b"secret", 404), 404, {}),
        (answer(b"secret", 410), 404, {}),
        (answer(b"secret", 401), 502, {}),
        (answer(b"secret", 403), 502, {}),
        (answer(b"secret", 418), 502, {}),
        (answer(b"secret", 500), 503, {}),
        (answer(b"secret", 503, ((b"Retry-After", b"7"),)), 503, {"retry-after": b"7"}),
        (answer(b"secret", 429, ((b"Retry-After", b"99999999"),)), 503, {"retry-after": b"86400"}),
        (Hold(), 504, {}),
        (Reset(), 502, {}),
        (Close(), 502, {}),
        (Send(b"secret\r\n\r\n"), 502, {}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_file_that_cannot_be_had_is_a_status_in_our_own_words(
    reactor: Any, script: Any, status: int, fields: dict[str, bytes], method: str
) -> None:
    remote = Remote(auth=Basic("elmer", "secret"), retries=Retries(count=0), timeouts=Timeouts(head=0.2, idle=0.2))
    async with serving(
        reactor, script, lambda origin: {"/f": Source(origin.url("/f?token=secret"), SHA)}, remote=remote
    ) as served:
        client = await served.connect()
        seen = await client.ask(f"{method} /f HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await client.close()

        assert seen.status == status
        assert seen.get("cache-control") == b"no-store"
        assert {name: seen.get(name) for name in fields} == fields
        assert seen.get("content-type") == b"text/plain; charset=us-ascii"
        assert b"secret" not in client.raw
        assert str(served.origin.port).encode() not in client.raw


@pytest.mark.parametrize("size", [1, 1000, 65_536])
async def test_a_small_body_is_judged_before_the_status_is_sent(reactor: Any, size: int) -> None:
    async with serving(reactor, answer(BAD[-size:]), expect=sha256(DATA[-size:])) as served:
        assert (await served.ask()).status == 502


async def test_an_error_that_cannot_be_answered_breaks_the_connection_and_is_told_of(
    reactor: Any, logged_errors: Any
) -> None:
    """An importer may be anybody's; whoever counts requests has to hear that this one is over."""
    broken: Any = "soon"  # no number of seconds
    async with serving(reactor, answer(DATA), lambda _: {"/f": Unavailable(503, retry_after=broken)}) as served:
        seen = await served.ask()
        exchange = await served.ended()

        assert isinstance(exchange.error, Unavailable)
        assert seen.status is None
        assert len(logged_errors.flush(TypeError)) == 1


async def test_an_importer_that_fails_is_a_500_and_an_error_of_ours(reactor: Any, logged_errors: Any) -> None:
    async with serving(reactor, answer(DATA), lambda _: {"/f": ZeroDivisionError("secret")}) as served:
        seen = await served.ask()

        assert (seen.status, b"secret" in seen.body) == (500, False)
        assert len(logged_errors.flush(ZeroDivisionError)) == 1


# ---- after it: a broken connection


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("end", [None, Reset(), Close(), Hold()], ids=["bad", "reset", "closed", "stalled"])
async def test_a_body_that_fails_is_never_a_whole_one(reactor: Any, version: str, framing: Any, end: Any) -> None:
    script = Cut(answer(DATA, framing=framing), 500_000, end) if end else answer(BAD, framing=framing)
    remote = Remote(retries=Retries(count=0), timeouts=Timeouts(idle=0.2))
    async with serving(reactor, script, expect=SHA, remote=remote) as served:
        client = await served.connect()
        seen = await client.ask(f"GET /f HTTP/{version}\r\nHost: a\r\n\r\n".encode())

        assert not await client.lost  # a reset
        assert (seen.status, seen.whole) == (200, False)
        assert DATA.startswith(seen.body)
        assert len(seen.body) < len(DATA)
        ended = await served.ended()
        assert isinstance(ended.error, DownloadError if end else DigestMismatch)
        assert (ended.report, ended.status) == (None, 200)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_without_a_digest_a_broken_body_is_a_broken_answer(reactor: Any, framing: Any) -> None:
    script = Cut(answer(Entity(DATA, etag=None, ranges=False), framing=framing), 500_000, Close())
    async with serving(reactor, script, remote=Remote(retries=Retries(count=0))) as served:
        seen = await served.ask()

        assert not seen.whole
        assert isinstance((await served.ended()).error, Truncated)


@pytest.mark.parametrize(
    ("expect", "whole"),
    [(SHA, True), (Size(len(DATA)), True), (sha256(BAD), False), (Size(len(BAD) + 1), False), ((), False)],
)
async def test_an_end_over_tls_that_nobody_has_confirmed_is_passed_on_if_it_is_proven(
    reactor: Any, expect: Any, whole: bool
) -> None:
    ca = trustme.CA()
    identity = ServerTLS(ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    remote = Remote(tls=TLS(ca=ca.cert_pem.bytes()), retries=Retries(count=0))
    script = Cut(answer(DATA, framing="close"), len(DATA), CutTLS())
    async with serving(reactor, script, expect=expect, remote=remote, tls=identity) as served:
        seen = await served.ask()

        assert (seen.status, seen.whole) == (200, whole)
        assert seen.body == DATA if whole or not expect else len(seen.body) < len(DATA)
        ended = await served.ended()
        assert (ended.error is None) is whole


# ---- healing


@pytest.mark.parametrize("fault", [Reset(), Close(), Hold()], ids=["reset", "closed", "stalled"])
async def test_an_origin_that_breaks_off_is_resumed_and_the_client_gets_one_whole_body(
    reactor: Any, fault: Any
) -> None:
    script = Nth([Cut(answer(DATA), 500_000, fault), answer(DATA)])
    async with serving(reactor, script, expect=SHA) as served:
        seen = await served.ask()

        assert (seen.whole, seen.body) == (True, DATA)
        report = (await served.ended()).report
        assert sum(each.received for each in report.attempts) == len(DATA)  # 1.00 of it
        assert [each.offset for each in report.attempts] == [0, 500_000]


@pytest.mark.parametrize("fault", [Reset(), Hold()], ids=["reset", "stalled"])
async def test_another_place_goes_on_where_the_first_one_broke_off(reactor: Any, fault: Any) -> None:
    script = {"/a/f": Nth([Cut(answer(DATA), 500_000, fault), answer(b"", 503)]), "/b/f": answer(DATA)}
    async with serving(
        reactor,
        script,
        lambda origin: {"/f": Source(origin.url("/a/f"), SHA)},
        mirrors=lambda origin: Places([origin.url("/a/"), origin.url("/b/")], under=origin.url("/a/")),
    ) as served:
        seen = await served.ask()

        assert (seen.whole, seen.body) == (True, DATA)
        report = (await served.ended()).report
        assert sum(each.received for each in report.attempts) == len(DATA)


async def test_a_small_file_that_is_bad_at_one_place_comes_from_another_one_with_its_own_head(reactor: Any) -> None:
    small = DATA[:1000]
    script = {
        "/a/f": answer(b"!" + small[1:], headers=((b"X-Place", b"a"),)),
        "/b/f": answer(small, headers=((b"X-Place", b"b"),)),
    }
    async with serving(
        reactor,
        script,
        lambda origin: {"/f": Source(origin.url("/a/f"), sha256(small))},
        mirrors=lambda origin: Places([origin.url("/a/"), origin.url("/b/")], under=origin.url("/a/")),
    ) as served:
        seen = await served.ask()

        assert (seen.status, seen.body, seen.get("x-place")) == (200, small, b"b")


async def test_a_bad_end_is_fetched_again_elsewhere_before_the_client_has_it(reactor: Any) -> None:
    script = {"/a/f": answer(BAD), "/b/f": answer(DATA)}
    async with serving(
        reactor,
        script,
        lambda origin: {"/f": Source(origin.url("/a/f"), SHA)},
        mirrors=lambda origin: Places([origin.url("/a/"), origin.url("/b/")], under=origin.url("/a/")),
    ) as served:
        seen = await served.ask()

        assert (seen.whole, seen.body) == (True, DATA)


# ---- clients that leave


@pytest.mark.parametrize("when", ["while the importer looks", "before the first byte", "in the middle"])
async def test_a_client_that_leaves_takes_the_origin_with_it(reactor: Any, when: str) -> None:
    looking: Deferred[Any] = Deferred()
    script = {"before the first byte": Hold(), "in the middle": Cut(answer(DATA), 500_000, Hold())}.get(when, Hold())
    patient = Remote(retries=Retries(count=0))

    def files(origin: Any) -> dict[str, Any]:
        return {"/f": looking if when == "while the importer looks" else Source(origin.url("/f"), SHA)}

    async with serving(reactor, script, files, remote=patient) as served:
        client = await served.connect()
        client.ask(b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
        if when == "while the importer looks":
            await until(reactor, lambda: served.importer.asked)
        else:
            await until(reactor, lambda: served.origin.requests)
        if when == "in the middle":
            await until(reactor, lambda: len(client.raw) > 400_000)
        await client.close()

        ended = await served.ended()
        assert isinstance(ended.error, ConsumerGone)
        if when == "while the importer looks":
            assert looking.called
        else:
            await until(reactor, lambda: not served.origin.connections.open)


async def test_a_head_that_nobody_waits_for_is_not_asked_for_any_longer(reactor: Any) -> None:
    async with serving(reactor, Hold(), remote=Remote(retries=Retries(count=0))) as served:
        client = await served.connect()
        client.ask(b"HEAD /f HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(reactor, lambda: served.origin.requests)
        await client.close()

        assert isinstance((await served.ended()).error, ConsumerGone)


# ---- who is told


async def test_a_request_is_told_when_it_begins_and_when_it_has_ended(reactor: Any) -> None:
    script = Nth([[Hold("go"), answer(DATA)]])
    async with serving(reactor, script, lambda origin: {"/f": Source(origin.url("/f?token=secret"), SHA)}) as served:
        client = await served.connect()
        answered = client.ask(b"GET /f?mine=secret HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(reactor, lambda: served.origin.requests)
        running: Any = served.told.begun[0]
        assert (running.method, running.path, running.client, running.status) == ("GET", "/f", "127.0.0.1", None)
        assert (running.sent, running.total, running.report, running.error) == (0, None, None, None)
        assert running.url == served.origin.url("/f?token=***")
        assert served.told.over == []
        served.origin.release("go")
        await answered
        await client.close()

        ended = await served.ended()
        assert ended is running
        assert (ended.status, ended.sent, ended.total) == (200, len(DATA), len(DATA))
        assert ended.report.validated
        assert 0 <= reactor.seconds() - ended.began_at < 10


@contextmanager
def heard() -> Iterator[list[LogEvent]]:
    """What the streamer logs."""
    lines: list[LogEvent] = []

    def observer(event: LogEvent) -> None:
        if event["log_namespace"].startswith("pulp_dl.streamer"):
            lines.append(event)

    globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]  # zope's plugin does not know functions
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["http://127.0.0.1/f", "/../f", "/a%2ff", "/f%00", "/" + "a" * 9000, "/%ff"])
async def test_what_is_refused_is_logged_once_and_in_one_line(target: str, reactor: Any) -> None:
    with heard() as lines:
        async with serving(reactor, answer(DATA)) as served:
            await served.ask(target)
            await served.ended()

    [line] = lines
    text = line["log_format"].format(**line)
    assert line["status"] in {400, 414}
    assert "Refusal" in text
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /f HTTP/1.1\r\nX: %b\r\n\r\n" % (b"a" * 20_000),
        b"GET /f HTTP/1.1\r\n%b: a\r\nX: a\r\n\r\n" % (b"X" * 257),
        b"\xff\r\n\r\n",
    ],
)
async def test_what_cannot_be_read_is_logged_once_too(raw: bytes, reactor: Any) -> None:
    with heard() as lines:
        async with serving(reactor, answer(DATA)) as served:
            client = await served.connect()
            client.transport.write(raw)
            await client.lost

    [line] = lines
    assert line["log_format"].format(**line).isprintable()
    assert line["status"] in {400, 431}


async def test_what_failed_is_one_line_with_the_attempts_and_no_secret(reactor: Any) -> None:
    with heard() as lines:
        async with serving(
            reactor,
            answer(b"secret", 503),
            lambda origin: {"/f": Source(origin.url("/f?token=secret").replace("//", "//elmer:secret@"), SHA)},
        ) as served:
            await served.ask("/f?password=secret")
            await served.ended()

    [line] = lines
    assert (line["path"], line["status"], line["client"]) == ("/f", 503, "127.0.0.1")
    assert len(line["attempts"]) == 3
    text = line["log_format"].format(**line) + json.dumps(line["attempts"])
    assert "secret" not in text
    assert "\n" not in text


async def test_a_listener_that_raises_hurts_nobody(reactor: Any, logged_errors: Any) -> None:
    class Broken:
        def began(self, exchange: object) -> None:
            raise ZeroDivisionError

        def ended(self, exchange: object) -> None:
            raise ZeroDivisionError

    async with serving(reactor, answer(DATA)) as served:
        served.content._told = Broken()
        assert (await served.ask()).whole
        served.content._told = served.told
    assert len(logged_errors.flush(ZeroDivisionError)) == 2


# ---- whatever


SMALL = Timeouts(head=0.1, idle=0.1, low_speed=None)


@st.composite
def origins(draw: Any) -> tuple[bytes, list[Any]]:
    """A file, and what each of a few requests for it gets: right, wrong, broken, or nothing at all."""
    data = draw(bodies())
    scripts = []
    for _ in range(draw(st.integers(1, 3))):
        body = draw(st.sampled_from([data, data, data, data[:-1] + b"!", data + b"x", data[:-1]]))
        etag = draw(st.sampled_from([b'"1"', b'W/"1"', None]))
        script = answer(Entity(body, etag, ranges=draw(st.booleans())), framing=draw(framings()))
        scripts.append(draw(faults(script, len(body))))
    return data, scripts


@pytest.mark.limit(120)
@given(origins(), st.booleans(), st.sampled_from(["1.1", "1.0"]))
async def test_whatever_the_origin_does_a_client_has_the_right_bytes_or_sees_an_error(
    reactor: Any, origin: tuple[bytes, list[Any]], sized: bool, version: str
) -> None:
    data, scripts = origin
    expect: tuple[Digest | Size, ...] = (sha256(data), Size(len(data))) if sized else (sha256(data),)
    remote = Remote(retries=Retries(count=2, base=0.001), timeouts=SMALL)
    async with serving(reactor, Nth(scripts), expect=expect, remote=remote) as served:
        seen = await served.ask(version=version)

        if seen.whole and seen.status == 200:
            assert seen.body == data
        else:
            assert seen.status is None or seen.status >= 500 or (seen.status == 200 and not seen.whole)
            assert (await served.ended()).error is not None
