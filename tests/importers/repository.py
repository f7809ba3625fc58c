"""A repository upstream, a catalogue here, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

from attrs import evolve, frozen

from pulp_dl import Remote, Report, Retries, Source, Span
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.importers.file import Manifest
from pulp_dl.importers.publish import Publishing
from pulp_dl.importers.store import Store
from pulp_dl.interfaces import IImporter, IMirrors
from pulp_dl.testing import FaultServer, Recorder, Script, answer
from tests.sinks import turn

FILES: dict[str, bytes] = {"a.iso": b"bear" * 50_000, "b/c.iso": b"cub", "b/empty": b"", "b/50% #1.iso": b"odd"}
ONCE = Retries(count=0)


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    lines = (f"{path},{sha256(data).hexdigest()},{len(data)}\n" for path, data in files.items())
    return "".join(lines).encode()


def script_of(files: Mapping[str, bytes]) -> dict[str, Script]:
    """What an honest server has below C{/repo/}."""
    return {f"/repo/{quote(path)}": answer(data) for path, data in files.items()}


def read(url: str, files: Mapping[str, bytes]) -> Manifest:
    """A manifest as it was downloaded."""
    file = TemporaryFile()  # noqa: SIM115  # the manifest closes it
    file.write(manifest_of(files))
    return Manifest(Source(url), file)


@frozen
class Got:
    """What a client has of a file."""

    data: bytes
    head: Any
    report: Report


async def get(importer: IImporter, path: str, span: Span | None = None) -> Got:
    """As a client would: it cannot forget what it has."""
    downloader, source = await importer.find(path)
    client = Recorder()
    report = await downloader.download(evolve(source, span=span), client)
    assert client.finished
    return Got(client.data, client.head, report)


@frozen
class Here:
    """All that a test of a catalogue has."""

    reactor: Any
    server: FaultServer
    catalogue: Catalogue
    store: Store
    path: Path

    async def publish(self, files: Mapping[str, bytes] = FILES, base: str = "/files/", **options: Any) -> Any:
        with read(self.server.url("/repo/PULP_MANIFEST"), files) as manifest:
            return await self.catalogue.publish(Publishing(base, **options), manifest)

    async def stored(self, data: bytes) -> Path:
        """Where these bytes are, as soon as they are stored; a client has them a little before."""
        path = Path(self.store.path(sha256(data).hexdigest()))
        while not path.exists():
            await turn(self.reactor)
        return path

    def asked(self) -> list[str]:
        """The paths that upstream was asked for since this was last called."""
        paths = [f"{request.method} {request.path}" for request in self.server.requests]
        self.server.requests.clear()
        return paths


@asynccontextmanager
async def here(
    reactor: Any,
    folder: Path,
    script: Any = None,
    remotes: Mapping[str, Remote] | None = None,
    mirrors: IMirrors | None = None,
    keep_share: float = 0.5,
    **options: Any,
) -> AsyncIterator[Here]:
    """
    @param script: what upstream does; by default it is honest.
    @param mirrors: of what is published without a remote.
    """
    store = Store(folder / "store", durable=False, **options)
    catalogue = Catalogue(reactor, folder / "catalogue.db", remotes={"once": Remote(retries=ONCE), **(remotes or {})},
                          store=store, mirrors={None: mirrors} if mirrors else None, keep_share=keep_share)  # fmt: skip
    try:
        async with FaultServer(reactor, script_of(FILES) if script is None else script) as server:
            yield Here(reactor, server, catalogue, store, folder / "catalogue.db")
            await catalogue.close()
    finally:
        await catalogue.close()
