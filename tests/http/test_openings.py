"""What is said to a proxy before there is a tunnel: CONNECT and SOCKS 5, byte by byte, without a socket."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.model.auth import Basic
from pulp_dl.protocols.http.connect import MAX_HEAD, Connect
from pulp_dl.protocols.http.socks import Socks, Unreachable
from pulp_dl.protocols.http.tunnel import Refusal
from pulp_dl.urls import parse

LOGIN = Basic("elmer", "wabbit")
BOUND = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"


def fed(opening: Any, *pieces: bytes) -> bytes:
    """What it says to all this."""
    said: bytes = opening.begin()
    for piece in pieces:
        said += opening.feed(piece)
    return said


def refused(opening: Any, *pieces: bytes) -> Refusal:
    with pytest.raises(Refusal) as raised:
        fed(opening, *pieces)
    assert not opening.complete
    assert "wabbit" not in str(raised.value)
    return raised.value


# ---- CONNECT


def connect(url: str = "https://h.example/secret") -> Connect:
    return Connect(parse(url), ())


def test_connect_says_where_to_and_who_we_are_and_nothing_else() -> None:
    opening = Connect(parse("https://h.example:8443/secret?x"), ((b"Proxy-Authorization", LOGIN.header),))

    assert opening.begin() == (
        b"CONNECT h.example:8443 HTTP/1.1\r\nHost: h.example:8443\r\nProxy-Authorization: %b\r\n\r\n" % LOGIN.header
    )


HEADS = st.builds(
    lambda before, status, reason, fields: (
        b"".join(b"HTTP/1.1 %d Wait\r\n\r\n" % each for each in before)
        + b"HTTP/1.%d %d" % (len(fields) % 2, status)
        + reason
        + b"\r\n"
        + b"".join(b"%b: %b\r\n" % each for each in fields)
        + b"\r\n"
    ),
    st.lists(st.sampled_from([100, 102, 103, 199]), max_size=16),
    st.integers(200, 299),
    st.sampled_from([b"", b" ", b" OK", b" Connection established"]),
    st.lists(
        st.tuples(
            st.sampled_from([b"Via", b"Content-Length", b"Transfer-Encoding", b"Proxy-Agent"]),
            st.binary(max_size=20).map(lambda value: re.sub(rb"[\r\n]", b"", value)),
        ),
        max_size=5,
    ),
)


@given(HEADS, st.data())
def test_in_whatever_pieces_an_answer_comes_there_is_a_tunnel_when_it_is_at_its_end(
    head: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(head)), max_size=8)))
    opening = connect()
    opening.begin()
    for start, stop in zip([0, *cuts], [*cuts, len(head)], strict=True):
        assert not opening.complete or start == stop == len(head)
        assert opening.feed(head[start:stop]) == b""
    assert opening.complete
    assert "out of the tunnel" in str(refused(connect(), head + b"x"))


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"HTTP/1.1 ", b"200", b"\r\n", b"\r\n\r\n"]), max_size=8))
def test_whatever_a_proxy_answers_there_is_a_tunnel_or_a_refusal_or_more_is_waited_for(pieces: list[bytes]) -> None:
    opening = connect()
    opening.begin()
    try:
        for piece in pieces:
            opening.feed(piece)
    except Refusal:
        assert not opening.complete
    else:
        assert not opening.complete or re.match(rb"HTTP/1\.[01] [12]\d\d", b"".join(pieces))


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 404, 407, 418, 500, 502, 504, 599])
def test_whatever_is_no_2xx_is_a_refusal_with_its_status(status: int) -> None:
    """At the end of its head: nobody waits for a body."""
    refusal = refused(connect(), b"HTTP/1.1 %d wabbit\r\nContent-Length: 1000000\r\n\r\n" % status)

    assert refusal.status == status
    assert str(status) in refusal.message
    assert ("Proxy(auth=" in refusal.message) == (status in {401, 407})


@pytest.mark.parametrize("beginning", [b"S", b"\x15\x03", b"HTTP/2", b"HTTP/0.9 200", b"<html>", b" HTTP/1.1", b"\r\n"])
def test_what_does_not_begin_as_an_answer_is_refused_at_once(beginning: bytes) -> None:
    """Not after half a minute."""
    assert "does not answer as an HTTP proxy" in refused(connect(), beginning).message


def test_a_head_has_a_limit_and_reading_it_costs_no_more_than_its_length() -> None:
    opening = connect()
    opening.begin()
    opening.feed(b"HTTP/1.1 200 OK\r\nX: ")
    with pytest.raises(Refusal, match="head of more than"):
        for _ in range(MAX_HEAD):
            opening.feed(b"x")
    refused(connect(), *[b"HTTP/1.1 100 Continue\r\n\r\n"] * 17)


# ---- SOCKS 5


@pytest.mark.parametrize(
    ("host", "wire"),
    [
        ("h.example", b"\x03\x09h.example"),
        ("10.1.2.3", b"\x01\x0a\x01\x02\x03"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("fe80::1%eth0", b"\x04\xfe\x80" + bytes(13) + b"\x01"),
        ("x" * 63, b"\x03\x3f" + b"x" * 63),
    ],
)
def test_socks_says_where_to(host: str, wire: bytes) -> None:
    """RFC 1928 sections 3 and 4."""
    assert fed(Socks(host, 443, None), b"\x05\x00", BOUND) == b"\x05\x01\x00" + b"\x05\x01\x00" + wire + b"\x01\xbb"


def test_socks_logs_in_if_it_is_asked_to() -> None:
    """RFC 1929; a proxy that does not want to know is not told."""
    asked, free = Socks("h", 80, LOGIN), Socks("h", 80, LOGIN)

    assert fed(asked, b"\x05\x02", b"\x01\x00", BOUND) == (
        b"\x05\x02\x00\x02" + b"\x01\x05elmer\x06wabbit" + b"\x05\x01\x00\x03\x01h\x00\x50"
    )
    assert fed(free, b"\x05\x00", BOUND) == b"\x05\x02\x00\x02" + b"\x05\x01\x00\x03\x01h\x00\x50"
    assert asked.complete
    assert free.complete


BOUNDS = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda address: b"\x01" + address),
    st.binary(min_size=16, max_size=16).map(lambda address: b"\x04" + address),
    st.binary(max_size=255).map(lambda name: bytes([3, len(name)]) + name),
)


@given(BOUNDS, st.booleans(), st.data())
def test_in_whatever_pieces_the_answers_come_there_is_a_tunnel_at_their_end(
    bound: bytes, login: bool, data: st.DataObject
) -> None:
    whole = (b"\x05\x02\x01\x00" if login else b"\x05\x00") + b"\x05\x00\x00" + bound + b"\x00\x50"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    opening = Socks("h", 80, LOGIN)
    opening.begin()
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        assert not opening.complete or start == stop
        opening.feed(whole[start:stop])
    assert opening.complete
    assert "out of the tunnel" in str(refused(Socks("h", 80, LOGIN), whole + b"x"))


@given(st.lists(st.binary(max_size=12), max_size=6), st.booleans())
def test_whatever_a_socks_proxy_answers_there_is_a_tunnel_or_a_refusal(pieces: list[bytes], login: bool) -> None:
    opening = Socks("h", 80, LOGIN if login else None)
    opening.begin()
    try:
        for piece in pieces:
            opening.feed(piece)
    except Refusal:
        pass
    else:
        assert not opening.complete or b"".join(pieces)[:1] == b"\x05"


@pytest.mark.parametrize(
    ("login", "pieces", "words", "transient"),
    [
        (None, [b"HT"], "does not answer as a SOCKS 5 proxy", None),
        (None, [b"\x00\x5a"], "does not answer as a SOCKS 5 proxy", None),
        (None, [b"\x05\xff"], "another way to log in than is known here; give Proxy(auth=", False),
        (None, [b"\x05\x02"], "another way to log in", False),
        (LOGIN, [b"\x05\xff"], "another way to log in", False),
        (LOGIN, [b"\x05\x01"], "another way to log in", False),
        (LOGIN, [b"\x05\x02", b"\x01\x01"], "does not accept user and password", False),
        (None, [b"\x05\x00", b"\x04\x00\x00\x01"], "does not answer as a SOCKS 5 proxy", None),
        (None, [b"\x05\x00", b"\x05\x00\x00\x02"], "does not answer as a SOCKS 5 proxy", None),
        (None, [b"\x05\x00", b"\x05\x02\x00\x01"], "its rules forbid it", False),
        (None, [b"\x05\x00", b"\x05\x05\x00\x01"], "the server refuses the connection", True),
        (None, [b"\x05\x00", b"\x05\x63\x00\x01"], "it answers 99", True),
    ],
)
def test_a_refusal_of_socks_says_why(login: Basic | None, pieces: list[bytes], words: str, transient: bool) -> None:
    refusal = refused(Socks("h", 80, login), *pieces)

    assert words in refusal.message
    assert refusal.status is None
    assert refusal.transient is transient


@pytest.mark.parametrize(("reply", "elsewhere"), [(1, True), (2, False), (3, True), (4, True), (5, True), (8, True)])
def test_another_address_is_worth_a_try_if_this_one_is_not_reached(reply: int, elsewhere: bool) -> None:
    refusal = refused(Socks("h", 80, None), b"\x05\x00", bytes([5, reply, 0, 1]))

    assert isinstance(refusal, Unreachable) == elsewhere
