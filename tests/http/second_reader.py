"""h11 and our connection, side by side: what each makes of the bytes that a server sends in answer to one request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import h11
from attrs import frozen
from twisted.internet.defer import Deferred

from pulp_dl.errors import DownloadError
from pulp_dl.protocols.http.connection import Answer
from tests.http.lines import Line
from tests.sinks import Sink

__all__ = ["Read", "by_h11", "by_us"]


@frozen
class Read:
    """
    An answer that was read to its end.

    @ivar reused: the connection may carry another request.
    """

    status: int
    body: bytes
    reused: bool = False


def by_us(*segments: bytes, method: bytes = b"GET") -> Read | str:
    """Through a connection that the server closes after them; or what was raised."""
    line = Line().open()
    sink = Sink()
    found: list[Answer] = []
    ends: list[object] = []

    def deliver(answer: Answer) -> Deferred[None]:
        found.append(answer)
        return answer.deliver(sink)

    line.ask(method).addCallback(deliver).addBoth(ends.append)
    line.send(*segments)
    reused = "idle" in line.told
    line.fin()
    line.end()
    assert len(ends) == 1, "it neither comes nor fails"
    failed = getattr(ends[0], "value", None)
    if failed is not None:
        assert isinstance(failed, DownloadError), failed
        return str(failed)
    return Read(found[0].status, sink.data, reused)


def by_h11(wire: bytes, method: bytes = b"GET") -> Read | str:
    """The same."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(wire)
        connection.receive_data(b"")
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, h11.InformationalResponse):
                return f"it ended with {event}"
    except h11.RemoteProtocolError as error:
        return str(error)
    return Read(status, body)


def cut(wire: bytes, cuts: Sequence[int]) -> list[bytes]:
    """In segments that end there."""
    places = sorted({0, len(wire), *(each % (len(wire) + 1) for each in cuts)})
    return [wire[start:stop] for start, stop in pairwise(places)]
