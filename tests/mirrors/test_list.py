"""Lists in plain text: what they say, and how they come."""

from __future__ import annotations

from collections.abc import Iterator
from traceback import walk_tb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl import Basic, MirrorList, Remote, Retries, Source, Timeouts, ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import NotFound, Unavailable
from pulp_dl.interfaces import IMirrors
from pulp_dl.mirrors.list import read_list, substitute
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
from pulp_dl.urls import InvalidURL

FEDORA = """\
# repo = fedora-40 arch = x86_64 country = DE country = AT
https://ftp.fau.example/fedora/linux/releases/40/Everything/x86_64/os/
http://mirror.23media.example/fedora/linux/releases/40/Everything/x86_64/os/
rsync://mirror.example/fedora/linux/releases/40/Everything/x86_64/os/
"""
CENTOS = "http://mirror.example/centos/$releasever/os/$basearch/\r\nhttp://other.example/centos/${releasever}/os/$basearch\r\n"
PACMAN = """\
################################################################################
## Germany
Server = https://mirror.example/archlinux/$repo/os/$arch
#Server = http://not.used.example/archlinux/$repo/os/$arch
Server=http://mirror2.example/$repo/os/$arch
"""
APT = (
    "http://last.example/debian\n"
    "http://second.example/debian/\tpriority:2 arch:amd64 arch:arm64\n"
    "http://first.example/debian/\tpriority:1 type:deb\n"
    "http://i386.example/debian/\tpriority:0 arch:i386\n"
)


def urls(text: str, **variables: str) -> list[str]:
    return [each.url for each in read_list(text, variables).entries]


def reasons(text: str, **variables: str) -> list[tuple[int, str]]:
    return [tuple(each) for each in read_list(text, variables).skipped]  # type: ignore[misc]


# ---- what a list says


def test_fedora_s_lists_have_a_base_in_each_line_and_what_is_no_protocol_of_ours_is_reported() -> None:
    assert urls(FEDORA) == [
        "https://ftp.fau.example/fedora/linux/releases/40/Everything/x86_64/os",
        "http://mirror.23media.example/fedora/linux/releases/40/Everything/x86_64/os",
    ]
    assert reasons(FEDORA) == [(4, "rsync: is none of the protocols that are allowed here")]


def test_centos_s_have_variables_and_line_ends_of_windows_do_not_matter() -> None:
    assert urls(CENTOS, releasever="7", basearch="x86_64") == [
        "http://mirror.example/centos/7/os/x86_64",
        "http://other.example/centos/7/os/x86_64",
    ]


def test_pacman_s_have_a_key_and_what_is_commented_out_is_not_used() -> None:
    assert urls(PACMAN, repo="core", arch="x86_64") == [
        "https://mirror.example/archlinux/core/os/x86_64",
        "http://mirror2.example/core/os/x86_64",
    ]


def test_apt_s_have_priorities_and_limits_and_those_without_a_priority_come_last() -> None:
    assert urls(APT, arch="amd64") == [
        "http://first.example/debian",
        "http://second.example/debian",
        "http://last.example/debian",
    ]
    assert reasons(APT, arch="amd64") == [(4, "it is for another arch")]
    assert urls(APT)[0] == "http://i386.example/debian"  # nobody says which it is


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("file:///etc/", "file: is none of the protocols that are allowed here"),
        ("mirror.example/pub", "not an absolute URL"),
        ("http:///pub", "host"),
        ("http://us%3Aer:word@m/", "a colon in the user"),
        ("http://m/$nobody/", "nobody says what $nobody is"),
        ("http://m/ what is this", "there is more than a URL in it"),
        ("http://m/ priority:soon", "its priority is no number"),
        ("http://m/get?file=", "query"),
        ("<a href='http://m/'>", "not an absolute URL"),
        ("Server =", "there is no URL in it"),
    ],
)
def test_a_line_that_is_no_place_is_skipped_with_a_reason_and_never_repeated(line: str, reason: str) -> None:
    listing = read_list(f"http://good/\n{line}\n")

    assert [each.url for each in listing.entries] == ["http://good"]
    assert [each.number for each in listing.skipped] == [2]
    assert reason in listing.skipped[0].reason


@pytest.mark.parametrize("text", ["", "# nothing\n", "<html><body>Log in to this network</body></html>"])
def test_a_list_without_a_place_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no place in it"):
        read_list(text)


def test_a_place_that_is_there_twice_is_one_and_a_list_has_an_end() -> None:
    assert urls("http://m/\nhttp://m\nhttp://n\n") == ["http://m", "http://n"]
    listing = read_list("".join(f"http://m{number}/\n" for number in range(5000)))
    assert len(listing.entries) == 1000
    assert len(listing.skipped) == 1


@pytest.mark.parametrize("line", ["a", "https://[", "Server =", "http://m"])
def test_what_is_no_list_costs_no_more_than_one(line: str) -> None:
    """Whatever stands in millions of lines; it is read in the reactor's thread."""
    listing = read_list("http://good\n" + f"{line}\n" * 100_000)

    assert listing.entries[0].url == "http://good"
    assert len(listing.skipped) <= 10_001
    assert listing.skipped[-1].reason == "only 10000 lines are read"


