"""
The command as a whole: its subcommands, and how it ends.

Only click is imported here, and by the subcommands' modules; the rest when there is something to download.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, Final

import click

from .catalogue import catalogue
from .completion import complete_names_of_files, completion
from .config import config_option, with_environment
from .demo import demo
from .ending import Ending, NotTaken
from .explain import explain as explain_command
from .garbage import look_less_often
from .get import get
from .publish import publish, unpublish
from .schemes import schemes
from .serve import serve
from .signals import Interrupted, interruptible, over
from .sync import sync
from .version import version_option

__all__ = ["main"]

_EXIT_CODES = """\b
Exit codes:
  0  all is well
  1  several files failed, for different reasons; or this was not foreseen
  2  the command line or the configuration is wrong
  3  not found
  4  the network, or a limit of time
  5  TLS or SSH: the server is not to be trusted, or does not trust us
  6  credentials are missing, wrong or not enough
  7  what came is not what was expected
  8  the disk: full, not writable, in use by another run; or a closed output
  130, 143  interrupted, terminated
"""


VARIABLE: Final = "PULP_DL_JSON"


class _Command(click.Group):
    """A group that ends with our exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        words = sys.argv[1:] if args is None else args
        ending = Ending(wanted="--json" in words or _wanted_by_variable())

        def run() -> Any:
            return super(_Command, self).main(args, prog_name, complete_var, standalone_mode=False, obj=ending, **extra)

        if args is None:  # the process is ours
            look_less_often()
        if not standalone_mode:
            return run()
        code = _exit_code(run, ending)
        if args is None:
            over(code)
        _flush()
        return sys.exit(code)

    # click itself would end with 1 where nobody reads any more, and tell nobody else.

    def make_context(self, *args: Any, **named: Any) -> click.Context:
        with _read():
            return super().make_context(*args, **named)

    def invoke(self, ctx: click.Context) -> Any:
        with _read():
            return super().invoke(ctx)


@contextmanager
def _read() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise NotTaken(error) from error


def _exit_code(run: Callable[[], Any], ending: Ending) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding does not have is no reason to end.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            with interruptible():
                code = run()  # what a subcommand gave to ctx.exit()
                return code if isinstance(code, int) else 0
        except Exception as error:
            return ending.failed(error)
    except Interrupted as interrupted:
        return ending.interrupted(interrupted)


def _wanted_by_variable() -> bool:
    with suppress(click.BadParameter):
        return bool(click.BOOL.convert(os.environ.get(VARIABLE) or False, None, None))
    return False


def _flush() -> None:
    """What a terminal that is gone did not take is not tried again by the interpreter: it would end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                stream.close()


@click.group(cls=_Command, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
@config_option
def main(**_: Any) -> None:
    """
    Bring files from anywhere, whole and proven, or not at all.

    Options may also stand in files (see --config) and in the environment: PULP_DL_MAX_TIME is --max-time.
    """


for configurable in (get, sync, explain_command, serve, publish, unpublish):
    main.add_command(with_environment(configurable))
main.add_command(catalogue)
main.add_command(demo)
main.add_command(schemes)
main.add_command(completion)
complete_names_of_files(main)
