"""C{pulp-dl serve}: the streamer, and what its options mean, for C{twistd} too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from .config import configured_option
from .learning import state_file, state_option
from .options import Bytes, Number, Seconds
from .remotes import Remotes
from .words import blaming

if TYPE_CHECKING:
    from ..service import Configuration, Prefix, StreamerService

__all__ = ["make_service", "parsed", "serve"]

ARGUMENTS: Final = "pulp_dl.arguments"


class _Prefix(click.ParamType[tuple[str, str]]):
    """C{/PREFIX=URL}, or the name of a remote in place of the URL."""

    name = "prefix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        path, equals, where = str(value).partition("=")
        if not path.startswith("/") or not equals or not where:
            # The URL may have a password in it.
            self.fail("what is served begins with a slash, and has a URL or a remote: /PREFIX=URL", param, ctx)
        return path, where


class _Serve(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = (*args,)
        return super().parse_args(ctx, args)


@click.command(cls=_Serve, short_help="Serve files while they are being fetched.")
@configured_option
@click.option(
    "--listen",
    multiple=True,
    metavar="ENDPOINT",
    default=["tcp:8751:interface=127.0.0.1"],
    show_default=True,
    help="Where clients come, in Twisted's words.  May be repeated.",
)
@click.option(
    "--passthrough",
    type=_Prefix(),
    multiple=True,
    metavar="/PREFIX=URL",
    help="Serve below this path what is below this URL, or remote.  May be repeated.",
)
@click.option("--catalogue", metavar="FILE", help="Serve what was published in it.")
@click.option("--store", metavar="DIR", help="Where it keeps what is on demand; '' for nowhere.  [default: FILE.store]")
@click.option(
    "--store-size",
    type=Bytes(),
    metavar="BYTES",
    help="Of what is kept there: what was not asked for the longest goes first.",
)
@click.option(
    "--keep-share",
    type=Number(0, 1),
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="When all clients have left, a file is still stored if more than this share of it has come.",
)
@click.option(
    "--window",
    type=Bytes(),
    default="8M",
    show_default=True,
    metavar="BYTES",
    help="How far a client may be behind the fastest one, and still have the same transfer.",
)
@state_option
@click.option(
    "--admin",
    metavar="ENDPOINT",
    default="tcp:8752:interface=127.0.0.1",
    show_default=True,
    help="Where /livez, /readyz, /status and /metrics are; '' for nowhere.",
)
@click.option(
    "--max-age",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="For caches: how long a file with a known digest may be kept.",
)
@click.option(
    "--grace",
    type=Number(0, 1e6),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="In the end answers have so long to end in, before they are cut.",
)
@click.option(
    "--patience",
    type=Seconds(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Cut a client that takes nothing for so long.",
)
@click.option(
    "--request-timeout",
    type=Seconds(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For the head of a request, and until the next one on the same connection.",
)
@click.option(
    "--max-head", type=Bytes(1), default=16384, show_default=True, metavar="BYTES", help="Of the head of a request."
)
@click.option(
    "--max-target", type=Bytes(1), default=8192, show_default=True, metavar="BYTES", help="Of what it asks for."
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    metavar="N",
    help="Of clients, in all.",
)
@click.option(
    "--max-per-client", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Of one client."
)
@click.option("--log-requests", is_flag=True, help="One line in the log for each request.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what went wrong.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of the log on stderr: for people, or one JSON object a line.",
)
@click.pass_context
def serve(ctx: click.Context, /, quiet: bool, log_format: str, **_: Any) -> None:
    """
    Serve files to HTTP clients while they are being fetched.

    Nothing is stored unless a catalogue says so.  A file with a known digest is checked before its end is passed on: a
    client gets it whole and right, or sees that it broke off.

    SIGTERM or Ctrl-C ends it when what runs has ended; a second one at once.  SIGHUP has it read its settings again.
    The exit code is 0 if every answer was whole, else 143 or 130.
    """  # fmt: skip
    from twisted.internet import reactor as installed

    from ..flow.steady import steady

    reactor: Any = installed
    steady(reactor)
    service = make_service(reactor, ctx, (lambda _: None) if quiet else _say)
    _begin_log(quiet=quiet, log_format=log_format)
    try:
        service.privilegedStartService()
        service.startService()
    except Exception as error:
        raise click.ClickException(str(error)) from error
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    ctx.exit(0 if service.signal is None else 128 + service.signal)


def _say(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed is no reason to end differently
        click.echo(text)


def parsed(args: Sequence[str], parent: click.Context | None) -> click.Context:
    """
    The options, with all that files and the environment say.

    @raise click.ClickException: something of it makes no sense.
    """
    return serve.make_context("serve", [*args], parent=parent)


def make_service(reactor: Any, ctx: click.Context, say: Callable[[str], object] | None = None) -> StreamerService:
    """
    What the options of a context mean.  Its files are read again when the service is told to.

    @raise click.ClickException: something of it makes no sense.
    """
    from ..service import StreamerService

    args, parent = ctx.meta[ARGUMENTS], ctx.parent
    with ctx.scope(cleanup=False), blaming("listen"):
        return StreamerService(reactor, lambda: _configuration(parsed(args, parent)), say)


def _configuration(ctx: click.Context) -> Configuration:
    from ..service import Configuration
    from ..streamer import Answers
    from ..streamer.entrance import ConnectionLimits

    options = ctx.params
    catalogue, store = options["catalogue"], options["store"]
    with ctx.scope():
        remotes = Remotes(ctx)
        for name, error in remotes.wrong.items():
            click.echo(f"Warning: the remote {name!r} cannot be used: {error.format_message()}", err=True)
        return Configuration(
            listen=tuple(options["listen"]),
            admin=(options["admin"],) if options["admin"] else (),
            passthrough=tuple(_prefix(path, where, remotes) for path, where in options["passthrough"]),
            catalogue=catalogue,
            store=(f"{catalogue}.store" if store is None else store or None) if catalogue else None,
            store_size=options["store_size"],
            keep_share=options["keep_share"],
            window=options["window"],
            remotes=remotes,
            anonymous=remotes.anonymous,
            mirrors=remotes.mirrors,
            mirror_state=state_file(options["mirror_state"]),
            answers=Answers(
                max_age=options["max_age"],
                patience=options["patience"],
                idle=options["request_timeout"],
                max_head=options["max_head"],
                max_target=options["max_target"],
            ),
            connections=ConnectionLimits(total=options["max_connections"], per_client=options["max_per_client"]),
            grace=options["grace"],
            log_requests=options["log_requests"],
        )


def _prefix(path: str, where: str, remotes: Remotes) -> Prefix:
    from ..service import Prefix

    remote, name = remotes.anonymous, None
    if "://" not in where:
        if where in remotes.wrong:
            raise remotes.wrong[where]
        if where not in remotes:
            there = ", ".join(sorted(remotes)) or "none"
            raise click.UsageError(f"--passthrough: no remote is called {where!r}; the settings name {there}")
        remote, name = remotes[where], where
        where = remote.url or ""
    with blaming("passthrough"):
        return Prefix(path, where, remote, remotes.mirrors.get(name))


def _begin_log(*, quiet: bool, log_format: str) -> None:
    """On stderr; a service that is not heard by a log is heard by systemd."""
    from twisted.logger import (
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
        jsonFileLogObserver,
        textFileLogObserver,
    )

    observer: Any = jsonFileLogObserver(sys.stderr, "") if log_format == "json" else textFileLogObserver(sys.stderr)
    wanted = LogLevelFilterPredicate(LogLevel.warn if quiet else LogLevel.debug)
    # Ports say by themselves that they are open, and by the name of a class, whatever their factory's C{noisy} is.
    wanted.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [wanted])], redirectStandardIO=False)
