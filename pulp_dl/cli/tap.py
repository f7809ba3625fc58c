"""For twistd: the options of C{pulp-dl serve}, and the service that they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from twisted.application.service import IService, MultiService
from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from ..flow.steady import steady
from .garbage import look_less_often
from .serve import make_service, parsed

__all__ = ["Options", "makeService"]


class Options(TwistedOptions):
    """
    What C{pulp-dl serve} has, read by the same code.

    @ivar ctx: what was found.
    """

    ctx: click.Context

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        from .main import main

        root = click.Context(main, info_name="twistd")
        # Those of the group, which is not on twistd's command line, as far as the environment says them.
        main.parse_args(root, ["serve"])
        try:
            self.ctx = parsed(options or (), root)
        except click.exceptions.Exit:
            raise SystemExit(0) from None  # --help was printed
        except click.ClickException as error:
            raise UsageError(error.format_message()) from error

    def getUsage(self, width: int | None = None) -> str:
        return "pulp-dl serve --help tells the options."


class _Streamer(MultiService):
    """What cannot begin says so in a line; twistd and twist would show a traceback."""

    def privilegedStartService(self) -> None:
        with _said():
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # of Twisted

    def startService(self) -> None:
        with _said():
            super().startService()  # type: ignore[no-untyped-call]  # of Twisted


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise SystemExit(f"pulp-streamer: {error}") from error


def makeService(options: Any) -> IService:
    """What Twisted's plugin calls."""
    from twisted.internet import reactor

    steady(reactor)
    look_less_often()
    try:
        service = make_service(reactor, options.ctx)
    except click.ClickException as error:
        raise SystemExit(f"pulp-streamer: {error.format_message()}") from error
    streamer = _Streamer()  # type: ignore[no-untyped-call]  # of Twisted
    service.setServiceParent(streamer)  # type: ignore[no-untyped-call]  # of Twisted
    return streamer
