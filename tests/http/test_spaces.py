"""Where a server may lead us: never closer to ourselves than it is."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from pulp_dl import TLS, Downloader, Places, Proxies, Proxy, Remote, Retries, Source, TokenAuth, ToMemory
from pulp_dl.engine.shared import Shared
from pulp_dl.errors import AuthFailed, DownloadError, RedirectRefused, TimedOut
from pulp_dl.protocols.http import HTTPFetcher
from pulp_dl.protocols.spaces import Space, literal, space_of
from pulp_dl.testing import Cut, FaultServer, MemoryNetwork, Reset, Send, ServerTLS, Sink, Stage, answer, redirect
from tests.servers import MuteResolver

# ---- addresses


MACHINE = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 0.255.255.255 169.254.169.254 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
::1 ::2 :: fe80::1 fe80::1%eth0 ff02::1 ::ffff:127.0.0.1 ::ffff:7f00:1 64:ff9b::7f00:1 64:ff9b::169.254.169.254
64:ff9b:1::127.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1 2002:7f00:1:: 2001:0:808:808::80ff:fffe
127.1 127.0.1 2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 0 localhost LOCALHOST. a.localhost
"""
PRIVATE = """
192.0.0.8 192.0.0.192 3fff::1
10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 192.0.2.1 198.18.0.1 203.0.113.9
fc00::1 fd12::1 fec0::1 2001:db8::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: ::10.0.0.1 ::ffff:0:a00:1
::5efe:7f00:1 100::1 5f00::1 4000::1 fe00::1
167772161 0x0a000001 10.1
"""
PUBLIC = """
8.8.8.8 172.32.0.1 172.15.255.255 192.169.0.1 11.0.0.1 134744072
2600::1 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808 64:ff9b:1::8.8.8.8 2002:808:808:: ::ffff:0:808:808
"""


@pytest.mark.parametrize(
    ("space", "hosts"), [(Space.MACHINE, MACHINE), (Space.PRIVATE, PRIVATE), (Space.PUBLIC, PUBLIC)]
)
def test_the_space_of_an_address_in_every_spelling(space: Space, hosts: str) -> None:
    assert {host: literal(host.lower()) for host in hosts.split()} == dict.fromkeys(hosts.split(), space)


@pytest.mark.parametrize(
    "host", ["example.org", "8.8.8.8.example", "localhost.example", "1.2.3.4.5", "0x", "dead.beef"]
)
def test_the_space_of_a_name_is_not_known(host: str) -> None:
    assert literal(host) is None


@given(st.ip_addresses(v=4))
def test_an_address_within_another_one_is_no_farther(inner: IPv4Address) -> None:
    """Whatever it is."""
    number = int(inner)
    outer = (
        0xFFFF << 32 | number,
        0xFFFF << 48 | number,
        0x64FF9B << 96 | number,
        0x2002 << 112 | number << 80,
        0x64FF9B0001 << 80 | number,
    )
    for each in outer:
        assert space_of(IPv6Address(each)) == space_of(inner)


