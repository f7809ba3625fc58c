"""Places and digests that answers tell of."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pulp_dl import Digest, Downloader, Duplicates, Places, Remote, Retries, Scores, Source, ToMemory
from pulp_dl.errors import DigestMismatch, NotFound, Truncated
from pulp_dl.mirrors.interfaces import IScoring, IVouching
from pulp_dl.mirrors.links import REMEMBERED, digests_told, duplicates_told
from pulp_dl.model.report import Attempt
from pulp_dl.model.source import Head
from pulp_dl.testing import FaultServer, MemoryFetcher, MemoryScheme, OnPath, Place, Recorder
from pulp_dl.testing import answer as answered
from pulp_dl.testing.entity import Entity

DATA = bytes(range(256)) * 800
SHA = hashlib.sha256(DATA)
REPR = (b"Repr-Digest", b"sha-256=:" + b64encode(SHA.digest()) + b":")
OLD_DIGEST = (b"Digest", b"MD5=xxx,SHA-256=" + b64encode(SHA.digest()))
A, B, C = "memory://a/file", "memory://b/file", "memory://c/file"


def link(*urls: str, more: str = "") -> tuple[bytes, bytes]:
    return b"Link", ", ".join(f"<{url}>; rel=duplicate{more}" for url in urls).encode()


def told(*values: str) -> list[str]:
    pairs = tuple((b"Link", value.encode()) for value in values)
    return [each.url for each in duplicates_told(pairs, "http://own/dir/file")]


# ---- what they say


def test_links_are_read_by_priority_and_those_that_are_preferred_first() -> None:
    assert told(
        "<http://last/f>; rel=duplicate, <http://two/f>;rel=duplicate;pri=2 , <http://one/f>; pri=1; geo=de; "
        "rel=duplicate",
        '<http://best/f>; rel="duplicate"; pri=7; pref',
        '<http://more/f>; rel="nofollow duplicate"; title="a; rel=next, <b>"; pri=3',
    ) == ["http://best/f", "http://one/f", "http://two/f", "http://more/f", "http://last/f"]


@pytest.mark.parametrize(
    "value",
    [
        "<http://m/f>; rel=describedby",
        "<http://m/f>",
        "http://m/f; rel=duplicate",
        "<file:///etc/passwd>; rel=duplicate",
        "<rsync://m/f>; rel=duplicate",
        "<http://>; rel=duplicate",
        "<http://m/f; rel=duplicate",
        "",
    ],
)
def test_what_is_no_duplicate_of_a_protocol_of_ours_is_left_out(value: str) -> None:
    assert told(value) == []


def test_relative_links_lead_from_where_they_were_told() -> None:
    assert told("</mirror/f>; rel=duplicate", "<g>; rel=duplicate") == ["http://own/mirror/f", "http://own/dir/g"]


def test_they_have_an_end() -> None:
    assert len(told(", ".join(f"<http://m{number}/f>; rel=duplicate" for number in range(2000)))) == 100


def test_no_field_takes_long_to_read() -> None:
    began = time.perf_counter()
    many = 100_000
    for value in (
        "<" * many,
        "<a>" * many,
        "<a>;" * many,
        "<a>" + ";x" * many,
        "<a>;x" + " " * many + "!",
        '<a>;x="' + "\\" * many,
        '<a>;x="' * many,
        "<a>" + "; " * many,
        ", " * many,
    ):
        told(value)
        digests_told(((b"Digest", value.encode()),))
    assert time.perf_counter() - began < 5


def test_digests_of_both_fields_are_read() -> None:
    assert digests_told((REPR,)) == digests_told((OLD_DIGEST,)) == (Digest("sha256", SHA.hexdigest()),)
    assert digests_told((REPR, OLD_DIGEST)) == (Digest("sha256", SHA.hexdigest()),)


@pytest.mark.parametrize(
    "value", [b"", b"sha-256", b"sha-256=:AAAA:", b"sha-256=:%%:", b"md5=:AAAA:", b"sha-256=:a", b"unixsum=1"]
)
def test_what_is_no_strong_digest_is_none(value: bytes) -> None:
    assert digests_told(((b"Repr-Digest", value),)) == ()


@pytest.mark.parametrize("names", ["sha-512 sha-256", "sha-256 sha-512", "sha-256 md5 sha-512"])
def test_of_several_the_strongest_is_taken_whatever_their_order(names: str) -> None:
    fields = tuple(
        (b"Digest", f"{name}=".encode() + b64encode(hashlib.new(name.replace("sha-", "sha"), DATA).digest()))
        for name in names.split()
    )
    place = Source(A)
    head = Head(A, 200, fields, len(DATA), None, len(DATA))

    assert [each.algorithm for each in digests_told(fields)] == ["sha512", "sha256"]
    assert Duplicates().vouched(place, place, head) == (Digest("sha512", hashlib.sha512(DATA).hexdigest()),)


def test_who_contradicts_itself_says_nothing() -> None:
    other = (b"Digest", b"sha-256=" + b64encode(hashlib.sha256(b"x").digest()))

    assert digests_told((REPR, other)) == ()


@given(st.text())
def test_whatever_a_field_holds_it_is_read(value: str) -> None:
    data = value.encode("utf-8", "replace")
    duplicates_told(((b"Link", data),), "http://own/")
    digests_told(((b"Digest", data),))


# ---- what comes of them


class Case:
    def __init__(self, places: dict[str, Any], mirrors: Any = None, country: str | None = None) -> None:
        self.clock, self.fetcher = Clock(), MemoryFetcher(places)
        duplicates = Duplicates(mirrors, schemes=["memory"], country=country)
        remote = Remote(retries=Retries(count=1))
        self.downloader = Downloader(self.clock, remote, mirrors=duplicates, schemes=[MemoryScheme(self.fetcher)])

    def run(self, consumer: Any, source: Source | str = A) -> Any:
        ends: list[Any] = []
        self.downloader.download(source, consumer).addBoth(ends.append)
        self.clock.pump([1] * 20)
        assert ends, "still running"
        return getattr(ends[0], "value", ends[0])

    def spans(self) -> list[tuple[str, int | None]]:
        return [(each.url, None if each.span is None else each.span.start) for each in self.fetcher.asked]


def test_it_keeps_the_promises_of_mirrors() -> None:
    assert verifyObject(IVouching, Duplicates())
    assert verifyObject(IScoring, Duplicates(Scores(Places([]))))


def test_a_body_that_breaks_off_goes_on_where_its_answer_has_told_and_no_byte_comes_twice() -> None:
    case = Case({A: Place(DATA, headers=(link(B), REPR), drop_at=100_000), B: Place(DATA)})
    consumer = Recorder()

    report = case.run(consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (B, 100_000)]
    assert report.validated
    assert report.facts["sha256"] == SHA.hexdigest()


def test_a_duplicate_is_held_to_the_digest_that_the_own_url_told() -> None:
    bad = DATA[:-1] + b"!"
    case = Case({A: Place(DATA, headers=(link(B, C), REPR), drop_at=100_000), B: Place(bad), C: Place(DATA)})
    consumer = ToMemory()

    case.run(consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (B, 100_000), (B, None), (C, None)]


EVERYWHERE = (
    b"Link",
    f'<{B}>; rel=duplicate; pri=1; geo=fr, <{C}>; rel=duplicate; pri=2; geo="DE", <memory://d/file>; rel=duplicate; '
    "pri=3; geo=de".encode(),
)


@pytest.mark.parametrize(("country", "order"), [(None, "abcd"), ("de", "acdb"), ("at", "abcd")])
def test_places_of_one_s_own_country_come_first_and_then_the_priority_counts(country: str | None, order: str) -> None:
    gone = {f"memory://{host}/file": Place(error=NotFound(404)) for host in "bcd"}
    case = Case({A: Place(DATA, headers=(EVERYWHERE,), drop_at=100_000), **gone}, country=country)

    case.run(Recorder())

    assert [url for url, _ in case.spans()][:4] == [f"memory://{host}/file" for host in order]


def test_a_far_place_that_is_known_to_be_fast_comes_before_a_near_one_that_is_known_to_be_slow() -> None:
    scores = Scores(Places([]), explore=0)
    for url, seconds in ((B, 0.05), (C, 2.0), ("memory://d/file", 3.0)):
        assert scores.refused(Source(url)) is None
        scores.answered(Source(url), Head(url, 200), seconds)
    places = {A: Place(DATA, headers=(EVERYWHERE, REPR), drop_at=100_000), B: Place(DATA), C: Place(DATA)}
    case = Case(places, scores, country="de")
    consumer = Recorder()

    case.run(consumer)

    assert consumer.data == DATA
    assert case.spans() == [(A, None), (B, 100_000)]


def test_what_a_mirror_says_of_digests_is_not_believed() -> None:
    lie = (b"Repr-Digest", b"sha-256=:" + b64encode(hashlib.sha256(b"lie").digest()) + b":")
    case = Case({B: Place(DATA, headers=(lie,)), A: Place(DATA)}, Places([B], under=A))
    consumer = ToMemory()

    assert not case.run(consumer).validated
    assert consumer.data == DATA


def test_who_does_not_keep_to_its_own_digest_has_failed() -> None:
    case = Case({A: Place(DATA[:-1] + b"!", headers=(REPR,))})

    assert isinstance(case.run(Recorder()), DigestMismatch)


def test_a_digest_that_is_known_already_is_the_one_that_counts() -> None:
    lie = (b"Digest", b"sha-256=" + b64encode(hashlib.sha256(b"lie").digest()))
    case = Case({A: Place(DATA, headers=(lie,))})

    assert case.run(ToMemory(), Source(A, Digest("sha256", SHA.hexdigest()))).validated


def test_a_digest_of_what_was_encoded_is_not_one_of_the_file_to_every_server() -> None:
    case = Case({A: Place(DATA, headers=(REPR, (b"Content-Encoding", b"gzip")))})

    assert not case.run(ToMemory()).validated


def test_other_mirrors_come_first_and_a_place_that_answered_well_tells_nothing() -> None:
    places = {A: Place(error=NotFound(404)), B: Place(DATA, headers=(link(C),))}
    case = Case(places, Places([B], under=A))

    case.run(ToMemory())

    assert case.spans() == [(B, None)]


@pytest.mark.parametrize("count", [0, 1])
def test_what_a_place_tells_is_heard_though_somebody_asked_before_whether_there_are_others(count: int) -> None:
    """As is done for whoever judges places: is this the only one?"""
    places = {A: Place(error=NotFound(404)), B: Place(DATA), C: Place(DATA, headers=(link(B), REPR), drop_at=100_000)}
    bases = [C.rpartition("/")[0]]
    mirrors = Scores(Places(bases, original=bool(count)), explore=0)
    case = Case(places, mirrors)
    consumer = Recorder()

    case.run(consumer)

    assert consumer.data == DATA
    assert case.spans()[-1] == (B, None)


def test_no_more_is_kept_in_mind_than_is_of_use() -> None:
    mirrors = Duplicates(schemes=["memory"])
    fetcher = MemoryFetcher({f"memory://a/{n}": Place(DATA, headers=(link(B),), drop_at=5) for n in range(1200)})
    downloader = Downloader(Clock(), Remote(retries=Retries(count=0)), mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    for number in range(1200):
        downloader.download(f"memory://a/{number}", ToMemory()).addErrback(lambda failure: None)

    assert len(mirrors._told) == 0


async def test_of_those_that_nobody_asks_about_the_oldest_is_forgotten() -> None:
    """What fails after its last place was asked for is never looked up."""
    mirrors = Duplicates(schemes=["memory"])
    nobody: Any = None
    urls = [f"memory://a/{number}" for number in range(REMEMBERED + 1)]
    for url in urls:
        head = Head(url, 200, (link(B),))
        mirrors.record(Attempt(Source(url), 0, 5, 1, 1, 200, Truncated(5, len(DATA), url), None, head))

    async def offered(url: str) -> list[str]:
        return [each.url async for each in mirrors.locate(Source(url), nobody)]

    assert await offered(urls[0]) == [urls[0]]
    for url in (urls[1], urls[-1]):
        assert await offered(url) == [url, B]


async def test_a_redirect_that_leads_to_a_dead_mirror_has_told_of_others(reactor: Any) -> None:
    """As MirrorBrain does it: the answer that redirects names all mirrors, and the digest."""
    entity = Entity(DATA)
    async with FaultServer(reactor, OnPath({"/good": answered(entity)})) as good:
        hints = (link(good.url("/good")), REPR)
        script = answered(b"", 302, ((b"Location", b"http://127.0.0.1:1/dead"), *hints))
        async with FaultServer(reactor, script) as master, Downloader(reactor, mirrors=Duplicates()) as downloader:
            body = ToMemory()
            report = await downloader.download(master.url("/file"), body)

    assert body.data == DATA
    assert [each.error is None for each in report.attempts] == [False, True]


async def test_a_redirect_tells_what_the_file_has_to_be(reactor: Any) -> None:
    async with FaultServer(reactor, OnPath({"/mirror": answered(Entity(DATA))})) as mirror:
        script = answered(b"", 302, ((b"Location", mirror.url("/mirror").encode()), REPR))
        async with FaultServer(reactor, script) as master, Downloader(reactor, mirrors=Duplicates()) as downloader:
            report = await downloader.download(master.url("/file"), ToMemory())

    assert report.validated
    assert report.head.hints == (REPR,)
    assert REPR not in report.head.headers
