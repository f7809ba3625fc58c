"""
A file of settings, checked against the options that there are: a key is the long name of an option, and its value is
what the option takes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

__all__ = ["ConfigError", "File", "Layer", "Setting", "keys"]

REMOTES: Final = "remotes"
URL: Final = "url"
PATHS: Final = frozenset({"FILE", "DIR", "URL|FILE"})

_WORDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "a table",
}
_PASSWORD_IN_URL: Final = re.compile(r"([^/]*//)?[^/]*:[^/]*@")
_SECRET_FIELD: Final = re.compile("auth|cookie|key|pass|secret|token", re.IGNORECASE)


class ConfigError(click.ClickException):
    """A file of settings cannot be used.  The message names the file and the key, and repeats no secret."""

    exit_code = 2


class Setting(NamedTuple):
    """
    A value from a file.

    @ivar origin: where it stands, for people.
    """

    value: Any
    origin: str


Layer = dict[str, Setting]
"""By the name that click has for the option."""


def keys(command: click.Command) -> dict[str, click.Option]:
    """The options of a command, by the keys that they have in a file."""
    found: dict[str, click.Option] = {}
    for each in command.params:
        if isinstance(each, click.Option):
            long = [name for name in each.opts if name.startswith("--")]
            found |= {long[0].removeprefix("--"): each} if long else {}
    return found


class File:
    """
    One file, checked from end to end, also what it says to other commands.

    @ivar common: for all commands; C{tables}: for one, by its name; C{remotes}: by their names, with the URL of each
        as C{"remote"}.
    """

    def __init__(self, path: Path, commands: Mapping[str, click.Command]) -> None:
        """
        @raise FileNotFoundError: there is none.
        @raise ConfigError: it cannot be used.
        """
        self._path = path
        options = {name: keys(command) for name, command in commands.items()}
        every = {key: option for each in options.values() for key, option in each.items()}
        tables, found = {REMOTES, *commands}, _parse(path)
        top = {key: value for key, value in found.items() if key not in tables}
        self.common = self._layer("", top, every, tables)
        self.tables = {name: self._layer(f"{name}.", self._table(name, found), options[name]) for name in commands}
        remotes = self._table(REMOTES, found)
        every.pop("remote", None)
        self.remotes = {name: self._remote(f"{REMOTES}.{name}", remotes[name], every) for name in remotes}

    def _table(self, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = found.get(name, {})
        if not isinstance(value, dict):
            raise self._error(name, f"a table is needed, not {_kind(value)}")
        return value

    def _remote(self, where: str, table: Any, options: Mapping[str, click.Option]) -> Layer:
        from ..urls import InvalidURL, parse

        if not isinstance(table, dict):
            raise self._error(where, f"a table is needed, not {_kind(table)}")
        url = table.get(URL)
        if not isinstance(url, str):
            raise self._error(f"{where}.{URL}", "the URL of the remote is needed, as a string")
        try:
            parse(url)
        except InvalidURL as error:
            raise self._error(f"{where}.{URL}", str(error)) from None
        others = {key: value for key, value in table.items() if key != URL}
        layer = self._layer(f"{where}.", others, options, {URL})
        return {**layer, "remote": Setting(url, f"{self._path}: {where}.{URL}")}

    def _layer(
        self, where: str, table: Mapping[str, Any], options: Mapping[str, click.Option], others: Iterable[str] = ()
    ) -> Layer:
        layer = {}
        for key, value in table.items():
            option = options.get(key)
            if option is None:
                near = get_close_matches(key, [*options, *others], 1, 0.4)
                hint = f"did you mean {near[0]}?" if near else "--help lists those there are, as options"
                raise self._error(where + key, f"there is no such setting; {hint}")
            assert option.name is not None
            layer[option.name] = Setting(self._value(where + key, value, option), f"{self._path}: {where}{key}")
        return layer

    def _value(self, where: str, value: Any, option: click.Option) -> Any:
        if not option.multiple:
            return self._one(where, value, option)
        if not isinstance(value, list):
            raise self._error(where, f"an array is needed, not {_kind(value)}")
        return [self._one(where, each, option) for each in value]

    def _one(self, where: str, value: Any, option: click.Option) -> Any:
        kinds = _kinds(option)
        if type(value) not in kinds:
            raise self._error(where, f"{_WORDS[kinds[-1]]} is needed, not {_kind(value)}")
        try:
            option.type.convert(value, option, None)
            # A shell would have looked for "~" before, in the directory that one is in.
            if option.metavar in PATHS and value not in {"", "-"} and "://" not in value:
                return str(self._path.absolute().parent / Path(value).expanduser())
        except click.BadParameter as error:
            raise self._error(where, error.message) from None
        except RuntimeError:
            raise self._error(where, "there is no home directory of that name") from None
        return value

    def _error(self, where: str, what: str) -> ConfigError:
        return ConfigError(f"{self._path}: {where if where.isprintable() else repr(where)}: {what}")

    def warn(self) -> None:
        """Tell a person if others can read a secret in it."""
        layers = self.common, *self.tables.values(), *self.remotes.values()
        secret = next((found.origin for each in layers for name, found in each.items() if _secret(name, found)), None)
        if secret is None:
            return
        stat = self._path.stat()
        # An administrator may have a group of readers in mind.
        readers = 0o077 if stat.st_uid == os.geteuid() != 0 else 0o007
        if stat.st_mode & readers:
            click.echo(f"Warning: {secret} is a secret, and others can read that file; chmod 600 it", err=True)


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        content = path.read_bytes()
        return tomllib.loads(content.decode())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: it cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _kinds(option: click.Option) -> tuple[type, ...]:
    """What TOML may have for it; the last is the one to name."""
    if option.is_flag:
        return (bool,)
    if isinstance(option.type, type(click.INT)):
        return (int,)
    if isinstance(option.type, type(click.FLOAT)):
        return (int, float)
    if isinstance(option.type, type(click.STRING) | click.Choice | click.Path):
        return (str,)
    return (int, float, str)  # one of our own, which knows what it takes


def _kind(value: object) -> str:
    return next((words for kind, words in _WORDS.items() if isinstance(value, kind)), "a date or a time")


def _secret(name: str, found: Setting) -> bool:
    value = found.value
    match name:
        case "user" | "proxy_user":
            return ":" in value
        case "mirrors_from":
            return _PASSWORD_IN_URL.match(value.partition(":")[2]) is not None
        case "remote" | "proxy" | "mirrorlist" | "metalink":
            return _PASSWORD_IN_URL.match(value) is not None
        case "headers":
            return any(_SECRET_FIELD.search(each.partition(":")[0]) for each in value)
        case "key" | "proxy_key" | "ssh_key":
            return "-----BEGIN" in value
        case _:
            return name in {"password", "proxy_password", "passphrase", "ssh_passphrase", "oauth2_bearer"}
