"""Clocks that are as strict as a reactor is."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

__all__ = ["Strict"]


class Strict(Clock):
    """Refuses times that have passed, as reactors do and Twisted's clock does not."""

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:  # noqa: A002  # its name
        assert delay >= 0, f"{delay} seconds from now"
        return super().callLater(delay, callable, *args, **kw)
