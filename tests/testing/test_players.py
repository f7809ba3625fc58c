"""Scripts are played to the letter, over sockets and in memory."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost

from pulp_dl.testing import (
    FOREVER,
    Chunk,
    Close,
    Cut,
    Drip,
    FaultServer,
    Hold,
    Nth,
    OnPath,
    OnRange,
    Repeat,
    Request,
    Reset,
    Send,
    Wait,
    answer,
)
from tests.testing.stages import Memory, Sockets, World, all_of

BIG = bytes(range(256)) * 8000


async def test_bytes_come_as_the_script_says_and_nothing_else(world: World) -> None:
    stage = world.serve([Send(b"not HTTP\n"), Wait(0), Send(b""), Send(b"\x00at all"), Close()])
    assert await all_of(world, stage) == (b"not HTTP\n\x00at all", ConnectionDone)
    assert stage.bytes_sent == 16


async def test_close_ends_with_fin_when_all_has_arrived(world: World) -> None:
    assert await all_of(world, world.serve([Send(BIG), Close()])) == (BIG, ConnectionDone)


async def test_reset_ends_with_rst_when_all_has_arrived(world: World) -> None:
    assert await all_of(world, world.serve([Send(BIG), Reset()])) == (BIG, ConnectionLost)


async def test_a_connection_stays_open_when_its_script_is_over(world: World) -> None:
    stage = world.serve(answer(b"hello"))
    client = await world.ask(stage)
    await world.wait(client.until(60))
    await world.settle()
    assert client.end is None
    assert client.data.endswith(b"\r\n\r\nhello")
    assert stage.connections.open == 1


async def test_hold_waits_until_it_is_released(world: World) -> None:
    stage = world.serve([Send(b"a"), Hold("now"), Send(b"b"), Hold("now"), Wait(0), Hold(), Send(b"c"), Close()])
    client = await world.ask(stage)
    await world.wait(client.until(1))
    stage.release("another")
    await world.settle()
    assert client.data == b"a"
    stage.release("now")
    await world.wait(client.until(2))
    stage.release()
    await world.settle()
    stage.release("now")
    await world.settle()
    assert client.data == b"ab"
    stage.release()
    assert await world.wait(client.until(None)) == b"abc"


async def test_a_client_may_leave_in_the_middle_of_everything(world: World) -> None:
    stage = world.serve({"/hold": Hold(), "/wait": Wait(1000), "/much": Repeat(Send(BIG))})
    for path in ("/hold", "/wait", "/much"):
        client = await world.ask(stage, path)
        client.transport.pauseProducing()
        await world.settle()
        client.transport.abortConnection()
        await world.wait(client.until(None))
    await world.until(lambda: stage.connections.open == 0)
    stage.release()


async def test_a_slow_client_is_sent_no_more_than_buffers_hold(world: World) -> None:
    stage = world.serve(Repeat(Send(bytes(100_000)), FOREVER))
    client = await world.ask(stage)
    await world.wait(client.until(1))
    client.transport.pauseProducing()
    await world.settle()
    seen = [stage.bytes_sent]

    def still() -> bool:
        seen.append(stage.bytes_sent)
        return seen[-1] == seen[-2]

    await world.until(still)
    sent, came = stage.bytes_sent, len(client.data)
    assert sent < came + 20_000_000
    client.transport.resumeProducing()
    await world.wait(client.until(came + 1_000_000))
    assert stage.bytes_sent > sent


async def test_a_script_without_end_that_sends_nothing_does_not_hold_up_the_rest(world: World) -> None:
    stage = world.serve({"/": Repeat([Send(b""), Wait(0.001)]), "/a": answer(b"hello", framing="close")})
    await world.ask(stage)
    assert (await all_of(world, stage, "/a"))[0].endswith(b"hello")


@pytest.mark.parametrize(
    ("step", "wire"),
    [
        (Chunk(b"hello"), b"5\r\nhello\r\n"),
        (Chunk(b"x" * 26, b";ext=1"), b"1a;ext=1\r\n" + b"x" * 26 + b"\r\n"),
        (Chunk(b""), b"0\r\n\r\n"),
        (Chunk(b"hello", crlf=b"\n"), b"5\nhello\n"),
        (Repeat([Send(b"a"), Send(b"b")], 3), b"ababab"),
        (Repeat((), FOREVER), b""),
        (Drip(b"abcdefg", 3, 0), b"abcdefg"),
        (Drip([Chunk(b"abc"), Send(b"d")], 2, 0.001), b"3\r\nabc\r\nd"),
        (Cut(answer(b"0123456789"), 4, Close()), answer(b"0123456789")),
        (Cut([Send(b"HTTP/1.1 200 OK\r\n\r"), Send(b"\nabc"), Send(b"def")], 4, ()), b"HTTP/1.1 200 OK\r\n\r\nabcd"),
        (Cut(Send(b"no head"), 2, ()), b"no head"),
        (Cut([Send(b"\r\n\r\nabc"), Send(b"de"), Close()], 5, Send(b"!")), b"\r\n\r\nabcde!"),
        (lambda request: Send(request.raw), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ],
)
async def test_steps_send_what_they_say(world: World, step: Any, wire: Any) -> None:
    if not isinstance(wire, bytes):
        whole = (await all_of(world, world.serve([wire, Close()])))[0]
        wire = whole[:-6]
    assert await all_of(world, world.serve([step, Close()])) == (wire, ConnectionDone)


async def test_the_nth_request_for_a_path_gets_the_nth_script(world: World) -> None:
    stage = world.serve(Nth([[Send(b"first"), Close()], [Send(b"second"), Close()], Close()]))
    assert [(await all_of(world, stage, path))[0] for path in ("/a", "/b", "/a", "/a", "/a", "/b")] == [
        b"first",
        b"first",
        b"second",
        b"",
        b"",
        b"second",
    ]


async def test_scripts_branch_on_path_host_and_range(world: World) -> None:
    def say(word: bytes) -> Any:
        return [Send(word), Close()]

    stage = world.serve(
        OnPath(
            {"/a": say(b"a"), "h/b": say(b"h/b"), "/b": say(b"b"), "/r": OnRange(say(b"part"), say(b"whole"))},
            say(b"nothing"),
        )
    )
    said = [(await all_of(world, stage, path))[0] for path in ("/a", "/b", "/c", "/r", "/a?q=1", "http://x/a?b")]
    assert said == [b"a", b"h/b", b"nothing", b"whole", b"a", b"a"]
    assert (await all_of(world, stage, "/r", b"Range: bytes=0-\r\n"))[0] == b"part"


async def test_what_no_path_matches_is_not_found(world: World) -> None:
    stage = world.serve({"/a": Close()})
    client = await world.ask(stage, "/b")
    assert (await world.wait(client.until(45))).startswith(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


async def test_requests_are_kept_as_they_came(world: World) -> None:
    stage = world.serve(answer(b""))
    first = await world.ask(stage, "/a", b"X: 1\r\nx:2 \r\n")
    await world.wait(first.until(80))
    first.transport.write(b"HEAD /a HTTP/1.0\r\nHost: h\r\n\r\n")
    await world.wait(first.until(160))
    second = await world.ask(stage, "/b")
    await world.wait(second.until(80))
    raw = b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\nx:2 \r\n\r\n"
    assert stage.requests == [
        Request("GET", "/a", ((b"Host", b"h"), (b"X", b"1"), (b"x", b"2")), b"HTTP/1.1", 0, 0, raw),
        Request("HEAD", "/a", ((b"Host", b"h"),), b"HTTP/1.0", 0, 1, b"HEAD /a HTTP/1.0\r\nHost: h\r\n\r\n"),
        Request("GET", "/b", ((b"Host", b"h"),), b"HTTP/1.1", 1, 0, b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
    ]


async def test_requests_that_come_at_once_are_answered_in_order_and_their_bodies_skipped(world: World) -> None:
    stage = world.serve({"/a": [Wait(0.01), Send(b"A")], "/b": [Send(b"B")], "/c": [Send(b"C"), Close()]})
    client = await world.connect(stage)
    client.transport.write(
        b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"
    )
    await world.settle()
    client.transport.write(b"cGET /c HTTP/1.1\r\n\r\n")
    assert await world.wait(client.until(None)) == b"ABC"
    assert [request.method for request in stage.requests] == ["POST", "PUT", "GET"]


async def test_a_greeting_comes_before_any_request(world: World) -> None:
    stage = world.serve(answer(b"", framing="close"), greeting=Send(b"who are you? "))
    client = await world.connect(stage)
    assert await world.wait(client.until(13)) == b"who are you? "
    client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    assert (await world.wait(client.until(None))).startswith(b"who are you? HTTP/1.1 200")


async def test_connections_are_counted(world: World) -> None:
    stage = world.serve(Hold())
    clients = [await world.ask(stage) for _ in range(3)]
    await world.until(lambda: stage.connections.total == 3)
    assert (stage.connections.open, stage.connections.peak, stage.connections.total) == (3, 3, 3)
    clients[0].transport.loseConnection()
    await world.until(lambda: stage.connections.open == 2)
    await world.ask(stage)
    await world.until(lambda: stage.connections.total == 4)
    assert (stage.connections.open, stage.connections.peak, stage.connections.total) == (3, 3, 4)
    for client in clients:
        client.transport.loseConnection()
    await world.until(lambda: stage.connections.open == 1)
    await world.ask(stage)
    await world.until(lambda: stage.connections.total == 5)
    assert stage.connections.peak == 3


async def test_a_server_that_is_closed_resets_its_connections(reactor: Any) -> None:
    world = Sockets(reactor)
    stage = world.serve(Hold())
    client = await world.ask(stage)
    await world.settle()
    await world.servers[0].close()
    await world.servers[0].close()
    await world.wait(client.until(None))
    assert client.end is not None
    assert client.end.check(ConnectionLost)
    assert stage.connections.open == 0


async def test_a_server_may_come_back_to_its_port(reactor: Any) -> None:
    async with FaultServer(reactor, Hold()) as server:
        port = server.port
    async with FaultServer(reactor, Hold(), port=port) as server:
        assert server.url() == f"http://127.0.0.1:{port}/"


# ---- whatever


STEPS = st.lists(
    st.one_of(
        st.builds(Send, st.binary(max_size=100)),
        st.builds(Chunk, st.binary(max_size=20), st.binary(max_size=5)),
        st.builds(Repeat, st.builds(Send, st.binary(min_size=1, max_size=20)), st.integers(0, 5)),
        st.builds(Drip, st.binary(max_size=20), st.integers(1, 9), st.just(0)),
        st.builds(Wait, st.just(0)),
    ),
    max_size=8,
)


def wire(script: Any) -> bytes:
    """What a script sends, said in another way."""
    match script:
        case Send(data) | Drip(bytes(data)):
            return data
        case Chunk(data, ext, crlf):
            return f"{len(data):x}".encode() + ext + crlf + data + crlf
        case Repeat(inner, times):
            return wire(inner) * times
        case Wait():
            return b""
        case _:
            return b"".join(map(wire, script))


@given(script=STEPS, segments=st.lists(st.integers(1, 50), min_size=1))
@example(script=[Send(BIG)], segments=[1, 65536])
async def test_in_memory_the_same_bytes_come_whatever_the_script_and_its_segments(
    script: list[Any], segments: list[int]
) -> None:
    world = Memory(segments)
    stage = world.serve([*script, Close()])
    client = await world.ask(stage)
    assert await world.wait(client.until(None)) == wire(script)
    assert all(size <= limit for size, limit in zip(client.segments, cycle(segments), strict=False))
    await world.close()


@given(script=STEPS)
async def test_over_sockets_the_same_bytes_come_whatever_the_script(script: list[Any], reactor: Any) -> None:
    world = Sockets(reactor)
    stage = world.serve([*script, Close()])
    assert await all_of(world, stage) == (wire(script), ConnectionDone)
    await world.close()
