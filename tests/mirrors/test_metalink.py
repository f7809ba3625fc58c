"""Metalinks: what they say, what is refused, and what comes of them."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pulp_dl import (
    Digest,
    Duplicates,
    Head,
    Metalink,
    MirrorList,
    MirrorsSettings,
    Remote,
    Retries,
    Scores,
    Size,
    Source,
    Span,
    ToMemory,
)
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import DigestMismatch, NotFound, SizeMismatch, Truncated, ValidationError
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.mirrors.described import Location
from pulp_dl.mirrors.interfaces import IVouching
from pulp_dl.mirrors.links import duplicates_told
from pulp_dl.mirrors.metalink_xml import read_metalink
from pulp_dl.model.fingerprint import fingerprint
from pulp_dl.model.pieces import Pieces
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place, Recorder
from tests.sinks import Resumed

DATA = bytes(range(256)) * 40
SHA256, SHA1, MD5 = (hashlib.new(name, DATA).hexdigest() for name in ("sha256", "sha1", "md5"))
OLD = hashlib.sha256(b"old").hexdigest()

V4 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>somebody/1.0</generator>
  <file name="dir/example.ext">
    <size>{len(DATA)}</size>
    <hash type="md5">{MD5}</hash>
    <hash type="sha-256">{SHA256.upper()}</hash>
    <hash type="tiger">abc</hash>
    <signature mediatype="application/pgp-signature">-----BEGIN PGP SIGNATURE-----</signature>
    <pieces length="4096" type="sha-256">
      {"".join(f"<hash>{hashlib.sha256(DATA[at : at + 4096]).hexdigest()}</hash>" for at in range(0, len(DATA), 4096))}
    </pieces>
    <url>http://last.example/example.ext</url>
    <url location="de" priority="2">ftp://second.example/example.ext</url>
    <url location="fr" priority="1">https://first.example/example.ext</url>
    <url priority="1">rsync://rsync.example/example.ext</url>
    <metaurl mediatype="torrent" priority="1">http://example/example.torrent</metaurl>
  </file>
</metalink>"""

V3 = f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" pubdate="Wed, 25 Nov 2026 08:00:00 GMT"
 generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
   <mm0:timestamp>1700000000</mm0:timestamp>
   <size>{len(DATA)}</size>
   <verification>
    <hash type="md5">{MD5}</hash>
    <hash type="sha1">{SHA1}</hash>
    <hash type="sha256">{SHA256}</hash>
   </verification>
   <mm0:alternates>
    <mm0:alternate>
     <mm0:timestamp>1690000000</mm0:timestamp>
     <size>3</size>
     <verification><hash type="sha256">{OLD}</hash></verification>
    </mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="http" type="http" location="AT" preference="99">http://b.example/os/repodata/repomd.xml</url>
    <url protocol="rsync" type="rsync" location="DE" preference="100">rsync://a.example/os/repodata/repomd.xml</url>
    <url protocol="https" type="https" location="DE" preference="100">https://a.example/os/repodata/repomd.xml</url>
   </resources>
  </file>
 </files>
