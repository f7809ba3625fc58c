"""A limit that may be changed while it holds."""

from __future__ import annotations

from .numbers import is_number

__all__ = ["Rate", "check_rate"]

MOST = 1e18


class Rate:
    """
    So much a second, until it is changed: C{rate.per_second = 500_000}, at any time and from any thread.  What runs
    keeps to it within a second.

    Wherever the same Rate is given, it is one budget: all the Remotes of a Downloader that have it share it.  Each
    Downloader has a budget of its own.
    """

    __slots__ = ("_per_second",)

    def __init__(self, per_second: float | None = None) -> None:
        """
        @param per_second: None for no limit, until there is one.
        """
        self.per_second = per_second

    @property
    def per_second(self) -> float | None:
        return self._per_second

    @per_second.setter
    def per_second(self, value: float | None) -> None:
        check_rate("Rate.per_second", value)
        self._per_second = value

    def __repr__(self) -> str:
        return f"Rate({self._per_second!r})"


def check_rate(name: str, value: object) -> None:
    """
    @raise ValueError: this is neither None nor a number that something can be limited to; the message says C{name}.
    """
    if value is None:
        return
    if not is_number(value) or not 0 < value < MOST:
        raise ValueError(f"{name}: {value!r} is no positive number; give one, or None for no limit")
