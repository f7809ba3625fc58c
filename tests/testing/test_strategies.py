"""The strategies make what they say."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from pulp_dl.testing import Request, Send, answer
from pulp_dl.testing.script import acts
from pulp_dl.testing.strategies import (
    bodies,
    chunked,
    entities,
    framings,
    heads,
    histories,
    interim,
    segmentations,
    urls,
)
from pulp_dl.urls import parse

REQUEST = Request("GET", "/")


def sent(script: Any) -> bytes:
    """What a script sends before its connection ends."""
    return b"".join(act.data for act in acts(script, REQUEST) if isinstance(act, Send))


def read(wire: bytes) -> tuple[Any, bytes]:
    """What another reader of HTTP makes of it: the head and the body."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(wire)
    reader.receive_data(b"")
    head, body = None, b""
    while True:
        event = reader.next_event()
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return head, body


@given(entity=entities(), framing=framings(), piece=st.integers(1, 70_000), fields=heads(), before=interim())
def test_right_answers_are_right_for_another_reader(
    entity: Any, framing: Any, piece: int, fields: Any, before: bytes
) -> None:
    head, body = read(before + sent(answer(entity, headers=fields, framing=framing, piece=piece)))
    assert (head.status_code, body) == (200, entity.data)
    assert [pair for pair in head.headers.raw_items() if pair[0].startswith(b"X-")] == list(fields)


@given(st.data())
def test_chunks_make_the_body(data: st.DataObject) -> None:
    body = data.draw(bodies())
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sent(data.draw(chunked(body)))
    assert read(wire)[1] == body


@given(url=urls())
def test_urls_can_be_read(url: str) -> None:
    place = parse(url)
    assert place.scheme == "http"
    assert parse(str(place)).target == place.target


@given(sizes=segmentations())
def test_segments_have_sizes_and_large_bodies_large_ones(sizes: list[int]) -> None:
    assert min(sizes) >= 1
    assert sizes[-1] == 65536


@given(history=histories())
def test_histories_never_say_the_same_twice(history: Any) -> None:
    tags = [version.etag for version in history.versions]
    assert len({*tags}) == len(history.bodies()) == len(tags)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537])
def test_bodies_end_where_buffers_do(size: int) -> None:
    body = find(bodies(), lambda body: len(body) == size, settings=settings(max_examples=1000))
    assert eval(repr(body)) == body
    assert len(repr(body)) < 100
