"""Where an answer begins and ends: what is read, what is refused, and when a connection may be used again."""

from __future__ import annotations

import h11
import pytest
from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pulp_dl.protocols.http.framing import MAX_FIELDS, MAX_HEAD, MAX_INTERIM, Framing, Malformed

OK = b"HTTP/1.1 200 OK\r\n"
Pairs = tuple[tuple[bytes, bytes], ...]


def read(*segments: bytes, method: bytes = b"GET") -> tuple[Framing, bytes]:
    """One answer, as far as it goes."""
    framing = Framing()
    framing.expect(method)
    body = b""
    for segment in segments:
        if framing.complete:
            break
        body += framing.feed(segment)
    return framing, body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return wire + b"0\r\n" + trailers + b"\r\n"


class TestHeads:
    def test_a_head_is_read_as_it_was_sent(self) -> None:
        framing, body = read(
            b"HTTP/1.0 404 Not  Here\r\nX-b: 1 \r\nx-A:\t two words\t\r\nX-b:\r\nContent-Length: 2\r\n\r\nab"
        )
        assert framing.version == 0
        assert framing.status == 404
        assert framing.reason == b"Not  Here"
        assert framing.pairs == ((b"X-b", b"1"), (b"x-A", b"two words"), (b"X-b", b""), (b"Content-Length", b"2"))
        assert framing.length == 2
        assert body == b"ab"

    @pytest.mark.parametrize("line", [b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 \xe4 \xff"])
    def test_a_reason_may_be_empty_missing_or_of_any_text(self, line: bytes) -> None:
        framing, _ = read(line + b"\r\nContent-Length: 0\r\n\r\n")
        assert framing.complete

    @pytest.mark.parametrize(
        "start",
        [
            b"RTSP/1.0 200 OK",
            b"ICE/1.0 200 OK",
            b"ICY 200 OK      ",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/9.9 200 OK",
            b"HTTPX/1.1 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/1.1 000 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 600 OK",
            b"HTTP/1.1 999 OK",
            b"HTTP/1.1 -200 OK",
            b"HTTP/1.1 2_00 OK",
            b"HTTP/1.1 0200 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1  200 OK",
            b" HTTP/1.1 200 OK",
            b"\r\nHTTP/1.1 200 OK",
            b"HTTP/1.1\t200 OK",
            b"SSH-2.0-OpenSSH_9.2",
            b"<html>no head at all</html>",
        ],
    )
    def test_what_is_no_answer_of_http_1_is_refused(self, start: bytes) -> None:
        for method in (b"GET", b"HEAD"):
            with pytest.raises(Malformed):
                read(start + b"\r\nContent-Length: 0\r\n\r\n", method=method)

    @pytest.mark.parametrize("start", [b"RTSP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 999 OK"])
    def test_nor_does_it_pass_behind_an_interim_answer(self, start: bytes) -> None:
        wire = b"HTTP/1.1 103 Early Hints\r\n\r\n" + start + b"\r\nContent-Length: 0\r\n\r\n"
        for segments in ([wire], [wire[:20], wire[20:]], [bytes([byte]) for byte in wire]):
            with pytest.raises(Malformed):
                read(*segments)

    @pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x0b", b"\x1b", b"\x7f"])
    def test_a_control_character_in_the_reason_is_refused(self, byte: bytes) -> None:
        with pytest.raises(Malformed, match="reason"):
            read(b"HTTP/1.1 200 O" + byte + b"K\r\nContent-Length: 0\r\n\r\n")

    @pytest.mark.parametrize(
        "field",
        [
            b"X: a\x00b",
            b"X: a\x1bb",
            b"X: a\rb",
            b"X : a",
            b"X\x00: a",
            b": a",
            b"no colon",
            b" X: folded before the first field",
            b"X: a\r\n folded",
            b"X: a\r\n\tfolded",
        ],
    )
    def test_a_malformed_field_is_refused(self, field: bytes) -> None:
        with pytest.raises(Malformed):
            read(OK + field + b"\r\nContent-Length: 0\r\n\r\n")

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            b"HTTP/1.1 200 OK\rContent-Length: 0\r\r",
        ],
    )
    def test_a_line_ends_with_cr_and_lf(self, head: bytes) -> None:
        for method in (b"GET", b"HEAD"):
            with pytest.raises(Malformed):
                read(head, b"more", method=method)

    def test_no_error_repeats_what_the_server_sent(self) -> None:
        for wire in (b"HTTP/1.1 200 OK\r\nX: SECRET\x00\r\n\r\n", b"SECRET SECRET SECRET\r\n"):
            with pytest.raises(Malformed) as caught:
                read(wire)
            assert "SECRET" not in str(caught.value)


