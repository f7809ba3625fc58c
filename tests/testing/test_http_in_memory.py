"""Our HTTP over the network in memory: whatever a server does, the right bytes or visibly not, and nothing left."""

from __future__ import annotations

from typing import Any

import trustme
from hypothesis import event, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from pulp_dl.engine.shared import Shared
from pulp_dl.errors import DownloadError
from pulp_dl.interfaces import IBody
from pulp_dl.model.remote import Remote
from pulp_dl.model.source import Head, Source
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.testing import Entity, MemoryNetwork, Script, Send, ServerTLS, Sink, answer
from pulp_dl.testing.strategies import bodies, faults, framings, heads, interim, segmentations

CA = trustme.CA()
SERVER = ServerTLS(CA.issue_cert("example.org").private_key_and_cert_chain_pem.bytes())
REMOTE = Remote(tls=TLS(ca=CA.cert_pem.bytes().decode()))


def fetch(script: Script, segments: Any, tls: ServerTLS | None = None) -> tuple[Head | None, bytes, Exception | None]:
    """One attempt: the head, the bytes, and what was raised; then everything is closed, and nothing may be left."""
    network = MemoryNetwork(segments)
    server = network.serve("example.org", script, tls=tls)
    shared = Shared(network, REMOTE, None)
    fetcher = HTTPFetcher(network, REMOTE, shared)
    head, sink, error = None, Sink(slack=65536), None
    try:
        body: IBody = network.result(fetcher.open(Source(server.url("/file"))), seconds=1000)
        head = body.head
        delivery = body.deliver(sink)
        # To be patient is the fetcher's business; to lose patience is the pipe's.
        network.callLater(1000, delivery.cancel)
        network.result(delivery)
    except (DownloadError, CancelledError) as raised:
        error = raised
    network.advance(1000)
    network.result(fetcher.close())
    network.result(shared.close())
    network.result(server.abort())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []
    return head, sink.data, error


@given(st.data())
def test_the_right_bytes_come_or_visibly_not(data: st.DataObject) -> None:
    body = data.draw(bodies(), "body")
    framing = data.draw(framings(), "framing")
    right = answer(Entity(body), framing=framing, piece=data.draw(st.integers(1, 70_000), "piece"))
    script = data.draw(faults(right, len(body) + 50), "script")
    _, came, error = fetch(script, data.draw(segmentations(), "segments"))
    event("failed" if error else "came")
    if error is None and framing != "close":
        assert came == body
    if script == right:
        assert error is None
    assert body.startswith(came) or error is not None or framing == "close"


@given(fields=heads(), before=interim(), segments=segmentations(2000))
def test_fields_come_as_they_were_sent(fields: Any, before: bytes, segments: list[int]) -> None:
    right = answer(Entity(b"hello", etag=None, date=None, headers=fields))
    head, came, error = fetch([Send(before), right], segments)
    assert (came, error) == (b"hello", None)
    assert head is not None
    assert head.headers == ((b"Accept-Ranges", b"bytes"), *fields, (b"Content-Length", b"5"))


@given(body=bodies(), framing=framings(), segments=segmentations())
def test_it_is_the_same_over_tls(body: bytes, framing: Any, segments: list[int]) -> None:
    assert fetch(answer(Entity(body), framing=framing), segments, SERVER)[1:] == (body, None)
