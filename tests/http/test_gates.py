"""What a proxy has said of a login is remembered where it alone can have said it, and believed nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from zope.interface import implementer

from pulp_dl import TLS, Attempt, Basic, Downloader, Places, Proxies, Proxy, Remote, Report, Retries, Source, ToMemory
from pulp_dl.errors import ConnectFailed, DownloadError, ProxyFailed
from pulp_dl.interfaces import IDownloader, IMirrors
from pulp_dl.protocols.http.endpoint import reach
from pulp_dl.protocols.http.gates import FORGOTTEN, MOST, Gates
from pulp_dl.protocols.http.tunnel import Refusal
from pulp_dl.testing import ESTABLISHED, Close, MemoryNetwork, Send, answer, redirect
from pulp_dl.urls import parse

DATA = b"the file"
URL = "https://origin.example/file"
TINYPROXY = (b"Server", b"tinyproxy/1.11.1")
SQUID = (b"X-Squid-Error", b"ERR_NO 0")
GATE = "http://gate.example:3128/"
WRONG = Basic("user", "wrong")
OTHER = Basic("other", "right")
NO = Refusal("no", 407, login_refused=True)


def turns(*scripts: Any) -> Any:
    """One answer after the other, whatever is asked for; then always the last."""
    left = list(scripts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class Case:
    """Downloads of one file from eight mirrors behind one proxy, by one Downloader."""

    def __init__(self, script: Any, *, scheme: str = "https", greeting: Any = (), **settings: Any) -> None:
        self.network = MemoryNetwork()
        self.gate = self.network.serve("gate.example", script, port=3128, greeting=greeting)
        mirrors = Places([f"{scheme}://m{number}.example" for number in range(8)], original=False)
        mirrors = settings.pop("mirrors", mirrors)
        settings.setdefault("proxy", Proxy(GATE, WRONG))
        settings.setdefault("retries", Retries(count=2))
        self.downloader = Downloader(self.network, Remote(**settings), mirrors=mirrors)

    def begin(self, source: Source | str = URL, *, head: bool = False) -> Deferred[Any]:
        """Fires with a report, a head or an error."""
        running = self.downloader.head(source) if head else self.downloader.download(source, ToMemory())
        return running.addErrback(lambda failure: failure.trap(DownloadError) and failure.value)

    def run(self, source: Source | str = URL, *, head: bool = False) -> Any:
        return self.network.result(self.begin(source, head=head))

    @property
    def asked(self) -> list[str]:
        """Whom the proxy was asked for."""
        return [request.target for request in self.gate.requests]

    def end(self) -> None:
        """Nothing is left."""
        self.network.result(self.downloader.close())
        self.network.result(self.gate.abort())
        self.network.run()
        assert self.network.connections == 0
        assert self.network.getDelayedCalls() == []


# ---- to who wants a tunnel

REFUSALS = pytest.mark.parametrize("refusal", [answer(b"no", 407), answer(b"no", 401, headers=(TINYPROXY,))])


@pytest.mark.parametrize("head", [False, True])
@REFUSALS
def test_a_login_that_is_refused_is_shown_for_three_hosts_however_many_there_are(refusal: Any, head: bool) -> None:
    """It may be refused for some of them alone."""
    case = Case(refusal)
    error = case.run(head=head)

    assert isinstance(error, ProxyFailed)
    assert (error.status, error.gate, error.login_refused) == (refusal.status, GATE, True)
    assert len(error.attempts) == 8
    assert {getattr(each.error, "status", None) for each in error.attempts} == {refusal.status}
    assert case.asked == ["m0.example:443", "m1.example:443", "m2.example:443"]
    case.end()


@pytest.mark.parametrize("says", [b"\x05\x02\x01\x01", b"\x05\xff"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_so_is_one_that_a_socks_proxy_refuses(scheme: str, says: bytes) -> None:
    case = Case(answer(b""), greeting=[Send(says), Close()], proxy=Proxy(f"{scheme}://gate.example:3128/", WRONG))
    for number in range(8):
        case.network.serve(f"m{number}.example", answer(DATA))
    error = case.run()

    assert isinstance(error, ProxyFailed)
    assert (error.login_refused, error.gate) == (True, f"{scheme}://gate.example:3128/")
    assert case.gate.connections.total == 3
    case.end()


def test_and_however_many_files() -> None:
    """After those that were on their way to the proxy at the same time."""
    case = Case(answer(b"no", 407), mirrors=None)
    for _ in range(100):
        assert isinstance(case.run(), ProxyFailed)
    assert len(case.asked) == 1
    case.network.result(DeferredList([case.begin() for _ in range(100)]))
    assert len(case.asked) == 1
    case.end()


def test_after_a_while_it_is_shown_again() -> None:
    """Somebody may have unlocked the account."""
    case = Case(answer(b"no", 407), mirrors=None)
    assert isinstance(case.run(), ProxyFailed)
    case.network.advance(FORGOTTEN - 1)
    assert isinstance(case.run(), ProxyFailed)
    assert len(case.asked) == 1
    case.network.advance(1)
    assert isinstance(case.run(), ProxyFailed)
    assert len(case.asked) == 2
    case.end()


def test_who_leads_there_by_a_redirect_shows_it_no_more_often() -> None:
    case = Case(answer(b"no", 407), scheme="http", proxy=Proxies(https=Proxy(GATE, WRONG)))
    for number in range(8):
        case.network.serve(f"m{number}.example", redirect(f"https://s{number}.example/file"))
    error = case.run("http://origin.example/file")

    assert isinstance(error, ProxyFailed)
    assert (error.gate, len(error.attempts), len(case.asked)) == (GATE, 8, 3)
    case.end()


def test_who_is_reached_without_that_proxy_is_still_asked() -> None:
    mirrors = Given([Source(f"https://m{n}.example/file") for n in range(5)] + [Source("http://m5.example/file")])
    case = Case(answer(b"no", 407), mirrors=mirrors, proxy=Proxies(https=Proxy(GATE, WRONG)))
    direct = case.network.serve("m5.example", answer(DATA))

    assert isinstance(case.run("http://origin.example/file"), Report)
    assert (len(case.asked), len(direct.requests)) == (3, 1)
    case.end()


def test_another_proxy_is_asked_too() -> None:
    remotes = [Remote(proxy=Proxy(f"http://{host}.example:3128", WRONG)) for host in ("gate", "other")]
    places = [Source(f"https://m{n}.example/file", remote=remotes[n % 2]) for n in range(8)]
    case = Case(answer(b"no", 407), mirrors=Given(places))
    second = case.network.serve("other.example", answer(b"no", 407), port=3128)

    assert isinstance(case.run(), ProxyFailed)
    assert len(case.asked) == len(second.requests) == 3
    case.end()


@pytest.mark.parametrize("status", [403, 429, 502, 503])
def test_who_only_refuses_one_host_is_asked_for_the_others(status: int) -> None:
    case = Case(answer(b"no", status), retries=Retries(count=0))

    assert isinstance(case.run(), ProxyFailed)
    assert case.asked == [f"m{number}.example:443" for number in range(8)]
    case.end()


def test_another_login_is_shown_to_it() -> None:
    """What it says of one is nothing that it says of the other."""
    remotes = [Remote(proxy=Proxy(GATE, each)) for each in (WRONG, OTHER, None)]
    places = [Source(f"https://m{n}.example/file", remote=remotes[n % 3]) for n in range(15)]
    case = Case(answer(b"no", 407), mirrors=Given(places))

    assert isinstance(case.run(), ProxyFailed)
    shown = [request.get(b"proxy-authorization") for request in case.gate.requests]
    assert shown == [WRONG.header, OTHER.header, None] * 3
    case.end()


def test_the_same_login_in_other_settings_is_not() -> None:
    same = Remote(proxy=Proxies(https=Proxy(GATE, WRONG), direct="elsewhere.example"))
    places = [Source(f"https://m{n}.example/file", remote=same if n % 2 else None) for n in range(8)]
    case = Case(answer(b"no", 407), mirrors=Given(places))

    assert isinstance(case.run(), ProxyFailed)
    assert len(case.asked) == 3
    case.end()


def test_who_is_known_there_is_refused_for_one_host_alone() -> None:
    """As by Squid's C{http_access deny tracker !staff}: nobody may be led there to be kept from all others."""
    refused = answer(b"no", 407)

    def rules(request: Any) -> Any:
        return refused if request.target.startswith("no") else [ESTABLISHED, Close()]

    case = Case(rules, mirrors=None, retries=Retries(count=0))
    for host, asked in [("no1", 1), ("no2", 2), ("no1", 2), ("yes", 3), ("no1", 4), ("no2", 5), ("yes", 6), ("no3", 7)]:
        error = case.run(Source(f"https://{host}.example/file"))
        assert isinstance(error, ConnectFailed)
        assert (getattr(error, "status", None) == 407) == host.startswith("no")
        assert len(case.asked) == asked
    case.end()


