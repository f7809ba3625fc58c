"""What is said of mirrors in a command or a file of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

__all__ = ["MirrorsSettings", "country_code"]


def country_code(country: str | None) -> str | None:
    """
    A code of ISO 3166-1 in lower case; None for None.

    @raise ValueError: it is none.
    """
    if country is not None and re.fullmatch("[A-Za-z]{2}", country) is None:
        raise ValueError(f"{country!r} is no country; give its two letters of ISO 3166-1, such as de")
    return None if country is None else country.lower()


@frozen
class MirrorsSettings:
    """
    What a kind of mirrors is made with.

    @ivar argument: what stands behind the name of the kind, mostly a URL; None for nothing.  It may hold a password.
    @ivar under: the beginning of the URLs that have mirrors, mostly the URL of a remote; None: scheme, host and port
        of any URL.
    @ivar variables: what C{$arch}, C{$releasever} and others stand for.
    @ivar country: the one we are in, a code of ISO 3166-1 (in lower case, however it was given), or None.  It is a
        hint: places there may come first, and others come after them.
    """

    argument: str | None = field(default=None, repr=False)
    under: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(factory=dict)
    country: str | None = field(default=None, converter=country_code)

    def url(self) -> str:
        """
        The argument, where it has to be there.

        @raise ValueError: it is not.
        """
        if not self.argument:
            raise ValueError("the URL of the list is needed, behind a colon")
        return self.argument
