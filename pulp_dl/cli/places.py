"""Where else files may be had: what the options and the settings say of mirrors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from .words import blaming

if TYPE_CHECKING:
    from ..interfaces import IDownloader, IMirrors
    from ..mirrors.described import Described
    from ..model.report import Attempt
    from ..model.source import Source

__all__ = [
    "Elsewhere",
    "directory_of",
    "learning",
    "listed_mirrors",
    "mirror_options",
    "places_of",
    "read_metalink_at",
]

LARGEST: Final = 5 * 1024 * 1024
"""Bytes of a metalink that somebody has named."""


class _Variable(click.ParamType[tuple[str, str]]):
    """C{NAME=VALUE}.  A variable of the environment has one in each line."""

    name = "variable"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, content = str(value).partition("=")
        if not equals or not re.fullmatch(r"\w+", name):
            self.fail(f"{value!r} is no variable; give NAME=VALUE, such as arch=x86_64", param, ctx)
        return name, content

    def split_envvar_value(self, rv: str) -> list[str]:
        return rv.splitlines()


mirror_options = (
    click.option("--mirrorlist", metavar="URL", help="A list of mirrors, as Fedora, CentOS, pacman and apt have it."),
    click.option(
        "--mirrors-under",
        metavar="URL",
        help="The place of what follows this in a file's URL is taken by each mirror.  [default: the remote's URL; for "
        "sync the directory of the manifest; else scheme and host]",
    ),
    click.option(
        "--mirror-variable",
        "mirror_variables",
        type=_Variable(),
        multiple=True,
        metavar="NAME=VALUE",
        help="What $arch, $basearch, $releasever or another variable in the list stands for.  May be repeated.",
    ),
)


def listed_mirrors(options: Mapping[str, Any], under: str | None = None) -> IMirrors | None:
    """
    The mirrors that the options name, in the order of their list; None: they name none.

    @param under: where they are if the options do not say.
    @raise click.UsageError: a value makes no sense.
    """
    from ..mirrors.list import MirrorList

    url = options["mirrorlist"]
    if url is None:
        for name in ("mirrors_under", "mirror_variables"):
            if options[name] and click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-').removesuffix('s')}: there is no --mirrorlist")
        return None
    under = options["mirrors_under"] or options["remote"] or under
    with blaming("mirrorlist"):
        return MirrorList(url, under=under, variables=dict(options["mirror_variables"]))


def directory_of(manifests: Sequence[Source]) -> str | None:
    """Where all manifests are, which their mirrors take the place of; None: in no one place."""
    directories = {source.url.partition("?")[0].rpartition("/")[0] for source in manifests}
    return directories.pop() if len(directories) == 1 else None


def learning(mirrors: IMirrors) -> IMirrors:
    """The same in an order that learns; and behind them, what answers tell of."""
    from ..mirrors.links import Duplicates
    from ..mirrors.scores import Scores

    return Duplicates(Scores(mirrors))


def places_of(options: Mapping[str, Any], *, several: bool) -> IMirrors:
    """
    Where the files of a command may be had: the URLs that were given, and mirrors of theirs.

    @param several: they are to be asked in an order that learns.  It always is if there is a list of mirrors.
    @raise click.UsageError: a value makes no sense.
    """
    from ..mirrors.links import Duplicates

    listed = listed_mirrors(options)
    given: Any = Elsewhere(listed)
    return learning(given) if several or listed is not None else Duplicates(given)


class Elsewhere:
    """The URLs of a file in the order in which they were given; before each of them, its mirrors."""

    def __init__(self, mirrors: IMirrors | None) -> None:
        self._mirrors = mirrors

    async def locate(self, source: Source, direct: IDownloader) -> AsyncIterator[Source]:
        from ..mirrors.located import located

        others = source.tag.others if hasattr(source.tag, "others") else ()
        for place in (source, *(source.at(url, found=source.found) for url in others)):
            if self._mirrors is None:
                yield place
            else:
                async for each in located(self._mirrors, place, direct):
                    yield each

    def record(self, attempt: Attempt) -> None:
        """Nothing is learnt here."""


def read_metalink_at(where: str, downloader: Any) -> Iterator[Described]:
    """
    The files that a metalink describes.

    @param where: its URL, or the path of a file.
    @param downloader: a blocking one.
    @raise Failed: it is none.
    @raise DownloadError: it cannot be had.
    """
    from ..consumers.memory import ToMemory
    from ..mirrors.metalink_xml import read_metalink
    from ..urls import shown
    from .outcome import DISK, INVALID, Failed

    if "://" in where:
        body = ToMemory(LARGEST)
        downloader.download(where, body)
        data = body.data
    else:
        try:
            with Path(where).open("rb") as file:
                data = file.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            raise Failed(getattr(error, "strerror", None) or str(error), where, DISK) from error
        if len(data) > LARGEST:
            raise Failed(f"it is larger than {LARGEST} bytes", where, INVALID)
    try:
        description = read_metalink(data)
    except ValueError as error:
        raise Failed(f"this is no metalink that can be used: {error}", shown(where), INVALID) from error
    for described in description.files:
        if not described.locations:
            raise Failed(f"it names no place of {described.name} that can be asked", shown(where), INVALID)
        yield described