@pytest.mark.parametrize("seconds", [FORGOTTEN, -1.0])
def test_what_was_said_long_ago_is_forgotten(seconds: float) -> None:
    """So it is if the clock was set back."""
    clock = Clock()
    gates, proxy = Gates(clock), Proxy(GATE, WRONG)
    clock.rightNow = 100.0
    gates.refused(proxy, "a", NO)
    assert gates.refusal(proxy, "a") is not None
    clock.rightNow += seconds
    assert gates.refusal(proxy, "a") is None


def test_who_was_let_in_meanwhile_is_not_refused() -> None:
    """Then it was for those hosts alone."""
    gates, proxy = Gates(Clock()), Proxy(GATE, WRONG)
    for host in "abc":
        gates.refused(proxy, host, NO)
    assert gates.refusal(proxy, "d") is not None
    gates.let_in(proxy)
    assert gates.refusal(proxy, "d") is None
    for host in "ab":
        gates.refused(proxy, host, NO)
    assert gates.refusal(proxy, "d") is None


def test_a_certificate_for_the_proxy_is_another_login() -> None:
    gates = Gates(Clock())
    one, other = (Proxy("https://gate.example", tls=TLS(verify=verify)) for verify in (True, False))
    gates.refused(one, "a", NO)

    assert gates.refusal(one, "a") is not None
    assert gates.refusal(other, "a") is None


