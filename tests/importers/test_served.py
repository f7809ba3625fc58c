"""The catalogue behind the streamer, and curl as the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.utils import getProcessOutputAndValue

from pulp_dl.importers.passthrough import Passthrough
from pulp_dl.interfaces import IImporter
from pulp_dl.streamer import Content
from pulp_dl.testing import FaultServer, answer
from tests.importers.repository import FILES, here, manifest_of

pytestmark = pytest.mark.limit(60)

DATA = FILES["a.iso"]
ETAG = f'"sha256:{sha256(DATA).hexdigest()}"'


@asynccontextmanager
async def serving(reactor: Any, importer: IImporter) -> AsyncIterator[str]:
    content = Content(reactor, importer)
    port = reactor.listenTCP(0, content, interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    await port.stopListening()
    await content.cut()


async def curl(reactor: Any, program: Any, *args: str) -> tuple[int, str, dict[str, str], bytes]:
    """Its exit code; the status line, the fields and the body that it got."""
    out, _, code = await getProcessOutputAndValue(program("curl"), ["-sS", "-i", *args], reactor=reactor)
    head, _, body = out.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return code, status, fields, body


async def test_the_first_client_is_answered_from_upstream_and_the_next_from_here_alike(
    reactor: Any, program: Any, tmp_path: Path
) -> None:
    async with here(reactor, tmp_path) as world, serving(reactor, world.catalogue) as base:
        await world.publish()
        for stored in (False, True):
            code, status, fields, body = await curl(reactor, program, f"{base}/files/a.iso")
            assert (code, status, body) == (0, "HTTP/1.1 200 OK", DATA)
            assert (fields["etag"], fields["content-length"]) == (ETAG, str(len(DATA)))
            assert world.asked() == ([] if stored else ["GET /repo/a.iso"])
            await world.stored(DATA)

        code, status, fields, body = await curl(reactor, program, "-r", "5-9", f"{base}/files/a.iso")
        assert (code, status, body) == (0, "HTTP/1.1 206 Partial Content", DATA[5:10])
        assert (fields["content-range"], fields["etag"]) == (f"bytes 5-9/{len(DATA)}", ETAG)
        code, status, fields, body = await curl(reactor, program, "-r", "999999-", f"{base}/files/a.iso")
        assert (status, fields["content-range"]) == ("HTTP/1.1 416 Range Not Satisfiable", f"bytes */{len(DATA)}")
        code, status, fields, body = await curl(reactor, program, "-H", f"If-None-Match: {ETAG}", f"{base}/files/a.iso")
        assert (status, body) == ("HTTP/1.1 304 Not Modified", b"")
        code, status, fields, body = await curl(reactor, program, "-I", f"{base}/files/a.iso")
        assert (status, fields["content-length"], fields["etag"]) == ("HTTP/1.1 200 OK", str(len(DATA)), ETAG)
        assert world.asked() == []


async def test_the_manifest_and_the_listing_are_of_one_publication(reactor: Any, program: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world, serving(reactor, world.catalogue) as base:
        for files in (FILES, {"only": b"one"}):
            await world.publish(files)
            assert (await curl(reactor, program, f"{base}/files/PULP_MANIFEST"))[3] == manifest_of(files)
            _, status, _, page = await curl(reactor, program, f"{base}/files/")
            assert status == "HTTP/1.1 200 OK"
            assert b'href="./PULP_MANIFEST"' in page
            assert (b'href="./b/"' in page) == (files is FILES)
        assert (await curl(reactor, program, f"{base}/files/a.iso"))[1] == "HTTP/1.1 404 Not Found"
        assert (await curl(reactor, program, f"{base}/files"))[1] == "HTTP/1.1 301 Moved Permanently"


async def test_a_resume_after_another_publication_gets_the_whole_of_the_new_file(
    reactor: Any, program: Any, tmp_path: Path
) -> None:
    """Never the rest of another file than the one that was begun."""
    new = b"a new bear" * 1000
    async with here(reactor, tmp_path, {"/repo/a.iso": answer(new)}) as world:
        async with serving(reactor, world.catalogue) as base:
            await world.publish({"a.iso": new})
            args = ("-r", "5-", "-H", f"If-Range: {ETAG}", f"{base}/files/a.iso")
            _, status, _, body = await curl(reactor, program, *args)

            assert (status, body) == ("HTTP/1.1 200 OK", new)
            await world.stored(new)


async def test_what_changed_upstream_is_a_broken_transfer_and_never_a_clean_end(
    reactor: Any, program: Any, tmp_path: Path
) -> None:
    async with here(reactor, tmp_path, {"/repo/a.iso": answer(b"BEAR" * 50_000)}) as world:
        async with serving(reactor, world.catalogue) as base:
            await world.publish(remote="once")
            code, _, _, body = await curl(reactor, program, f"{base}/files/a.iso")

            assert code in {18, 56}
            assert len(body) < len(DATA)


async def test_what_is_immediate_and_not_there_is_not_found(reactor: Any, program: Any, tmp_path: Path) -> None:
    async with here(reactor, tmp_path) as world, serving(reactor, world.catalogue) as base:
        (tmp_path / "file").write_bytes(b"cub")
        with (tmp_path / "file").open("rb") as file:
            world.catalogue.kept.add(file)
        await world.publish({"c": b"cub"}, policy="immediate")
        assert (await curl(reactor, program, f"{base}/files/c"))[3] == b"cub"

        Path(world.catalogue.kept.path(sha256(b"cub").hexdigest())).unlink()
        assert (await curl(reactor, program, f"{base}/files/c"))[1] == "HTTP/1.1 404 Not Found"
        assert world.asked() == []


async def test_what_is_passed_through_comes_as_it_is_there(reactor: Any, program: Any) -> None:
    fields = ((b"X-Bear", b"brown"), (b"Content-Type", b"text/x-bear"))
    async with FaultServer(
        reactor, {"/pub/50%25": answer(b"odd", headers=fields), "/pub/": answer(b"index")}
    ) as server:
        importer = Passthrough(reactor, "/p", server.url("/pub"))
        async with serving(reactor, importer) as base:
            _, status, found, body = await curl(reactor, program, f"{base}/p/50%25")
            assert (status, body, found["content-type"]) == ("HTTP/1.1 200 OK", b"odd", "text/x-bear")
            assert (await curl(reactor, program, f"{base}/p/"))[3] == b"index"
            assert (await curl(reactor, program, f"{base}/q"))[1] == "HTTP/1.1 404 Not Found"
        await importer.close()
