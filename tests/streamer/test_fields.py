"""Which fields a client gets to see."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from hypothesis import given

from pulp_dl import Head, Source
from pulp_dl.streamer import Answers
from pulp_dl.testing import answer
from pulp_dl.testing.strategies import heads
from tests.streamer.serving import serving, sha256

DATA = b"hello"
SHA = sha256(DATA)


async def test_fields_keep_their_order_their_case_and_their_doubles(reactor: Any) -> None:
    fields = (
        (b"X-one", b"1"),
        (b"content-TYPE", b"application/x-rpm"),
        (b"x-ONE", b"2"),
        (b"Vary", b"a"),
        (b"Content-Encoding", b"gzip"),
        (b"vary", b"b"),
    )
    async with serving(reactor, answer(DATA, headers=fields), expect=SHA) as served:
        seen = await served.ask()

    assert [pair for pair in seen.fields if pair in fields] == list(fields)
    assert seen.body == DATA


@pytest.mark.parametrize(
    "field",
    [
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authorization: Basic c2VjcmV0",
        b"TE: trailers",
        b"Trailer: X-Sum",
        b"Upgrade: h2c",
        b"X-Hop: 1",
        b"X-HOP-too: 1",
        b"Set-Cookie: a=b",
        b"set-cookie2: a=b",
        b"Alt-Svc: clear",
        b"Strict-Transport-Security: max-age=1",
        b"WWW-Authenticate: Basic",
        b"Content-Location: http://inside/?token=1",
        b"Location: http://inside/",
        b"Link: <http://inside/>; rel=next",
    ],
)
async def test_what_is_between_two_machines_is_not_passed_on(reactor: Any, field: bytes) -> None:
    name, _, value = field.partition(b": ")
    script = answer(DATA, headers=((b"Connection", b"X-Hop, x-hop-TOO"), (name, value)))
    async with serving(reactor, script) as served:
        for method in ("GET", "HEAD"):
            seen = await served.ask(method=method)

            assert seen.status == 200
            assert seen.all(name.decode()) == []
            assert seen.all("connection") == []


async def test_what_is_dropped_is_a_policy(reactor: Any) -> None:
    script = answer(DATA, headers=((b"Set-Cookie", b"a=b"), (b"X-Ours", b"1")))
    async with serving(reactor, script, answers=Answers(dropped=frozenset({b"X-OURS"}))) as served:
        seen = await served.ask()

    assert (seen.get("set-cookie"), seen.get("x-ours")) == (b"a=b", None)


async def test_no_content_type_is_invented(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        assert (await served.ask()).get("content-type") is None


async def test_via_is_added_to_that_of_others(reactor: Any) -> None:
    async with serving(reactor, answer(DATA, headers=((b"Via", b"1.0 fred"),))) as served:
        assert (await served.ask()).all("via") == [b"1.0 fred", b"1.1 pulp_dl"]
    async with serving(reactor, answer(DATA), answers=Answers(via=None)) as served:
        assert (await served.ask()).all("via") == []


async def test_there_is_one_date_that_of_the_origin_if_it_tells_it(reactor: Any) -> None:
    async with serving(reactor, answer(DATA)) as served:
        assert (await served.ask()).all("date") == [b"Mon, 05 Jan 2026 12:00:00 GMT"]
        assert len((await served.ask("/no")).all("date")) == 1
    assert sum(name == b"Date" for name, _ in Answers().fields(Head("file:///f", 200), 5, None)) == 1


@pytest.mark.parametrize(
    ("answers", "expect", "seen_as"),
    [
        (Answers(), SHA, [b"private"]),
        (Answers(max_age=600), (), [b"private"]),
        (Answers(max_age=600), SHA, [b"public, max-age=600"]),
    ],
)
async def test_only_what_has_a_digest_is_given_an_age(
    reactor: Any, answers: Answers, expect: Any, seen_as: Any
) -> None:
    script = answer(DATA, headers=((b"Cache-Control", b"private"), (b"Expires", b"0"), (b"Pragma", b"no-cache")))
    async with serving(reactor, script, expect=expect, answers=answers) as served:
        seen = await served.ask()

    assert seen.all("cache-control") == seen_as
    assert bool(seen.get("expires")) == bool(seen.get("pragma")) == (seen_as == [b"private"])


@pytest.mark.parametrize("answers", [Answers(), Answers(max_age=600)])
@pytest.mark.parametrize("expect", [(), SHA], ids=["no digest", "digest"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_will_be_another_one_is_asked_for_each_time(
    reactor: Any, answers: Answers, expect: Any, method: str
) -> None:
    """A list that a cache keeps for an hour names files that are gone, and does not name those that came."""
    script = answer(DATA, headers=((b"Cache-Control", b"max-age=9"), (b"Expires", b"Mon, 05 Jan 2126 12:00:00 GMT")))
    async with serving(
        reactor,
        script,
        lambda origin: {"/f": Source(origin.url("/f"), expect, mutable=True)},
        answers=answers,
    ) as served:
        seen = await served.ask("/f", method=method)
        again = await served.ask("/f", f"If-None-Match: {(seen.get('etag') or b'').decode()}", method=method)

    assert (seen.status, seen.all("cache-control"), seen.get("expires")) == (200, [b"no-cache"], None)
    assert (again.status, again.all("cache-control"), again.get("expires")) == (304, [b"no-cache"], None)


@given(heads())
async def test_whatever_means_nothing_comes_through_as_it_is(reactor: Any, fields: Any) -> None:
    async with serving(reactor, answer(DATA, headers=fields)) as served:
        seen = await served.ask()

    assert [pair for pair in seen.fields if pair[0].startswith(b"X-")] == list(fields)


@pytest.mark.parametrize("wrong", [{"patience": 0}, {"idle": 0}, {"max_head": 0}, {"max_target": 0}, {"max_age": -1}])
def test_limits_that_let_nobody_in_are_refused(wrong: Any) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Answers(**wrong)


@pytest.mark.parametrize(
    "pair", [(b"X", b"a\r\nSet-Cookie: b"), (b"X\r\nY", b"a"), (b"X:", b"a"), (b"", b"a"), (b"X", b"\0")]
)
def test_a_plugin_cannot_make_two_fields_of_one(pair: tuple[bytes, bytes]) -> None:
    assert pair not in Answers().fields(Head("memory://a/f", 200, (pair,)), None, None)


LONG = 50_000


@pytest.mark.parametrize(
    "fields",
    [
        lambda number: [(b"Connection", b",".join(b"%x" % (token + number * LONG) for token in range(LONG // 5)))],
        lambda number: [(b"Connection", b"%d" % number + b"x" * LONG)],
        lambda number: [(b"Connection", b"%d-%d-" % (number, each) + b"x" * 200) for each in range(250)],
        lambda number: [(b"X-%d" % number + b"x" * LONG, b"1")],
        lambda number: [(b"X-%d-%d-" % (number, each) + b"x" * 200, b"1") for each in range(250)],
    ],
    ids=["many tokens", "a long token", "many fields with tokens", "a long name", "many names"],
)
def test_nothing_long_is_remembered_of_the_fields_that_servers_choose(fields: Any) -> None:
    answers = Answers()
    hop = ((b"X-Hop", b"1"), (b"Connection", b"x-hop"))

    def told(number: int) -> Any:
        return answers.fields(Head("http://a/f", 200, (*fields(number), *hop)), 5, None)

    told(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, 21):
            assert hop[0] not in told(number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