class TestBodies:
    def test_by_content_length(self) -> None:
        framing, body = read(OK + b"Content-Length: 4\r\n\r\nab", b"cd")
        assert (framing.length, body, framing.complete, framing.reusable) == (4, b"abcd", True, True)

    def test_by_chunks(self) -> None:
        framing, body = read(OK + b"Transfer-Encoding: Chunked\r\n\r\n" + chunked(b"a", b"bcd" * 10))
        assert (framing.length, body, framing.complete, framing.reusable) == (None, b"a" + b"bcd" * 10, True, True)

    def test_by_the_end_of_the_connection(self) -> None:
        framing, body = read(OK + b"\r\nab", b"cd")
        assert (framing.length, body, framing.complete) == (None, b"abcd", False)
        assert framing.until_close

    def test_only_that_end_is_one(self) -> None:
        for head in (b"Content-Length: 9\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
            framing, _ = read(OK + head)
            assert not framing.until_close
            assert not framing.complete

    @pytest.mark.parametrize("status", [204, 304])
    @pytest.mark.parametrize("field", [b"", b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
    def test_some_answers_have_no_body_whatever_they_say(self, status: int, field: bytes) -> None:
        framing, body = read(b"HTTP/1.1 %d -\r\n%b\r\n" % (status, field))
        assert (framing.length, body, framing.complete, framing.reusable) == (0, b"", True, True)

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 1\r\nContent-Length: 2\r\n",
            b"Content-Length: 1\r\nContent-Length: 1\r\n",
            b"Content-Length: 1, 1\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: +1\r\n",
            b"Content-Length: 0x1\r\n",
            b"Content-Length: 1_0\r\n",
            b"Content-Length: \r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Content-Length: " + b"0" * 5000 + b"1\r\n",
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Transfer-Encoding: identity\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked;q=1\r\n",
            b"Transfer-Encoding: chunked,\r\n",
            b"Transfer-Encoding: ,chunked\r\n",
            b"Transfer-Encoding: chunked\t\r\n",
            b"Transfer-Encoding: \r\n",
        ],
    )
    def test_framing_that_could_be_read_in_two_ways_is_refused(self, fields: bytes) -> None:
        for method in (b"GET", b"HEAD"):
            with pytest.raises(Malformed):
                read(OK + fields + b"\r\n0\r\n\r\n", method=method)

    @pytest.mark.parametrize(
        "wire",
        [
            b"x\r\n",
            b"-1\r\na\r\n",
            b"1 \r\na\r\n",
            b"1\na\n0\n\n",
            b"1\r\nab\r\n",
            b"0x1\r\na\r\n",
            b"fffffffffffffffff\r\n",
            b'1;a="\r\n',
            b"\r\n",
        ],
    )
    def test_malformed_chunks_are_refused(self, wire: bytes) -> None:
        with pytest.raises(Malformed):
            read(OK + b"Transfer-Encoding: chunked\r\n\r\n", wire)

    def test_trailers_are_dropped(self) -> None:
        framing = Framing()
        for _ in range(2):
            framing.expect(b"GET")
            wire = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"a", trailers=b"Digest: x\r\nEvil: y\r\n")
            assert framing.feed(wire) == b"a"
            assert framing.pairs == ((b"Transfer-Encoding", b"chunked"),)
            assert framing.reusable

    def test_a_huge_length_is_only_a_number(self) -> None:
        framing, _ = read(OK + b"Content-Length: %d\r\n\r\nab" % 2**62)
        assert framing.length == 2**62


