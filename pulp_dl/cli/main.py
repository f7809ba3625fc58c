"""
The command as a whole: its subcommands, and how it ends.

Only click is imported here, and by the subcommands' modules; the rest when there is something to download.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

import click

from .catalogue import catalogue
from .completion import complete_names_of_files, completion
from .config import config_option, with_environment
from .demo import demo
from .explain import explain as explain_command
from .garbage import look_less_often
from .get import get
from .outcome import DISK, USAGE
from .publish import publish, unpublish
from .schemes import schemes
from .serve import serve
from .signals import Interrupted, interruptible
from .sync import sync
from .version import version_option
from .words import explain

__all__ = ["main"]

_EXIT_CODES = """\b
Exit codes:
  0  all is well
  1  several files failed, for different reasons
  2  the command line or the configuration is wrong
  3  not found
  4  the network, or a limit of time
  5  TLS or SSH: the server is not to be trusted, or does not trust us
  6  credentials are missing, wrong or not enough
  7  what came is not what was expected
  8  the disk: full, not writable, or in use by another run
  130, 143  interrupted, terminated
"""


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
        def run() -> Any:
            return super(_Command, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if args is None:  # the process is ours
            look_less_often()
        words = sys.argv[1:] if args is None else args
        if not standalone_mode:
            return run()
        code = _exit_code(run, as_json="--json" in words)
        _flush()
        return sys.exit(code)


def _exit_code(run: Callable[[], Any], *, as_json: bool) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding does not have is no reason to end.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            code = run()  # what a subcommand gave to ctx.exit()
            return code if isinstance(code, int) else 0
    except click.ClickException as error:
        explain(error)
        error.show()
        if as_json:
            _print_refusal(error.format_message(), error.exit_code)
        return error.exit_code
    except click.Abort:  # the end of the input, where a password was asked for
        click.echo("Aborted.", err=True)
        return USAGE
    except Interrupted as interrupted:
        return interrupted.code
    except OSError as error:  # what is printed is not taken; a closed pipe is click's
        if error.errno is None:
            raise
        with suppress(OSError):
            click.echo(f"Error: {error.filename or 'the output'}: {error.strerror}", err=True)
        with suppress(OSError):
            sys.stdout.close()  # or it would be tried again at the end
        return DISK


def _flush() -> None:
    """What a terminal that is gone did not take is not tried again by the interpreter: it would end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                stream.close()


def _print_refusal(message: str, code: int) -> None:
    """The object on stdout, where nothing was begun."""
    counts = dict.fromkeys(("fetched", "present", "failed", "bytes", "seconds"), 0)
    failure = {"path": None, "url": None, "error": "UsageError", "message": message}
    click.echo(json.dumps({"ok": False, "exit_code": code, **counts, "failures": [failure]}))


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