@given(st.ip_addresses())
def test_nothing_is_public_that_is_not(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert space_of(address) is not Space.PUBLIC


# ---- chains

HOSTS = {
    "public.example": "8.8.8.8",
    "cdn.example": "1.1.1.1",
    "intra.example": "10.0.0.1",
    "store.example": "10.0.0.2",
    "here.example": "127.0.0.1",
    "there.example": "127.0.0.2",
}
SPACES = {name: literal(address) for name, address in HOSTS.items()}


class World:
    """A network of these hosts, each of which sends to the URL in its query, and what a fetcher there sees."""

    def __init__(self, remote: Remote) -> None:
        self.network = MemoryNetwork()
        self.network.names.update({name: [address] for name, address in HOSTS.items()})
        self.stages: dict[str, Stage] = {name: self.serve(name) for name in HOSTS}
        self.shared = Shared(self.network, remote, None)
        self.fetcher = HTTPFetcher(self.network, remote, self.shared)

    def serve(self, host: str, port: int | None = None) -> Stage:
        def script(request: Any) -> Any:
            onward = request.target.partition("?")[2]
            return redirect(onward) if onward else answer(host.encode())

        return self.network.serve(host, script, port=port)

    def get(self, source: Source | str) -> bytes:
        body = self.network.result(self.fetcher.open(Source(source) if isinstance(source, str) else source))
        sink = Sink()
        self.network.result(body.deliver(sink))
        return sink.data

    def asked(self) -> list[str]:
        return [name for name, stage in self.stages.items() if stage.requests]

    def close(self) -> None:
        self.network.result(self.fetcher.close())
        self.network.result(self.shared.close())
        for stage in self.stages.values():
            self.network.result(stage.abort())
        self.network.run()
        assert self.network.connections == 0
        assert self.network.getDelayedCalls() == []


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Remote())
    yield made
    made.close()


def through(*hosts: str) -> str:
    """A URL that leads from one to the next."""
    return "?".join(f"http://{host}/" for host in hosts)


@pytest.mark.parametrize("named", HOSTS)
@pytest.mark.parametrize("led", HOSTS)
def test_a_redirect_leads_no_closer(world: World, named: str, led: str) -> None:
    """The caller may name any of them."""
    assert world.get(through(named)) == named.encode()
    near = SPACES[led], SPACES[named]
    if led == named:
        return
    if near[0] < near[1]:  # type: ignore[operator]
        with pytest.raises(
            RedirectRefused, match=r"is not for a (public|private) server to lead us to; Remote\(allow_private"
        ):
            world.get(through(named, led))
        assert world.asked() == [named]
    else:
        assert world.get(through(named, led)) == led.encode()


@pytest.mark.parametrize("named", HOSTS)
@pytest.mark.parametrize("found", HOSTS)
def test_a_mirror_that_was_found_is_no_closer_than_where_it_was_found(world: World, named: str, found: str) -> None:
    """The same for a URL in metadata; one that the caller names may be anywhere."""
    source = Source(through(named))
    assert world.get(source.at(through(found), found=False)) == found.encode()
    for stage in world.stages.values():
        stage.requests.clear()
    if SPACES[found] < SPACES[named]:  # type: ignore[operator]
        with pytest.raises(RedirectRefused, match="allow_private"):
            world.get(source.at(through(found)))
        assert world.asked() == []
    else:
        assert world.get(source.at(through(found))) == found.encode()


@pytest.mark.parametrize(
    ("hosts", "refused"),
    [
        (("intra.example", "cdn.example", "store.example"), True),
        (("here.example", "cdn.example", "there.example"), True),
        (("here.example", "intra.example", "there.example"), True),
        (("intra.example", "cdn.example", "intra.example"), False),
        (("here.example", "intra.example", "cdn.example"), False),
        (("public.example", "cdn.example", "public.example"), False),
        (("intra.example", "store.example", "intra.example", "here.example"), True),
        (("intra.example", "cdn.example", "intra.example", "store.example"), True),
    ],
)
def test_a_chain_remembers_the_farthest_place_it_was_in(world: World, hosts: tuple[str, ...], refused: bool) -> None:
    """But what the caller named may be gone back to."""
    if refused:
        with pytest.raises(RedirectRefused, match="allow_private"):
            world.get(through(*hosts))
        assert hosts[-1] not in world.asked()
    else:
        assert world.get(through(*hosts)) == hosts[-1].encode()


def test_the_remote_permits_it() -> None:
    world = World(Remote(allow_private=True))
    assert world.get(through("public.example", "here.example")) == b"here.example"
    assert world.get(Source(through("public.example")).at(through("intra.example"))) == b"intra.example"
    world.close()


def test_the_host_of_the_remotes_url_is_one_that_the_caller_named() -> None:
    world = World(Remote(url="http://intra.example/repo"))
    assert world.get(through("public.example", "intra.example")) == b"intra.example"
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(through("public.example", "store.example"))
    world.close()


