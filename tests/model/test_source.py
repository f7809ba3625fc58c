"""What is wanted, and what a server says it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface import implementer

from pulp_dl.interfaces import IExpectation
from pulp_dl.model.auth import Basic
from pulp_dl.model.expect import Digest, Measure, Size
from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Head, Source, Span, Validators, as_source
from pulp_dl.urls import InvalidURL

SECRET = "Sesame77"
URL = "https://files.example/a"

# ---- Span

SPANS = st.one_of(
    st.tuples(st.integers(0, 200), st.integers(1, 200)).map(lambda ends: Span(ends[0], ends[0] + ends[1])),
    st.integers(-200, 200).map(Span),
)


def meant(span: Span, total: int) -> range:
    """The bytes that a span means, by Python's own slices."""
    return range(total)[slice(span.start, span.stop)]


@given(SPANS, st.integers(0, 250))
def test_a_span_of_a_file_is_what_a_slice_of_it_is(span: Span, total: int) -> None:
    """Without surprises at its ends: a suffix that is longer than the file is the file (RFC 9110 section 14.1.2)."""
    found = span.within(total)
    expected = meant(span, total)

    if found is None:
        assert len(expected) == 0
    else:
        assert range(found.start, found.stop or 0) == expected
        assert found.within(total) == found


@given(SPANS, st.integers(1, 250))
def test_a_range_field_says_the_same(span: Span, total: int) -> None:
    """Read back by the rules of RFC 9110 section 14.1.2, written here once more."""
    unit, _, ends = span.range.decode("ascii").partition("=")
    first, _, last = ends.partition("-")
    asked = (
        range(max(0, total - int(last)), total)
        if not first
        else range(int(first), min(int(last or total), total - 1) + 1)
    )

    assert unit == "bytes"
    assert list(asked) == list(meant(span, total))


@pytest.mark.parametrize(
    ("span", "field"),
    [(Span(0, 1), b"bytes=0-0"), (Span(5), b"bytes=5-"), (Span(-5), b"bytes=-5"), (Span(0), b"bytes=0-")],
)
def test_spans_as_fields(span: Span, field: bytes) -> None:
    assert span.range == field


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (5, 4), (-5, 3), (-5, -1), (0, -1)])
def test_a_span_without_a_byte_is_none(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"^Span: .* holds no byte; start has to be below stop"):
        Span(start, stop)


@pytest.mark.parametrize(("start", "stop"), [("0", 1), (0, "1"), (0.5, 1), (None, 1), (True, 3), (0, True)])
def test_a_span_is_made_of_whole_numbers(start: Any, stop: Any) -> None:
    with pytest.raises(TypeError, match=r"^Span: whole numbers are needed"):
        Span(start, stop)


# ---- Validators

DATE = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def http_date(moment: datetime) -> bytes:
    return format_datetime(moment, usegmt=True).encode()


@pytest.mark.parametrize("etag", [b'"a"', b'""', b'"W/"', b'"a!~\xff"'])
def test_a_strong_etag_proves_it_is_the_same(etag: bytes) -> None:
    assert Validators(etag, None, None).if_range == etag
    assert Validators(etag, http_date(DATE), http_date(DATE)).if_range == etag


@pytest.mark.parametrize(
    "etag", [b'W/"a"', b"a", b"", b'"a', b'a"', b'"a"b"', b'"a", "b"', b'w/"a"', b'"a b"', b'"\n"']
)
def test_any_other_etag_proves_nothing_and_hides_the_date(etag: bytes) -> None:
    """RFC 9110 section 13.1.5: a date is only for those who have no ETag."""
    assert Validators(etag, http_date(DATE - timedelta(days=1)), http_date(DATE)).if_range is None


@given(st.integers(-200, 200))
@example(60)
@example(59)
def test_a_date_proves_it_if_it_lies_a_minute_back(seconds: int) -> None:
    """RFC 9110 section 8.8.2.2: two changes within one second have the same date."""
    modified = http_date(DATE - timedelta(seconds=seconds))

    assert Validators(None, modified, http_date(DATE)).if_range == (modified if seconds >= 60 else None)


