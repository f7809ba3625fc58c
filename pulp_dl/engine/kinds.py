"""Which kind of mirrors has a name: found as a plugin, loaded at first use."""

from __future__ import annotations

from zope.interface import implementer

from ..interfaces import IMirrors
from ..mirrors.interfaces import IMirrorsKind
from ..model.mirrors import MirrorsSettings
from .foreign import FAULTS
from .plugins import Lazy, claims, installed

__all__ = ["MirrorsKind", "find_kind", "mirrors_of"]


@implementer(IMirrorsKind)
class MirrorsKind:
    """
    A kind of mirrors by the name of its class, which is not imported until somebody uses it: a plugin file may say
    C{bears = MirrorsKind("bears", "my_mirrors.MyMirrors")} and costs nothing at start.

    @ivar path: where the class is found.
    """

    def __init__(self, name: str, mirrors: str, extra: str | None = None) -> None:
        """
        @param name: as settings have it.
        @param mirrors: where they are found: C{"package.module.Class"}, called with L{pulp_dl.MirrorsSettings}.
        @param extra: what to install for it to be importable, as for pip, if it may not be.
        """
        self.name = name
        self.path = mirrors
        self._mirrors = Lazy(mirrors, extra)

    def __repr__(self) -> str:
        return f"MirrorsKind({self.name}: {self.path})"

    def problem(self) -> str | None:
        """Why it cannot be used, and what to do; None if it can.  Imports it."""
        try:
            self._mirrors.load(repr(self), self.name)
        except ImportError as error:
            return str(error)
        return None

    def mirrors(self, settings: MirrorsSettings) -> IMirrors:
        """
        @raise ValueError: it cannot be imported, or the settings make no sense.
        """
        try:
            make = self._mirrors.load(repr(self), self.name)
        except ImportError as error:
            raise ValueError(str(error)) from error.__cause__
        made: IMirrors = make(settings)
        return made


def find_kind(name: str) -> IMirrorsKind:
    """
    The plugin for a kind of mirrors.

    @raise ValueError: none is installed, and the message lists those that are; or several are, and it says where they
        come from.
    """
    plugins = installed().mirrors
    found = [each for each in plugins if name in each.names]
    if not found:
        there = ", ".join(sorted({name for each in plugins for name in each.names})) or "none"
        raise ValueError(f"no kind of mirrors is called {name!r}; there are: {there}")
    if len(found) > 1:
        count = "two" if len(found) == 2 else str(len(found))
        told = claims((each.plugin, each.file) for each in found)
        raise ValueError(f"{count} kinds of mirrors are called {name}; remove one of {told}")
    return found[0].plugin


def mirrors_of(kind: str, settings: MirrorsSettings) -> IMirrors:
    """
    Mirrors of a kind.

    @raise ValueError: there is no such kind, its plugin is broken, or the settings make no sense; the message has no
        word of the settings but what the kind itself says.
    """
    plugin = find_kind(kind)
    try:
        made = plugin.mirrors(settings)
    except ValueError:
        raise
    except FAULTS as error:  # somebody else's, and it may repeat a secret
        raise ValueError(f"{plugin!r} raised {type(error).__name__}; that is a fault of the plugin") from error
    if not IMirrors.providedBy(made):
        raise ValueError(f"{plugin!r} has made a {type(made).__name__}, which is no IMirrors; that is a fault of it")
    return made