</metalink>"""


def v4(inside: str) -> bytes:
    return f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{inside}</metalink>'.encode()


# ---- what it says


def test_version_4_is_read() -> None:
    description = read_metalink(V4.encode())

    (file,) = description.files
    assert (file.name, file.size) == ("dir/example.ext", len(DATA))
    assert file.digests == (Digest("sha256", SHA256), Digest("md5", MD5))
    assert file.expect == (Size(len(DATA)), Digest("sha256", SHA256), file.pieces)
    assert file.locations == (
        Location("https://first.example/example.ext", 1, "fr"),
        Location("ftp://second.example/example.ext", 2, "de"),
        Location("http://last.example/example.ext", 999_999),
    )
    pieces = tuple(hashlib.sha256(DATA[at : at + 4096]).hexdigest() for at in range(0, len(DATA), 4096))
    assert file.pieces == Pieces("sha256", 4096, pieces)
    assert [each.number for each in description.skipped] == [4]
    assert "rsync" in description.skipped[0].reason


def test_version_3_as_mirrormanager_writes_it_is_read() -> None:
    (file,) = read_metalink(V3.encode()).files

    assert (file.name, file.size, file.timestamp) == ("repomd.xml", len(DATA), 1_700_000_000)
    assert file.digests[0] == Digest("sha256", SHA256)
    assert [(each.url, each.country) for each in file.locations] == [
        ("https://a.example/os/repodata/repomd.xml", "de"),
        ("http://b.example/os/repodata/repomd.xml", "at"),
    ]
    assert [(each.timestamp, each.size) for each in file.older] == [(1_690_000_000, 3)]
    assert file.expect == (Size(len(DATA)), Digest("sha256", SHA256))


def test_pieces_of_version_3_have_numbers() -> None:
    one, two = hashlib.sha1(b"a").hexdigest(), hashlib.sha1(b"b").hexdigest()
    text = f"""<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="f"><size>2</size>
    <verification><pieces length="1" type="sha1"><hash piece="1">{two}</hash><hash piece="0">{one}</hash></pieces>
    </verification><resources/></file></files></metalink>"""

    assert read_metalink(text.encode()).files[0].pieces == Pieces("sha1", 1, (one, two))


def test_a_source_is_made_of_what_is_said() -> None:
    file = read_metalink(V4.encode()).files[0]

    assert file.source().url == "https://first.example/example.ext"
    assert file.source("http://own.example/x", tag=1).expect == file.expect
    with pytest.raises(ValueError, match="no place"):
        read_metalink(v4('<file name="f"/>')).files[0].source()


# ---- what is refused

BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><metalink xmlns="urn:ietf:params:xml:ns:metalink">
<file name="&c;"/></metalink>"""
EXTERNAL = """<?xml version="1.0"?><!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="&x;"/></metalink>"""
DTD = '<!DOCTYPE m SYSTEM "http://evil.example/m.dtd"><metalink xmlns="urn:ietf:params:xml:ns:metalink"/>'


@pytest.mark.parametrize("text", [BOMB, EXTERNAL, DTD])
def test_what_defines_entities_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no metalink needs"):
        read_metalink(text.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no XML"),
        (b"<html><body>Log in</body></html>", "no metalink"),
        (b"\xff\xfe\x00", "no XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "no XML"),
        (v4(""), "no file"),
        (b"<metalink/>", "no metalink"),
        (v4("<file/>"), "no name"),
        (v4('<file name="../../etc/passwd"/>'), "no name"),
        (v4('<file name="/etc/passwd"/>'), "no name"),
        (v4('<file name="a\\b"/>'), "no name"),
        (v4('<file name="~root/x"/>'), "no name"),
        (v4('<file name="a&#10;b"/>'), "no name"),
        (v4('<file name="f"><size>-1</size></file>'), "no whole number"),
        (v4('<file name="f"><size>9999999999999999999999</size></file>'), "no whole number"),
        (v4('<file name="f"><hash type="sha-256">abc</hash></file>'), "hexadecimal"),
        (
            v4(f'<file name="f"><hash type="sha-256">{SHA256}</hash><hash type="sha256">{OLD}</hash></file>'),
            "two digests",
        ),
        (v4('<file name="f"><size>5</size><pieces length="1" type="sha-1"/></file>'), "digests of 1 each"),
        (v4('<file name="f"/>' * 10_001), "more than 10000"),
    ],
)
def test_what_makes_no_sense_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_metalink(data)