@pytest.mark.parametrize(("modified", "date"), [(None, None), (b"yesterday", None), (None, b"today"), (b"x", b"y")])
def test_without_dates_nothing_is_proven(modified: bytes | None, date: bytes | None) -> None:
    assert Validators(None, modified, date).if_range is None
    assert Validators(None, modified, http_date(DATE)).if_range is None
    assert Validators(None, http_date(DATE), date).if_range is None


# ---- Head


@pytest.mark.parametrize(
    "value", [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"]
)
def test_all_three_forms_of_a_date_are_read_and_are_in_utc(value: bytes, in_zone: Callable[[str], None]) -> None:
    """RFC 9110 section 5.6.7; wherever this machine stands."""
    in_zone("Asia/Tokyo")

    assert Head(URL, 200, ((b"Last-Modified", value),)).modified == 784111777.0


@given(st.binary(max_size=40) | st.text("0123456789 ,:-GMTNovSun+", max_size=40).map(str.encode))
def test_whatever_stands_there_a_date_is_a_number_or_none(value: bytes) -> None:
    found = Head(URL, 200, ((b"Last-Modified", value),)).modified

    assert found is None or isinstance(found, float)


def test_a_head_finds_its_fields_whatever_their_case() -> None:
    date = http_date(DATE)
    head = Head(URL, 200, ((b"etag", b'"a"'), (b"ETag", b'"b"'), (b"DATE", date), (b"last-Modified", date)))

    assert head.etag == b'"a"'
    assert head.get(b"date") == date
    assert head.get(b"content-type") is None
    assert head.modified == DATE.timestamp()
    assert head.validators == Validators(b'"a"', date, date)
    assert Head(URL, 200).validators == Validators()
    assert Head(URL, 200).modified is None


@pytest.mark.parametrize(("status", "whole"), [(200, True), (226, True), (206, False), (304, False), (416, False)])
def test_a_part_and_an_answer_without_a_file_are_not_whole(status: int, whole: bool) -> None:
    assert Head(URL, status).whole is whole


def test_a_head_shows_no_secret() -> None:
    head = Head(f"https://elmer:{SECRET}@files.example/?token={SECRET}", 200, ((b"Set-Cookie", SECRET.encode()),))

    assert SECRET not in repr(head)


# ---- Source


@implementer(IExpectation)
class Own:
    enforced = True
    partial = False

    def start(self) -> Any:
        raise NotImplementedError


SIZE, DIGEST = Size(3), Digest("md5", "0" * 32)


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (SIZE, (SIZE,)),
        ([SIZE, DIGEST], (SIZE, DIGEST)),
        ((SIZE,), (SIZE,)),
        (iter([DIGEST, SIZE]), (DIGEST, SIZE)),
        ((), ()),
        (None, ()),
        (Measure(), (Measure(),)),
    ],
)
def test_one_expectation_or_several_are_expected(given_as: Any, expected: tuple[Any, ...]) -> None:
    assert Source(URL, given_as).expect == expected
    assert Source(URL, expect=Own()).expect[0].enforced


