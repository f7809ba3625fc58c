"""Why a connection cannot be used: known once, and told to everybody who wanted it, each with their own URL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import AuthFailed, DownloadError

__all__ = ["Broken", "no_login"]


class Broken(Exception):
    """
    A connection ended, or never was.

    An error of a download gets its attempts later, so what several downloads fail with may not be one object.

    @ivar kind: what makes the error.
    """

    def __init__(self, kind: Callable[..., DownloadError], *facts: Any) -> None:
        """
        @param kind: makes the error, from these C{facts} and the URL.
        """
        super().__init__(*facts)
        self.kind = kind
        self._facts = facts

    def told(self, url: str) -> DownloadError:
        """The error of whoever wanted this URL."""
        return self.kind(*self._facts, url=url)


def no_login(why: str) -> Broken:
    """The server does not let us in."""
    return Broken(partial(AuthFailed, 401, words=why))
