"""Mirrors in an order that learns, and where what it has learnt is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from ..engine.learnt import Learnt
    from ..interfaces import IMirrors

__all__ = ["learning", "learnt_of", "state_file", "state_option"]

NAME: Final = "mirrors.json"

state_option = click.option(
    "--mirror-state",
    metavar="FILE",
    help="Where is kept what was learnt of mirrors; '' for nowhere.  [default: pulp-dl/mirrors.json in ~/.local/state]",
)


def state_file(given: str | None) -> str | None:
    """
    Where what was learnt is kept, if anywhere.

    @param given: what the option says.
    """
    if given is not None:
        return given or None
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd's, for a service
    if service:
        return str(Path(service, NAME))
    try:
        home = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    except RuntimeError:  # a user without a home
        return None
    return str(home / "pulp-dl" / NAME) if home.is_absolute() else None


def learnt_of(options: dict[str, Any], warn: Callable[[str], object]) -> Learnt:
    """What was learnt so far.  C{warn} is told why it is of no use, if it is not."""
    from ..engine.learnt import KeepingError, Learnt

    learnt = Learnt(state_file(options["mirror_state"]), warn)
    try:
        learnt.load()
    except KeepingError as error:
        warn(str(error))
    return learnt


@contextmanager
def learning(
    options: dict[str, Any], name: str, mirrors: IMirrors, warn: Callable[[str], object]
) -> Iterator[IMirrors]:
    """
    The same mirrors in an order that learns, and begins with what was learnt before; behind them, what answers tell of.
    However the block ends, what was learnt in it is kept.

    @param name: of these mirrors, for the next time.
    """
    from ..engine.learnt import KeepingError
    from ..mirrors.links import Duplicates

    told: set[str] = set()

    def warn_once(text: str) -> None:
        if text not in told:
            told.add(text)
            warn(text)

    learnt = learnt_of(options, warn_once)
    scores = learnt.scores(name, mirrors)
    try:
        yield Duplicates(scores, country=options["country"])
    finally:
        try:
            learnt.save()
        except KeepingError as error:
            warn_once(str(error))