def test_depth_and_length_cost_no_more_than_their_bytes() -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match="no file"):
        read_metalink(v4("<a>" * 100_000 + "</a>" * 100_000))
    urls = "".join(f"<url>http://m{number}/f</url>" for number in range(30_000))
    description = read_metalink(v4(f'<file name="f">{urls}</file>'))
    assert len(description.files[0].locations) == 1000
    # What belongs to the file as a whole is looked for once, however often something of it is there.
    read_metalink(v4(f'<file name="f">{"<pieces/>" * 30_000}</file>'))
    verifications = "<verification><pieces/></verification>" * 10_000
    text = (
        f'<metalink xmlns="http://www.metalinker.org/"><files><file name="f">{verifications}</file></files></metalink>'
    )
    read_metalink(text.encode())
    assert time.perf_counter() - began < 5


@given(st.binary() | st.text().map(lambda text: v4(f'<file name="f"><url>{text}</url></file>')))
def test_whatever_comes_it_is_read_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        read_metalink(data)


# ---- what comes of it

META, OWN = "memory://lists/metalink", "memory://origin/os/repodata/repomd.xml"
A, B = "memory://a/os/repodata/repomd.xml", "memory://b/linux/os/repodata/repomd.xml"
REPOSITORY: dict[str, Any] = {"under": "memory://origin/os/", "repository": True}
FEDORA = V3.replace("http://b.example/os", "memory://b/linux/os").replace("https://a.example", "memory://a")


class Case:
    def __init__(self, places: dict[str, Any], mirrors: Metalink | None = None, wrap: Any = None, **how: Any) -> None:
        self.clock = Clock()
        self.fetcher = MemoryFetcher({META: Place(FEDORA.encode()), **places})
        self.mirrors = mirrors or Metalink(META, schemes=["memory"], clock=self.clock.seconds, **how)
        remote = Remote(retries=Retries(count=0))
        schemes = [MemoryScheme(self.fetcher)]
        around = self.mirrors if wrap is None else wrap(self.mirrors)
        self.downloader = Downloader(self.clock, remote, mirrors=around, schemes=schemes)
        self.direct = Downloader(self.clock, remote, schemes=schemes)

    def fetch(self, source: Source | str) -> bytes:
        body = ToMemory()
        _result(self.downloader.download(source, body))
        return body.data

    def wanted(self, source: Source | str) -> Source:
        source = source if isinstance(source, Source) else Source(source)
        found: Source = _result(Deferred.fromCoroutine(self.mirrors.wanted(source, self.direct)))
        return found

    def asked(self) -> list[str]:
        return [each.url for each in self.fetcher.asked]

    def asked_since(self) -> list[str]:
        found = self.asked()
        self.fetcher.asked.clear()
        return found


def _result(deferred: Deferred[Any]) -> Any:
    ends: list[Any] = []
    deferred.addBoth(ends.append)
    assert ends, "still running"
    if isinstance(ends[0], Failure):
        ends[0].raiseException()
    return ends[0]


def test_it_keeps_the_promises_of_mirrors() -> None:
    assert verifyObject(IVouching, Metalink("http://m/"))


def test_a_repository_is_where_the_file_is_that_is_described() -> None:
    rpm = "memory://origin/os/Packages/b/bear.rpm"
    case = Case(
        {"memory://b/linux/os/Packages/b/bear.rpm": Place(b"rpm")},
        under="memory://origin/os/",
        describes="repodata/repomd.xml",
    )

    assert case.fetch(rpm) == b"rpm"
    assert case.asked() == [
        META,
        "memory://a/os/Packages/b/bear.rpm",
        "memory://b/linux/os/Packages/b/bear.rpm",
    ]


