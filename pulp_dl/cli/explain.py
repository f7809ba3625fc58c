"""C{pulp-dl explain}: where a file would come from, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .ending import ending, json_option, printing
from .get import checked, expectations
from .learning import learnt_of, state_option
from .log import printable
from .options import Bytes, make_remote, make_source, remote_options
from .outcome import code_of, size_text
from .places import Elsewhere, Listed, listed_mirrors
from .words import in_options

if TYPE_CHECKING:
    from ..errors import DownloadError
    from ..mirrors.list import Skipped
    from ..mirrors.scores import Scores
    from ..mirrors.standing import Standing
    from ..model.remote import Remote
    from ..model.report import Attempt, Report
    from ..model.source import Source

__all__ = ["explain"]

NOT_ASKED = "never asked, for it is not protected as the URL is, and no digest is expected (--sha256)"


@click.command(short_help="Say where a file comes from, and why.")
@click.argument("url", metavar="URL")
@click.option("-n", "--dry-run", is_flag=True, help="Only say where it might come from.")
@click.option("--sha256", metavar="HEX", help="What it has to be.")
@click.option("--size", type=Bytes(), metavar="BYTES", help="How many bytes it has to have.")
@remote_options
@state_option
@json_option("Print all of it as one JSON object on stdout.")
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    url: str,
    dry_run: bool,
    sha256: str | None,
    size: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """
    Say where a file comes from.

    It is fetched, and neither it nor what is learnt meanwhile is kept.  What is told: where it could be had, in which
    order and why; what became of each attempt; and how many bytes came for nothing.

    The exit code is the one that get would have.
    """
    from ..blocking import call

    remote = make_remote(options)
    source = checked(make_source(url, expect=expectations(sha256, size)), None, url)
    listed = listed_mirrors(options)
    given: Any = Elsewhere(None if listed is None else listed.mirrors)
    learnt = learnt_of(options, lambda text: click.echo(printable(f"Warning: {text}"), err=True))
    account = _Account(
        source, listed, learnt.scores("" if listed is None else listed.name, given, explore=0), options["country"]
    )
    call(lambda: account.make(remote, dry_run=dry_run))
    if as_json:
        ending().give(account.facts())
    else:
        with printing():
            click.echo(printable(in_options("\n".join(account.lines()))))
    ctx.exit(0 if account.error is None else code_of(account.error))


class _Account:
    """
    All that there is to say of one download.

    @ivar error: why it failed, or why its mirrors are not known.
    """

    def __init__(self, source: Source, listed: Listed | None, scores: Scores, country: str | None) -> None:
        self._source = source
        self._mirrors: Any = None if listed is None else listed.mirrors
        self._list: str | None = None if listed is None else getattr(listed.mirrors, "url", listed.kind)
        self._entry = "URL" if listed is not None and listed.kind == "metalink" else "line"
        self._scores = scores
        self._country = country
        self._before: list[tuple[str, Standing]] = []
        self._countries: list[str | None] = []
        self._left_out: list[bool] = []
        self._after: list[tuple[str, Standing]] = []
        self._attempts: tuple[Attempt, ...] = ()
        self._unlisted: DownloadError | None = None
        self._report: Report | None = None
        self.error: DownloadError | None = None

    def make(self, remote: Remote, *, dry_run: bool) -> Any:
        """Fires when all is known."""
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(self._make(remote, dry_run=dry_run))

    async def _make(self, remote: Remote, *, dry_run: bool) -> None:
        from twisted.internet import reactor

        from ..consumers.memory import Discard
        from ..engine.downloader import Downloader
        from ..engine.places import lessens
        from ..errors import DownloadError
        from ..mirrors.links import Duplicates

        scores: Any = self._scores
        async with Downloader(reactor, remote) as direct:
            places: list[Source] = []
            try:
                async for place in scores.locate(self._source, direct):
                    places.append(place)  # noqa: PERF401  # those before a failure count
            except DownloadError as error:
                self._unlisted = error
                if dry_run:
                    self.error = error
                places.append(self._source)
        self._before = self._standing(scores, places)
        self._countries = self._where(places)
        self._left_out = [lessens(place, self._source, remote) for place in places]
        if dry_run:
            return
        async with Downloader(reactor, remote, mirrors=Duplicates(scores, country=self._country)) as downloader:
            try:
                self._report = await downloader.download(self._source, Discard())
                self._attempts = self._report.attempts
            except DownloadError as error:
                self.error, self._attempts = error, error.attempts
        asked = {each.source.url: each.source for each in self._attempts}
        self._after = self._standing(scores, list(asked.values()))

    @staticmethod
    def _standing(scores: Any, places: list[Source]) -> list[tuple[str, Standing]]:
        from ..urls import shown

        return [(shown(place.url), each) for place, each in zip(places, scores.standing(places), strict=True)]

    def _where(self, places: list[Source]) -> list[str | None]:
        """The countries of these places, as far as their mirrors tell of their hosts where they are."""
        from ..urls import parse

        known = (each for each in getattr(self._mirrors, "locations", ()) if each.country is not None)
        told = {parse(each.url).base: each.country for each in known}
        return [told.get(place.place.base) for place in places]

    @property
    def _skipped(self) -> tuple[Skipped, ...]:
        """What stands in the list and is no place; a number is that of a line, or of a URL in a metalink."""
        return getattr(self._mirrors, "skipped", ())

    @property
    def _came(self) -> int:
        return sum(each.received for each in self._attempts)

    @property
    def _wasted(self) -> int:
        return self._came - (0 if self._report is None else self._report.size)

    @property
    def _places(self) -> Iterator[tuple[tuple[str, Standing], str | None, bool]]:
        """In their order: how each stands, its country, and whether it would never be asked."""
        return zip(self._before, self._countries, self._left_out, strict=True)

    def lines(self) -> Iterator[str]:
        """For people."""
        if self._list is not None:
            yield f"mirrors: {self._list}"
            if self._unlisted is not None:
                yield f"  not to be had: {self._unlisted}"
            for each in self._skipped:
                yield f"  {self._entry} {each.number} is left out: {each.reason}"
        yield "places, the best first:"
        for number, ((url, standing), country, out) in enumerate(self._places, 1):
            here = " (--country)" if country == self._country else ""
            where = f"in {country}{here}, " if country is not None else ""
            yield f"  {number}. {url}: {NOT_ASKED if out else f'{where}{standing}'}"
        if self._attempts:
            yield "attempts:"
            for number, attempt in enumerate(self._attempts, 1):
                yield f"  {number}. {attempt}"
            yield f"{size_text(self._came)} came, {size_text(self._wasted)} of it for nothing"
            yield "afterwards:"
            for url, standing in self._after:
                yield f"  {url}: {standing}"
        if self._report is not None:
            checks = ", ".join(f"{name} {value}" for name, value in self._report.facts.items())
            yield f"{'as expected' if self._report.validated else 'nothing was expected'}: {checks}"
        elif self.error is not None:
            yield f"failed: {self.error}"

    def facts(self) -> dict[str, Any]:
        """For programs."""
        from attrs import asdict

        from ..urls import shown

        return {
            "ok": self.error is None,
            "url": shown(self._source.url),
            "mirrors": self._list,
            "skipped": [each._asdict() for each in self._skipped],
            "places": [
                {"url": url, "country": country, "left_out": out, **asdict(standing)}
                for (url, standing), country, out in self._places
            ],
            "attempts": [
                {
                    "url": each.url,
                    "offset": each.offset,
                    "received": each.received,
                    "seconds": each.seconds,
                    "status": each.status,
                    "phase": each.phase,
                    "error": None if each.error is None else each.error.message,
                }
                for each in self._attempts
            ],
            "received": self._came,
            "wasted": self._wasted,
            "validated": self._report is not None and self._report.validated,
            "unlisted": None if self._unlisted is None else in_options(str(self._unlisted)),
            "error": None if self.error is None else in_options(str(self.error)),
        }