def test_variables_are_named_with_and_without_braces() -> None:
    assert substitute("$a-${b}$a", {"a": "1", "b": "2"}) == "1-21"
    with pytest.raises(ValueError, match=r"\$c"):
        MirrorList("http://m/$c")
    with pytest.raises(InvalidURL):
        MirrorList("mirrors.txt")


@given(st.text())
def test_whatever_stands_in_a_list_it_gives_urls_or_says_that_there_are_none(text: str) -> None:
    try:
        listing = read_list(text)
    except ValueError:
        return
    assert all(Source(each.url).place.scheme in {"https", "http", "ftp"} for each in listing.entries)


# ---- how it comes


LIST, OWN = "memory://lists/mirrors.txt", "memory://origin/pub/file"
A, B = "memory://a/pub/file", "memory://b/pub/file"


class Case:
    def __init__(self, places: dict[str, Any], **how: Any) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher(places)
        self.mirrors = MirrorList(LIST, schemes=["memory"], clock=self.clock.seconds, **how)
        self.downloader = self.another()

    def another(self) -> Downloader:
        remote = Remote(retries=Retries(count=0), timeouts=Timeouts(head=5, idle=5))
        return Downloader(self.clock, remote, mirrors=self.mirrors, schemes=[MemoryScheme(self.fetcher)])

    def start(self, downloader: Downloader | None = None) -> tuple[Deferred[Any], ToMemory, list[Any]]:
        body = ToMemory()
        ends: list[Any] = []
        running = (downloader or self.downloader).download(OWN, body)
        running.addBoth(ends.append)
        return running, body, ends

    def fetch(self) -> bytes:
        _, body, ends = self.start()
        assert ends, "still running"
        return body.data

    def asked(self) -> list[str]:
        found = [each.url for each in self.fetcher.asked]
        self.fetcher.asked.clear()
        return found


@pytest.fixture
def warnings() -> Iterator[list[LogEvent]]:
    seen: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def listing(*hosts: str, **how: Any) -> Place:
    return Place("".join(f"memory://{host}\n" for host in hosts).encode(), f'"{hosts}"'.encode(), **how)


def test_it_keeps_the_promises_of_mirrors() -> None:
    assert verifyObject(IMirrors, MirrorList("http://m/"))


def test_it_is_fetched_when_it_is_first_needed_and_then_kept_until_it_is_old() -> None:
    case = Case({LIST: [listing("a"), listing("b")], A: Place(b"a"), B: Place(b"b")}, refresh=100)

    assert case.fetch() == case.fetch() == b"a"
    assert case.asked() == [LIST, A, A]
    case.clock.advance(99)
    assert case.fetch() == b"a"
    assert case.asked() == [A]
    case.clock.advance(1)
    assert case.fetch() == b"b"
    assert case.asked() == [LIST, B]


def test_a_list_that_has_not_changed_is_not_sent_again() -> None:
    case = Case({LIST: listing("a"), A: Place(b"a")}, refresh=100)
    case.fetch()
    case.clock.advance(100)
    case.fetcher.asked.clear()

    assert case.fetch() == b"a"
    assert case.fetcher.asked[0].source.conditions == ((b"If-None-Match", b"\"('a',)\""),)


def test_the_own_url_comes_last_or_not_at_all_or_where_it_is_listed() -> None:
    places = {LIST: listing("a"), A: Place(error=NotFound(404)), OWN: Place(b"own")}

    case = Case(places)
    assert case.fetch() == b"own"
    assert case.asked() == [LIST, A, OWN]

    case = Case(places, original=False)
    assert case.start()[2][0].check(NotFound)
    assert case.asked() == [LIST, A]


def test_however_many_places_a_list_names_the_own_url_is_asked_after_them() -> None:
    case = Case({LIST: listing(*(f"m{number}" for number in range(1200))), OWN: Place(b"own")})

    assert case.fetch() == b"own"


def test_the_country_is_a_variable_in_the_url_of_a_list_as_fedora_s_and_arch_s_servers_want_it() -> None:
    url = "http://m/?country=$country&arch=$arch"

    assert MirrorList(url, country="de", variables={"arch": "x"}).url == "http://m/?country=DE&arch=x"
    assert MirrorList(url, country="de", variables={"arch": "x", "country": "at"}).url == "http://m/?country=at&arch=x"
    with pytest.raises(ValueError, match="nobody says what \\$country is"):
        MirrorList(url, variables={"arch": "x"})


def test_the_country_keeps_no_place_of_a_list_away() -> None:
    case = Case({LIST: Place(b"memory://a country:fr\n"), A: Place(b"a")}, country="de")

    assert case.fetch() == b"a"


def test_a_file_that_has_no_mirrors_needs_no_list() -> None:
    case = Case({OWN: Place(b"own")}, under="memory://origin/elsewhere/")

    assert case.fetch() == b"own"
    assert case.asked() == [OWN]


