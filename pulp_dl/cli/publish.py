"""C{pulp-dl publish} and C{pulp-dl unpublish}: what a service is to serve."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .config import CHOSEN, configured_option
from .learning import learning, state_option
from .options import make_remote, make_source, output_options, remote_options
from .outcome import DISK, USAGE, Failed, Summary, concluding, size_text
from .places import directory_of, listed_mirrors
from .progress import Ticker

if TYPE_CHECKING:
    from ..blocking import BlockingDownloader
    from ..consumers.around import Progress
    from ..importers.file import Manifest
    from ..importers.ledger import Place, Publication
    from ..importers.store import Store

__all__ = ["catalogue_option", "opening", "publish", "unpublish"]

POLICIES: Final = ("immediate", "on_demand", "streamed")  # as the ledger has them, which is not imported for --help

catalogue_option = click.option(
    "--catalogue", required=True, metavar="FILE", help="Where it is written down what is published."
)

_NAMED: Final = re.compile(r"([^/:=]+)=(.+)", re.DOTALL)


class _Mirror(click.ParamType[tuple[str | None, str]]):
    """C{URL}, or C{NAME=URL} with the name of a remote."""

    name = "mirror"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, str]:
        if isinstance(value, tuple):
            return value
        match = _NAMED.fullmatch(value)
        return (match[1], match[2]) if match else (None, value)


class _At(click.ParamType[str]):
    """A directory of ours."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith("/"):
            self.fail(f"{value!r} is no path to serve at; it begins with a slash", param, ctx)
        return f"/{value.strip('/')}/" if value.strip("/") else "/"


class _Published(Summary):
    """Tells what is published now."""

    publication: Publication | None = None

    def _text(self, seconds: float, *, stopped: bool) -> str:
        told, found = super()._text(seconds, stopped=stopped), self.publication
        if found is None:
            return f"nothing was published; {told}"
        text = f"published at {found.base}: {found.files} files, {size_text(found.size)}, {found.policy}"
        return f"{text}; {told}" if found.policy == "immediate" else text

    def _object(self, code: int, seconds: float, *, stopped: bool) -> dict[str, Any]:
        found = super()._object(code, seconds, stopped=stopped)
        return found if self.publication is None else found | {"published": described(self.publication)}


def described(publication: Publication) -> dict[str, Any]:
    """A publication as JSON."""
    return {
        "at": publication.base,
        "policy": publication.policy,
        "files": publication.files,
        "size": publication.size,
        "published": publication.published,
        "places": [{"url": place.url, "remote": place.remote} for place in publication.places],
    }


@contextmanager
def opening(file: str, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    """
    The catalogue.

    @raise Failed: it cannot be used, or does not take what the block wants of it.
    """
    from ..importers.schema import CatalogueError, opened

    if not make and not Path(file).exists():
        raise Failed("there is no catalogue; pulp-dl publish makes one", file, USAGE)
    try:
        with opened(Path(file)) as connection:
            yield connection
    except CatalogueError as error:
        raise Failed(str(error).removeprefix(f"{file}: "), file, DISK if error.__cause__ else USAGE) from error


@click.command(short_help="List a repository in a catalogue, to be served.")
@click.argument("url", metavar="MANIFEST_URL")
@click.option(
    "--at", "base", type=_At(), required=True, metavar="/PATH/", help="What its files are to be served below."
)
@click.option(
    "--policy",
    type=click.Choice(POLICIES),
    default="on_demand",
    show_default=True,
    help="Store files now, when somebody first asks for them, or never.",
)
@click.option(
    "--mirror",
    "mirrors",
    type=_Mirror(),
    multiple=True,
    metavar="[NAME=]URL",
    help="Another directory that has the same files; NAME is the remote to reach it with.  May be repeated.",
)
@catalogue_option
@remote_options
@state_option
@output_options
@click.pass_context
def publish(
    ctx: click.Context,
    /,
    url: str,
    base: str,
    policy: str,
    mirrors: tuple[tuple[str | None, str], ...],
    catalogue: str,
    **options: Any,
) -> None:
    """
    Publish what a PULP_MANIFEST lists.

    Only the manifest is fetched, unless the policy is immediate.  What is published at PATH now is replaced at once and
    as a whole; if anything fails, it stays.

    The catalogue keeps no secrets: it has the name of the remote, and the service finds in its own settings what that
    means.  So what is needed to reach the files has to stand there, and not only on this command line.
    """
    remote = make_remote(options)
    source = make_source(url)
    if source.auth is not None:
        raise click.UsageError("the catalogue keeps no password of a URL; write it into the settings, for --remote")
    places = tuple(_place(name, where) for name, where in mirrors)
    listed = listed_mirrors(options, directory_of([source]))
    summary = _Published(options)
    with concluding(ctx, summary), opening(catalogue, make=True) as connection:
        from ..blocking import BlockingDownloader
        from ..consumers.around import Progress
        from ..errors import DownloadError
        from ..importers.file import ManifestError, fetch_manifest_blocking
        from ..importers.publish import Publishing, kept_by

        kept = kept_by(catalogue)
        publishing = Publishing(base, policy, ctx.meta.get(CHOSEN), places)
        progress = Progress()
        learnt = None if listed is None else learning(options, listed.name, listed.mirrors, summary.warn)
        with (
            learnt or nullcontext() as elsewhere,
            BlockingDownloader(remote, progress=progress, mirrors=elsewhere) as downloader,
            Ticker(summary, progress),
        ):
            try:
                with fetch_manifest_blocking(downloader, source) as manifest:
                    if policy == "immediate":
                        _store(manifest, kept, downloader, progress, summary, remote.limits.connections)
                    if not summary.failed:
                        summary.publication = publishing.run(connection, kept, manifest)
            except DownloadError as error:
                summary.fail(error, url, error.attempts)
            except ManifestError as error:
                summary.fail(error, f"line {error.line}")


def _place(name: str | None, url: str) -> Place:
    from ..importers.ledger import Place

    source = make_source(url)
    if source.auth is not None or "?" in source.path:
        raise click.UsageError("--mirror: a directory, without a password or a query, is needed")
    return Place(source.url.rstrip("/") + "/", name)


def _store(
    manifest: Manifest,
    kept: Store,
    downloader: BlockingDownloader,
    progress: Progress,
    summary: Summary,
    connections: int,
) -> None:
    """Bring what is not there."""

    def wanted() -> Iterator[tuple[Any, Any]]:
        for entry in manifest:
            size, sha256 = entry.expected
            if kept.use(sha256, size) is None:
                yield entry.source, kept.consumer(sha256, size)
            else:
                summary.present += 1

    summary.follow(downloader.download_many(wanted(), connections), progress)


@click.command(short_help="Take a repository out of a catalogue.")
@click.argument("base", type=_At(), metavar="/PATH/")
@configured_option
@catalogue_option
def unpublish(base: str, catalogue: str, **_: Any) -> None:
    """Serve no longer what is published at PATH."""
    from ..importers.publish import kept_by, withdraw

    try:
        with opening(catalogue) as connection:
            if not withdraw(connection, kept_by(catalogue), base):
                raise Failed(f"nothing is published at {base}", catalogue, USAGE)
    except Failed as error:
        raise refusal(error) from error


def refusal(error: Failed) -> click.ClickException:
    """For a command that has nothing to sum up."""
    found = click.ClickException(f"{error.path}: {error}")
    vars(found)["exit_code"] = error.code  # which mypy takes for the class's
    return found