def test_what_is_described_is_binding_so_a_mirror_that_is_behind_makes_room_for_the_next() -> None:
    case = Case({A: Place(b"old"), B: Place(DATA)}, under="memory://origin/os/", describes="repodata/repomd.xml")

    source = case.wanted(OWN)

    assert source.expect == (Size(len(DATA)), Digest("sha256", SHA256))
    assert case.fetch(source) == DATA
    assert case.asked() == [META, A, B]


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("length", [True, False])
def test_who_has_an_earlier_version_is_told_to_be_behind_and_nobody_gets_it(*, length: bool, wanted: bool) -> None:
    old = Place(b"old", length=length)
    digest = hashlib.sha256(DATA[::-1]).hexdigest()
    same_size = FEDORA.replace("<size>3</size>", f"<size>{len(DATA)}</size>").replace(OLD, digest).encode()
    behind = "expected .*: that of an earlier version, of 2023-07-22 04:26 UTC"
    for metalink, place in ((FEDORA.encode(), old), (same_size, Place(DATA[::-1], length=length))):
        case = Case({META: Place(metalink), A: place, B: Place(DATA)}, **REPOSITORY)
        body = ToMemory()
        source = case.wanted(OWN) if wanted else Source(OWN)

        report = _result(case.downloader.download(source, body))

        assert body.data == DATA
        if place is not old or length:  # else it only ends early
            assert re.search(behind, str(report.attempts[0]))

        case = Case({META: Place(metalink), A: place, B: place, OWN: place}, **REPOSITORY)
        consumer = Recorder()
        with pytest.raises((ValidationError, Truncated)):
            _result(case.downloader.download(case.wanted(OWN) if wanted else Source(OWN), consumer))
        assert not consumer.finished
        assert consumer.data == b""


def test_what_nobody_knows_is_no_earlier_version_and_a_date_that_is_none_is_not_told() -> None:
    bad = Case({A: Place(DATA[::-1])}, **REPOSITORY)
    with pytest.raises(DigestMismatch) as caught:
        bad.fetch(OWN)
    assert "earlier" not in str(caught.value.attempts[0])

    for date in ("999999999999999999", "-", None):
        told = "" if date is None else f"<mm0:timestamp>{date}</mm0:timestamp>"
        text = FEDORA.replace("<mm0:timestamp>1690000000</mm0:timestamp>", told)
        if date == "-":
            with pytest.raises(ValueError, match="timestamp"):
                read_metalink(text.encode())
            continue
        case = Case({META: Place(text.encode()), A: Place(b"old"), B: Place(DATA)}, **REPOSITORY)
        report = _result(case.downloader.download(OWN, ToMemory()))
        assert str(report.attempts[0]).endswith(f"expected {len(DATA)}: that of an earlier version")


@pytest.mark.parametrize("place", [Place(b"old"), Place(DATA[::-1])])
def test_who_is_behind_comes_later_in_that_directory(place: Place) -> None:
    case = Case({A: place, B: Place(DATA)}, wrap=lambda each: Scores(each, explore=0), **REPOSITORY)

    assert case.fetch(OWN) == DATA
    case.asked_since()
    assert case.fetch(OWN) == DATA
    assert case.asked_since() == [B]


@pytest.mark.parametrize("known", [False, True])
def test_who_announces_another_size_is_behind_whether_a_part_is_wanted_or_the_head(*, known: bool) -> None:
    case = Case({A: Place(b"old"), B: Place(DATA)}, **REPOSITORY)
    source = case.wanted(OWN) if known else Source(OWN)
    body = ToMemory()

    head = _result(case.downloader.head(source))
    report = _result(case.downloader.download(evolve(source, span=Span(1, 3)), body))

    assert (head.url, head.length) == (B, len(DATA))
    assert (report.head.url, body.data) == (B, DATA[1:3])
    assert [type(each.error) for each in report.attempts] == [SizeMismatch, type(None)]
    case.fetcher.places[B] = Place(b"old")
    with pytest.raises(SizeMismatch) as caught:
        _result(case.downloader.head(source))
    assert [type(each.error) for each in caught.value.attempts] == [SizeMismatch, SizeMismatch, NotFound]


