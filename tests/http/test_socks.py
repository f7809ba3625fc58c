"""SOCKS 5 in a network in memory: which address, and what becomes of those that are not reached."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory, Protocol

from pulp_dl import Downloader, ToMemory
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import ConnectFailed, DownloadError, ProxyFailed, RedirectRefused, TimedOut
from pulp_dl.interfaces import IBody
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Proxy, Remote, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.protocols.http.gates import Gates
from pulp_dl.protocols.http.proxy import route
from pulp_dl.testing import Hold, MemoryNetwork, Reset, Send, Sink, answer, redirect
from pulp_dl.urls import parse

BOUND = b"\x00\x01" + bytes(6)
OPEN = [Send(b"\x05\x00"), Send(b"\x05\x00" + BOUND)]
UNREACHED = [Send(b"\x05\x00"), Send(b"\x05\x04" + BOUND)]
FORBIDDEN = [Send(b"\x05\x00"), Send(b"\x05\x02" + BOUND)]
ADDRESSES = ["192.0.2.101", "2001:db8::101", "192.0.2.102"]


def ask(
    scheme: str,
    greetings: list[Any],
    names: list[str],
    segments: Any = None,
    script: Any = None,
    **settings: Any,
) -> tuple[list[bytes], Any]:
    """What the proxy heard on each connection, and what came of it: bytes, or what was raised."""
    network = MemoryNetwork(segments)
    served = script or answer(b"x")
    proxy = network.serve("proxy.example", served, port=1080, greeting=lambda _: turns.pop(0))
    network.names["inner.example"] = ["127.0.0.1", "10.0.0.1"]
    turns = list(greetings)
    network.names["h.example"] = names
    remote = Remote(
        proxy=Proxy(f"{scheme}://proxy.example", Basic("elmer", "wabbit")), auth=Basic("a", "b"), **settings
    )
    shared, nobody = Shared(network, remote, None), None
    shared.direct = nobody  # type: ignore[assignment]  # who logs in by Basic asks nobody
    fetcher = HTTPFetcher(network, remote, shared)
    found: Any
    try:
        body: IBody = network.result(fetcher.open(Source("http://h.example:81/a")))
        sink = Sink()
        network.result(body.deliver(sink))
        found = sink.data
    except DownloadError as error:
        found = error
    network.result(fetcher.close())
    network.result(shared.close())
    network.result(proxy.abort())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []
    if script is None:
        assert proxy.connections.peak <= 1, "each is closed before the next one is opened"
    return [request.raw for request in proxy.requests], (found, proxy.connections.total)


@pytest.mark.parametrize("segments", [None, 1, 3])
def test_socks5h_leaves_the_name_to_the_proxy(segments: Any) -> None:
    (heard,), (found, total) = ask("socks5h", [OPEN], [], segments)

    assert (found, total) == (b"x", 1)
    assert heard.startswith(b"\x05\x02\x00\x02\x05\x01\x00\x03\x09h.example\x00\x51GET /a HTTP/1.1\r\n")
    assert b"wabbit" not in heard
    assert b"Proxy" not in heard


def test_socks5_tries_each_address_until_the_proxy_comes_to_one() -> None:
    (heard,), (found, total) = ask("socks5", [UNREACHED, UNREACHED, OPEN], ADDRESSES)

    assert (found, total) == (b"x", 3)
    assert heard.startswith(b"\x05\x02\x00\x02\x05\x01\x00\x01\xc0\x00\x02\x66\x00\x51GET /a HTTP/1.1\r\n")


@pytest.mark.parametrize("address", [IPv4Address("TCP", "192.0.2.101", 81), IPv6Address("TCP", "2001:db8::101", 81)])
def test_the_connection_is_told_of_the_address_that_it_leads_to(address: IPv4Address | IPv6Address) -> None:
    told: list[object] = []

    class Noting(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Protocol:
            told.append(addr)
            return Protocol()

    network = MemoryNetwork()
    proxy = network.serve("proxy.example", answer(b"x"), port=1080, greeting=OPEN)
    remote = Remote(proxy=Proxy("socks5://proxy.example"))
    host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
    way = route(network, remote, parse(f"http://{host}:81/"), inside=True, gates=Gates(network))
    connection: Any = network.result(way.endpoint.connect(Noting()))

    assert told == [address]
    connection.transport.abortConnection()
    network.result(proxy.abort())
    network.run()
    assert network.connections == 0


def test_none_of_them_is_the_proxys_word() -> None:
    _, (error, total) = ask("socks5", [UNREACHED] * 3, ADDRESSES)

    assert isinstance(error, ProxyFailed)
    assert "there is no way to the server" in error.message
    assert total == 3


@pytest.mark.parametrize("greeting", [FORBIDDEN, [Send(b"\x05\xff")], Reset(), Send(b"HTTP/1.1 400 \r\n\r\n")])
def test_what_is_no_matter_of_the_address_ends_it(greeting: Any) -> None:
    """A proxy that does not let us in is not asked again and again."""
    _, (error, total) = ask("socks5", [greeting], ADDRESSES)

    assert isinstance(error, ProxyFailed)
    assert total == 1


def test_a_name_that_nobody_knows_is_not_the_proxys_fault() -> None:
    _, (error, total) = ask("socks5", [], [])

    assert isinstance(error, ConnectFailed)
    assert not isinstance(error, ProxyFailed)
    assert "the name of the server does not resolve" in error.message
    assert total == 0


INWARDS = {"/a": redirect("http://inner.example/secret"), "/secret": answer(b"secret")}


def test_nobody_leads_a_socks_proxy_into_our_own_network() -> None:
    """The address is found here, so it is judged here, as where there is no proxy."""
    heard, (error, total) = ask("socks5", [OPEN, OPEN, OPEN], ["8.8.8.8"], script=INWARDS)

    assert isinstance(error, RedirectRefused)
    assert "is not for a public server to lead us to" in error.message
    assert (len(heard), total) == (1, 1)


def test_a_private_server_may_lead_it_to_another() -> None:
    heard, (found, total) = ask("socks5", [OPEN, OPEN], ["10.0.0.2"], script=INWARDS)

    assert (found, total) == (b"secret", 2)
    assert b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50GET /secret" in heard[1]


def test_who_has_answered_does_not_lead_it_to_a_closer_address_of_its_own() -> None:
    """DNS rebinding, as where there is no proxy."""
    names = ["8.8.8.8"]

    def rebinds(request: Any) -> Any:
        names[:] = ["10.0.0.1"]
        return redirect("http://h.example/secret") if request.path == "/a" else answer(b"secret")

    heard, (error, total) = ask("socks5", [OPEN, OPEN], names, script=rebinds)

    assert isinstance(error, RedirectRefused)
    assert (len(heard), total) == (1, 1)


def test_who_allows_it_is_led_there() -> None:
    heard, (found, total) = ask("socks5", [OPEN, OPEN], ["8.8.8.8"], script=INWARDS, allow_private=True)

    assert (found, total) == (b"secret", 2)
    assert b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50GET /secret" in heard[1]


PHASES = {
    "nothing": [],
    "half of the method": [Send(b"\x05")],
    "the login": [Send(b"\x05\x02")],
    "half of the login's answer": [Send(b"\x05\x02"), Send(b"\x01")],
    "the reply": [Send(b"\x05\x02"), Send(b"\x01\x00")],
    "half of the reply": [Send(b"\x05\x02"), Send(b"\x01\x00"), Send(b"\x05\x00\x00\x03")],
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_every_phase_of_the_talk_is_under_the_connect_timeout(scheme: str, phase: str) -> None:
    _, (error, total) = ask(scheme, [[*PHASES[phase], Hold()]], ["192.0.2.7"], timeouts=Timeouts(connect=5))

    assert isinstance(error, ProxyFailed)
    assert isinstance(error.__cause__, TimedOut)
    assert (error.__cause__.phase, total) == ("connect", 1)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_cancelling_in_any_phase_of_the_talk_leaves_no_socket(scheme: str, phase: str) -> None:
    network = MemoryNetwork()
    network.names["h.example"] = ["192.0.2.7"]
    network.serve("proxy.example", (), port=1080, greeting=[*PHASES[phase], Hold()])
    downloader = Downloader(network, Remote(proxy=Proxy(f"{scheme}://proxy.example", Basic("elmer", "wabbit"))))
    running = downloader.download("https://h.example/a", ToMemory())
    network.advance(1)
    assert network.connections == 2  # both ends
    running.cancel()

    with pytest.raises(CancelledError):
        network.result(running)
    network.run()
    assert network.connections == 0
    network.result(downloader.close())
    assert network.getDelayedCalls() == []