def test_the_answer_of_the_name_server_is_judged_each_time(world: World) -> None:
    """A name that was public a moment ago (DNS rebinding), and one that is both."""
    assert world.get(through("public.example", "cdn.example")) == b"cdn.example"
    world.network.result(world.shared._kept["http"].closeCachedConnections())
    world.network.names["cdn.example"] = ["10.0.0.2"]
    with pytest.raises(RedirectRefused, match=r"10\.0\.0\.2 is not for a public server"):
        world.get(through("public.example", "cdn.example"))
    world.network.names["cdn.example"] = ["10.0.0.2", "127.0.0.1", "1.1.1.1"]

    assert world.get(through("public.example", "cdn.example")) == b"cdn.example"
    assert world.asked() == ["public.example", "cdn.example"]


@pytest.mark.parametrize("before", [[], ["127.0.0.1"]])
def test_a_list_was_found_where_it_came_from(world: World, before: list[str]) -> None:
    """Whatever the name server says of its host before and after (DNS rebinding)."""
    source = Source("http://public.example/")
    for address in [*before, "8.8.8.8"]:
        world.network.names["public.example"] = [address]
        if address == "127.0.0.1":
            assert world.get(source.at(through("here.example"))) == b"here.example"
            world.stages["here.example"].requests.clear()
        else:
            assert world.get(source) == b"public.example"
    world.network.names["public.example"] = ["127.0.0.1"]
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(source.at(through("here.example")))

    assert world.asked() == ["public.example"]


def test_a_named_host_leads_no_closer_to_itself(world: World) -> None:
    """It may be anywhere; but where it answered first is where it is (DNS rebinding)."""

    def rebind(request: Any) -> Any:
        world.network.names["public.example"] = ["127.0.0.1"]
        return redirect("http://public.example:6379/")

    world.stages["here"] = here = world.network.serve("127.0.0.1", answer(b"secret"), port=6379)
    with pytest.raises(RedirectRefused, match=r"127\.0\.0\.1 is not for a public server"):
        world.stages["public.example"].script = rebind
        world.get("http://public.example/")
    source = Source("http://public.example/list")
    with pytest.raises(RedirectRefused, match=r"127\.0\.0\.1 is not for a public server"):
        world.get(source.at("http://public.example:6379/"))

    assert here.requests == []
    assert world.get("http://public.example:6379/") == b"secret"  # which the caller says


def test_a_named_host_keeps_its_connection(world: World) -> None:
    """Also if it leads to itself, from the public network."""
    assert world.get("http://public.example/?http://public.example/") == b"public.example"
    assert world.get(Source("http://public.example/").at("http://public.example/")) == b"public.example"
    assert world.stages["public.example"].connections.total == 1


def test_a_connection_of_the_callers_is_none_for_whom_a_server_sent(world: World) -> None:
    """It idles, and would need no address to be judged."""
    assert world.get(through("intra.example")) == b"intra.example"
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(through("public.example", "intra.example"))

    assert len(world.stages["intra.example"].requests) == 1


def test_nor_is_one_of_a_nearer_chain(world: World) -> None:
    assert world.get(through("intra.example", "store.example")) == b"store.example"
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(through("public.example", "store.example"))

    assert len(world.stages["store.example"].requests) == 1


