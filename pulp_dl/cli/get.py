"""C{pulp-dl get}: files by their URLs."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Bytes, make_remote, make_source, output_options, remote_options
from .outcome import DISK, Failed, Summary, concluding
from .progress import Ticker
from .words import blaming

if TYPE_CHECKING:
    from ..blocking import BlockingDownloader
    from ..model.remote import Remote
    from ..model.source import Source

__all__ = ["get", "name_of"]

STDOUT = "-"


@click.command(short_help="Fetch files by their URLs.")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("-o", "--output", metavar="FILE", help="Where to put it; - is stdout, once all of it has come and held.")
@click.option(
    "-d", "--directory", metavar="DIR", help="Where to put them, by the last part of their URLs.  [default: .]"
)
@click.option("--sha256", metavar="HEX", help="What it has to be.")
@click.option("--size", type=Bytes(), metavar="BYTES", help="How many bytes it has to have.")
@remote_options
@output_options
@click.pass_context
def get(
    ctx: click.Context,
    /,
    urls: tuple[str, ...],
    output: str | None,
    directory: str | None,
    sha256: str | None,
    size: int | None,
    **options: Any,
) -> None:
    """
    Fetch files.

    A file is at its path when it is whole and what it has to be, and not before; what was there stays until then.  If
    it is interrupted, it goes on from FILE.part the next time, if the server proves that it is the same file still.
    """
    if output is not None and directory is not None:
        raise click.UsageError("-o and -d exclude each other")
    if output is not None and output.endswith("/"):
        raise click.UsageError(f"-o {output} names no file; -d is for directories")
    if output == STDOUT and options["as_json"]:
        raise click.UsageError("-o - and --json would both go to stdout")
    for name, value in (("-o", output), ("--sha256", sha256), ("--size", size)):
        if value is not None and len(urls) > 1:
            raise click.UsageError(f"{name} is for one URL")
    remote = make_remote(options)
    sources = [make_source(url, expect=_expectations(sha256, size)) for url in urls]
    summary = Summary(options)
    summary.list_files()
    if output == STDOUT:
        with concluding(ctx, summary):
            _to_stdout(sources[0], remote, summary)
    paths = _paths(sources, output, directory)
    with concluding(ctx, summary):
        if directory is not None:
            _make(directory)
        _to_files(sources, paths, remote, summary)


def _expectations(sha256: str | None, size: int | None) -> list[Any]:
    from ..model.expect import Digest, Measure, Size

    with blaming("sha256"):
        digest = Measure("sha256") if sha256 is None else Digest("sha256", sha256)
    return [digest] if size is None else [Size(size), digest]


def _paths(sources: list[Source], output: str | None, directory: str | None) -> list[Path]:
    if output is not None:
        return [Path(output)]
    paths = [Path(directory or ".") / name_of(source) for source in sources]
    if len({*paths}) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise click.UsageError(f"two of these URLs would be saved as {twice}; fetch them one by one, with -o")
    return paths


def _make(directory: str) -> None:
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(error.strerror or str(error), directory, DISK) from error


def name_of(source: Source) -> str:
    """
    A file name from a URL.

    @raise click.UsageError: there is none in it.
    """
    from ..urls import shown

    name = re.sub(r"[\x00-\x1f\x7f]", "_", source.place.path.rpartition("/")[2])
    if name in {"", ".", ".."}:
        raise click.UsageError(f"there is no file name in {shown(source.url)}; give one with -o")
    return name


def _to_files(sources: list[Source], paths: list[Path], remote: Remote, summary: Summary) -> None:
    from attrs import evolve

    from ..consumers.around import Progress
    from ..consumers.file import ToFile

    progress = Progress()
    items = (
        (evolve(source, tag=str(path)), ToFile(path, part=True)) for source, path in zip(sources, paths, strict=True)
    )
    with (
        _downloader(remote, progress) as downloader,
        Ticker(summary, progress, whole=True),
        downloader.download_many(items) as outcomes,
    ):
        for outcome in outcomes:
            summary.add(outcome, outcome.tag)


def _to_stdout(source: Source, remote: Remote, summary: Summary) -> None:
    """By way of a temporary file: no byte is given away before all of them have held."""
    from ..consumers.around import Progress
    from ..importers.spool import Spool

    if sys.stdout is None:
        raise Failed("stdout is closed", STDOUT, DISK)
    progress = Progress()
    with _downloader(remote, progress) as downloader, Ticker(summary, progress, whole=True), Spool() as spool:
        with downloader.download_many([(source, spool)]) as outcomes:
            for outcome in outcomes:
                summary.add(outcome, STDOUT)
        if summary.fetched:
            with spool.open() as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()


def _downloader(remote: Remote, progress: Any) -> BlockingDownloader:
    from ..blocking import BlockingDownloader

    return BlockingDownloader(remote, progress=progress)
