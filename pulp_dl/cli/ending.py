"""How a run ends, whatever happens: words on stderr, an exit code, and the one object that C{--json} asks for."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from .codes import DISK, UNFORESEEN, USAGE
from .signals import Interrupted
from .words import explain, in_options, without_secrets

__all__ = ["Ending", "NotTaken", "ending", "json_option", "printing"]


class NotTaken(Exception):
    """
    What was printed was not taken.

    @ivar gone: nobody reads it any more; else the disk is full, or the like.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output: {error.strerror or error}")
        self.gone = error.errno == errno.EPIPE


@contextmanager
def printing() -> Iterator[None]:
    """
    What fails in this block is what is printed.

    @raise NotTaken: that.
    """
    try:
        yield
    except OSError as error:
        raise NotTaken(error) from error


class Ending:
    """
    Of one run.

    @ivar wanted: the object is asked for, as far as is known by now.
    @ivar account: what was done so far, as that object, for an exit code; None where nothing was begun.
    @ivar verbose: somebody wants to hear of everything.
    """

    def __init__(self, *, wanted: bool = False) -> None:
        self.wanted = wanted
        self.account: Callable[[int], dict[str, Any]] | None = None
        self.verbose = False
        self._given = False
        self._told: int | None = None

    def give(self, found: dict[str, Any]) -> None:
        """
        Print the object, if it is wanted and was not printed before.

        @raise NotTaken: stdout does not take it.
        """
        if self.wanted and not self._given:
            self._given = True
            with printing():
                click.echo(json.dumps(found))
            self._told = found.get("exit_code")

    def interrupted(self, interrupted: Interrupted) -> int:
        """A signal came.  Returns the exit code."""
        if self._told is not None:  # it was over by then, and it was told how
            return self._told
        if self.account is None:
            self._give(interrupted.code, left=None, parts=[])
        else:
            self._give(interrupted.code)
        return interrupted.code

    def failed(self, error: Exception) -> int:
        """Nothing (more) can be done.  Returns the exit code."""
        kind, code = type(error).__name__, UNFORESEEN
        match error:
            case click.ClickException():
                explain(error)
                _read_settings(error)
                kind, code, message = "UsageError", error.exit_code, error.format_message()
                if sys.stderr is not None:  # click would show it on stdout
                    with suppress(OSError):
                        error.show()
            case click.Abort():  # the end of the input, where a password was asked for
                code, message = USAGE, "Aborted."
                _say(message)
            case NotTaken():
                code, message = DISK, str(error)
                if not error.gone:  # who reads no more wants to read nothing of it
                    _say(f"Error: {message}")
            case OSError():
                code, message = DISK, _blamed(error)
                _say(f"Error: {message}")
            case _ if _is_known(error):
                from .outcome import code_of

                code, message = code_of(error), in_options(str(error))
                _say(f"Error: {message}")
            case _:
                message = ": ".join(filter(None, ("this was not foreseen", kind, without_secrets(str(error)))))
                if self.verbose:
                    _say("".join(traceback.format_exception(error)))
                _say(f"Error: {message}")
        self._give(code, {"path": None, "url": None, "error": kind, "message": message})
        return code

    def _give(self, code: int, *failures: dict[str, str | None], **more: object) -> None:
        counts = dict.fromkeys(("fetched", "present", "failed", "bytes", "seconds"), 0)
        nothing: dict[str, Any] = {"ok": False, "exit_code": code, **counts, **more, "failures": []}
        found = nothing if self.account is None else self.account(code)
        with suppress(NotTaken):
            self.give({**found, "failures": [*found["failures"], *failures]})


def ending() -> Ending:
    """Of the run that is under way."""
    ctx = click.get_current_context(silent=True)
    found = None if ctx is None else ctx.find_object(Ending)
    return found or Ending()


def json_option(help_: str) -> Callable[[Any], Any]:
    """C{--json}, which may also stand in the environment or in settings."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,  # an error in another option is printed so, too; but after the one that reads settings
        callback=_asked_for,
        help=help_,
    )


def _asked_for(ctx: click.Context, _option: click.Parameter, value: bool) -> bool:
    found = ctx.find_object(Ending)
    if found is not None and value:
        found.wanted = True
    return value


def _read_settings(error: click.ClickException) -> None:
    """A command line that is not understood ends before they are read, and C{--json} may stand there."""
    ctx = getattr(error, "ctx", None)
    if ctx is None or ctx.params:
        return
    with suppress(click.ClickException):
        for each in ctx.command.get_params(ctx):
            if each.name in {"config", "remote", "as_json"}:
                each.handle_parse_result(ctx, {}, [])


def _is_known(error: Exception) -> bool:
    from ..errors import DownloadError

    return isinstance(error, DownloadError)


def _blamed(error: OSError) -> str:
    try:
        os.getcwd()  # noqa: PTH109  # only whether there is one
    except OSError:
        return "the directory that this runs in is gone; change to one that is there"
    return ": ".join(str(each) for each in (error.filename, error.strerror or error) if each is not None)


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)