@pytest.mark.parametrize("beginning", [DATA[:4000], b"!" + DATA[1:4000]])
def test_what_an_earlier_run_kept_is_held_to_it_too(beginning: bytes) -> None:
    case = Case({A: Place(DATA, etag=b'"1"')}, **REPOSITORY)
    case.downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]
    head = _result(case.downloader.head(OWN))
    consumer = Resumed(beginning, evolve(head, url=fingerprint(A)))

    report = _result(case.downloader.download(OWN, consumer))

    assert report.validated
    assert bytes(consumer.data) == DATA
    assert [(each.offset, each.received) for each in report.attempts][-1] == (
        (4000, len(DATA) - 4000) if beginning == DATA[:4000] else (0, len(DATA))
    )


def test_what_is_expected_already_stays() -> None:
    case = Case({}, under="memory://origin/os/", describes="repodata/repomd.xml")
    source = Source(OWN, [Size(5), Digest("md5", MD5)], tag="mine")

    found = case.wanted(source)

    assert found.expect == (Size(5), Digest("md5", MD5), Digest("sha256", SHA256))
    assert found.tag == "mine"


@pytest.mark.parametrize("url", ["memory://origin/os/other.xml", "memory://origin/os/x/repodata/repomd.xml"])
def test_of_other_files_it_says_nothing(url: str) -> None:
    case = Case({}, under="memory://origin/os/", describes="repodata/repomd.xml")
    with pytest.raises(LookupError, match="says nothing"):
        case.wanted(url)


def test_a_wrong_body_from_everywhere_is_an_error() -> None:
    wrong = Place(DATA[:-1] + b"!")
    case = Case({A: wrong, B: wrong, OWN: wrong})

    with pytest.raises(DigestMismatch):
        case.fetch(case.wanted(OWN))
    assert case.asked() == [META, A, B, OWN]


def test_a_file_has_the_places_of_its_name_and_others_have_none() -> None:
    case = Case({A: Place(DATA), "memory://origin/other": Place(b"other")})

    assert case.fetch("memory://origin/anywhere/repomd.xml") == DATA
    assert case.fetch("memory://origin/other") == b"other"
    assert case.asked() == [META, A, "memory://origin/other"]


def test_the_own_url_comes_last_or_not_at_all() -> None:
    case = Case({OWN: Place(DATA)})
    assert case.fetch(OWN) == DATA
    assert case.asked() == [META, A, B, OWN]

    case = Case({OWN: Place(DATA)}, original=False)
    with pytest.raises(NotFound):
        case.fetch(OWN)


@pytest.mark.parametrize("how", [{}, REPOSITORY])
@pytest.mark.parametrize("same", [True, False])
def test_however_many_places_it_names_the_own_url_is_asked_after_them(*, same: bool, how: dict[str, Any]) -> None:
    text = ""
    for host, name, path in (("a", "repomd.xml", "repodata/repomd.xml"), ("b", "x/y", "x/y")):
        urls = "".join(f"<url>memory://{host}{0 if same else number}/{path}</url>" for number in range(1200))
        text += f'<file name="{name}">{urls}</file>'
    case = Case({META: Place(v4(text)), OWN: Place(b"own")}, **how)

    assert case.fetch(OWN) == b"own"
    assert case.asked()[-1] == OWN


def test_places_of_one_s_own_country_come_first() -> None:
    case = Case({A: Place(DATA), B: Place(DATA)}, country="AT")

    assert case.fetch(OWN) == DATA
    assert case.asked() == [META, B]


EVERYWHERE = v4(
    '<file name="file"><url location="fr" priority="1">memory://a/file</url>'
    '<url location="DE" priority="3">memory://b/file</url><url priority="2">memory://c/file</url>'
    '<url location="de" priority="4">memory://d/file</url></file>'
)


@pytest.mark.parametrize(("country", "order"), [(None, "acbd"), ("de", "bdac"), ("DE", "bdac"), ("at", "acbd")])
def test_among_those_of_the_country_and_among_the_others_the_list_s_priority_counts(
    country: str | None, order: str
) -> None:
    places = {f"memory://{host}/file": Place(error=NotFound(404)) for host in "abcd"}
    case = Case({**places, META: Place(EVERYWHERE)}, country=country)

    with pytest.raises(NotFound):
        case.fetch("memory://own/file")
    assert case.asked() == [META, *(f"memory://{host}/file" for host in order), "memory://own/file"]


