"""Whatever a proxy does, the right bytes come or visibly not, and nothing is left; in memory, however bytes are cut."""

from __future__ import annotations

from typing import Any

import trustme
from hypothesis import event, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from pulp_dl.engine.shared import Shared
from pulp_dl.errors import DownloadError
from pulp_dl.interfaces import IBody
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Proxy, Remote, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.model.tls import TLS
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.testing import (
    ESTABLISHED,
    Alert,
    Close,
    CutTLS,
    Hold,
    MemoryNetwork,
    OnConnect,
    Reset,
    Send,
    ServerTLS,
    Sink,
    StartTLS,
    Tunnel,
    Wait,
    answer,
)
from pulp_dl.testing.strategies import segmentations

CA = trustme.CA()
TRUST = TLS(ca=CA.cert_pem.bytes())
BODY = bytes(range(256)) * 300
AUTH = Basic("user", "password")


def server(*names: str) -> ServerTLS:
    return ServerTLS(CA.issue_cert(*names).private_key_and_cert_chain_pem.bytes())


RIGHT, WRONG = server("origin.example"), server("proxy.example")
GATE = server("proxy.example")

PIECES = st.sampled_from(
    [
        ESTABLISHED,
        Send(b"HTTP/1.1 100 Continue\r\n\r\n"),
        Send(b"HTTP/1.1 200 OK\r\n"),
        Send(b"Content-Length: 5\r\n\r\n"),
        Send(b"\r\n"),
        Send(b"HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nno!"),
        Send(b"\x15\x03\x03\x00\x02\x02\x28"),
        Send(b"\x00" * 100),
        Wait(1),
        Alert(40),
        StartTLS(WRONG),
        Tunnel(),
        Tunnel(to=("nobody.example", 443)),
        Close(),
        Reset(),
        CutTLS(),
        Hold(),
    ]
)
SCRIPTS = st.one_of(
    st.just([ESTABLISHED, Tunnel()]),
    st.just([ESTABLISHED, StartTLS(RIGHT)]),
    st.lists(PIECES, max_size=5),
    st.lists(PIECES, max_size=2).map(lambda pieces: [*pieces, ESTABLISHED, StartTLS(RIGHT)]),
)


@settings(max_examples=100)
@given(SCRIPTS, segmentations(), st.booleans(), st.none() | st.floats(0, 3))
def test_whatever_a_proxy_does_nothing_wrong_comes_and_nothing_is_left(
    script: Any, segments: Any, over_tls: bool, cancelled: float | None
) -> None:
    """Also if somebody loses patience at any moment."""
    network = MemoryNetwork(segments)
    origin = network.serve("origin.example", answer(BODY), tls=RIGHT)
    proxy = network.serve("proxy.example", OnConnect(script, answer(BODY)), port=3128, tls=GATE if over_tls else None)
    gate = Proxy(f"{'https' if over_tls else 'http'}://proxy.example:3128", AUTH, tls=TRUST)
    remote = Remote(tls=TRUST, proxy=gate, timeouts=Timeouts(connect=5))
    shared = Shared(network, remote, None)
    fetcher = HTTPFetcher(network, remote, shared)
    sink = Sink(slack=65536)

    async def fetch() -> None:
        body: IBody = await fetcher.open(Source("https://origin.example/file"))
        await body.deliver(sink)

    fetching = Deferred.fromCoroutine(fetch())
    # To be patient is the fetcher's business; to lose patience is the pipe's.
    network.callLater(1000 if cancelled is None else cancelled, fetching.cancel)
    try:
        network.result(fetching, seconds=2000)
        assert sink.data == BODY
        event("came")
    except (DownloadError, CancelledError) as error:
        assert BODY.startswith(sink.data)
        assert "password" not in str(error)
        event(type(error).__name__)
    network.advance(1000)
    for request in (*origin.requests, *(each for each in proxy.requests if each.method != "CONNECT")):
        assert request.get(b"proxy-authorization") is None
    network.result(fetcher.close())
    network.result(shared.close())
    network.result(origin.abort())
    network.result(proxy.abort())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []
