"""C{pulp-dl sync}: mirror what manifests list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from .ending import printing
from .get import name_of
from .learning import learning, state_option
from .log import printable
from .options import make_remote, make_source, output_options, remote_options
from .outcome import SOME, Failed, Summary, concluding
from .places import directory_of, listed_mirrors
from .progress import Ticker
from .target import check_directory, check_target, is_stdout

if TYPE_CHECKING:
    from ..blocking import BlockingDownloader
    from ..consumers.around import Progress
    from ..importers.file import Entry, Manifest
    from ..importers.paths import Paths
    from ..interfaces import IMirrors
    from ..model.remote import Remote
    from ..model.source import Source
    from .mirror import Mirror
    from .prune import Prune

__all__ = ["sync", "synchronize"]


@click.command(short_help="Mirror what a PULP_MANIFEST lists.")
@click.argument("urls", nargs=-1, required=True, metavar="MANIFEST_URL...")
@click.option("-d", "--directory", required=True, metavar="DIR", help="Where the mirror is, or shall be.")
@click.option("--verify", is_flag=True, help="Read what is there and check its digest, not only its size.")
@click.option("--delete", is_flag=True, help="When all is well, remove from DIR whatever no manifest lists.")
@click.option("--force", is_flag=True, help="Do that even if half of what is there would go, or all.")
@click.option(
    "-R", "--mtime", "--remote-time", "mtime", is_flag=True, help="Give what is fetched the time that its server tells."
)
@click.option("--digest-file", metavar="FILE", help="When all is well, write a list for sha256sum -c in DIR.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("-n", "--dry-run", is_flag=True, help="Only print the URLs of what would be fetched, what would go.")
@remote_options
@state_option
@output_options
@click.pass_context
def sync(
    ctx: click.Context,
    /,
    urls: tuple[str, ...],
    directory: str,
    verify: bool,
    delete: bool,
    force: bool,
    mtime: bool,
    digest_file: str | None,
    fail_fast: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """
    Mirror repositories.

    MANIFEST_URL names a PULP_MANIFEST: lines of path,sha256,size.  What is in DIR with the right size is not fetched
    again.  Each file is at its path when it is whole and right, and not before; the manifest itself comes last, when
    nothing failed.  After a failure the others go on, and all failures are listed in the end.

    Several manifests share DIR.  A path that two of them list has to be the same file.  Those of one name are saved as
    one, which lists what all of them list.

    Nothing is deleted but what a killed run left; unless --delete is given, and nothing failed: then DIR is made equal
    to the manifests, and EVERYTHING else in it goes, also what never came from a manifest.  Only what is in the way of
    a listed file, such as a directory of its name, goes before.  If half of what is there would go, or a manifest is
    empty, nothing is done without --force.
    """
    from .mirror import Mirror

    if force and not delete:
        raise click.UsageError("--force is for --delete")
    if digest_file is not None and is_stdout(digest_file):
        raise click.UsageError("--digest-file needs a file, which takes its place when it is whole; stdout is none")
    remote = make_remote(options)
    sources = [make_source(url) for url in dict.fromkeys(urls)]
    listed = listed_mirrors(options, directory_of(sources))
    names = {_manifest_of(source) for source in sources}
    summary = Summary(options, dry_run=dry_run)
    mirror = Mirror(directory, verify=verify, mtime=mtime)
    if digest_file is not None and mirror.inside(digest_file) in names:
        raise click.UsageError(f"--digest-file {digest_file}: the manifest is saved there; give another path")
    with concluding(ctx, summary), nullcontext() if dry_run else mirror.lock():
        if dry_run:
            check_directory(directory)
        if digest_file is not None:
            check_target(digest_file)
        learnt = None if listed is None else learning(options, listed.name, listed.mirrors, summary.warn)
        with learnt or nullcontext() as mirrors:
            synchronize(
                sources,
                remote,
                mirror,
                summary,
                delete=delete,
                force=force,
                digest_file=digest_file,
                fail_fast=fail_fast,
                mirrors=mirrors,
            )


def _manifest_of(source: Source) -> str:
    """
    The name of a manifest.

    @raise click.UsageError: there is none in its URL.
    """
    from ..urls import join, shown

    try:
        return name_of(source)
    except click.UsageError:
        perhaps = shown(str(join(source.place, "PULP_MANIFEST")))
        message = f"{shown(source.url)} names a directory; give the URL of its manifest, {perhaps} perhaps"
        raise click.UsageError(message) from None


def synchronize(
    sources: Sequence[Source],
    remote: Remote,
    mirror: Mirror,
    summary: Summary,
    *,
    delete: bool = False,
    force: bool = False,
    digest_file: str | None = None,
    fail_fast: bool = False,
    mirrors: IMirrors | None = None,
) -> None:
    """
    Bring to the mirror what it does not have.

    @param sources: of the manifests.
    @param delete: then remove what they do not list; C{force}: however much that is.
    @param digest_file: where to write the digests of all files.
    @raise Failed: the disk does not take it, or too much would be deleted.
    """
    from ..blocking import BlockingDownloader
    from ..consumers.around import Progress
    from ..importers.paths import Paths

    summary.remedy = "remove it" if delete else "remove it, or give --delete"
    progress = Progress()
    with ExitStack() as stack:
        downloader = stack.enter_context(BlockingDownloader(remote, progress=progress, mirrors=mirrors))
        stack.enter_context(Ticker(summary, progress))
        paths = stack.enter_context(Paths())
        manifests = [stack.enter_context(each) for each in _fetched(sources, downloader, summary)]
        complete = len(manifests) == len(sources)
        _measure(manifests, progress, summary)
        if fail_fast and not complete:
            summary.gave_up, summary.files = True, None  # what the others list is not all there is
            return
        prune = _prune(manifests, mirror, digest_file, stack) if delete and complete else None
        refusal = None if prune is None or force else _objection(manifests, prune)
        if refusal is not None and not summary.dry_run:
            raise refusal
        with_part = stack.enter_context(Paths())
        _find_parts(manifests, with_part)
        missing = _missing(manifests, paths, mirror, summary, fail_fast=fail_fast)
        if summary.dry_run:
            _list(missing, summary)
            _list_going(prune, summary)
            summary.gave_up = fail_fast and summary.failed > 0
            if refusal is not None:
                raise refusal
            return
        if prune is not None:
            _delete(prune.clear, summary)
        wanted = ((entry.source, mirror.consumer(entry, with_part)) for entry in missing)
        outcomes = downloader.download_many(wanted, remote.limits.connections)
        summary.follow(outcomes, progress, fail_fast=fail_fast)
        if complete and not summary.gave_up:
            mirror.complete(paths)
        if summary.failed:
            return
        for name in {name_of(each.source): None for each in manifests}:
            mirror.save(name, [each.file for each in manifests if name_of(each.source) == name])
        if digest_file is not None:
            mirror.save_sums(digest_file, paths)
        if prune is not None:
            _delete(prune.run, summary)


def _fetched(sources: Sequence[Source], downloader: BlockingDownloader, summary: Summary) -> Iterator[Manifest]:
    from ..errors import DownloadError
    from ..importers.file import fetch_manifest_blocking

    for source in sources:
        try:
            yield fetch_manifest_blocking(downloader, source)
        except DownloadError as error:
            summary.fail(error, name_of(source), error.attempts)


def _find_parts(manifests: Sequence[Manifest], found: Paths) -> None:
    """Of the paths those that may be taken for parts of others."""
    from ..consumers.note import PART

    for manifest in manifests:
        for path in manifest.paths_with(PART):
            found.add(path, "")


def _measure(manifests: Sequence[Manifest], progress: Progress, summary: Summary) -> None:
    extents = [manifest.extent() for manifest in manifests]
    summary.files = sum(files for files, _ in extents)
    summary.total = sum(size for _, size in extents)
    summary.aside = progress.size


def _missing(
    manifests: Sequence[Manifest], paths: Paths, mirror: Mirror, summary: Summary, *, fail_fast: bool
) -> Iterator[Entry]:
    for entry in _entries(manifests, paths, summary, fail_fast=fail_fast):
        found = mirror.look(entry)
        if found == "right":
            summary.present += 1
            summary.there += entry.expected[0]
            continue
        if found == "wrong":
            summary.replaced += 1
            summary.say(f"there but wrong: {entry.path}")
        yield entry


def _entries(manifests: Sequence[Manifest], paths: Paths, summary: Summary, *, fail_fast: bool) -> Iterator[Entry]:
    from ..importers.file import ManifestError
    from ..urls import shown

    for manifest in manifests:
        bad = partial(summary.fail, path=shown(manifest.source.url))
        try:
            yield from manifest.entries(None if fail_fast else bad, paths)
        except ManifestError as error:
            bad(error)
            return  # with the next outcome what runs is cancelled


def _list(entries: Iterator[Entry], summary: Summary) -> None:
    from ..urls import shown

    for entry in entries:
        summary.wanted += 1
        if summary.lists:
            with printing():
                click.echo(shown(entry.source.url))


# ---- --delete


def _prune(manifests: Sequence[Manifest], mirror: Mirror, digest_file: str | None, stack: ExitStack) -> Prune | None:
    """What all manifests list is read before anything is fetched, so that a refusal comes before it."""
    from ..importers.paths import Paths
    from .prune import Prune

    listed = stack.enter_context(Paths())
    bad: list[object] = []
    for manifest in manifests:
        for _ in manifest.entries(bad.append, listed):
            pass
    if bad:  # that is told later, and nothing will be deleted
        return None
    names = {name_of(each.source) for each in manifests}
    if digest_file is not None:
        names.add(mirror.inside(digest_file))
    return Prune(mirror.directory, listed, mirror.spared(listed, names), mirror.ours())


def _objection(manifests: Sequence[Manifest], prune: Prune) -> Failed | None:
    from ..urls import shown

    empty = next((shown(each.source.url) for each in manifests if _is_empty(each)), None)
    if empty is not None and next(prune.going(), None) is not None:
        return Failed("it lists nothing, so nothing was done; give --force if --delete is meant", empty, SOME)
    return prune.objection()


def _is_empty(manifest: Manifest) -> bool:
    return next(iter(manifest), None) is None


def _list_going(prune: Prune | None, summary: Summary) -> None:
    if prune is None:
        return
    summary.deleted = 0
    for path in prune.going():
        summary.deleted += 1
        if summary.lists:
            with printing():
                click.echo(printable(f"deleting {path}"))


def _delete(remove: Callable[[Callable[[Failed], object]], Iterator[str]], summary: Summary) -> None:
    summary.deleted = summary.deleted or 0
    for path in remove(lambda error: summary.fail(error, error.path)):
        summary.deleted += 1
        summary.say(f"deleted {path}")
