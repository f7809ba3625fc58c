"""Options that several subcommands have, and what they mean.  Where curl has the same, it has curl's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .config import remote_option
from .credentials import auth, credential_options, proxies, ssh, tls
from .ending import json_option
from .places import mirror_options
from .words import blaming

if TYPE_CHECKING:
    from ..model.remote import Remote
    from ..model.source import Source

__all__ = [
    "Bytes",
    "Number",
    "Seconds",
    "absolute",
    "field_of",
    "make_remote",
    "make_source",
    "output_options",
    "remote_options",
]

F = TypeVar("F", bound=Callable[..., Any])


class Bytes(click.ParamType[int]):
    """A number of bytes: 1000, 64k, 1.5G; the letters stand for powers of 1024, as in curl."""

    name = "bytes"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower().removesuffix("b").removesuffix("i")
        scale = {"k": 1, "m": 2, "g": 3, "t": 4}.get(text[-1:], 0)
        try:
            size = float(text[:-1]) * 1024**scale if scale else int(text)
            if not 0 <= size < 2**63:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no number of bytes; give one, such as 1000, 64k or 1.5G", param, ctx)
        if size < self._least:
            self.fail(f"{value!r} is too little, {self._least} is the least", param, ctx)
        return int(size)


class _Speed(Bytes):
    """Bytes a second."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        speed = super().convert(value, param, ctx)
        if not speed:
            self.fail("at 0 nothing would ever come; leave it out for no limit", param, ctx)
        return speed


class Number(click.FloatRange):
    """One in a range, which NaN is not."""

    what = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if isnan(number):  # to click it is out of no range
            self.fail(f"{value!r} is no {self.what}", param, ctx)
        return number


class Seconds(Number):
    """More than nothing, and less than three years."""

    what = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=1e8)


class Field(click.ParamType[tuple[str, str]]):
    """A field of a request.  A variable has one in each line."""

    name = "field"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        try:
            return field_of(value if isinstance(value, str) else "")
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [line for line in rv.splitlines() if line.strip()]


def field_of(text: str) -> tuple[str, str]:
    """
    A name and a value.

    @raise ValueError: there is no colon; the text is not repeated, as it may be a secret.
    """
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("a header is NAME: VALUE")
    return name, value


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


remote_options = _together(
    remote_option,
    click.option("-j", "--concurrency", type=click.IntRange(1), default=10, show_default=True, metavar="N",
                 help="Files, and connections, at once."),
    click.option("--per-host", type=click.IntRange(1), metavar="N", help="Connections to one host.  [default: as -j]"),
    click.option("--segments", type=click.IntRange(1, 100), default=3, show_default=True, metavar="N",
                 help="Places that a large file comes from at once, if its digest is known and several have it."),
    click.option("--retries", type=click.IntRange(0, 1000), default=4, show_default=True, metavar="N",
                 help="Tries after the first, with growing waits between them."),
    click.option("--max-size", type=Bytes(), metavar="BYTES", help="Refuse what is larger: 1000, 64k, 1.5G."),
    click.option("--limit-rate", type=_Speed(), metavar="BYTES",
                 help="Bytes a second for all files together: 500k, 2M."),
    click.option("--limit-requests", type=click.FloatRange(min=0, min_open=True, max=1e8), metavar="N",
                 help="HTTP requests a second, redirects and retries among them; 0.5 is one in two seconds."),
    *mirror_options,
    *credential_options,
    click.option("-H", "--header", "headers", type=Field(), multiple=True, metavar="'NAME: VALUE'",
                 help="Send this field to the host that is asked, and no other.  May be repeated."),
    click.option("--cookies", is_flag=True, help="Send back what the host that is asked has set."),
    click.option("--allow-private", is_flag=True,
                 help="Go wherever servers lead, also from the public network into a private one or to this machine."),
    click.option("--connect-timeout", type=Seconds(), metavar="SECONDS", help="For DNS, TCP and TLS together."),
    click.option("--idle-timeout", type=Seconds(), metavar="SECONDS", help="Without one byte of the body."),
    click.option("--max-time", type=Seconds(), metavar="SECONDS", help="For one file, with all its tries."),
)  # fmt: skip

output_options = _together(
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but what went wrong."),
    click.option("-v", "--verbose", count=True, help="Say what becomes of files, and which tries failed; -vv: all."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="What is told on stderr: for people, or one JSON object a line.",
    ),
    json_option("Print what was done as one JSON object on stdout."),
)


def make_remote(options: dict[str, Any]) -> Remote:
    """
    What C{remote_options} say.

    @raise click.UsageError: a file cannot be used, or a value makes no sense; it names the option, and no secret.
    """
    from ..model.remote import Limits, Remote, Retries, Segments, Timeouts

    concurrency = options["concurrency"]
    limits: dict[str, Any] = {"connections": concurrency, "per_host": options["per_host"] or concurrency}
    if options["max_size"] is not None:
        limits["max_size"] = options["max_size"]
    limits["bytes_per_second"] = options["limit_rate"]
    limits["requests_per_second"] = options["limit_requests"]
    names = {"connect": "connect_timeout", "idle": "idle_timeout", "total": "max_time"}
    timeouts = {ours: options[theirs] for ours, theirs in names.items() if options[theirs] is not None}
    with blaming("connect_timeout"):
        times = Timeouts(**timeouts)
    with blaming("limit_requests"):
        at_once = Limits(**limits)
    whom, who, way, shell = tls(options), auth(options), proxies(options), ssh(options)
    with blaming("headers"):
        return Remote(
            url=options["remote"],
            tls=whom,
            ssh=shell,
            auth=who,
            proxy=way,
            headers=options["headers"],
            timeouts=times,
            limits=at_once,
            retries=Retries(count=options["retries"]),
            segments=Segments(places=options["segments"]) if options["segments"] > 1 else None,
            cookies=options["cookies"],
            allow_private=options["allow_private"],
        )


def make_source(url: str, **facts: Any) -> Source:
    """
    A Source, or a usage error.

    @param url: may be relative to that of the chosen remote, as if that ended with a slash.
    @raise click.UsageError: this is no URL.
    """
    from ..model.source import Source

    try:
        return Source(absolute(url), **facts)
    except ValueError as error:
        raise click.UsageError(str(error).replace("Source.url", "URL")) from error


def absolute(url: str) -> str:
    """
    A URL as it is; or where it leads from the chosen remote.

    @raise ValueError: it leads nowhere.
    """
    ctx = click.get_current_context(silent=True)
    base = None if ctx is None else ctx.params.get("remote")
    return url if base is None or "://" in url else _below(base, url)


def _below(base: str, url: str) -> str:
    from attrs import evolve

    from ..urls import join, parse

    place = parse(base)
    return str(join(evolve(place, target=place.target.partition("?")[0].removesuffix("/") + "/"), url))
