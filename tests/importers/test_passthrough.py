"""Without a catalogue: what is below a path is what is below a URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pulp_dl import Basic, Places, Remote, Retries
from pulp_dl.errors import NotFound
from pulp_dl.importers.passthrough import Passthrough
from pulp_dl.interfaces import IImporter, IListing
from pulp_dl.testing import FaultServer, answer
from tests.importers.repository import get

ONCE = Retries(count=0)


async def test_what_is_below_the_prefix_comes_from_below_the_url(reactor: Any) -> None:
    script = {"/pub/a/b.deb": answer(b"deb"), "/pub/": answer(b"index"), "/pub/50%25%20%231%3F": answer(b"odd")}
    async with FaultServer(reactor, script) as server:
        for prefix, url in (("/debian/", "/pub/"), ("/debian", "/pub")):
            importer = Passthrough(reactor, prefix, server.url(url), Remote(retries=ONCE))
            assert verifyObject(IImporter, importer)
            assert not IListing.providedBy(importer)  # upstream has its own index

            for path, data in (("a/b.deb", b"deb"), ("", b"index"), ("50% #1?", b"odd")):
                assert (await get(importer, f"/debian/{path}")).data == data
            with pytest.raises(NotFound):
                await get(importer, "/debian/none")
            for path in ("/", "/debian", "/debianx/a", "/x/debian/a"):
                with pytest.raises(KeyError):
                    await importer.find(path)
            for _ in range(2):
                await importer.close()


def test_a_window_that_is_none_is_refused(reactor: Any) -> None:
    with pytest.raises(ValueError, match="window: -1 is no number of bytes"):
        Passthrough(reactor, "/p/", "http://h.example/base/", window=-1)


async def test_the_whole_of_a_server_may_be_below_the_root(reactor: Any) -> None:
    async with FaultServer(reactor, {"/a": answer(b"a")}) as server:
        importer = Passthrough(reactor, "/", server.url("/"))
        assert (await get(importer, "/a")).data == b"a"
        await importer.close()


@given(path=st.text(st.characters(exclude_characters="\0"), max_size=20))
@example(path="a?b=c#d")
@example(path="//evil.example/a")
@example(path="%2e%2e/a%00")
@example(path="\udcff")
@example(path="a/\ud800")
async def test_whatever_the_path_it_is_asked_for_there_and_nowhere_else(reactor: Any, path: str) -> None:
    importer = Passthrough(reactor, "/p/", "http://h.example/base/")
    try:
        try:
            path.encode(errors="surrogateescape")
        except UnicodeEncodeError:  # no bytes are such a name
            with pytest.raises(KeyError):
                await importer.find("/p/" + path)
            return
        _, source = await importer.find("/p/" + path)

        assert source.place.base == "http://h.example"
        assert unquote(source.path, errors="surrogateescape") == "/base/" + path
    finally:
        await importer.close()


async def test_secrets_of_the_url_and_of_the_remote_serve_what_is_below(reactor: Any) -> None:
    async with FaultServer(reactor, {"/pub/a": answer(b"a")}) as server:
        for url, remote in (
            (server.url("/pub/").replace("//", "//elmer:rabbit@"), None),
            (server.url("/pub/"), Remote(auth=Basic("elmer", "rabbit"))),
        ):
            importer = Passthrough(reactor, "/p/", url, remote)
            _, source = await importer.find("/p/a")
            assert "rabbit" not in repr(source)
            await get(importer, "/p/a")
            await importer.close()

        assert [request.get(b"authorization") for request in server.requests] == [b"Basic ZWxtZXI6cmFiYml0"] * 2


async def test_it_may_have_mirrors(reactor: Any) -> None:
    async with (
        FaultServer(reactor, {"/pub/a": answer(b"no", 503)}) as one,
        FaultServer(reactor, {"/pub/a": answer(b"a")}) as two,
    ):
        mirrors = Places([two.url("/pub")], under=one.url("/pub"))
        importer = Passthrough(reactor, "/p/", one.url("/pub/"), Remote(retries=ONCE), mirrors=mirrors)
        assert (await get(importer, "/p/a")).data == b"a"
        await importer.close()


@pytest.mark.parametrize(
    ("prefix", "url", "reason"),
    [
        ("p/", "http://h/", "begins with a slash"),
        ("/p/", "h/", "not an absolute URL"),
        ("/p/", "http://h/?a=b", "no query"),
    ],
)
def test_what_makes_no_sense_is_refused(reactor: Any, prefix: str, url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Passthrough(reactor, prefix, url)