def test_the_rest_of_a_body_comes_from_no_closer_place() -> None:
    """It is asked of whoever had the first bytes, which was not the caller's choice."""
    network = MemoryNetwork()
    network.names.update({name: [address] for name, address in HOSTS.items()})
    whole = answer(b"0123456789" * 1000)
    stages = [
        network.serve("public.example", redirect("http://cdn.example/a")),
        network.serve("cdn.example", Cut(whole, 5000)),
        network.serve("store.example", whole),
    ]
    downloader = Downloader(network, Remote(retries=Retries(count=1)))
    downloading = downloader.download("http://public.example/a", ToMemory())
    network.run()
    network.names["cdn.example"] = network.names["store.example"]
    with pytest.raises(DownloadError) as raised:
        network.result(downloading)
    network.result(downloader.close())
    for stage in stages:
        network.result(stage.abort())

    assert len(stages[1].requests) == 1
    assert stages[2].requests == []
    assert any("is not for a public server" in str(each.error) for each in raised.value.attempts)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "2130706433", "0x7f.1", "127.1"]
)
def test_an_odd_spelling_is_the_same_address(world: World, host: str) -> None:
    world.network.names |= {"0x7f.1": ["127.0.0.1"], "127.1": ["127.0.0.1"], "2130706433": ["127.0.0.1"]}
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(through("public.example", host))


def test_a_name_that_does_not_resolve_is_a_public_one(world: World) -> None:
    """Where a list was found that is not there any more."""
    source = Source("http://gone.example/")
    assert world.get(source.at(through("public.example"))) == b"public.example"
    with pytest.raises(RedirectRefused):
        world.get(source.at(through("intra.example")))


def test_a_name_that_is_never_looked_up_is_in_time(world: World) -> None:
    """And may be given up."""
    world.network.installNameResolver(MuteResolver())
    source = Source("http://silent.example/").at("http://8.8.8.8/")
    with pytest.raises(TimedOut) as raised:
        world.get(source)
    given_up = world.fetcher.open(source)
    given_up.cancel()

    assert (raised.value.phase, world.network.seconds()) == ("connect", 30)
    with pytest.raises(CancelledError):
        world.network.result(given_up)


def test_over_tls_it_is_the_same(ca: trustme.CA) -> None:
    """The handshake is with the address that was judged."""
    world = World(Remote(tls=TLS(ca=ca.cert_pem.bytes().decode())))
    for name in ("cdn.example", "store.example"):
        identity = ca.issue_cert(name).private_key_and_cert_chain_pem.bytes()
        world.stages[f"{name} over TLS"] = world.network.serve(name, answer(b"tls"), tls=ServerTLS(identity))
    assert world.get("http://public.example/?https://cdn.example/") == b"tls"
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get("http://public.example/?https://store.example/")
    assert world.stages["store.example over TLS"].connections.total == 0
    world.close()


def test_without_a_scope_a_url_was_found_in_public(world: World) -> None:
    with pytest.raises(RedirectRefused):
        world.get(Source(through("intra.example"), found=True))
    assert world.get(Source(through("cdn.example"), found=True)) == b"cdn.example"


def test_a_list_on_our_disk_may_name_any_host(world: World) -> None:
    assert world.get(Source("file:///list").at(through("here.example"))) == b"here.example"


# ---- through a proxy


@pytest.mark.parametrize(
    ("led", "refused"), [("127.0.0.1", True), ("10.0.0.1", True), ("0x7f.1", True), ("here.example", False)]
)
def test_a_proxy_finds_the_addresses_itself(led: str, refused: bool) -> None:
    """So only what a URL says of itself can be judged; the rest is for the proxy's own rules."""
    world = World(Remote(proxy=Proxy("http://here.example:3128/")))

    def script(request: Any) -> Any:
        onward = request.target.partition("?")[2]
        return redirect(onward) if onward else answer(request.target.encode())

    world.stages["proxy"] = proxy = world.network.serve("here.example", script, port=3128)
    if refused:
        with pytest.raises(RedirectRefused, match="allow_private"):
            world.get(through("public.example", led))
        assert len(proxy.requests) == 1
    else:
        assert world.get(through("public.example", led)) == b"http://here.example/"
    assert world.get(through("intra.example")) == b"http://intra.example/"
    world.close()


