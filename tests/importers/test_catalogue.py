"""The catalogue: what is published is found, by policy; and never a mix."""

from __future__ import annotations

import os
import sqlite3
import time
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from pulp_dl import Basic, Digest, Limits, Remote, Retries, Size, Span
from pulp_dl.errors import ConsumerGone, DigestMismatch, DownloadError, RedirectRefused, Refused
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.importers.file import ManifestError
from pulp_dl.importers.ledger import Ledger, Listed, Place, Publication
from pulp_dl.importers.publish import GRACE, Publishing
from pulp_dl.importers.schema import VERSION, CatalogueError, opened
from pulp_dl.interfaces import IListing
from pulp_dl.model.entry import Entry
from pulp_dl.model.expect import Vouched
from pulp_dl.testing import Cut, FaultServer, Hold, Recorder, Send, answer
from tests.importers.repository import FILES, ONCE, get, here, manifest_of, read, script_of
from tests.sinks import turn

POLICIES = ("on_demand", "streamed")


@pytest.mark.parametrize("policy", POLICIES)
async def test_whatever_is_published_comes_whole_and_checked(reactor: Any, tmp_path: Path, policy: str) -> None:
    async with here(reactor, tmp_path) as world:
        assert verifyObject(IListing, world.catalogue)
        publication = await world.publish(policy=policy)

        assert world.asked() == []  # nothing is fetched to be published
        assert (publication.files, publication.policy) == (len(FILES) + 1, policy)
        for path, data in FILES.items():
            got = await get(world.catalogue, f"/files/{path}")
            assert (got.data, got.report.validated) == (data, True)
        assert world.asked() == [f"GET /repo/{quote(path)}" for path in FILES]
        for path in ("/files/none", "/files/\ud800", "/\udcff"):
            with pytest.raises(KeyError):
                await world.catalogue.find(path)


