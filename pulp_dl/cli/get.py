"""C{pulp-dl get}: files by their URLs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from .ending import printing
from .learning import learning, state_option
from .options import Bytes, make_remote, make_source, output_options, remote_options
from .outcome import DISK, Failed, Summary, code_of, concluding
from .places import Elsewhere, Listed, listed_mirrors, read_metalink_at, source_of
from .progress import Ticker
from .target import check_target, is_stdout, make_directory
from .words import blaming

if TYPE_CHECKING:
    from ..blocking import BlockingDownloader
    from ..importers.sums import Sums
    from ..interfaces import IMirrors
    from ..model.remote import Remote
    from ..model.source import Source
    from .inputs import Item

__all__ = ["checked", "expectations", "get", "name_of"]

STDOUT = "-"


@click.command(short_help="Fetch files by their URLs.")
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("-o", "--output", metavar="FILE", help="Where to put it; - is stdout, once all of it has come and held.")
@click.option(
    "-d", "--directory", metavar="DIR", help="Where to put them, by the last part of their URLs.  [default: .]"
)
@click.option("-i", "--input-file", metavar="FILE", help="Fetch what is listed there, as aria2 has it; - is stdin.")
@click.option("--sha256", metavar="HEX", help="What it has to be.")
@click.option("--size", type=Bytes(), metavar="BYTES", help="How many bytes it has to have.")
@click.option("--check", metavar="FILE", help="A SHA256SUMS, or its like, that lists what they have to be.")
@click.option("-R", "--mtime", "--remote-time", "mtime", is_flag=True, help="Give them the time that the server tells.")
@remote_options
@state_option
@output_options
@click.pass_context
def get(
    ctx: click.Context,
    /,
    urls: tuple[str, ...],
    output: str | None,
    directory: str | None,
    input_file: str | None,
    sha256: str | None,
    size: int | None,
    check: str | None,
    mtime: bool,
    **options: Any,
) -> None:
    """
    Fetch files.

    A file is at its path when it is whole and what it has to be, and not before; what was there stays until then.  If
    it is interrupted, it goes on from FILE.part the next time, if the server proves that it is the same file still.

    With --metalink and no URL, what the metalink describes is fetched, as it has to be; with a URL, it names mirrors.

    In the FILE of -i each line is a URL, or several URLs of one file with tabs between them.  Indented lines below it
    are its options: out=NAME, dir=DIR, checksum=TYPE=DIGEST, header=NAME: VALUE.  A line that cannot be used is a
    failure of its own; the others are fetched.
    """
    what = {"URL": urls, "-i": input_file, "--sha256": sha256, "--size": size, "--check": check}
    metalink = None if urls or input_file is not None else _metalink(options)
    _check_usage(what, metalink, output, directory, as_json=options["as_json"])
    stdout = output is not None and is_stdout(output)
    remote, listed = make_remote(options), listed_mirrors(options)
    sources = [make_source(url, expect=expectations(sha256, size)) for url in urls]
    summary = Summary(options)
    if input_file is None:
        summary.files = len(urls)
    with ExitStack() as stack:
        sums = None if check is None else stack.enter_context(_sums(check))
        paths = [Path(STDOUT)] if stdout and sources else _paths(sources, output, directory)
        try:
            sources = [checked(source, sums, str(path)) for source, path in zip(sources, paths, strict=True)]
        except LookupError as error:
            raise click.UsageError(f"--check {check}: {error}") from error
        lines = None if input_file is None else stack.enter_context(_opened("-i", input_file))
        with concluding(ctx, summary), _places(options, listed, metalink, summary) as mirrors:
            if metalink is not None:
                sources, paths = _described(metalink, remote, output, directory, options["country"])
                summary.files = len(sources)
            if stdout:
                summary.list_files()
                _to_stdout(sources[0], remote, summary, mirrors)
                return
            if output is not None:
                check_target(output)
            if directory is not None:
                make_directory(directory)
            items = _items(sources, paths, mtime=mtime)
            if lines is None:
                summary.list_files()
            else:
                from .inputs import InputFile

                wanted = InputFile(lines, str(input_file), directory or ".", sums, mtime=mtime, failed=summary.fail)
                items = chain(items, wanted.items(paths))
            _to_files(items, remote, summary, mirrors, whole=lines is None)


def _metalink(options: dict[str, Any]) -> str | None:
    """
    The metalink that says what to fetch; then it is none that names mirrors.  One in the settings always is: it belongs
    to a remote.
    """
    if source_of("metalink") not in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}:
        return None
    metalink: str | None = options["metalink"]
    options["metalink"] = None
    return metalink


def _places(
    options: dict[str, Any], listed: Listed | None, metalink: str | None, summary: Summary
) -> AbstractContextManager[IMirrors]:
    """
    Where the files may be had: their URLs and mirrors of these, in an order that learns if there are several for each.
    """
    from ..mirrors.links import Duplicates
    from ..urls import shown

    given: Any = Elsewhere(None if listed is None else listed.mirrors)
    if listed is None and metalink is None:
        return nullcontext(Duplicates(given, country=options["country"]))
    name = listed.name if listed is not None else f"metalink {shown(str(metalink))}"
    return learning(options, name, given, summary.warn)


def _check_usage(
    what: dict[str, Any], metalink: str | None, output: str | None, directory: str | None, *, as_json: bool
) -> None:
    """
    Are these options for each other?

    @param what: is to be fetched, by the options that say it.
    @raise click.UsageError: they are not.
    """
    if metalink is not None:
        for name, value in what.items():
            if value:
                raise click.UsageError(f"--metalink and {name} exclude each other: it says what is to be fetched")
        if "://" in metalink:
            make_source(metalink)  # or it is no URL
    elif not what["URL"] and what["-i"] is None:
        raise click.UsageError("Missing argument 'URL...'; or give a list of them with -i")
    if output is not None and directory is not None:
        raise click.UsageError("-o and -d exclude each other")
    if output is not None and output.endswith("/"):
        raise click.UsageError(f"-o {output} names no file; -d is for directories")
    if output is not None and is_stdout(output) and as_json:
        raise click.UsageError("-o - and --json would both go to stdout")
    if len(what["URL"]) > 1 or what["-i"] is not None:
        _refuse_for_many({"-o": output, "--sha256": what["--sha256"], "--size": what["--size"]})


def _described(
    metalink: str, remote: Remote, output: str | None, directory: str | None, country: str | None
) -> tuple[list[Source], list[Path]]:
    """
    What a metalink describes, and where it goes: below the directory, by the last part of its name.

    @raise Failed: it cannot be used.
    """
    from ..blocking import BlockingDownloader
    from ..errors import DownloadError
    from .inputs import Wanted

    with BlockingDownloader(remote) as downloader:
        try:
            described = list(read_metalink_at(metalink, downloader, country))
        except DownloadError as error:
            raise Failed(error.message, error.url or metalink, code_of(error)) from error
    if output is not None and len(described) > 1:
        raise click.UsageError(f"-o is for one file, and the metalink describes {len(described)}")
    # A server that names places is not to have secrets sent there; a file on the disk is as good as a command line.
    found = "://" in metalink
    sources, paths = [], []
    for each in described:
        path = Path(output if output is not None else Path(directory or ".") / each.name.rpartition("/")[2])
        others = tuple(location.url for location in each.locations[1:])
        source = each.source(tag=Wanted(str(path), others), found=found, scope=metalink if found else None)
        sources.append(checked(source, None, str(path)))
        paths.append(path)
    _refuse_twice(paths)
    return sources, paths


def _refuse_for_many(given: dict[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"{name} is for one URL")


def expectations(sha256: str | None, size: int | None) -> list[Any]:
    """
    What a file has to be.

    @raise click.UsageError: this is no digest.
    """
    from ..model.expect import Digest, Size

    with blaming("sha256"):
        digests = [] if sha256 is None else [Digest("sha256", sha256)]
    return digests if size is None else [Size(size), *digests]


def _opened(option: str, name: str) -> BinaryIO:
    try:
        if name == "-":
            # A copy, since ours is closed in the end.
            return os.fdopen(os.dup(0), "rb")
        return Path(name).open("rb")
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{option} {name}: {getattr(error, 'strerror', None) or error}") from error


def _sums(name: str) -> Sums:
    from ..importers.file import bounded_lines
    from ..importers.sums import Sums

    with _opened("--check", name) as file:
        try:
            return Sums(bounded_lines(file))
        except ValueError as error:
            raise click.UsageError(f"--check {name}: {error}") from error


def checked(source: Source, sums: Sums | None, path: str) -> Source:
    """
    The same, to be checked against its digest in a list; or, if nothing is known of it, to be measured.

    @param path: where it goes, as the list may have it.
    @raise LookupError: it is not listed.
    """
    from attrs import evolve

    from ..model.expect import Digest, Measure

    expect = list(source.expect)
    if sums is not None:
        names = [each for each in (path, _name_in(source)) if each]
        digest = sums.find(*names)
        if digest is None:
            raise LookupError(f"it does not list {names[-1]}")
        expect.append(digest)
    if not any(isinstance(each, Digest) for each in expect):
        expect.append(Measure("sha256"))
    return evolve(source, expect=expect)


def _paths(sources: list[Source], output: str | None, directory: str | None) -> list[Path]:
    if output is not None:
        return [Path(output)] * len(sources)
    paths = [Path(directory or ".") / name_of(source) for source in sources]
    _refuse_twice(paths)
    return paths


def _refuse_twice(paths: list[Path]) -> None:
    if len({*paths}) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise click.UsageError(f"two of these URLs would be saved as {twice}; fetch them one by one, with -o")


def name_of(source: Source) -> str:
    """
    A file name from a URL.

    @raise click.UsageError: there is none in it.
    """
    from ..urls import shown

    name = _name_in(source)
    if not name:
        raise click.UsageError(f"there is no file name in {shown(source.url)}; give one with -o")
    return name


def _name_in(source: Source) -> str:
    name = re.sub(r"[\x00-\x1f\x7f]", "_", source.place.path.rpartition("/")[2])
    return "" if name in {".", ".."} else name


def _items(sources: Sequence[Source], paths: Sequence[Path], *, mtime: bool) -> Iterator[Item]:
    from attrs import evolve

    from ..consumers.file import ToFile
    from .inputs import Wanted

    for source, path in zip(sources, paths, strict=True):
        others = source.tag.others if isinstance(source.tag, Wanted) else ()
        yield evolve(source, tag=Wanted(str(path), others)), ToFile(path, part=True, mtime=mtime)


def _to_files(items: Iterable[Item], remote: Remote, summary: Summary, mirrors: IMirrors, *, whole: bool) -> None:
    from ..consumers.around import Progress

    progress = Progress()
    with _downloader(remote, progress, mirrors) as downloader, Ticker(summary, progress, whole=whole):
        summary.follow(downloader.download_many(items), progress, lambda outcome: outcome.tag.path)


def _to_stdout(source: Source, remote: Remote, summary: Summary, mirrors: IMirrors) -> None:
    """By way of a temporary file: no byte is given away before all of them have held."""
    from ..consumers.around import Progress
    from ..importers.spool import Spool

    if sys.stdout is None:
        raise Failed("stdout is closed", STDOUT, DISK)
    progress = Progress()
    with _downloader(remote, progress, mirrors) as downloader, Spool() as spool:
        with Ticker(summary, progress, whole=True), downloader.download_many([(source, spool)]) as outcomes:
            for outcome in outcomes:
                summary.add(outcome, STDOUT)
        if summary.fetched:
            with spool.open() as file, printing():
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()


def _downloader(remote: Remote, progress: Any, mirrors: IMirrors) -> BlockingDownloader:
    from ..blocking import BlockingDownloader

    return BlockingDownloader(remote, progress=progress, mirrors=mirrors)
