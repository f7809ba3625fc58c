"""The remotes that a file of settings names, for a service: nobody is there who could be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import click

from .config import ORIGINS, remotes
from .credentials import UNATTENDED
from .options import make_remote, remote_options
from .places import listed_mirrors
from .settings import ConfigError, Layer

if TYPE_CHECKING:
    from ..interfaces import IMirrors
    from ..model.remote import Remote

__all__ = ["Remotes"]

CONNECTIONS: Final = 100
"""Of one remote, if its settings do not say: a client that reads slowly holds one."""


@click.command()
@remote_options
def _options() -> None:
    """What a table of a remote may say."""


_options.params = [each for each in _options.params if each.name != "remote"]


class Remotes(Mapping[str, "Remote"]):
    """
    By name.  All files are read when it is made, certificates and passwords too.  A remote that cannot be used is not
    there, so that it is in the way of nobody who does not need it.

    @ivar wrong: what is wrong with those, by name.
    @ivar anonymous: for a URL that belongs to none of them.
    @ivar mirrors: where else the files of those are that have mirrors, by name; None for C{anonymous}.
    """

    def __init__(self, ctx: click.Context) -> None:
        """
        @param ctx: of the command whose files of settings they are in.
        @raise ConfigError: a file cannot be used, or what it says to all commands.
        """
        common, named = remotes(ctx)
        base = {name: setting.value for name, setting in common.items()}
        self.mirrors: dict[str | None, IMirrors] = {}
        self.anonymous = self._make(None, base, common)
        self._found: dict[str, Remote] = {}
        self.wrong: dict[str, ConfigError] = {}
        for name, layer in named.items():
            try:
                self._found[name] = self._make(
                    name, {**base, **{key: each.value for key, each in layer.items()}}, common | layer
                )
            except ConfigError as error:
                self.wrong[name] = error

    def __getitem__(self, name: str) -> Remote:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _make(self, name: str | None, values: dict[str, object], layer: Layer) -> Remote:
        url = values.get("remote")
        # Without a parent: what it says of itself is not what the command says.
        ctx = click.Context(_options, default_map={"concurrency": CONNECTIONS, **values})
        ctx.meta[UNATTENDED] = True
        ctx.meta[ORIGINS] = {name: each.origin for name, each in layer.items()}
        try:
            with ctx:
                _options.parse_args(ctx, [])
                options = {**ctx.params, "remote": url}
                listed = listed_mirrors(options)
                if listed is not None:
                    self.mirrors[name] = listed.mirrors
                return make_remote(options)
        except click.ClickException as error:
            raise ConfigError(error.format_message()) from error