def test_only_so_many_logins_are_remembered() -> None:
    gates = Gates(Clock())
    proxies = [Proxy(GATE, Basic("user", str(number))) for number in range(MOST + 1)]
    for each in proxies:
        gates.refused(each, "a", NO)
    assert [gates.refusal(each, "a") is None for each in proxies] == [True] + [False] * MOST

    gates.refused(proxies[1], "b", NO)  # so it is in use
    gates.refused(proxies[0], "a", NO)
    assert [gates.refusal(each, "a") is None for each in proxies[:4]] == [False, False, True, False]


def test_a_host_that_was_refused_again_is_remembered_for_longer_than_those_before_it() -> None:
    """Where no more are remembered."""
    clock = Clock()
    gates, proxy = Gates(clock), Proxy(GATE, WRONG)
    hosts = [str(number) for number in range(MOST - 1)]
    for each in hosts:
        gates.refused(proxy, each, NO)
    clock.advance(FORGOTTEN / 2)
    for each in (hosts[0], "a", "b"):
        gates.refused(proxy, each, NO)
    clock.advance(FORGOTTEN / 2)

    assert gates.refusal(proxy, hosts[0]) is not None
    assert gates.refusal(proxy, "c") is not None, "three hosts were"


@implementer(IMirrors)
class Given:
    """These places."""

    def __init__(self, places: list[Source]) -> None:
        self._places = places

    def locate(self, source: Source, direct: IDownloader) -> list[Source]:
        return self._places

    def record(self, attempt: Attempt) -> None: ...


# ---- what may be said by whoever is behind it

VIA = (b"Via", b"1.1 gate.example (squid/5.7)")
ERROR = (b"Proxy-Status", b"gate; error=http_request_denied")


@pytest.mark.parametrize(
    "says",
    [
        answer(b"no", 407),
        answer(b"no", 407, headers=(VIA,)),
        answer(b"no", 407, headers=(VIA, SQUID)),
        answer(b"no", 401, headers=(TINYPROXY,)),
        answer(b"no", 401, headers=(VIA, ERROR)),
        answer(b"no", 429, headers=(SQUID,)),
        answer(b"no", 429, headers=(VIA, ERROR)),
        answer(b"no", 503, headers=(VIA, SQUID, (b"Retry-After", b"20"))),
        [Send(b"HTTP/1.1 103 Early Hints\r\nVia: 1.1 gate\r\n\r\n"), answer(b"no", 407)],
    ],
)
def test_what_a_server_may_have_said_keeps_nobody_from_the_other_mirrors(says: Any) -> None:
    """Proxies hand on whatever a server says, signs of proxies, too; and not all of them write a C{Via}."""
    case = Case(turns(says, answer(DATA, headers=(VIA,))), scheme="http")
    report = case.run("http://origin.example/file")

    assert isinstance(report, Report)
    assert case.asked == ["http://m0.example/file", "http://m1.example/file"]
    assert report.seconds < 1
    case.end()


# ---- sessions


def test_only_so_many_proxies_over_tls_are_remembered() -> None:
    """The ones that were met last: where one is forgotten, a session is."""
    network = MemoryNetwork()
    gates = Gates(network)
    way = reach(network, parse("http://gate.example:3128"), None)
    proxies = [Proxy("https://gate.example", Basic("user", str(number))) for number in range(MOST + 1)]
    met = [gates.encrypted(each, way) for each in proxies]

    assert [gates.encrypted(each, way) == met[at] for at, each in enumerate(proxies[1:], 1)] == [True] * MOST
    assert gates.encrypted(proxies[0], way) != met[0]