@pytest.mark.parametrize(("told", "country"), [(" DE ", "de"), ("Germany", None), ("", None), ("1", None)])
def test_what_is_no_country_says_nothing(told: str, country: str | None) -> None:
    (file,) = read_metalink(v4(f'<file name="f"><url location="{told}">http://h/f</url></file>')).files
    (link,) = duplicates_told(((b"Link", f'<http://h/f>; rel=duplicate; geo="{told}"'.encode()),), "http://h/f")

    assert (file.locations[0].country, link.country) == (country, country)


def test_it_tells_where_the_places_are() -> None:
    case = Case({META: Place(EVERYWHERE), "memory://b/file": Place(b"")}, country="de")
    assert case.mirrors.locations == ()

    case.fetch("memory://own/file")

    assert [(each.url[9], each.country) for each in case.mirrors.locations] == [
        *(("a", "fr"), ("c", None), ("b", "de"), ("d", "de"))
    ]


def test_a_far_place_that_is_known_to_be_fast_comes_before_a_near_one_that_is_known_to_be_slow() -> None:
    scores: list[Scores] = []
    places = {f"memory://{host}/file": Place(b"") for host in "ab"}

    def wrap(mirrors: Metalink) -> Scores:
        scores.append(Scores(mirrors, explore=0))
        return scores[0]

    case = Case({**places, META: Place(EVERYWHERE)}, wrap=wrap, country="de")
    for url, seconds in (("memory://a/file", 0.05), ("memory://b/file", 2.0), ("memory://d/file", 3.0)):
        place = Source("memory://own/file").at(url)
        assert scores[0].refused(place) is None
        scores[0].answered(place, Head(url, 200), seconds)

    case.fetch("memory://own/file")

    assert case.asked() == [META, "memory://a/file"]


@pytest.mark.parametrize("country", ["", "d", "deu", "Germany", "d3", "dé", "de\n"])
def test_what_is_no_code_of_a_country_is_refused(country: str) -> None:
    for make in (Metalink, MirrorList):
        with pytest.raises(ValueError, match="is no country; give its two letters of ISO 3166-1, such as de"):
            make(META, country=country)
    with pytest.raises(ValueError, match="is no country"):
        Duplicates(country=country)
    with pytest.raises(ValueError, match="is no country"):
        MirrorsSettings(META, country=country)


@pytest.mark.parametrize("bad", [BOMB.encode(), b"x" * 2000, FEDORA.replace(SHA256, "12").encode()])
def test_what_is_no_metalink_leaves_the_own_url(bad: bytes) -> None:
    case = Case({META: Place(bad), OWN: Place(b"own")}, limit=len(FEDORA))

    assert case.fetch(OWN) == b"own"
    assert case.asked() == [META, OWN]


def test_one_that_is_too_large_is_not_read() -> None:
    case = Case({OWN: Place(b"own")}, limit=100)

    assert case.fetch(OWN) == b"own"
    assert case.asked() == [META, OWN]


# ---- the metalink of a repository


RPM = "os/Packages/b/bear.rpm"


def test_what_mirrormanager_is_asked_for_needs_no_more_words() -> None:
    """It calls the file C{repomd.xml}, wherever that is; what its mirrors have in common is the rest."""
    case = Case({f"memory://b/linux/{RPM}": Place(b"rpm"), B: Place(DATA)}, **REPOSITORY)

    assert case.fetch(f"memory://origin/{RPM}") == b"rpm"
    assert case.fetch(OWN) == DATA
    assert case.asked() == [META, f"memory://a/{RPM}", f"memory://b/linux/{RPM}", A, B]