async def test_a_source_has_the_size_and_the_digest_of_its_line(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish(policy="streamed")
        _, source = await world.catalogue.find("/files/b/c.iso")

        assert source.expect == (Size(3), Digest("sha256", sha256(b"cub").hexdigest()))
        assert source.url == world.server.url("/repo/b/c.iso")


@pytest.mark.parametrize("policy", [*POLICIES, "immediate"])
async def test_the_manifest_is_the_one_that_was_published(reactor: Any, tmp_path: Path, policy: str) -> None:
    """Whatever upstream has by now; it is not even asked."""
    script = script_of(FILES) | {"/repo/PULP_MANIFEST": answer(b"something else")}
    async with here(reactor, tmp_path, script) as world:
        await world.publish({} if policy == "immediate" else FILES, policy=policy)
        files = {} if policy == "immediate" else FILES
        got = await get(world.catalogue, "/files/PULP_MANIFEST")

        assert got.data == manifest_of(files)
        assert world.asked() == []


@pytest.mark.parametrize("policy", [*POLICIES, "immediate"])
async def test_only_the_manifest_is_another_one_with_the_next_publication(
    reactor: Any, tmp_path: Path, policy: str
) -> None:
    async with here(reactor, tmp_path) as world:
        files = {} if policy == "immediate" else FILES
        await world.publish(files, policy=policy)
        found = {path: (await world.catalogue.find(f"/files/{path}"))[1].mutable for path in ("PULP_MANIFEST", *files)}

        assert {path for path, mutable in found.items() if mutable} == {"PULP_MANIFEST"}


async def test_what_is_streamed_is_never_stored(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish(policy="streamed")
        for _ in range(2):
            assert (await get(world.catalogue, "/files/a.iso")).data == FILES["a.iso"]

        assert world.asked() == ["GET /repo/a.iso"] * 2
        assert not any(Path(world.store.directory).rglob("*"))


async def test_a_url_that_metadata_names_is_not_trusted(reactor: Any, tmp_path: Path) -> None:
    """It gets no secrets of its remote, is no file of ours, and is no closer than its place."""
    secret = Remote(auth=Basic("elmer", "wabbit"), retries=Retries(count=0))
    file = tmp_path / "secret"
    file.write_bytes(b"secret")
    async with FaultServer(reactor, answer(b"x")) as other, FaultServer(reactor, answer(b"x")) as home:
        hrefs = {"other": other.url("/x"), "home": home.url("/x"), "file": file.as_uri()}
        listed = [Listed(path, href, None, None) for path, href in hrefs.items()]
        with opened(tmp_path / "catalogue") as connection:
            for base, url in (("/here/", home.url("/")), ("/far/", "http://8.8.8.8/")):
                publication = Publication(base, "streamed", (Place(url, "one"),), time.time())
                Ledger(connection).publish(publication, listed)
        catalogue = Catalogue(reactor, tmp_path / "catalogue", remotes={"one": secret})
        assert (await get(catalogue, "/here/other")).data == b"x"
        assert (await get(catalogue, "/here/home")).data == b"x"
        for path in ("/here/file", "/far/other", "/far/file"):
            with pytest.raises(RedirectRefused):
                await get(catalogue, path)
        await catalogue.close()

        assert [each.get(b"authorization") for each in other.requests] == [None]
        assert [each.get(b"authorization") for each in home.requests] == [Basic("elmer", "wabbit").header]


async def test_what_is_on_demand_is_fetched_once_and_then_served_from_here(reactor: Any, tmp_path: Path) -> None:
    """With parts, and with the same digest for an ETag."""
    async with here(reactor, tmp_path) as world:
        await world.publish(policy="on_demand")
        data, digest = FILES["a.iso"], sha256(FILES["a.iso"]).hexdigest()
        await get(world.catalogue, "/files/a.iso")
        stored = await world.stored(data)
        await world.server.close()  # so nobody can ask it

        assert (await get(world.catalogue, "/files/a.iso")).data == data
        part = await get(world.catalogue, "/files/a.iso", Span(5, 9))
        assert (part.data, part.head.status, part.head.total) == (data[5:9], 206, len(data))
        downloader, source = await world.catalogue.find("/files/a.iso")
        assert source.expect == (Size(len(data)), Vouched("sha256", digest))
        assert source.url == stored.as_uri()
        assert (await downloader.head(source)).length == len(data)


async def test_a_first_request_for_a_range_does_not_store(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        got = await get(world.catalogue, "/files/a.iso", Span(1000, 1010))

        assert got.data == FILES["a.iso"][1000:1010]
        assert not any(Path(world.store.directory).rglob("*"))


@pytest.mark.parametrize("wrong", [answer(b"BEAR" * 50_000), Cut(answer(FILES["a.iso"]), 1000), answer(b"", 404)])
async def test_a_bad_body_is_never_stored(reactor: Any, tmp_path: Path, wrong: Any) -> None:
    async with here(reactor, tmp_path, {"/repo/a.iso": wrong}) as world:
        await world.publish(remote="once")
        with pytest.raises(DownloadError):
            await get(world.catalogue, "/files/a.iso")

        assert [path for path in Path(world.store.directory).rglob("*") if path.is_file()] == []


async def test_what_is_stored_serves_every_repository_that_lists_it(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish(base="/files/")
        await world.publish(base="/others/")
        await get(world.catalogue, "/files/a.iso")
        await world.stored(FILES["a.iso"])
        world.asked()

        assert (await get(world.catalogue, "/others/a.iso")).data == FILES["a.iso"]
        assert world.asked() == []


async def test_what_is_streamed_comes_from_upstream_even_if_somebody_stored_it(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish(base="/files/")
        await world.publish(base="/streams/", policy="streamed")
        await get(world.catalogue, "/files/a.iso")
        await world.stored(FILES["a.iso"])
        world.asked()

        assert (await get(world.catalogue, "/streams/a.iso")).data == FILES["a.iso"]
        assert world.asked() == ["GET /repo/a.iso"]


async def test_what_has_gone_from_the_store_comes_from_upstream_again(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        await get(world.catalogue, "/files/a.iso")
        stored = await world.stored(FILES["a.iso"])
        downloader, source = await world.catalogue.find("/files/a.iso")
        stored.unlink()  # right after it was found
        client = Recorder()
        world.asked()
        await downloader.download(source, client)

        assert client.data == FILES["a.iso"]
        assert world.asked() == ["GET /repo/a.iso"]
        assert await world.stored(FILES["a.iso"]) == stored


async def test_without_a_store_what_is_on_demand_is_streamed(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        catalogue = Catalogue(reactor, world.path)
        for _ in range(2):
            assert (await get(catalogue, "/files/a.iso")).data == FILES["a.iso"]
        assert world.asked() == ["GET /repo/a.iso"] * 2
        await catalogue.close()


async def test_clients_that_leave_do_not_lose_what_has_nearly_come(reactor: Any, tmp_path: Path) -> None:
    data = FILES["a.iso"]
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    slow = (Send(head + data[:190_000]), Hold("more"), Send(data[190_000:]))
    async with here(reactor, tmp_path, {"/repo/a.iso": slow}) as world:
        await world.publish()
        downloader, source = await world.catalogue.find("/files/a.iso")
        client = Recorder()
        download = downloader.download(source, client)
        while sum(map(len, client.writes)) < 110_000:
            await turn(reactor)
        client.leave()
        with pytest.raises(ConsumerGone):
            await download
        world.server.release("more")

        assert (await world.stored(data)).read_bytes() == data


async def test_a_disk_that_takes_nothing_never_ends_the_response(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        (tmp_path / "store").rmdir()
        (tmp_path / "store").touch()

        assert (await get(world.catalogue, "/files/a.iso")).data == FILES["a.iso"]
        assert (tmp_path / "store").read_bytes() == b""


async def test_many_clients_cost_one_fetch(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        clients = [Deferred.fromCoroutine(get(world.catalogue, "/files/a.iso")) for _ in range(8)]
        for each in clients:
            assert (await each).data == FILES["a.iso"]

        assert world.asked() == ["GET /repo/a.iso"]
        await world.stored(FILES["a.iso"])


# ---- immediate


async def test_immediate_is_only_what_is_stored(reactor: Any, tmp_path: Path) -> None:
    """Nothing is published that is not there; and what is there stays, whatever makes room elsewhere."""
    async with here(reactor, tmp_path, limit=1) as world:
        with pytest.raises(CatalogueError, match=r"'a.iso' is not stored, so it cannot be published as immediate"):
            await world.publish(policy="immediate")
        assert await world.catalogue.publications() == []

        kept = world.catalogue.kept
        for path, data in FILES.items():
            (tmp_path / "file").write_bytes(data)
            with (tmp_path / "file").open("rb") as file:
                kept.add(file)
            assert path
        await world.publish(policy="immediate")
        for path, data in FILES.items():
            assert (await get(world.catalogue, f"/files/{path}")).data == data
        assert world.asked() == []

        Path(kept.path(sha256(b"cub").hexdigest())).unlink()
        with pytest.raises(KeyError):
            await world.catalogue.find("/files/b/c.iso")


# ---- never a mix


async def test_after_another_publication_nothing_of_the_one_before_is_found(reactor: Any, tmp_path: Path) -> None:
    new = {"a.iso": b"another bear", "new": b"new"}
    script = script_of(FILES | new)
    async with here(reactor, tmp_path, script) as world:
        await world.publish()
        await world.publish(new)

        assert (await get(world.catalogue, "/files/PULP_MANIFEST")).data == manifest_of(new)
        for path, data in new.items():
            assert (await get(world.catalogue, f"/files/{path}")).data == data
        with pytest.raises(KeyError):
            await world.catalogue.find("/files/b/c.iso")


async def test_what_was_found_before_is_brought_to_its_end(reactor: Any, tmp_path: Path) -> None:
    """A client that was told of the old manifest gets the old manifest."""
    async with here(reactor, tmp_path) as world:
        await world.publish()
        downloader, source = await world.catalogue.find("/files/PULP_MANIFEST")
        await world.publish({})
        client = Recorder()
        await downloader.download(source, client)

        assert client.data == manifest_of(FILES)


@pytest.mark.parametrize("policy", POLICIES)
async def test_what_changed_upstream_is_never_taken_for_what_was_listed(
    reactor: Any, tmp_path: Path, policy: str
) -> None:
    async with here(reactor, tmp_path, {"/repo/a.iso": answer(b"BEAR" * 50_000)}) as world:
        await world.publish(remote="once", policy=policy)
        downloader, source = await world.catalogue.find("/files/a.iso")
        client = Recorder()
        with pytest.raises(DigestMismatch):
            await downloader.download(source, client)

        assert len(client.data) < len(FILES["a.iso"])


async def test_a_bad_line_leaves_what_is_published(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        with read(world.server.url("/repo/PULP_MANIFEST"), {}) as manifest:
            manifest.file.write(b"../a,b,c\n")
            with pytest.raises(ManifestError):
                await world.catalogue.publish(Publishing("/files/"), manifest)

        assert (await get(world.catalogue, "/files/PULP_MANIFEST")).data == manifest_of(FILES)


async def test_what_nobody_needs_any_more_goes_when_somebody_publishes(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        old = Path(world.catalogue.kept.path(sha256(manifest_of(FILES)).hexdigest()))
        await world.publish({})
        assert old.exists()  # who has found it may be about to open it

        os.utime(old, (time.time() - GRACE - 1, 0))
        await world.publish({})
        assert not old.exists()
        assert await world.catalogue.unpublish("/files/")
        assert not await world.catalogue.unpublish("/files/")
        with pytest.raises(KeyError):
            await world.catalogue.find("/files/PULP_MANIFEST")


async def test_a_manifest_that_was_lost_comes_from_upstream_if_it_is_still_that_one(
    reactor: Any, tmp_path: Path
) -> None:
    async with here(reactor, tmp_path, {"/repo/PULP_MANIFEST": answer(manifest_of(FILES))}) as world:
        await world.publish()
        Path(world.catalogue.kept.path(sha256(manifest_of(FILES)).hexdigest())).unlink()

        assert (await get(world.catalogue, "/files/PULP_MANIFEST")).data == manifest_of(FILES)


# ---- places and their remotes


async def test_a_file_has_several_places_each_with_its_own_settings(reactor: Any, tmp_path: Path) -> None:
    """A transfer that breaks off goes on at the next one; the secrets of one are never shown to another."""
    data = FILES["a.iso"]
    remotes = {
        "first": Remote(auth=Basic("elmer", "rabbit"), retries=ONCE),
        "second": Remote(auth=Basic("bugs", "carrot"), headers={"X-Key": "secret"}),
    }
    async with (
        FaultServer(reactor, {"/mirror/a.iso": answer(data)}) as mirror,
        here(reactor, tmp_path, {"/repo/a.iso": Cut(answer(data), 100_000)}, remotes) as world,
    ):
        await world.publish(remote="first", mirrors=(Place(mirror.url("/mirror/"), "second"),))
        got = await get(world.catalogue, "/files/a.iso")

        assert got.data == data
        (here_first,), (then,) = world.server.requests, mirror.requests
        assert here_first.get(b"authorization") == b"Basic ZWxtZXI6cmFiYml0"
        assert then.get(b"authorization") == b"Basic YnVnczpjYXJyb3Q="
        assert (here_first.get(b"x-key"), then.get(b"x-key")) == (None, b"secret")
        assert then.get(b"range") is not None


async def test_a_place_whose_settings_are_unknown_is_left_out(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish(mirrors=(Place("http://127.0.0.1:1/", "nobody"),))
        assert (await get(world.catalogue, "/files/b/c.iso")).data == b"cub"

        await world.publish(remote="nobody")
        with pytest.raises(Refused, match="speaks of a remote 'nobody', the settings do not"):
            await world.catalogue.find("/files/b/c.iso")


async def test_the_downloads_of_a_remote_share_its_connections(reactor: Any, tmp_path: Path) -> None:
    remotes = {"one": Remote(limits=Limits(connections=1))}
    async with here(reactor, tmp_path, remotes=remotes) as world:
        await world.publish(remote="one", policy="streamed")
        for path in FILES:
            await get(world.catalogue, f"/files/{path}")

        assert {request.connection for request in world.server.requests} == {0}


async def test_no_secret_is_in_the_catalogue(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        with read("http://elmer:rabbit@h.example/repo/PULP_MANIFEST?token=carrot", FILES) as manifest:
            await world.catalogue.publish(Publishing("/files/"), manifest)
        await world.catalogue.close()

        for file in tmp_path.glob("catalogue.db*"):
            if file.is_file():
                assert not any(secret in file.read_bytes() for secret in (b"rabbit", b"carrot", b"elmer"))


# ---- listings, and the end


async def test_directories_are_listed(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        published = (await world.publish()).published

        assert [*await world.catalogue.list("/")] == [Entry("files/")]
        assert [*await world.catalogue.list("/files/b/")] == [
            Entry("50% #1.iso", 3, published),
            Entry("c.iso", 3, published),
            Entry("empty", 0, published),
        ]
        with pytest.raises(KeyError):
            await world.catalogue.list("/files/c/")


async def test_a_catalogue_that_cannot_be_used_says_why(reactor: Any, tmp_path: Path) -> None:
    with opened(tmp_path / "new.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    catalogue = Catalogue(reactor, tmp_path / "new.db")
    for _ in range(2):
        with pytest.raises(CatalogueError, match="a newer pulp_dl made it"):
            await catalogue.find("/files/a.iso")
    await catalogue.close()

    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match="Not a directory"):
        Catalogue(reactor, tmp_path / "file" / "c.db")


async def test_closing_ends_what_runs_and_may_be_repeated(reactor: Any, tmp_path: Path) -> None:
    half = (Send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nbear"), Hold("for ever"))
    async with here(reactor, tmp_path, {"/repo/a.iso": half}) as world:
        await world.publish()
        downloader, source = await world.catalogue.find("/files/a.iso")
        client = Recorder()
        download = downloader.download(source, client)
        asking = world.catalogue.find("/files/a.iso")
        closing = [world.catalogue.close() for _ in range(2)]
        asking.addErrback(lambda failure: failure.trap(CancelledError))

        with pytest.raises(CancelledError):
            await download
        for each in closing:
            await each
        await asking
        with pytest.raises(CancelledError, match="the catalogue is closed"):
            await world.catalogue.find("/files/a.iso")


async def test_a_question_that_is_cancelled_is_over_at_once(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        asking = world.catalogue.find("/files/a.iso")
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking


async def test_many_ask_at_once(reactor: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world:
        await world.publish()
        asking = [world.catalogue.find(f"/files/{path}") for path in FILES for _ in range(100)]
        for each, path in zip(asking, [path for path in FILES for _ in range(100)], strict=True):
            _, source = await each
            assert source.tag.listed.path == path


async def test_somebody_else_may_publish_meanwhile(reactor: Any, tmp_path: Path) -> None:
    """As the command does, in a process of its own."""
    async with here(reactor, tmp_path) as world:
        await world.publish()
        with sqlite3.connect(world.path, isolation_level=None) as other:
            other.execute("PRAGMA foreign_keys = ON")
            other.execute("DELETE FROM publications")
        other.close()
        with pytest.raises(KeyError):
            await world.catalogue.find("/files/a.iso")


@pytest.mark.parametrize(
    ("how", "message"),
    [({"window": -1}, "window: -1 is no number of bytes"), ({"keep_share": 2}, "keep_share: 2 is no share")],
)
def test_what_it_cannot_share_by_is_refused_before_anybody_asks(
    how: dict[str, Any], message: str, reactor: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue(reactor, tmp_path / "catalogue.db", **how)
