"""The plugins that are installed, where each comes from, and what is broken of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote, urlsplit

from attrs import frozen
from twisted.logger import Logger
from twisted.plugin import getCache
from twisted.python.modules import getModule

import twisted.plugins

from ..interfaces import IScheme
from ..mirrors.interfaces import IMirrorsKind
from .foreign import FAULTS

__all__ = ["BrokenPlugin", "Installed", "Lazy", "Plugin", "claims", "installed", "name_of", "names_of", "origin"]

log = Logger()
_NAME: Final = re.compile(r"[a-z][a-z0-9+.\-]*")
T = TypeVar("T")


class Lazy:
    """
    What a plugin is made of, by its name, so that it is not imported before somebody uses it.

    @ivar path: C{"package.module.Class"}.
    """

    def __init__(self, path: str, extra: str | None = None) -> None:
        """
        @param extra: what to install for it to be importable, as for pip, if it may not be: C{"my_gopher[tls]"}.
        """
        self.path = path
        self._extra = extra

    def load(self, what: str, names: str) -> Any:
        """
        @param what: the plugin, for people; C{names}: what is missing without it.
        @raise ImportError: it cannot be imported; the message says what to install, the cause says why.
        """
        try:
            # Not namedAny, for which a module that is missing is no ImportError.
            module, _, name = self.path.rpartition(".")
            return getattr(import_module(module), name)
        except FAULTS as error:
            if self._extra is not None and isinstance(error, ImportError):
                raise ImportError(f"{names} needs more: pip install '{self._extra}' ({error})") from error
            raise ImportError(f"{what} is installed but cannot be loaded: {_words(error)}") from error


@frozen
class Plugin(Generic[T]):
    """
    A plugin and the file that told of it.

    @ivar names: what it claims: URL schemes, or the name of a kind of mirrors.
    """

    plugin: T
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

    schemes: tuple[Plugin[IScheme], ...]
    mirrors: tuple[Plugin[IMirrorsKind], ...]
    broken: tuple[BrokenPlugin, ...]


@lru_cache(1)
def installed() -> Installed:
    """
    All of ours.  They are looked for once, where C{sys.path} led when C{twisted.plugins} was imported; what is broken
    is logged then, and passed over: somebody else's fault does not stop http.
    """
    dropins = getCache(twisted.plugins)
    files = {module.name: module.filePath.path for module in getModule("twisted.plugins").iterModules()}
    schemes: list[Plugin[IScheme]] = []
    mirrors: list[Plugin[IMirrorsKind]] = []
    broken: list[BrokenPlugin] = []
    for name, file in sorted(files.items()):
        dropin = dropins.get(name.rpartition(".")[2])
        for cached in [] if dropin is None else dropin.plugins:
            try:
                scheme, kind = IScheme(cached, None), IMirrorsKind(cached, None)
                if scheme is not None:
                    schemes.append(Plugin(scheme, names_of(scheme), file))
                if kind is not None:
                    mirrors.append(Plugin(kind, (name_of(kind),), file))
            except FAULTS as error:
                broken.append(BrokenPlugin(file, _words(error)))
        if dropin is None:
            broken.append(BrokenPlugin(file, _why(name)))
    for each in broken:
        log.error(
            "the plugins in {file} cannot be loaded and are passed over ({error}); repair or uninstall them",
            file=each.file,
            error=each.error,
        )
    return Installed(tuple(schemes), tuple(mirrors), tuple(broken))


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


def name_of(kind: IMirrorsKind) -> str:
    """
    What a kind of mirrors is called.

    @raise Exception: it is no name, or it raises something itself.
    """
    name = kind.name
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9-]*", name):
        raise ValueError(f"name: {name!r} is no name of letters in lower case, digits and hyphens")
    return name


def claims(found: Iterable[tuple[object, str]]) -> str:
    """
    Several that claim one name, and how to get rid of each.

    @param found: plugins, and their files; an empty one if they have none.
    """
    return " and ".join(sorted(_claim(*each) for each in found))


def _claim(plugin: object, file: str) -> str:
    if not file:
        return repr(plugin)
    distribution = origin(file)
    how = "delete it" if distribution is None else f"pip uninstall {distribution.partition(' ')[0]}"
    return f"{plugin!r} of {distribution or 'no distribution'} in {file} ({how})"


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