@pytest.mark.parametrize(
    ("scheme", "led", "refused"),
    [
        ("socks5", "store.example", True),
        ("socks5", "cdn.example", False),
        ("socks5h", "store.example", False),
        ("socks5h", "10.0.0.2", True),
    ],
)
def test_what_is_looked_up_here_is_judged_before_a_proxy_is_told(scheme: str, led: str, refused: bool) -> None:
    """SOCKS in both forms: one is given addresses, the other names."""
    world = World(Remote(proxy=Proxy(f"{scheme}://here.example")))
    opened = [Send(b"\x05\x00"), Send(b"\x05\x00\x00\x01" + bytes(6))]

    def script(request: Any) -> Any:
        onward = request.target.partition("?")[2]
        return redirect(onward) if onward else answer(request.host.encode())

    world.stages["proxy"] = proxy = world.network.serve("here.example", script, port=1080, greeting=opened)
    if refused:
        with pytest.raises(RedirectRefused, match=r"10\.0\.0\.2 is not for a public server"):
            world.get(through("public.example", led))
        assert len(proxy.requests) == 1
    else:
        assert world.get(through("public.example", led)) == led.encode()
    world.close()


def test_what_is_reached_without_the_proxy_is_judged() -> None:
    world = World(Remote(proxy=Proxies(Proxy("http://there.example:3128/"), None, "intra.example")))
    world.stages["proxy"] = world.network.serve("there.example", redirect("http://intra.example/"), port=3128)
    with pytest.raises(RedirectRefused, match="allow_private"):
        world.get(through("public.example"))
    world.close()


# ---- over sockets, with the whole engine


def remote(**settings: Any) -> Remote:
    return Remote(retries=Retries(count=0), **settings)


async def error_of(downloader: Downloader, source: Source) -> DownloadError:
    with pytest.raises(DownloadError) as raised:
        await downloader.download(source, ToMemory())
    return raised.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1"])
async def test_the_real_loopback_is_not_for_the_public(reactor: Any, host: str) -> None:
    """However it is spelt: the name server's answer is what counts."""
    async with FaultServer(reactor, answer(b"x")) as server, Downloader(reactor, remote()) as downloader:
        error = await error_of(downloader, Source("http://8.8.8.8/a").at(server.url("/a", host)))

        assert isinstance(error, RedirectRefused)
        assert "is not for a public server to lead us to" in str(error)
        assert host in str(error)
        assert server.connections.total == 0
        body = ToMemory()
        await downloader.download(Source("http://8.8.8.8/a").at(server.url("/a"), found=False), body)
        assert body.data == b"x"


