"""Where else files may be had: what the options and the settings say of mirrors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from click.core import ParameterSource

from .config import spelled
from .words import blaming

if TYPE_CHECKING:
    from ..interfaces import IDownloader, IMirrors
    from ..mirrors.described import Described
    from ..model.report import Attempt
    from ..model.source import Source

__all__ = [
    "Elsewhere",
    "Listed",
    "directory_of",
    "listed_mirrors",
    "mirror_options",
    "read_metalink_at",
    "source_of",
]

LARGEST: Final = 5 * 1024 * 1024
"""Bytes of a metalink that somebody has named."""


WAYS: Final = ("mirrorlist", "metalink", "mirrors_from")
"""Options that name mirrors."""


class _Kind(click.ParamType[tuple[str, str | None]]):
    """C{KIND:WHERE}, or C{KIND} alone.  What is behind the colon may be a secret."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str | None]:
        if isinstance(value, tuple):
            return value
        kind, colon, where = str(value).partition(":")
        if not re.fullmatch("[a-z][a-z0-9-]*", kind) or (colon and not where):
            self.fail("give KIND, or KIND:WHERE, such as mirrorlist:http://...; pulp-dl schemes lists them", param, ctx)
        return kind, where or None


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


class _Country(click.ParamType[str]):
    """Two letters."""

    name = "country"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ..model.mirrors import country_code

        try:
            return str(country_code(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


mirror_options = (
    click.option("--mirrorlist", metavar="URL", help="A list of mirrors, as Fedora, CentOS, pacman and apt have it."),
    click.option(
        "--metalink",
        metavar="URL|FILE",
        help="A metalink that names mirrors, as Fedora has it for a repository.  get without a URL fetches what it "
        "describes.",
    ),
    click.option(
        "--mirrors-from",
        type=_Kind(),
        metavar="KIND[:WHERE]",
        help="Mirrors of another kind, which a plugin knows; pulp-dl schemes lists them.",
    ),
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
    click.option(
        "--country",
        type=_Country(),
        metavar="CC",
        help="Where we are, such as de: mirrors there come first until more is known of them.  It is $country in the "
        "URL of a list, too.",
    ),
)


class Listed(NamedTuple):
    """
    The mirrors that options name.

    @ivar name: of their list, for what is learnt of them; without a secret.
    @ivar kind: of mirrors, for people.
    """

    mirrors: IMirrors
    name: str
    kind: str


def listed_mirrors(options: Mapping[str, Any], under: str | None = None) -> Listed | None:
    """
    The mirrors that the options name, in the order of their list; None: they name none.

    @param under: where they are if the options do not say.
    @raise click.UsageError: a value makes no sense.
    """
    from ..urls import shown

    option = _chosen([name for name in WAYS if options[name] is not None])
    if option is None:
        for name in ("mirrors_under", "mirror_variables"):
            if options[name] and source_of(name) is ParameterSource.COMMANDLINE:
                wanted = "--mirrorlist, --metalink or --mirrors-from"
                raise click.UsageError(f"--{name.replace('_', '-').removesuffix('s')}: there is no {wanted}")
        return None
    kind, argument = (option, options[option]) if option != "mirrors_from" else options[option]
    with blaming(option):
        from ..engine.kinds import mirrors_of
        from ..model.mirrors import MirrorsSettings

        beginning = options["mirrors_under"] or options["remote"] or under
        settings = MirrorsSettings(argument, beginning, dict(options["mirror_variables"]), options["country"])
        name = kind
        if argument is not None:
            # What it means to a plugin nobody knows; a URL has secrets in known places, another text may be one.
            plain = option != "mirrors_from" or "://" in argument
            name += f" {shown(argument) if plain else sha256(argument.encode()).hexdigest()[:16]}"
        return Listed(mirrors_of(kind, settings), name, kind)


def source_of(name: str) -> ParameterSource | None:
    """Where the value of an option comes from."""
    return click.get_current_context().get_parameter_source(name)


def _chosen(given: Sequence[str]) -> str | None:
    """Of several options one, if they are not equally near."""
    if len(given) < 2:
        return given[0] if given else None
    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP):
        near = [name for name in given if source_of(name) is source]
        if len(near) > 1:
            raise click.UsageError(f"{' and '.join(map(spelled, near))} exclude each other")
        if near:
            return near[0]
    return given[0]


def directory_of(manifests: Sequence[Source]) -> str | None:
    """Where all manifests are, which their mirrors take the place of; None: in no one place."""
    directories = {source.url.partition("?")[0].rpartition("/")[0] for source in manifests}
    return directories.pop() if len(directories) == 1 else None


class Elsewhere:
    """
    The URLs of a file in the order in which they were given; before each of them, its mirrors.

    It is an IMirrors, and an IVouching if the mirrors are: declared when it is made, since this module imports neither.
    """

    def __init__(self, mirrors: IMirrors | None) -> None:
        from zope.interface import alsoProvides

        from ..interfaces import IMirrors
        from ..mirrors.interfaces import IVouching

        self._mirrors = mirrors
        alsoProvides(self, IMirrors)
        if IVouching.providedBy(mirrors):
            alsoProvides(self, IVouching)
            vouching: Any = mirrors
            self.vouched = vouching.vouched

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
        if self._mirrors is not None:
            self._mirrors.record(attempt)


def read_metalink_at(where: str, downloader: Any, country: str | None = None) -> Iterator[Described]:
    """
    The files that a metalink describes.

    @param where: its URL, or the path of a file.
    @param downloader: a blocking one.
    @param country: the one whose places come first.
    @raise Failed: it is none.
    @raise DownloadError: it cannot be had.
    """
    from attrs import evolve

    from ..consumers.memory import ToMemory
    from ..mirrors.described import nearest
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
        yield evolve(described, locations=nearest(described.locations, country))
