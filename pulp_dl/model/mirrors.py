"""What is said of mirrors in a command or a file of settings."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

__all__ = ["MirrorsSettings"]


@frozen
class MirrorsSettings:
    """
    What a kind of mirrors is made with.

    @ivar argument: what stands behind the name of the kind, mostly a URL; None for nothing.  It may hold a password.
    @ivar under: the beginning of the URLs that have mirrors, mostly the URL of a remote; None: scheme, host and port
        of any URL.
    @ivar variables: what C{$arch}, C{$releasever} and others stand for.
    """

    argument: str | None = field(default=None, repr=False)
    under: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(factory=dict)

    def url(self) -> str:
        """
        The argument, where it has to be there.

        @raise ValueError: it is not.
        """
        if not self.argument:
            raise ValueError("the URL of the list is needed, behind a colon")
        return self.argument
