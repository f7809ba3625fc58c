"""C{pulp-dl schemes}: which URLs can be fetched, which lists of mirrors can be read, and whose doing that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from .log import printable

if TYPE_CHECKING:
    from ..engine.plugins import Plugin

__all__ = ["schemes"]


@click.command(short_help="Which protocols and kinds of mirrors are installed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: one object.")
def schemes(as_json: bool) -> None:
    """
    Which URLs can be fetched, and which kinds of mirrors --mirrors-from knows: the name, the class that does it, the
    distribution and the file that it comes from, and what is missing if it cannot be used.

    Both are plugins.  One that is broken is passed over and told of on stderr.
    """
    from ..engine.kinds import find_kind
    from ..engine.plugins import installed
    from ..engine.schemes import find
    from .log import Log

    Log({"quiet": True}).listen()  # what is broken is told below, without tracebacks
    found = installed()
    protocols = [{"scheme": each.pop("name"), **each} for each in _rows(found.schemes, find)]
    kinds = [*_rows(found.mirrors, find_kind)]
    broken = [{"file": each.file, "error": each.error} for each in found.broken]
    if as_json:
        click.echo(json.dumps({"schemes": protocols, "mirrors": kinds, "broken": broken}))
        return
    _print(protocols, "scheme")
    if kinds:
        click.echo("\nMirrors:")
        _print(kinds, "name")
    for each in broken:
        click.echo(printable(f"Warning: {each['file']} is broken and passed over: {each['error']}"), err=True)


def _print(rows: Sequence[dict[str, Any]], key: str) -> None:
    width = max((len(row[key]) for row in rows), default=0)
    for row in rows:
        text = f"{row[key]:{width}}  {row['class']}  ({row['distribution'] or 'no distribution'}: {row['file']})"
        click.echo(printable(text))
        if row["problem"]:
            click.echo(printable(f"{'':{width}}  cannot be used: {row['problem']}"))


def _rows(plugins: Sequence[Plugin[Any]], find: Callable[[str], object]) -> Iterator[dict[str, Any]]:
    """What there is to say of each, by name."""
    from ..engine.plugins import origin

    origins = {file: origin(file) for file in {plugin.file for plugin in plugins}}
    names = [name for plugin in plugins for name in plugin.names]
    claimed = sorted(((name, each) for each in plugins for name in each.names), key=lambda one: (one[0], one[1].file))
    for name, each in claimed:
        problem = _problem(each.plugin, name, find if names.count(name) > 1 else None)
        yield {
            "name": name,
            "class": _path(each.plugin),
            "distribution": origins[each.file],
            "file": each.file,
            "usable": problem is None,
            "problem": problem,
        }


def _path(plugin: object) -> str:
    from ..engine.kinds import MirrorsKind
    from ..engine.schemes import Scheme

    kind = type(plugin)
    return plugin.path if isinstance(plugin, Scheme | MirrorsKind) else f"{kind.__module__}.{kind.__qualname__}"


def _problem(plugin: object, name: str, find: Callable[[str], object] | None) -> str | None:
    from ..errors import UnsupportedScheme

    if find is not None:
        try:
            find(name)
        except (UnsupportedScheme, ValueError) as error:
            return str(error)
    # Somebody else's plugin need not know, and may be wrong.
    ask = getattr(plugin, "problem", None)
    try:
        problem = None if ask is None else ask()
    except Exception as error:
        return f"its problem() raised {type(error).__name__}: {error}"
    return None if problem is None else str(problem)