def test_a_name_may_be_the_way_and_every_file_that_is_described_tells_of_mirrors() -> None:
    text = v4(
        f'<file name="PULP_MANIFEST"><size>{len(DATA)}</size><url>memory://a/os/PULP_MANIFEST</url></file>'
        f'<file name="x y/cub"><hash type="sha-256">{SHA256}</hash><url>memory://b/os/x%20y/cub</url>'
        "<url>memory://c/elsewhere</url></file>"
    )
    places = {META: Place(text), "memory://a/os/x%20y/cub": Place(b"other"), "memory://b/os/x%20y/cub": Place(DATA)}
    case = Case(places, **REPOSITORY)

    assert case.fetch("memory://origin/os/x%20y/cub") == DATA
    assert case.asked() == [META, "memory://a/os/x%20y/cub", "memory://b/os/x%20y/cub"]
    with pytest.raises(NotFound):
        case.fetch("memory://origin/os/none")
    assert case.asked()[3:] == [f"memory://{host}/os/none" for host in ("a", "b", "origin")]


@pytest.mark.parametrize("wrap", [None, Scores, Duplicates, lambda each: Duplicates(Scores(each))])
def test_the_file_that_it_is_about_has_to_be_what_it_says_and_no_other_has(wrap: Any) -> None:
    places = {A: Place(b"old"), B: Place(DATA), "memory://a/os/other": Place(b"any")}
    case = Case(places, wrap=wrap, **REPOSITORY)

    assert case.fetch(OWN) == DATA
    assert case.asked() == [META, A, B]
    assert case.fetch("memory://origin/os/other") == b"any"


def test_nor_is_a_file_believed_that_comes_from_its_own_url() -> None:
    case = Case({OWN: Place(DATA[:-1] + b"!")}, **REPOSITORY)

    with pytest.raises(DigestMismatch):
        case.fetch(OWN)


def test_who_knows_better_is_not_contradicted() -> None:
    """What a caller expects stays; a digest of another kind is one more proof."""
    case = Case({A: Place(b"new")}, **REPOSITORY)

    with pytest.raises(DigestMismatch):
        case.fetch(Source(OWN, [Size(3)]))
    case.fetcher.places[A] = Place(DATA)
    assert case.fetch(Source(OWN, [Size(len(DATA)), Digest("sha256", SHA256)])) == DATA


def test_for_the_file_that_it_is_about_it_is_looked_up_again_after_a_minute_and_for_others_after_an_hour() -> None:
    new = b"the version of today"
    later = FEDORA.replace(SHA256, hashlib.sha256(new).hexdigest()).replace(f">{len(DATA)}<", f">{len(new)}<")
    places = {META: [Place(FEDORA.encode()), Place(later.encode(), b'"2"')], A: [Place(DATA), Place(new)]}
    case = Case({**places, "memory://a/os/x": Place(b"x")}, **REPOSITORY)
    assert case.fetch(OWN) == DATA
    assert case.asked_since() == [META, A]

    case.clock.advance(61)
    case.fetch("memory://origin/os/x")
    assert case.asked_since() == ["memory://a/os/x"]
    assert case.fetch(OWN) == new
    assert case.asked_since() == [META, A]


