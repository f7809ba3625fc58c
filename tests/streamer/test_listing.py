"""Directories as people see them."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin

from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Source
from pulp_dl.streamer import Entry
from pulp_dl.testing import answer
from tests.streamer.client import request
from tests.streamer.importers import Listed
from tests.streamer.serving import serving, until

DATA = b"hello"


class Links(HTMLParser):
    """The links of a page, and the names of its elements."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.elements: set[str] = set()
        self._link = ""
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self._link = dict(attrs).get("href") or ""

    def handle_data(self, data: str) -> None:
        if self._link:
            self.links[data] = self.links.get(data, self._link)

    def handle_endtag(self, tag: str) -> None:
        self._link = ""


def listing(reactor: Any, directories: dict[str, Any], **files: Any) -> Any:
    return serving(
        reactor,
        answer(DATA),
        lambda origin: {f"/{name}": Source(origin.url("/f")) for name in files},
        importer=lambda downloader, known: Listed(downloader, known, directories),
    )


async def test_a_directory_is_a_page_with_a_link_for_each_entry(reactor: Any) -> None:
    entries = [Entry("sub/"), Entry("bear & cub.iso", 1_000_000, 1_700_000_000.5), Entry("<b>")]
    async with listing(reactor, {"/files/": entries}) as served:
        seen = await served.ask("/files/")
        head = await served.ask("/files/", method="HEAD")

    page = Links(seen.body)
    assert page.links == {
        "../": "../",
        "sub/": "./sub/",
        "bear & cub.iso": "./bear%20%26%20cub.iso",
        "<b>": "./%3Cb%3E",
    }
    assert (seen.status, seen.whole, seen.get("content-type")) == (200, True, b"text/html; charset=utf-8")
    assert b"2023-11-14 22:13" in seen.body
    assert b"1000000" in seen.body
    assert (seen.get("via"), seen.get("cache-control")) == (None, b"no-cache")
    assert (head.status, head.body) == (200, b"")


async def test_the_root_has_nothing_above_it(reactor: Any) -> None:
    async with listing(reactor, {"/": [Entry("a")]}) as served:
        assert Links((await served.ask("/")).body).links == {"a": "./a"}


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/")), unique=True))
async def test_whatever_the_names_a_link_leads_to_them_and_nothing_else_is_in_the_page(
    reactor: Any, names: list[str]
) -> None:
    names = [name for name in names if name.strip() and name not in {".", "..", "../"}]
    async with listing(reactor, {"/d/": [Entry(name) for name in names]}) as served:
        page = Links((await served.ask("/d/")).body)

    assert page.elements == {"html", "head", "title", "body", "h1", "pre", "a"}
    for name in names:
        assert unquote(urljoin("http://a/d/", page.links[name])) == f"http://a/d/{name}"


async def test_a_directory_without_its_slash_leads_to_the_one_with_it(reactor: Any) -> None:
    async with listing(reactor, {"/a b/": []}, file=1) as served:
        seen = await served.ask("/a%20b")
        assert (seen.status, seen.get("location")) == (301, b"/a%20b/")
        assert seen.get("cache-control") == b"no-cache"
        assert (await served.ask("/file")).body == DATA
        assert (await served.ask("/c")).status == 404
        assert (await served.ask("/c/")).status == 404


async def test_a_large_directory_is_made_as_fast_as_it_is_taken(reactor: Any) -> None:
    made = 0

    def entries() -> Iterator[Entry]:
        nonlocal made
        for number in range(1_000_000):
            made += 1
            yield Entry(f"{number:0200}")

    async with listing(reactor, {"/": entries()}) as served:
        client = await served.connect()
        client.ask(request("/"))
        await until(reactor, lambda: client.raw)
        client.transport.pauseProducing()
        await _still(reactor, lambda: made)
        assert made < 100_000
        client.transport.resumeProducing()
        await until(reactor, lambda: len(client.raw) > 50_000_000)
        await client.close()
        await served.ended()

        assert made < 1_000_000


async def test_a_listing_that_fails_half_way_is_a_broken_one(reactor: Any, logged_errors: Any) -> None:
    def entries() -> Iterator[Entry]:
        for number in range(1000):
            yield Entry(str(number))
        raise ZeroDivisionError

    async with listing(reactor, {"/": entries()}) as served:
        seen = await served.ask("/")

        assert not seen.whole
        assert isinstance((await served.ended()).error, ZeroDivisionError)
    assert len(logged_errors.flush(ZeroDivisionError)) == 1


async def _still(reactor: Any, what: Any) -> None:
    """Until it does not change for a while."""
    from twisted.internet.task import deferLater

    before = -1
    while before != what():
        before = what()
        await deferLater(reactor, 0.1)
