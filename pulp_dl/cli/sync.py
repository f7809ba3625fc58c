"""C{pulp-dl sync}: mirror what a manifest lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from .get import name_of
from .options import make_remote, make_source, output_options, remote_options
from .outcome import Summary, concluding
from .progress import Ticker

if TYPE_CHECKING:
    from ..importers.file import Entry, Manifest
    from ..model.remote import Remote
    from ..model.source import Source
    from .mirror import Mirror

__all__ = ["sync", "synchronize"]


@click.command(short_help="Mirror what a PULP_MANIFEST lists.")
@click.argument("url", metavar="MANIFEST_URL")
@click.option("-d", "--directory", required=True, metavar="DIR", help="Where the mirror is, or shall be.")
@click.option("--verify", is_flag=True, help="Read what is there and check its digest, not only its size.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("-n", "--dry-run", is_flag=True, help="Only print the URLs of what would be fetched.")
@remote_options
@output_options
@click.pass_context
def sync(
    ctx: click.Context, /, url: str, directory: str, verify: bool, fail_fast: bool, dry_run: bool, **options: Any
) -> None:
    """
    Mirror a repository.

    MANIFEST_URL names a PULP_MANIFEST: lines of path,sha256,size.  What is in DIR with the right size is not fetched
    again.  Each file is at its path when it is whole and right, and not before; the manifest itself comes last, when
    nothing failed.  After a failure the others go on, and all failures are listed in the end.  Nothing is deleted but
    what a killed run left.
    """
    from .mirror import Mirror

    remote = make_remote(options)
    source = make_source(url)
    name = name_of(source)
    summary = Summary(options, dry_run=dry_run)
    mirror = Mirror(directory, verify=verify)
    with concluding(ctx, summary), nullcontext() if dry_run else mirror.lock():
        synchronize(source, name, remote, mirror, summary, fail_fast=fail_fast)


def synchronize(
    source: Source, name: str, remote: Remote, mirror: Mirror, summary: Summary, *, fail_fast: bool = False
) -> None:
    """
    Bring to the mirror what it does not have.

    @param name: of the manifest in the mirror.
    @raise Failed: there is no manifest, or the disk does not take it.
    """
    from ..blocking import BlockingDownloader
    from ..consumers.around import Progress
    from ..errors import DownloadError
    from ..importers.file import fetch_manifest_blocking

    progress = Progress()
    with BlockingDownloader(remote, progress=progress) as downloader, Ticker(summary, progress):
        try:
            manifest = fetch_manifest_blocking(downloader, source)
        except DownloadError as error:
            summary.fail(error, name, error.attempts)
            return
        with manifest:
            summary.files = manifest.count()
            missing = _missing(manifest, mirror, summary)
            if summary.dry_run:
                _list(missing, summary)
                return
            wanted = ((entry.source, mirror.consumer(entry)) for entry in missing)
            with downloader.download_many(wanted, remote.limits.connections) as outcomes:
                for outcome in outcomes:
                    summary.add(outcome, outcome.tag)
                    if fail_fast and summary.failed:
                        return
            mirror.complete()
            if not summary.failed:
                mirror.save(name, manifest.file)


def _missing(manifest: Manifest, mirror: Mirror, summary: Summary) -> Iterator[Entry]:
    for entry in manifest.entries(bad=lambda error: summary.fail(error, f"line {error.line}")):
        if mirror.has(entry):
            summary.present += 1
        else:
            yield entry


def _list(entries: Iterator[Entry], summary: Summary) -> None:
    from ..urls import shown

    for entry in entries:
        summary.wanted += 1
        if summary.lists:
            click.echo(shown(entry.source.url))