class TestHeadRequests:
    """The parser cannot be told of HEAD: it would take the next answer for a body."""

    @pytest.mark.parametrize("field", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\r\n"])
    def test_the_answer_ends_with_its_head(self, field: bytes) -> None:
        framing, body = read(OK + field + b"\r\n", method=b"HEAD")
        assert (framing.length, framing.complete, framing.until_close, body) == (0, True, False, b"")

    def test_the_connection_may_be_used_again(self) -> None:
        framing = Framing()
        for _ in range(3):
            framing.expect(b"HEAD")
            framing.feed(OK + b"Content-Length: 5\r\n\r\n")
            assert framing.reusable
        framing.expect(b"GET")
        assert framing.feed(OK + b"Content-Length: 5\r\n\r\nhello") == b"hello"

    @pytest.mark.parametrize("extra", [b"hello", b"h", b"\r", b"\r\n", b"5\r\n", OK])
    def test_a_byte_behind_it_forbids_that(self, extra: bytes) -> None:
        framing, body = read(OK + b"Content-Length: 5\r\n\r\n" + extra, method=b"HEAD")
        assert framing.complete
        assert not framing.reusable
        assert body == b""

    def test_interim_answers_come_before(self) -> None:
        framing, _ = read(b"HTTP/1.1 103 -\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\n", method=b"HEAD")
        assert framing.status == 200
        assert framing.reusable


class TestInterim:
    def test_they_are_passed_over(self) -> None:
        framing, body = read(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na"
        )
        assert (framing.status, framing.reason, framing.pairs) == (200, b"OK", ((b"Content-Length", b"1"),))
        assert body == b"a"
        assert framing.reusable

    def test_sixteen_of_them(self) -> None:
        framing, _ = read(b"HTTP/1.1 100 -\r\n\r\n" * MAX_INTERIM, OK + b"Content-Length: 0\r\n\r\n")
        assert framing.complete
        with pytest.raises(Malformed, match="interim"):
            read(b"HTTP/1.1 100 -\r\n\r\n" * (MAX_INTERIM + 1))

    def test_they_count_anew_for_each_request(self) -> None:
        framing = Framing()
        for _ in range(3):
            framing.expect(b"GET")
            framing.feed(b"HTTP/1.1 100 -\r\n\r\n" * MAX_INTERIM + OK + b"Content-Length: 0\r\n\r\n")
            assert framing.complete

    @pytest.mark.parametrize("fields", [b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"])
    def test_switching_protocols_was_not_asked_for(self, fields: bytes) -> None:
        with pytest.raises(Malformed, match="switched"):
            read(b"HTTP/1.1 101 -\r\n" + fields + b"\r\n")

    def test_an_offer_to_upgrade_is_no_switch(self) -> None:
        """Apache offers h2c on ordinary answers."""
        framing, body = read(OK + b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 1\r\n\r\na")
        assert body == b"a"
        assert framing.reusable

    @pytest.mark.parametrize("field", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
    def test_they_have_no_body(self, field: bytes) -> None:
        with pytest.raises(Malformed, match="interim"):
            read(b"HTTP/1.1 150 -\r\n" + field + b"\r\nab" + OK + b"\r\n")


class TestReuse:
    @pytest.mark.parametrize(
        ("head", "reusable"),
        [
            (b"HTTP/1.1 200 OK\r\n", True),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
            (b"HTTP/1.1 200 OK\r\nConnection: x\r\n", True),
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\n", False),
            (b"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\n", False),
            (b"HTTP/1.0 200 OK\r\n", False),
            (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
        ],
    )
    def test_as_the_server_says(self, head: bytes, reusable: bool) -> None:
        for method, body in ((b"GET", b"a"), (b"HEAD", b"")):
            framing, _ = read(head + b"Content-Length: 1\r\n\r\n" + body, method=method)
            assert framing.complete
            assert framing.reusable is reusable

    @pytest.mark.parametrize("connection", [b"", b"Connection: close\r\n"])
    @pytest.mark.parametrize(
        "extra", [b"E", b"EVIL", b"\r\nEVIL", OK + b"Content-Length: 4\r\n\r\nEVIL", b"H", b"HTTP/1.1 103 -\r\n\r\n"]
    )
    def test_not_with_bytes_behind_the_message(self, connection: bytes, extra: bytes) -> None:
        for message in (
            OK + connection + b"Content-Length: 1\r\n\r\na",
            OK + connection + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"a"),
        ):
            framing, body = read(message + extra)
            assert body == b"a"
            assert framing.complete
            assert not framing.reusable

    @pytest.mark.parametrize("status", [408, 503])
    def test_not_after_what_may_have_been_said_before_the_request_was_read(self, status: int) -> None:
        """RFC 9110 section 15.5.9 for a 408; and who is too busy may say so at any moment, to everybody."""
        framing, _ = read(b"HTTP/1.1 %d No\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n" % status)
        assert framing.complete
        assert not framing.reusable

    def test_not_after_chunks_in_http_1_0(self) -> None:
        """RFC 9112 section 6.1: faulty framing, to be read but not to be trusted."""
        head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        framing, body = read(head + chunked(b"a"))
        assert body == b"a"
        assert framing.complete
        assert not framing.reusable


def fed(wire: bytes, size: int = 1000) -> int:
    """How many bytes are taken before they are too many."""
    framing = Framing()
    framing.expect(b"GET")
    for at in range(0, len(wire), size):
        try:
            framing.feed(wire[at : at + size])
        except Malformed:
            return at + size
    return len(wire)


class TestLimits:
    def test_fields(self) -> None:
        field = b"X: y\r\n"
        read(OK + field * MAX_FIELDS + b"\r\n")
        with pytest.raises(Malformed, match="fields"):
            read(OK + field * (MAX_FIELDS + 1) + b"\r\n")
        assert fed(OK + field * 100_000) < 4000

    @pytest.mark.parametrize(
        "endless",
        [
            OK + b"X: " + b"y" * 10_000_000,
            OK + b"X" * 10_000_000,
            b"HTTP/1.1 200 " + b"y" * 10_000_000,
            b"HTTP/1.1 103 -\r\nX: " + b"y" * 10_000_000,
        ],
        ids=["value", "name", "reason", "interim"],
    )
    def test_heads(self, endless: bytes) -> None:
        """Callbacks come too late for these: one endless value gives none."""
        assert fed(endless) <= MAX_HEAD + 1000

    def test_a_large_head_is_read_all_the_same(self) -> None:
        framing, _ = read(OK + b"X: " + b"y" * (MAX_HEAD - 1000), b"\r\nContent-Length: 0\r\n\r\n")
        assert framing.complete

    def test_interim_heads_count_together(self) -> None:
        interim = b"HTTP/1.1 103 -\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"
        assert fed(interim * 16) <= MAX_HEAD + 1000

    def test_heads_of_one_connection_do_not(self) -> None:
        framing = Framing()
        for _ in range(10):
            framing.expect(b"GET")
            framing.feed(OK + b"X: " + b"y" * 50_000)
            framing.feed(b"\r\nContent-Length: 0\r\n\r\n")
            assert framing.complete

    @pytest.mark.parametrize(
        "endless",
        [
            b"1;" + b"x" * 10_000_000,
            (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 10_000,
            b"0" * 10_000_000,
            b"0\r\nX: " + b"y" * 10_000_000,
            b"0\r\n" + b"X: y\r\n" * 100_000,
        ],
        ids=["extension", "extensions", "zeros", "trailer", "trailers"],
    )
    def test_what_stands_around_chunks(self, endless: bytes) -> None:
        framing, _ = read(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        taken = 0
        with pytest.raises(Malformed):
            for at in range(0, len(endless), 1000):
                taken = at
                framing.feed(endless[at : at + 1000])
        assert taken <= 70_000

    def test_which_count_anew_for_each_answer(self) -> None:
        framing = Framing()
        generous = OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0\r\nX: " + b"y" * 50_000, b"\r\n\r\n"
        for _ in range(3):
            framing.expect(b"GET")
            for segment in generous:
                framing.feed(segment)
            assert framing.reusable
        framing.expect(b"GET")
        framing.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n")
        framing.expect(b"GET")
        framing.feed(generous[0])
        with pytest.raises(Malformed):
            framing.feed(b"0\r\nX: " + b"y" * 70_000)

    def test_small_chunks_are_no_offence(self) -> None:
        framing, _ = read(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            assert framing.feed(b"1;0123456789=abcdefgh\r\na\r\n" * 1000) == b"a" * 1000


# ---- properties


@frozen
class Message:
    """An answer and what is to be read in it."""

    wire: bytes
    status: int
    pairs: Pairs
    body: bytes
    until_close: bool
    reusable: bool


tokens = st.text("abcXYZ-_!#$%&'*+.^`|~019", min_size=1, max_size=12).map(str.encode)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20).map(
    lambda text: text.encode("latin-1").strip(b" \t")
)
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"proxy-connection", b"keep-alive"}
fields = st.lists(st.tuples(tokens, values).filter(lambda pair: pair[0].lower() not in FRAMING), max_size=5)
blanks = st.sampled_from([b"", b" ", b"\t", b"  "])
reasons = st.text("OK abc\t", max_size=10).map(str.encode)
bodies = st.binary(max_size=300)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any answer that is right."""

    def line(name: bytes, value: bytes) -> bytes:
        behind = draw(blanks) if name != b"Transfer-Encoding" else b""
        return name + b":" + draw(blanks) + value + behind + b"\r\n"

    def lines(pairs: list[tuple[bytes, bytes]]) -> bytes:
        return b"".join(line(*pair) for pair in pairs)

    wire = b"".join(
        b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, draw(reasons), lines(draw(fields)))
        for status in draw(st.lists(st.sampled_from([100, 102, 103, 150, 199]), max_size=3))
    )
    status = draw(st.integers(200, 599))
    bodiless = status in {204, 304}
    body = b"" if bodiless else draw(bodies)
    pairs = draw(fields)
    closes = draw(st.booleans())
    if closes:
        pairs.append((b"Connection", b"close"))
    kind = draw(st.sampled_from(["length", "chunked", "close"]))
    raw = body
    if kind == "length":
        pairs.insert(draw(st.integers(0, len(pairs))), (b"Content-Length", b"%d" % len(body)))
    elif kind == "chunked":
        pairs.insert(draw(st.integers(0, len(pairs))), (b"Transfer-Encoding", b"chunked"))
        if not bodiless:
            raw = b""
            at = 0
            while at < len(body):
                size = draw(st.integers(1, len(body) - at))
                extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b;c"']))
                raw += b"%x%b\r\n%b\r\n" % (size, extension, body[at : at + size])
                at += size
            raw += b"0\r\n" + lines(draw(fields)) + b"\r\n"
    wire += b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, draw(reasons), lines(pairs)) + raw
    until_close = kind == "close" and not bodiless
    return Message(wire, status, tuple(pairs), body, until_close, not (closes or until_close or status in {408, 503}))


@st.composite
def segmented(draw: st.DrawFn, wires: st.SearchStrategy[bytes]) -> list[bytes]:
    """Cut anywhere."""
    wire = draw(wires)
    if draw(st.booleans()):
        size = draw(st.integers(1, 7))
        return [wire[at : at + size] for at in range(0, len(wire), size)]
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    return [wire[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True) if start < stop]


@settings(max_examples=150)
@given(data=st.data())
def test_however_an_answer_is_cut_it_is_read_the_same(data: st.DataObject) -> None:
    message = data.draw(messages())
    framing, body = read(*data.draw(segmented(st.just(message.wire))))
    assert framing.status == message.status
    assert framing.pairs == message.pairs
    assert body == message.body
    assert framing.received == len(body)
    assert framing.until_close is message.until_close
    assert framing.complete is not message.until_close
    assert framing.reusable is message.reusable


@settings(max_examples=30)
@given(data=st.data())
def test_answers_follow_each_other_on_one_connection(data: st.DataObject) -> None:
    """Nothing of one answer is left in the next."""
    framing = Framing()
    for message in data.draw(st.lists(messages().filter(lambda message: message.reusable), min_size=2, max_size=4)):
        framing.expect(b"GET")
        body = b"".join([framing.feed(segment) for segment in data.draw(segmented(st.just(message.wire)))])
        assert (framing.status, framing.pairs, body) == (message.status, message.pairs, message.body)
        assert framing.reusable


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A right answer, and then something is changed."""
    wire = draw(messages()).wire
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire)))
        what = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b":", b"0", b"9", b",", b"\x00", b"X"]) | bodies)
        wire = wire[:at] + what + wire[at + draw(st.integers(0, 3)) :]
    return wire