@pytest.mark.parametrize("wrong", ["sha256:abc", {"sha256": "abc"}, [SIZE, "abc"], 5, True, Size, [None], b"abc", [5]])
def test_what_is_no_expectation_is_an_error_and_never_no_check(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^Source\.expect: an? \w+ is no expectation; use Digest, Size, Measure"):
        Source(URL, wrong)


def test_userinfo_is_taken_out_of_the_url() -> None:
    source = Source("https://elmer:se%40me@files.example:444/a?b")

    assert source.url == "https://files.example:444/a?b"
    assert source.auth == Basic("elmer", "se@me")
    assert source.place.user is source.place.password is None
    assert Source("https://token@files.example/").auth == Basic("token", "")
    assert Source(URL).auth is None


def test_what_is_wanted_has_a_place_and_a_path() -> None:
    source = Source("https://Files.Example/a%7e/../b c?d=[1]#e")

    assert source.url == "https://files.example/a%7e/../b%20c?d=[1]"
    assert source.path == "/a%7e/../b%20c?d=[1]"
    assert source.place.origin == ("https", "files.example", 443)


def test_spans_may_be_given_as_pairs() -> None:
    pair: Any = (0, 10)

    assert Source(URL, span=pair).span == Span(0, 10)
    assert Source(URL, span=Span(5)).span == Span(5)


def test_at_another_place_it_is_the_same_without_what_is_secret() -> None:
    remote = Remote()
    source = Source(
        f"https://elmer:{SECRET}@files.example/a",
        [SIZE],
        headers={"X-Key": SECRET},
        span=Span(1, 3),
        conditions={"If-None-Match": '"a"'},
        remote=remote,
        tag=7,
    )
    there = source.at("https://mirror.example/b")
    further = there.at("https://third.example/c")

    assert (there.url, further.url) == ("https://mirror.example/b", "https://third.example/c")
    assert there.scope == further.scope == source.url
    for each in (there, further):
        assert (each.headers, each.auth) == ((), None)
        assert (each.expect, each.span, each.conditions) == ((SIZE,), Span(1, 3), source.conditions)
        assert each.remote is remote
        assert each.tag == 7


def test_the_scope_that_was_given_stays() -> None:
    source = Source("https://files.example/a", scope="https://elmer:word@metadata.example/repo")

    assert source.scope == "https://metadata.example/repo"
    assert source.at("https://mirror.example/b").scope == "https://metadata.example/repo"


def test_another_place_may_have_its_own_userinfo() -> None:
    there = Source(f"https://elmer:{SECRET}@files.example/a").at("https://bugs:bunny@mirror.example/b")

    assert there.auth == Basic("bugs", "bunny")
    assert there.url == "https://mirror.example/b"


def test_a_text_is_a_source() -> None:
    source = Source(URL)

    assert as_source(source) is source
    assert as_source(URL).url == URL


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("files.example/a", "not an absolute URL"),
        (f"https://elmer:{SECRET}/x@files.example/a", "a port in a URL"),
        (f"https://elmer:{SECRET}@", "without a host"),
        (f"https://elmer:{SECRET}@files example/?token={SECRET}", "no valid name"),
        (f"https://files.example:x/?token={SECRET}", "a port in a URL"),
        (f"elmer:{SECRET}@files.example", "not an absolute URL"),
        (f"https:/elmer:{SECRET}@files.example", "not an absolute URL"),
        (None, "has to be a str"),
    ],
)
def test_what_is_no_url_is_refused_and_its_secret_not_repeated(url: Any, words: str) -> None:
    scope: Any = 5 if url is None else url
    for name, values in (("url", {"url": url}), ("scope", {"url": URL, "scope": scope})):
        with pytest.raises(InvalidURL, match=rf"^Source\.{name}: ") as caught:
            Source(**values)
        assert words in str(caught.value)
        assert SECRET not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"span": "0-5"}, "a Span or a pair of start and stop is needed, not '0-5'"),
        ({"span": 7}, "a Span or a pair of start and stop is needed, not 7"),
        ({"span": (0, 1, 2)}, "a Span or a pair of start and stop is needed, not "),
        ({"remote": "http://files.example/"}, r"str is no Remote; use Remote\(...\), or None"),
        ({"remote": ()}, "tuple is no Remote"),
        ({"public": "no"}, "True or False is needed, not str"),
        ({"public": None}, "True or False is needed, not NoneType"),
        ({"found": 0}, "True or False is needed, not int"),
        ({"mutable": "false"}, "True or False is needed, not str"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_its_name(values: dict[str, Any], words: str) -> None:
    (name,) = values
    with pytest.raises(TypeError, match=rf"^Source\.{name}: {words}"):
        Source(URL, **values)


def test_bad_fields_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^headers: "):
        Source(URL, headers={"A": "b\r\nc"})
    with pytest.raises(ValueError, match=r"^headers: "):
        Source(URL, conditions={"If-Range\n": "b"})


def test_a_source_shows_no_secret() -> None:
    source = Source(
        f"https://elmer:{SECRET}@files.example/a?X-Amz-Signature={SECRET}#{SECRET}",
        headers={"Authorization": SECRET},
        remote=Remote(auth=Basic("elmer", SECRET), headers={"X-Key": SECRET}),
        scope=f"https://elmer:{SECRET}@files.example/?token={SECRET}",
    )

    assert SECRET not in repr(source)
    assert SECRET not in repr(source.place)
    assert SECRET not in repr(evolve(source, tag=1))


def test_two_sources_are_two() -> None:
    """The same file may be wanted twice; what tells them apart is which of them it is."""
    assert Source(URL) != Source(URL)
    assert len({Source(URL), Source(URL)}) == 2