@pytest.mark.parametrize("scheme", ["ftp", "ftps", "sftp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_another_protocol_leads_no_closer(reactor: Any, scheme: str, host: str) -> None:
    """Not even to a greeting; where it is permitted, or named, it is tried."""
    async with FaultServer(reactor, {}, greeting=Reset()) as server:
        url = f"{scheme}://{host}:{server.port}/a"
        async with Downloader(reactor, remote()) as downloader:
            error = await error_of(downloader, Source("http://8.8.8.8/a").at(url))
            assert isinstance(error, RedirectRefused)
            assert "127.0.0.1 is not for a public server to lead us to" in str(error)
            assert host in str(error)
            assert server.connections.total == 0
            for place in (Source("http://127.0.0.1/a").at(url), Source("http://8.8.8.8/a").at(url, found=False)):
                assert not isinstance(await error_of(downloader, place), RedirectRefused)
            assert server.connections.total >= 2
        async with Downloader(reactor, remote(allow_private=True)) as downloader:
            error = await error_of(downloader, Source("http://8.8.8.8/a").at(url))
            assert not isinstance(error, RedirectRefused)


def test_another_protocol_knows_where_a_list_was_found() -> None:
    """What one has learnt of a host, which may say another thing to each that asks (DNS rebinding)."""
    network = MemoryNetwork()
    network.names["public.example"] = ["8.8.8.8"]
    source = Source("http://public.example/list")
    stages = [
        network.serve("public.example", answer(b"x")),
        network.serve("127.0.0.1", {}, port=2121, greeting=Reset()),
    ]
    downloader = Downloader(network, remote())
    network.result(downloader.download(source, ToMemory()))
    network.names["public.example"] = ["127.0.0.1"]
    for host in ("127.0.0.1", "public.example"):
        with pytest.raises(RedirectRefused, match="is not for a public server"):
            network.result(downloader.download(source.at(f"ftp://{host}:2121/a"), ToMemory()))
    network.result(downloader.close())
    for stage in stages:
        network.result(stage.abort())

    assert stages[1].connections.total == 0


async def test_mirrors_that_are_written_down_may_be_anywhere(reactor: Any) -> None:
    """A program's own list is what the caller names."""
    async with FaultServer(reactor, answer(b"x")) as server:
        mirrors = Places([server.url("/m")], under="http://8.8.8.8/pub", original=False)
        async with Downloader(reactor, remote(), mirrors=mirrors) as downloader:
            body = ToMemory()
            await downloader.download("http://8.8.8.8/pub/a", body)

        assert body.data == b"x"


async def test_a_file_is_for_no_server_to_name(reactor: Any, tmp_path: Any) -> None:
    """Of a list that is a file itself it is another matter."""
    (tmp_path / "a").write_bytes(b"secret")
    url = (tmp_path / "a").as_uri()
    async with Downloader(reactor, remote(allow_private=True)) as downloader:
        for source in (Source("http://127.0.0.1/list").at(url), Source(url, found=True)):
            error = await error_of(downloader, source)
            assert isinstance(error, RedirectRefused)
            assert "a file: URL that a server names is not read" in str(error)
        for source in (Source("file:///list").at(url), Source("http://127.0.0.1/list").at(url, found=False)):
            body = ToMemory()
            await downloader.download(source, body)
            assert body.data == b"secret"


@pytest.mark.parametrize("realms", [[], ["http://here.example/"]])
def test_a_realm_is_named_by_a_server(realms: list[str]) -> None:
    """It may not lead closer either, unless the caller has named it, too."""
    network = MemoryNetwork()
    network.names.update({name: [address] for name, address in HOSTS.items()})
    realm = answer(b"", 401, ((b"WWW-Authenticate", b'Bearer realm="http://here.example/token"'),))
    registry, tokens = network.serve("public.example", realm), network.serve("here.example", answer(b'{"token": "t"}'))
    downloader = Downloader(network, remote(auth=TokenAuth(realms=realms)))
    with pytest.raises(AuthFailed if realms else RedirectRefused):
        network.result(downloader.download("http://public.example/a", ToMemory()))
    network.result(downloader.close())
    for stage in (registry, tokens):
        network.result(stage.abort())

    assert len(tokens.requests) == len(realms)


@pytest.mark.parametrize("first", [["start"], []])
@pytest.mark.parametrize("led", [["start"], ["list"]])
def test_whoever_has_answered_is_no_closer_than_it_was(first: list[str], led: list[str]) -> None:
    """Also if only a redirect led there, or its connection is used again (DNS rebinding)."""
    network = MemoryNetwork()
    network.names.update({"start.example": ["8.8.4.4"], "list.example": ["8.8.8.8"]})
    network.serve("start.example", redirect("http://list.example/b"))
    network.serve("list.example", answer(b"list"))
    inner = network.serve("127.0.0.1", answer(b"secret"), port=8080)
    remote = Remote(url="http://list.example/", retries=Retries(count=0))
    downloader = Downloader(network, remote)
    for host in (*first, *led):
        network.result(downloader.download(f"http://{host}.example/a", ToMemory()))
    network.names["list.example"] = ["127.0.0.1"]
    found = Source("http://list.example:8080/secret", found=True, scope="http://list.example/")
    with pytest.raises(RedirectRefused):
        network.result(downloader.download(found, ToMemory()))
    network.result(downloader.close())

    assert inner.requests == []
