"""C{pulp-dl schemes}: which URLs can be fetched, and whose doing that is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .log import printable

if TYPE_CHECKING:
    from ..engine.plugins import Installed, Plugin

__all__ = ["schemes"]


@click.command(short_help="Which protocols are installed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: one object.")
def schemes(as_json: bool) -> None:
    """
    Which URLs can be fetched: the scheme, the class that does it, the distribution and the file that it comes from, and
    what is missing if it cannot be used.

    Protocols are plugins.  One that is broken is passed over and told of on stderr.
    """
    from ..engine.plugins import installed
    from .log import Log

    Log({"quiet": True}).listen()  # what is broken is told below, without tracebacks
    found = installed()
    rows = sorted(_rows(found), key=lambda row: (row["scheme"], row["file"]))
    broken = [{"file": each.file, "error": each.error} for each in found.broken]
    if as_json:
        click.echo(json.dumps({"schemes": rows, "broken": broken}))
        return
    width = max((len(row["scheme"]) for row in rows), default=0)
    for row in rows:
        text = f"{row['scheme']:{width}}  {row['class']}  ({row['distribution'] or 'no distribution'}: {row['file']})"
        click.echo(printable(text))
        if row["problem"]:
            click.echo(printable(f"{'':{width}}  cannot be used: {row['problem']}"))
    for each in broken:
        click.echo(printable(f"Warning: {each['file']} is broken and passed over: {each['error']}"), err=True)


def _rows(found: Installed) -> list[dict[str, Any]]:
    from ..engine.plugins import origin
    from ..engine.schemes import Scheme

    origins = {file: origin(file) for file in {plugin.file for plugin in found.plugins}}
    return [
        {
            "scheme": name,
            "class": plugin.scheme.path if isinstance(plugin.scheme, Scheme) else _name(type(plugin.scheme)),
            "distribution": origins[plugin.file],
            "file": plugin.file,
            "usable": problem is None,
            "problem": problem,
        }
        for plugin in found.plugins
        for name in plugin.names
        for problem in [_problem(found, plugin, name)]
    ]


def _problem(found: Installed, plugin: Plugin, name: str) -> str | None:
    from ..engine.schemes import find
    from ..errors import UnsupportedScheme

    if sum(name in each.names for each in found.plugins) > 1:
        try:
            find(name)
        except UnsupportedScheme as error:
            return error.message
    # Somebody else's IScheme need not know, and may be wrong.
    ask = getattr(plugin.scheme, "problem", None)
    try:
        problem = None if ask is None else ask()
    except Exception as error:
        return f"its problem() raised {type(error).__name__}: {error}"
    return None if problem is None else str(problem)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
