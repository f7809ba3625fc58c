"""A proxy that wants no more of a download is asked for nothing more of it, whatever lies behind."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import (
    Attempt,
    Basic,
    Digest,
    Downloader,
    Head,
    Pieces,
    Places,
    Proxies,
    Proxy,
    Remote,
    Report,
    Retries,
    Scores,
    Segments,
    Source,
    ToMemory,
)
from pulp_dl.errors import DownloadError, NotFound, ProxyFailed, Truncated
from pulp_dl.interfaces import IDownloader, IMirrors
from pulp_dl.testing import (
    Close,
    Cut,
    MemoryFetcher,
    MemoryNetwork,
    MemoryScheme,
    Place,
    Send,
    answer,
    redirect,
)

from .anywhere import Anywhere

DATA = bytes(range(256)) * 800  # 200 KiB
SHA = Digest("sha256", hashlib.sha256(DATA).hexdigest())
URL = "http://origin.example/file"
TINYPROXY = (b"Server", b"tinyproxy/1.11.1")
SQUID = (b"X-Squid-Error", b"ERR_NO 0")
GATE = "http://gate.example:3128/"


def turns(*scripts: Any) -> Any:
    """One answer after the other, whatever is asked for; then always the last."""
    left = list(scripts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class Case:
    """Downloads of one file from eight mirrors behind one proxy."""

    def __init__(self, script: Any, *, scheme: str = "http", greeting: Any = (), **settings: Any) -> None:
        self.network = MemoryNetwork()
        self.gate = self.network.serve("gate.example", script, port=3128, greeting=greeting)
        mirrors = Places([f"{scheme}://m{number}.example" for number in range(8)], original=False)
        self.mirrors: Any = settings.pop("mirrors", mirrors)
        self.settings: dict[str, Any] = {
            "proxy": Proxy(GATE, Basic("user", "wrong")),
            "retries": Retries(count=2),
        } | settings

    def run(self, source: Source | str = URL, *, head: bool = False) -> Any:
        """What came of it: a report, a head or an error."""
        network = self.network
        downloader = Downloader(network, Remote(**self.settings), mirrors=self.mirrors)
        try:
            running: Deferred[Any] = downloader.head(source) if head else downloader.download(source, ToMemory())
            return network.result(running)
        except DownloadError as error:
            return error
        finally:
            network.result(downloader.close())
            network.result(self.gate.abort())
            network.run()
            assert network.connections == 0
            assert network.getDelayedCalls() == []

    @property
    def asked(self) -> list[str]:
        """Whom the proxy was asked for."""
        return [request.target for request in self.gate.requests]


# ---- a login that is refused


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("refusal", [answer(b"no", 407), answer(b"no", 401, headers=(TINYPROXY,))])
def test_a_login_that_is_refused_is_shown_once_however_many_mirrors_there_are(
    refusal: Any, scheme: str, head: bool
) -> None:
    case = Case(refusal, scheme=scheme)
    error = case.run(head=head)

    assert isinstance(error, ProxyFailed)
    assert (error.status, error.gate) == (refusal.status, GATE)
    assert len(error.attempts) == len(case.asked) == 1


@pytest.mark.parametrize("says", [b"\x05\x02\x01\x01", b"\x05\xff"])
def test_so_is_one_that_a_socks_proxy_refuses(says: bytes) -> None:
    case = Case(answer(b""), greeting=[Send(says), Close()])
    case.settings["proxy"] = Proxy("socks5h://gate.example:3128/", Basic("user", "wrong"))
    error = case.run()

    assert isinstance(error, ProxyFailed)
    assert (error.login_refused, error.gate) == (True, "socks5h://gate.example:3128/")
    assert case.gate.connections.total == 1


def test_who_is_reached_without_that_proxy_is_still_asked() -> None:
    case = Case(answer(b"no", 407))
    case.settings["proxy"] = Proxy(GATE, Basic("user", "wrong"), direct="m5.example")
    direct = case.network.serve("m5.example", answer(DATA))
    report = case.run()

    assert isinstance(report, Report)
    assert len(case.asked) == len(direct.requests) == 1
    assert [each.source.place.host for each in report.attempts] == ["m0.example", "m5.example"]


def test_another_proxy_is_asked_too() -> None:
    mirrors = Places([f"{scheme}://m{n}.example" for n in range(4) for scheme in ("http", "https")], original=False)
    case = Case(answer(b"no", 407), mirrors=mirrors)
    other = case.network.serve("other.example", answer(b"no", 407), port=3128)
    case.settings["proxy"] = Proxies(http=Proxy(GATE), https=Proxy("http://other.example:3128"))
    error = case.run()

    assert isinstance(error, ProxyFailed)
    assert [each.url for each in error.attempts] == ["http://m0.example/file", "https://m0.example/file"]
    assert len(case.asked) == len(other.requests) == 1


def test_who_only_forbids_one_host_is_asked_for_the_others() -> None:
    forbidden = answer(b"no", 403, headers=(SQUID,))
    case = Case(lambda request: answer(DATA) if "m7" in request.target else forbidden)

    assert isinstance(case.run(), Report)
    assert len(case.asked) == 8


def test_the_next_download_shows_it_again() -> None:
    """It may be another one by then, or another file that nobody waits for."""
    case = Case(turns(answer(b"no", 407), answer(DATA)))

    assert isinstance(case.run(), ProxyFailed)
    assert isinstance(case.run(), Report)


OTHER = Basic("other", "right")
KNOWN = Remote(proxy=Proxy(GATE, OTHER))
M0, M1 = (f"http://m{number}.example/file" for number in range(2))


def knows_other(request: Any) -> Any:
    return answer(DATA) if request.get(b"proxy-authorization") == OTHER.header else answer(b"no", 407)


def test_another_login_is_shown_to_it() -> None:
    """What it says of one is nothing that it says of the other, and each is shown once."""
    places = [Source(M0), Source(M1, remote=KNOWN)]
    case = Case(knows_other, mirrors=Given(places))
    assert isinstance(case.run(), Report)
    assert case.asked == [M0, M1]

    wrong = Remote(proxy=Proxy(GATE, Basic("other", "wrong")))
    case = Case(knows_other, mirrors=Given([Source(M0), *(Source(f"{M1}{n}", remote=wrong) for n in range(3))]))
    error = case.run()
    assert isinstance(error, ProxyFailed)
    assert case.asked == [M0, f"{M1}0"]
    assert "wrong" not in repr(vars(error))


def test_the_same_login_in_other_settings_is_not_shown_to_it() -> None:
    same = Remote(proxy=Proxies(http=Proxy(GATE, Basic("user", "wrong")), direct="elsewhere.example"))
    case = Case(knows_other, mirrors=Given([Source(M0), Source(M1, remote=same)]))

    assert isinstance(case.run(), ProxyFailed)
    assert case.asked == [M0]


def test_who_wants_to_be_left_alone_is_shown_no_other_login_either() -> None:
    alone = answer(b"no", 429, headers=(SQUID, (b"Retry-After", b"20")))
    case = Case(turns(alone, answer(DATA)), mirrors=Given([Source(M0), Source(M1, remote=KNOWN)]))
    report = case.run()

    assert isinstance(report, Report)
    assert case.asked == [M0, M0]


@implementer(IMirrors)
class Given:
    """These places."""

    def __init__(self, places: list[Source]) -> None:
        self._places = places

    def locate(self, source: Source, direct: IDownloader) -> list[Source]:
        return self._places

    def record(self, attempt: Attempt) -> None: ...


@implementer(IMirrors)
class Listed:
    """A list that has to be fetched."""

    async def locate(self, source: Source, direct: IDownloader) -> Any:
        listing = ToMemory()
        await direct.download("http://lists.example/mirrors", listing)
        return [source.at(line) for line in listing.data.decode().split()]

    def record(self, attempt: Attempt) -> None: ...


def test_a_list_that_the_proxy_does_not_hand_out_was_the_only_try() -> None:
    case = Case(answer(b"no", 407), mirrors=Listed())
    error = case.run()

    assert isinstance(error, ProxyFailed)
    assert error.status == 407
    assert case.asked == ["http://lists.example/mirrors"]


def test_a_list_that_it_does_not_hand_out_to_one_login_is_no_word_on_the_files_own() -> None:
    case = Case(knows_other, mirrors=Listed())

    assert isinstance(case.run(Source(URL, remote=KNOWN)), Report)
    assert case.asked == ["http://lists.example/mirrors", URL]


# ---- a rest that was cut off, behind a redirect

SIGNED = "http://cdn.example/blob?sig=1"


WHOLE = answer(DATA, headers=((b"ETag", b'"1"'), (b"Accept-Ranges", b"bytes")))
HALF = redirect(SIGNED), Cut(WHOLE, 50_000)


def rest(start: int = 50_000) -> Any:
    span = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}".encode()
    return answer(DATA[start:], 206, headers=((b"ETag", b'"1"'), (b"Content-Range", span)))


@pytest.mark.parametrize("refusal", [answer(b"no", 407), answer(b"no", 401, headers=(TINYPROXY,))])
def test_a_login_that_is_refused_for_the_rest_is_not_shown_for_the_url_that_led_there(refusal: Any) -> None:
    case = Case(turns(*HALF, refusal), mirrors=None)
    error = case.run()

    assert isinstance(error, ProxyFailed)
    assert case.asked == [URL, SIGNED, SIGNED]
    assert [type(each.error) for each in error.attempts] == [Truncated, ProxyFailed]


def test_nor_is_the_url_that_led_there_asked_of_who_wants_to_be_left_alone() -> None:
    alone = answer(b"no", 429, headers=(SQUID, (b"Retry-After", b"20")))
    case = Case(turns(*HALF, alone, rest()), mirrors=None)
    report = case.run()

    assert isinstance(report, Report)
    assert case.asked == [URL, SIGNED, SIGNED, SIGNED]
    assert report.seconds >= 20


def test_who_is_forbidden_where_it_led_may_be_led_elsewhere() -> None:
    forbidden = answer(b"no", 403, headers=(SQUID,))
    case = Case(turns(*HALF, forbidden, redirect("http://other.example/blob"), rest()), mirrors=None)

    assert isinstance(case.run(), Report)
    assert case.asked == [URL, SIGNED, SIGNED, URL, "http://other.example/blob"]


# ---- what may be said by whoever is behind it


VIA = (b"Via", b"1.1 gate.example (squid/5.7)")


@pytest.mark.parametrize(
    "says",
    [
        answer(b"no", 407, headers=(VIA,)),
        answer(b"no", 407, headers=(VIA, SQUID)),
        answer(b"no", 407, headers=((b"Via", b"(, 1.1 gate.example"),)),
        answer(b"no", 429, headers=((b"Via", b'", 1.1 gate.example'), SQUID)),
        answer(b"no", 401, headers=((b"Via", b"(, 1.1 gate.example"), TINYPROXY)),
        answer(b"no", 401, headers=(VIA, (b"Proxy-Status", b"gate; error=http_request_denied"))),
        answer(b"no", 429, headers=(VIA, (b"Proxy-Status", b"gate; error=http_request_denied"))),
        answer(b"no", 503, headers=(VIA, SQUID, (b"Retry-After", b"20"))),
    ],
)
def test_what_a_server_may_have_said_keeps_nobody_from_the_other_mirrors(says: Any) -> None:
    """Proxies hand on whatever a server says, signs of proxies, too; only theirs is the C{Via}."""
    case = Case(turns(says, answer(DATA, headers=(VIA,))))
    report = case.run()

    assert isinstance(report, Report)
    assert case.asked == ["http://m0.example/file", "http://m1.example/file"]
    assert report.seconds < 1


# ---- who wants to be left alone for a while


@pytest.mark.parametrize(("status", "seconds"), [(429, b"2"), (429, None), (503, b"2")])
def test_who_wants_to_be_left_alone_is_asked_for_nothing_more_in_this_round(status: int, seconds: bytes | None) -> None:
    fields = () if seconds is None else ((b"Retry-After", seconds),)
    case = Case(turns(answer(b"no", status, headers=(SQUID, *fields)), answer(DATA)))
    report = case.run()

    assert isinstance(report, Report)
    assert case.asked == ["http://m0.example/file"] * 2
    assert report.seconds >= (0 if seconds is None else 2)


def test_who_fails_and_asks_for_nothing_is_asked_for_the_others() -> None:
    case = Case(turns(answer(b"no", 503, headers=(SQUID,)), answer(DATA)))

    assert isinstance(case.run(), Report)
    assert case.asked == ["http://m0.example/file", "http://m1.example/file"]


def test_who_is_reached_without_it_is_asked_meanwhile() -> None:
    case = Case(answer(b"no", 429, headers=(SQUID, (b"Retry-After", b"20"))))
    case.settings["proxy"] = Proxy(GATE, direct="m5.example")
    direct = case.network.serve("m5.example", answer(DATA))
    report = case.run()

    assert isinstance(report, Report)
    assert report.seconds < 1
    assert len(case.asked) == len(direct.requests) == 1


# ---- who is asked beside others, and ahead

A, B, C, D = (f"memory://{host}/file" for host in "abcd")
GOOD = Place(DATA, chunk=8192)
LATE = GOOD.but(wait=3)


def refused(status: int = 407, retry_after: float | None = None) -> Any:
    return lambda: ProxyFailed("no", status=status, retry_after=retry_after, gate="http://gate")


class Beside:
    """Places in memory, on a clock that the test moves; a proxy leads to all that are not direct."""

    def __init__(self, places: dict[str, Any], direct: str, mirrors: Any = None, **settings: Any) -> None:
        self.clock = Clock()
        self.memory = MemoryFetcher(places, self.clock)
        self.found: list[Any] = []
        listed = Places([*places], under=A, original=False)
        remote = Remote(proxy=Proxy("http://gate", direct=direct), **settings)
        self.downloader = Downloader(
            self.clock, remote, mirrors=mirrors(listed) if mirrors else listed, schemes=[MemoryScheme(self.memory)]
        )

    def run(self, consumer: Any = None, *expect: Any) -> Any:
        """A report or an error."""
        ends: list[Any] = []
        running = self.downloader.download(Source(A, [SHA, *expect]), consumer or ToMemory())
        running.addBoth(ends.append)
        for _ in range(10_000):
            if ends:
                break
            self.clock.advance(0.05)
        assert self.memory.running == 0
        assert self.clock.getDelayedCalls() == []
        return ends[0].value if isinstance(ends[0], Failure) else ends[0]

    @property
    def asked(self) -> str:
        return "".join(each.source.place.host for each in self.memory.asked)

    def learning(self, listed: Any) -> Scores:
        """These are known to answer soon."""
        scores = Scores(listed, explore=0, clock=self.clock.seconds)
        for host in "abcd":
            scores.answered(Source(f"memory://{host}/"), Head(f"memory://{host}/", 200), 0.01)
        return scores


class Hedged(Beside):
    def __init__(self, places: dict[str, Any], direct: str) -> None:
        super().__init__(places, direct, self.learning, retries=Retries(count=1))


def test_nobody_behind_it_is_asked_beside_another() -> None:
    case = Hedged({A: Place(error=refused()), B: LATE, C: GOOD}, direct="b")

    assert isinstance(case.run(), Report)
    assert case.asked == "ab"


@pytest.mark.parametrize("status", [407, 429])
def test_who_was_asked_ahead_behind_it_is_not_waited_for(status: int) -> None:
    case = Hedged({A: Place(error=refused(status), wait=0.5), B: LATE, C: GOOD}, direct="c")
    report = case.run()

    assert isinstance(report, Report)
    assert case.asked == "abc"
    assert [(each.source.place.host, each.phase) for each in report.attempts] == [
        ("b", "outrun"),
        ("a", "connect"),
        ("c", "done"),
    ]
    assert report.seconds < 1


def test_who_was_asked_ahead_holds_nothing_while_it_is_left_alone() -> None:
    first = Place(error=refused(429, 20), wait=0.5)
    case = Hedged({A: [first, GOOD], B: LATE.but(wait=40)}, direct="")
    running = case.downloader.download(Source(A, SHA), ToMemory())
    running.addBoth(case.found.append)
    case.clock.pump([0.05] * 20)

    assert case.asked == "ab"
    assert case.memory.running == 0
    case.clock.pump([0.05] * 500)
    assert isinstance(case.found[0], Report)
    assert case.asked == "aba"


def test_if_nobody_else_is_left_it_is_over_at_once() -> None:
    case = Hedged({A: Place(error=refused(), wait=0.5), B: LATE}, direct="")

    assert isinstance(case.run(), ProxyFailed)
    assert case.asked == "ab"
    assert case.clock.seconds() < 1


SLOW = Place(DATA, chunk=1000, every=0.1)  # 10 kB a second
NO = Place(error=refused())


def segmented(places: dict[str, Any], direct: str) -> Beside:
    return Beside(places, direct, segments=Segments(least=1, places=2, piece=4096))


def test_nobody_behind_it_helps() -> None:
    case = segmented({A: SLOW, B: NO, C: NO, D: SLOW}, direct="a d")

    assert isinstance(case.run(Anywhere()), Report)
    assert "c" not in case.asked
    assert case.asked[:3] == "abd"


def test_nobody_behind_one_that_was_asked_first_helps() -> None:
    case = segmented({B: NO, A: SLOW, C: NO, D: SLOW}, direct="a d")

    assert isinstance(case.run(Anywhere()), Report)
    assert case.asked[:3] == "bad"
    assert "c" not in case.asked


def test_nobody_behind_it_mends() -> None:
    size = 65536
    wrong = bytearray(DATA)
    wrong[70_000] ^= 1
    pieces = Pieces("sha1", size, [hashlib.sha1(DATA[at : at + size]).hexdigest() for at in range(0, len(DATA), size)])
    case = Beside({A: Place(bytes(wrong)), B: NO, C: NO, D: GOOD}, "a d")

    assert isinstance(case.run(Anywhere(), pieces), Report)
    assert case.asked == "abd"


def test_a_login_is_not_shown_again_when_nobody_else_is_left() -> None:
    """Who had a wrong file is asked once more then, but not through that proxy."""
    case = Beside({A: Place(b"wrong"), B: NO, C: Place(error=NotFound(404))}, direct="c")

    assert isinstance(case.run(), ProxyFailed)
    assert case.asked == "abc"


def test_without_a_gate_only_the_place_drops_out() -> None:
    """As of a protocol that does not say which proxy it was."""
    case = Beside({A: Place(error=lambda: ProxyFailed("no", status=407)), B: GOOD}, direct="")

    assert isinstance(case.run(), Report)
    assert case.asked == "ab"
