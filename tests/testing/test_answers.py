"""The honest server is honest."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pulp_dl.testing import (
    Close,
    Entity,
    History,
    Send,
    answer,
    redirect,
    response_head,
)
from tests.testing.stages import World, all_of


async def test_an_answer_is_framed_as_it_is_asked(world: World) -> None:
    stage = world.serve(
        {
            "/length": answer(b"hello", headers=((b"X", b"y"),)),
            "/chunked": answer(b"hello", framing="chunked", piece=2),
            "/close": answer(b"hello", framing="close"),
            "/status": answer(b"later", 503, ((b"Retry-After", b"1"),)),
            "/redirect": redirect("/ä", 307),
            "/304": answer(b"unseen", 304),
        }
    )

    async def get(path: str, method: bytes = b"GET") -> list[bytes]:
        client = await world.ask(stage, path, b"Connection: close\r\n", method)
        head, _, body = (await world.wait(client.until(None))).partition(b"\r\n\r\n")
        dull = (b"Date", b"ETag", b"Accept-Ranges", b"Connection")
        return [*(line for line in head.split(b"\r\n") if not line.startswith(dull)), body]

    assert await get("/length") == [b"HTTP/1.1 200 OK", b"X: y", b"Content-Length: 5", b"hello"]
    assert await get("/length", b"HEAD") == [b"HTTP/1.1 200 OK", b"X: y", b"Content-Length: 5", b""]
    assert await get("/chunked") == [
        b"HTTP/1.1 200 OK",
        b"Transfer-Encoding: chunked",
        b"2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n",
    ]
    assert await get("/close") == [b"HTTP/1.1 200 OK", b"hello"]
    assert await get("/status") == [
        b"HTTP/1.1 503 Service Unavailable",
        b"Retry-After: 1",
        b"Content-Length: 5",
        b"later",
    ]
    assert await get("/redirect") == [
        b"HTTP/1.1 307 Temporary Redirect",
        "Location: /ä".encode(),
        b"Content-Length: 0",
        b"",
    ]
    assert await get("/304") == [b"HTTP/1.1 304 Not Modified", b""]


async def test_a_history_shows_each_request_its_version(world: World) -> None:
    stage = world.serve(answer(History.of(b"one", b"two"), framing="close"))
    bodies = [(await all_of(world, stage))[0].partition(b"\r\n\r\n")[2] for _ in range(3)]
    assert bodies == [b"one", b"two", b"two"]
    assert {*bodies} == History.of(b"one", b"two").bodies()


async def test_scripts_may_be_changed_between_requests(world: World) -> None:
    stage = world.serve([Send(b"old"), Close()])
    assert (await all_of(world, stage))[0] == b"old"
    stage.script = [Send(b"new"), Close()]
    assert (await all_of(world, stage))[0] == b"new"


def test_a_wrong_head_can_be_made_as_easily_as_a_right_one() -> None:
    assert response_head(200) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert (
        response_head(999, ((b"A b", b"\x00"),), b"W\rhat", b"HTTP/9.9") == b"HTTP/9.9 999 W\rhat\r\nA b: \x00\r\n\r\n"
    )


@given(
    data=st.binary(max_size=50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
    etag=st.sampled_from([b'"1"', b'W/"1"', None]),
    if_range=st.sampled_from([None, b'"1"', b'"2"', b'W/"1"', b"Mon, 05 Jan 2026 10:00:00 GMT"]),
)
@example(data=b"abc", first=None, last=0, etag=None, if_range=None)
@example(data=b"abc", first=0, last=0, etag=b'W/"1"', if_range=b'W/"1"')
def test_an_entity_answers_a_range_as_the_standard_says(
    data: bytes, first: int | None, last: int | None, etag: bytes | None, if_range: bytes | None
) -> None:
    """RFC 9110 section 14, said in another way: by what bytes a client may hope for."""
    modified = b"Mon, 05 Jan 2026 10:00:00 GMT"
    fields = [(b"Range", b"bytes=%b-%b" % tuple(b"" if end is None else b"%d" % end for end in (first, last)))]
    if if_range is not None:
        fields.append((b"If-Range", if_range))
    entity = Entity(data, etag, modified)
    assert entity.reply("HEAD", tuple(fields)).status == 200
    reply = entity.reply("GET", tuple(fields))
    nonsense = (first is None and last is None) or (first is not None and last is not None and last < first)
    same = if_range in {None, modified} or if_range == etag == b'"1"'
    if nonsense or not same:
        assert (reply.status, reply.body) == (200, data)
        return
    hoped = (
        data[-last:] if first is None and last else b"" if first is None else data[first:][: last and last + 1 - first]
    )
    if last == 0 == first:
        hoped = data[:1]
    assert (reply.status, reply.body) == ((206, hoped) if hoped else (416, b""))
    assert reply.total == len(data)
