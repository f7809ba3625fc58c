"""
Settings from files and from the environment, below what the command line says.

The layers are click's own: C{default_map} for the files, C{envvar} for the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from .settings import ConfigError, File, Layer, keys

__all__ = ["config_option", "read", "remote_option", "spelled", "with_environment"]

SYSTEM: Final = Path("/etc/pulp_dl.toml")
PREFIX: Final = "PULP_DL_"

_ORIGINS: Final = "pulp_dl.origins"


def read(paths: Iterable[Path], ctx: click.Context, remote: str | None = None, *, needed: bool = False) -> Layer:
    """
    What files say to a command: later ones count for more, and a remote for most.

    @param remote: the name of a remote; None for the one that the files choose, if they do.  C{"remote"} of the result
        is its URL.
    @param needed: every file has to be there.
    @raise ConfigError: a file cannot be used, or knows no such remote.
    """
    files = _files(paths, ctx, needed=needed)
    found: Layer = {}
    for file in files:
        file.warn()
        found |= {**file.common, **file.tables.get(ctx.info_name or "", {})}
    # A name means one table, never what two files say: a password of one might go to the host of the other.
    remotes = {name: layer for file in files for name, layer in file.remotes.items()}
    chosen = found.pop("remote", None)
    name, origin = remote, spelled("remote", ctx)
    if name is None and chosen is not None:
        name, origin = chosen
    if name is None:
        return found
    if name not in remotes:
        there = ", ".join(sorted(remotes)) or "none"
        raise ConfigError(f"{origin}: no remote is called {name!r}; the settings name {there}")
    return found | remotes[name]


def _files(paths: Iterable[Path], ctx: click.Context, *, needed: bool) -> list[File]:
    files = []
    for path in paths:
        try:
            files.append(File(path, _commands(ctx)))
        except (FileNotFoundError, NotADirectoryError):
            if needed:
                raise ConfigError(f"{path}: there is no such file of settings; check --config") from None
    return files


def _paths(ctx: click.Context) -> tuple[list[Path], bool]:
    """Where settings are, and whether they have to be there."""
    file = ctx.find_root().params.get("config")
    return ([SYSTEM, *_of_user()], False) if file is None else ([Path(file)], True)


def _complete(ctx: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """The names of remotes that begin so, for a shell."""
    try:
        files = _files(_paths(ctx)[0], ctx, needed=False)
    except ConfigError:
        return []
    return sorted({name for file in files for name in file.remotes if name.startswith(begun)})


def _choose(ctx: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Comes before the other options, so that they find what the files say about them."""
    if ctx.resilient_parsing:
        return name
    paths, needed = _paths(ctx)
    settings = read(paths, ctx, name, needed=needed)
    url = settings.pop("remote", None)
    ctx.default_map = {name: each.value for name, each in settings.items()}
    ctx.meta[_ORIGINS] = {name: each.origin for name, each in settings.items()}
    return None if url is None else url.value


config_option = click.option(
    "--config", metavar="FILE", envvar=PREFIX + "CONFIG",
    help="Settings, in place of /etc/pulp_dl.toml and ~/.config/pulp-dl/config.toml.",
)  # fmt: skip

remote_option = click.option(
    "--remote", metavar="NAME", is_eager=True, callback=_choose, shell_complete=_complete,
    help="What the settings call [remotes.NAME]; URLs may be relative to its own.",
)  # fmt: skip


def with_environment(command: click.Command) -> click.Command:
    """Gives each option its variable, C{PULP_DL_MAX_TIME} to C{--max-time}: the same for all commands."""
    for key, option in keys(command).items():
        option.envvar = option.envvar or _variable(key)
    return command


def spelled(name: str, ctx: click.Context | None = None) -> str:
    """An option as it was given: on the command line, in the environment, or in a file."""
    ctx = ctx or click.get_current_context(silent=True)
    key = name.replace("_", "-")
    if ctx is None:
        return f"--{key}"
    key = next((key for key, option in keys(ctx.command).items() if option.name == name), key)
    match ctx.get_parameter_source(name):
        case ParameterSource.ENVIRONMENT:
            return _variable(key)
        case ParameterSource.DEFAULT_MAP if name in ctx.meta.get(_ORIGINS, {}):
            origin: str = ctx.meta[_ORIGINS][name]
            return origin
        case _:
            return f"--{key}"


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace("-", "_")


def _commands(ctx: click.Context) -> dict[str, click.Command]:
    """Those that have settings."""
    group = ctx.find_root().command
    known = group.commands if isinstance(group, click.Group) else {ctx.info_name or "": ctx.command}
    return {name: each for name, each in known.items() if "remote" in keys(each)}


def _of_user() -> list[Path]:
    try:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    except RuntimeError:  # a user without a home
        return []
    return [home / "pulp-dl" / "config.toml"]