def test_lines_that_are_no_place_are_reported(warnings: list[LogEvent]) -> None:
    case = Case({LIST: Place(b"memory://a\nrsync://b/?token=secret\n"), A: Place(b"a")})

    case.fetch()

    assert [each.number for each in case.mirrors.skipped] == [2]
    assert [event["number"] for event in warnings] == [2]
    assert "secret" not in str(warnings)


def test_however_many_wait_it_is_looked_up_once_and_who_is_cancelled_leaves_the_others_waiting() -> None:
    case = Case({LIST: listing("a", silent=True), A: Place(b"a")})
    started = [case.start() for _ in range(5)]

    started[0][0].cancel()
    assert started[0][2][0].check(CancelledError)
    case.fetcher.release(LIST)

    assert [body.data for _, body, _ in started[1:]] == [b"a"] * 4
    assert case.asked().count(LIST) == 1


@pytest.mark.parametrize("closes", [False, True])
def test_who_is_told_may_send_away_others_who_wait(closes: bool) -> None:
    """As whoever races two downloads does."""
    case = Case({LIST: [listing("a", silent=True), listing("a")], A: Place(b"a")})
    first, _, ends = case.start()
    others = [case.start() for _ in range(3)]
    first.addBoth(lambda _: others[0][0].cancel())

    if closes:
        case.downloader.close()
    else:
        case.fetcher.release(LIST)

    assert len(ends) == 1
    assert all(len(each[2]) == 1 for each in others), "somebody still waits"
    if not closes:
        assert [each[1].data for each in others[1:]] == [b"a", b"a"]


async def test_a_list_that_is_gone_holds_nothing_of_those_who_were_told() -> None:
    case = Case({LIST: Place(error=lambda: Unavailable(503))}, refresh=100)
    direct = Downloader(case.clock, Remote(retries=Retries(count=0)), schemes=[MemoryScheme(case.fetcher)])
    depths = []
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await case.mirrors.locate(Source(OWN), direct)
        depths.append(len([*walk_tb(caught.value.__traceback__)]))

    assert depths[2] == depths[1]


def test_the_last_one_to_leave_ends_the_look_up() -> None:
    case = Case({LIST: [listing("a", silent=True), listing("a")], A: Place(b"a")})
    started = [case.start() for _ in range(3)]

    for running, _, _ in started:
        running.cancel()

    assert [ends[0].check(CancelledError) for _, _, ends in started] == [CancelledError] * 3
    assert case.fetcher.running == 0
    assert case.clock.getDelayedCalls() == []
    assert case.fetch() == b"a"


def test_a_downloader_that_is_closed_leaves_those_of_others_waiting() -> None:
    case = Case({LIST: [listing("a", silent=True), listing("a")], A: Place(b"a")})
    mine = [case.start() for _ in range(20)]  # they, and the look-up, are cancelled in no order
    _, theirs, _ = case.start(case.another())

    case.downloader.close()

    assert all(ends[0].check(CancelledError) for _, _, ends in mine)
    assert theirs.data == b"a"
    assert case.asked() == [LIST, LIST, A]


def test_what_is_known_holds_for_longer_if_it_cannot_be_fetched_again(warnings: list[LogEvent]) -> None:
    broken = Place(error=lambda: Unavailable(503))
    case = Case({LIST: [listing("a"), broken, listing("b")], A: Place(b"a"), B: Place(b"b")}, refresh=100)
    case.fetch()
    case.clock.advance(100)

    assert case.fetch() == case.fetch() == b"a"
    assert case.asked() == [LIST, A, LIST, A, A]  # and is not asked for again at once
    assert len(warnings) == 1
    case.clock.advance(60)
    assert case.fetch() == b"b"


LONG = b"memory://b\n" + b"#" * 200


@pytest.mark.parametrize("bad", [Place(b"<html>"), Place(LONG), Place(LONG, length=False)])
def test_what_is_no_list_or_too_long_is_none(bad: Place) -> None:
    """What is too long is a good list of another place, so that nothing but its length speaks against it."""
    case = Case({LIST: [listing("a"), bad], A: Place(b"a"), B: Place(b"b")}, refresh=1, limit=100)
    case.fetch()
    case.clock.advance(1)

    assert case.fetch() == b"a"


def test_the_list_s_host_is_not_shown_the_secrets_of_the_files() -> None:
    case = Case({LIST: listing("a"), A: Place(b"a")})
    case.fetch()

    assert case.fetcher.asked[0].source.scope == OWN
    assert case.fetcher.asked[0].source.headers == ()


def test_a_list_may_have_credentials_and_settings_of_its_own() -> None:
    clock, fetcher = Clock(), MemoryFetcher({LIST: listing("a"), A: Place(b"a")})
    remote = Remote(headers={"X-Own": "1"})
    mirrors = MirrorList("memory://me:secret@lists/mirrors.txt", schemes=["memory"], remote=remote)
    downloader = Downloader(clock, mirrors=mirrors, schemes=[MemoryScheme(fetcher)])
    downloader.download(OWN, ToMemory())

    assert fetcher.asked[0].source.auth == Basic("me", "secret")
    assert fetcher.asked[0].source.remote is remote
    assert "secret" not in mirrors.url
