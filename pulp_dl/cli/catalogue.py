"""C{pulp-dl catalogue}: what is in one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from .config import configured_option, with_environment
from .log import printable
from .outcome import Failed, size_text
from .publish import catalogue_option, described, opening, refusal

__all__ = ["catalogue"]


@click.group()
def catalogue() -> None:
    """Look into a catalogue."""


@click.command("list", short_help="What is published.")
@configured_option
@catalogue_option
@click.option("--json", "as_json", is_flag=True, help="As JSON: one array of objects.")
def _list(catalogue: str, as_json: bool, **_: Any) -> None:
    """What is published: the path, how much, the policy, when, and from where."""
    from ..importers.ledger import Ledger

    try:
        with opening(catalogue) as connection:
            found = Ledger(connection).publications()
    except Failed as error:
        raise refusal(error) from error
    if as_json:
        click.echo(json.dumps([described(each) for each in found]))
        return
    for each in found:
        when = datetime.fromtimestamp(each.published, UTC).strftime("%Y-%m-%d %H:%M")
        places = ", ".join(
            place.url if place.remote is None else f"{place.remote}={place.url}" for place in each.places
        )
        text = f"{each.base}  {each.files} files, {size_text(each.size)}, {each.policy}, {when} UTC, from {places}"
        click.echo(printable(text))


catalogue.add_command(with_environment(_list))