def test_one_that_cannot_be_had_again_is_not_asked_for_with_each_file() -> None:
    case = Case({META: [Place(FEDORA.encode()), Place(error=NotFound(404))], A: Place(DATA)}, **REPOSITORY)
    for seconds in (0, 61, 1, 58):
        case.clock.advance(seconds)
        assert case.fetch(OWN) == DATA

    assert case.asked_since() == [META, A, META, A, A, A]


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("gcc-c++.rpm", "gcc-c++.rpm", "gcc-c++.rpm"),
        ("gcc-c++.rpm", "gcc-c%2B%2B.rpm", "gcc-c++.rpm"),
        ("gcc-c++.rpm", "gcc-c++.rpm", "gcc-c%2b%2b.rpm"),
        ("a@b:(c).rpm", "a@b:(c).rpm", "a%40b:(c).rpm"),
        ("x/b\N{LATIN SMALL LETTER A WITH DIAERESIS}r", "x/b%C3%A4r", "x/b\N{LATIN SMALL LETTER A WITH DIAERESIS}r"),
        ("100%.rpm", "100%25.rpm", "100%25.rpm"),
    ],
)
def test_a_name_is_the_same_however_a_url_spells_it(name: str, ours: str, theirs: str) -> None:
    text = v4(
        f'<file name="{name}"><hash type="sha-256">{SHA256}</hash><url>memory://a/os/{theirs}</url>'
        f"<url>memory://b/os/{theirs}</url></file>"
    )
    places = {META: Place(text), f"memory://a/os/{ours}": Place(b"old"), f"memory://b/os/{ours}": Place(DATA)}
    case = Case(places, **REPOSITORY)

    assert case.fetch(f"memory://origin/os/{ours}") == DATA
    assert case.asked() == [META, f"memory://a/os/{ours}", f"memory://b/os/{ours}"]


def test_a_slash_that_is_encoded_is_no_folder_and_a_query_no_part_of_a_name() -> None:
    text = v4(f'<file name="x/y"><hash type="sha-256">{SHA256}</hash><url>memory://a/os/x%2Fy</url></file>')
    places = {META: Place(text), **{f"memory://origin/os/{each}": Place(b"any") for each in ("x%2Fy", "x/y?z")}}
    case = Case(places, **REPOSITORY)

    for each in ("x%2Fy", "x/y?z"):
        assert case.fetch(f"memory://origin/os/{each}") == b"any"
    assert case.asked() == [META, "memory://origin/os/x%2Fy", "memory://origin/os/x/y?z"]


def test_of_files_with_one_name_it_is_the_one_whose_folders_are_the_same() -> None:
    def described(name: str, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        return f'<file name="{name}"><hash type="sha-256">{digest}</hash><url>memory://a/{name}</url></file>'

    files = {"x/boot.iso": b"x", "y/boot.iso": b"y", "y/z/boot.iso": b"z", "den.iso": b"den", "w/den.iso": b"w"}
    text = v4("".join(described(*each) for each in files.items()))
    places = {f"memory://a/{name}": Place(data) for name, data in files.items()}
    case = Case({META: Place(text), "memory://origin/boot.iso": Place(b"own"), **places})

    for name, data in files.items():
        assert case.fetch(f"memory://origin/pub/{name}") == data
    assert case.fetch("memory://origin/else/den.iso") == b"den"
    assert case.fetch("memory://origin/boot.iso") == b"own", "which of three it is nobody knows"
    assert case.asked() == [META, *places, "memory://a/den.iso", "memory://origin/boot.iso"]


def test_of_what_is_left_out_the_log_tells_once_and_of_rsync_only_who_looks_closely() -> None:
    told: list[tuple[str, str]] = []

    @implementer(ILogObserver)
    def hear(event: Any) -> None:
        if "reason" in event:
            told.append((event["log_level"].name, event["reason"].partition(":")[0]))

    text = FEDORA.replace("memory://b/", "gopher://b/").replace("</resources>", "<url>rsync://c/x</url></resources>")
    case = Case({META: [Place(text.encode()), Place(text.encode(), b'"2"')], A: Place(DATA)}, **REPOSITORY)
    globalLogPublisher.addObserver(hear)
    try:
        for _ in range(2):
            case.fetch(OWN)
            case.clock.advance(61)
    finally:
        globalLogPublisher.removeObserver(hear)

    assert case.asked() == [META, A, META, A]
    assert sorted(told) == [("debug", "rsync"), ("warn", "gopher")]


def test_places_that_are_left_out_can_be_read() -> None:
    case = Case({A: Place(DATA)}, **REPOSITORY)
    case.fetch(OWN)

    assert [each.number for each in case.mirrors.skipped] == [2]
