"""The protocols that are installed, where each comes from, and what is broken of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from attrs import frozen
from twisted.logger import Logger
from twisted.plugin import getCache
from twisted.python.modules import getModule

import twisted.plugins

from ..interfaces import IScheme

__all__ = ["BrokenPlugin", "Installed", "Plugin", "installed", "names_of", "origin"]

log = Logger()
_NAME: Final = re.compile(r"[a-z][a-z0-9+.\-]*")


@frozen
class Plugin:
    """
    A protocol and the file that told of it.

    @ivar names: the URL schemes that it claims.
    """

    scheme: IScheme
    names: tuple[str, ...]
    file: str


@frozen
class BrokenPlugin:
    """A file of plugins, or one of its plugins, that cannot be used, and why."""

    file: str
    error: str


@frozen
class Installed:
    """What C{twisted.plugin} finds."""

    plugins: tuple[Plugin, ...]
    broken: tuple[BrokenPlugin, ...]


@lru_cache(1)
def installed() -> Installed:
    """
    All protocols.  They are looked for once, where C{sys.path} led when C{twisted.plugins} was imported; what is broken
    is logged then, and passed over: somebody else's fault does not stop http.
    """
    dropins = getCache(twisted.plugins)
    files = {module.name: module.filePath.path for module in getModule("twisted.plugins").iterModules()}
    plugins: list[Plugin] = []
    broken: list[BrokenPlugin] = []
    for name, file in sorted(files.items()):
        dropin = dropins.get(name.rpartition(".")[2])
        for cached in [] if dropin is None else dropin.plugins:
            try:
                scheme = IScheme(cached, None)
                if scheme is not None:
                    plugins.append(Plugin(scheme, names_of(scheme), file))
            except Exception as error:
                broken.append(BrokenPlugin(file, _words(error)))
        if dropin is None:
            broken.append(BrokenPlugin(file, _why(name)))
    for each in broken:
        log.error(
            "the plugins in {file} cannot be loaded and are passed over ({error}); repair or uninstall them",
            file=each.file,
            error=each.error,
        )
    return Installed(tuple(plugins), tuple(broken))


def names_of(scheme: IScheme) -> tuple[str, ...]:
    """
    The URL schemes that it claims, each once.

    @raise Exception: they are none, or it raises something itself.
    """
    names = scheme.names
    if isinstance(names, str):
        raise TypeError(f"names has to be a tuple of str, not the str {names!r}")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"names: {name!r} is no URL scheme in lower case")
    return tuple(dict.fromkeys(names))


def _why(module: str) -> str:
    """What importing one raises: Twisted logs that, but does not return it."""
    try:
        getModule(module).load()
    except BaseException as error:  # whatever it does when it is imported
        return _words(error)
    return "it failed once, and would not now"


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def origin(file: str) -> str | None:
    """
    The distribution that a file was installed by, and its version, C{"pulp_dl 1.0"}; None if it is of none.

    Reads what is known of every distribution.
    """
    path = Path(file).resolve()
    for each in distributions():
        if path in _files(each, path.name) or any(path.is_relative_to(root) for root in _checkout(each)):
            return f"{each.name} {each.version}"
    return None


def _files(distribution: Distribution, name: str) -> Iterator[Path]:
    for each in distribution.files or ():
        if each.name == name:
            yield Path(str(distribution.locate_file(each))).resolve()


def _checkout(distribution: Distribution) -> Iterator[Path]:
    """Where an editable one lives (PEP 610)."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return
    try:
        said: Any = json.loads(text)
    except ValueError:
        return
    if isinstance(said, dict) and said.get("dir_info", {}).get("editable"):
        yield Path(unquote(urlsplit(said.get("url", "")).path)).resolve()
