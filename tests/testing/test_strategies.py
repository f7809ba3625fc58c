"""The strategies make what they say."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from attrs import evolve
from hypothesis import find, given, settings
from hypothesis import strategies as st

from pulp_dl.model.source import Validators
from pulp_dl.testing import Request, Send, answer
from pulp_dl.testing.script import acts
from pulp_dl.testing.strategies import (
    Numbered,
    bodies,
    chunked,
    entities,
    framings,
    heads,
    histories,
    interim,
    redirect_graphs,
    segmentations,
    servers,
    urls,
    wires,
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
def test_strong_validators_of_a_history_tell_the_truth(history: Any) -> None:
    """Two answers that could be joined by theirs are of the same bytes."""
    for one in history.versions:
        for other in history.versions:
            mine, theirs = (Validators(each.etag, each.modified, each.date) for each in (one, other))
            if mine.if_range is not None and mine.if_range == theirs.if_range:
                assert one.data == other.data


@given(data=st.data(), history=histories())
def test_servers_are_honest_in_the_end(data: st.DataObject, history: Any) -> None:
    script = data.draw(servers(history))
    last = b"".join(act.data for act in acts(script, evolve(REQUEST, nth=99)) if isinstance(act, Send))
    assert read(last)[1] == history.versions[-1].data


@given(graph=redirect_graphs(["http://a", "https://b"]))
def test_a_graph_leads_along_its_own_places(graph: Any) -> None:
    trail, _ = graph.trail()
    assert trail[0] == graph.places[0]
    assert len({*trail}) == len(trail)
    said = {origin: graph.scripts(origin, Send(b"")) for origin in ("http://a", "https://b")}
    assert sum(map(len, said.values())) == sum(hop is not False for hop in graph.hops)


@given(version=st.integers(0, 9), other=st.integers(0, 9), size=st.integers(0, 1000))
def test_versions_have_no_byte_in_common(version: int, other: int, size: int) -> None:
    one = Numbered(version, size)
    assert eval(repr(one)) == one
    assert len(one) == size
    if version != other:
        assert not {*one} & {*Numbered(other, size)}


@pytest.mark.parametrize("wanted", ["right", "refused"])
def test_wires_are_right_and_wrong(wanted: str) -> None:
    def is_read(wire: bytes) -> bool:
        try:
            read(wire)
        except h11.RemoteProtocolError:
            return False
        return True

    find(wires(), lambda wire: is_read(wire) is (wanted == "right"), settings=settings(max_examples=1000))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537])
def test_bodies_end_where_buffers_do(size: int) -> None:
    body = find(bodies(), lambda body: len(body) == size, settings=settings(max_examples=1000))
    assert eval(repr(body)) == body
    assert len(repr(body)) < 100