def by_h11(wire: bytes, method: bytes) -> tuple[int, bytes]:
    """
    Status and body as h11 reads them.

    @raise h11.RemoteProtocolError: it does not.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    connection.receive_data(b"")
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        match event:
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += bytes(event.data)
            case h11.InformationalResponse():
                pass
            case _:
                raise AssertionError(f"h11 ended with {event}")
    return status, body


@settings(max_examples=200)
@given(data=st.data(), method=st.sampled_from([b"GET", b"HEAD"]))
def test_whatever_comes_is_read_as_h11_reads_it_or_refused(data: st.DataObject, method: bytes) -> None:
    wire = data.draw(damaged())
    try:
        framing, body = read(*data.draw(segmented(st.just(wire))), method=method)
    except Malformed:
        return
    if not (framing.complete or (framing.status and framing.until_close)):
        return  # it will end as truncated
    assert (framing.status, body) == by_h11(wire, method)


@given(wire=st.binary(max_size=200), method=st.sampled_from([b"GET", b"HEAD"]))
@example(b"HTTP/1.1 200 \r\n:\r\n\r\n", b"GET")
def test_whatever_bytes_come_nothing_but_malformed_is_raised(wire: bytes, method: bytes) -> None:
    for segments in ([wire], [bytes([byte]) for byte in wire]):
        try:
            read(*segments, method=method)
        except Malformed as error:
            assert str(error).isprintable()
