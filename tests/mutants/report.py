"""What was found, and how the documentation shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import define, field

__all__ = ["Found", "table"]


@define
class Found:
    """
    In one file.

    @ivar all: faults that it can have; C{tried}: of which so many were.
    @ivar reasons: why those that no test has noticed are none, or need not be noticed; and how many of each.
    @ivar unexplained: those without a reason.
    """

    name: str
    all: int
    tried: int
    reasons: Counter[str] = field(factory=Counter)
    unexplained: list[str] = field(factory=list)

    def survived(self, change: str, reason: str | None) -> None:
        if reason is None:
            self.unexplained.append(change)
        else:
            self.reasons[reason] += 1

    @property
    def noticed(self) -> int:
        return self.tried - self.reasons.total() - len(self.unexplained)

    def line(self) -> str:
        share = 100 * self.noticed / self.tried if self.tried else 100
        return f"{self.name}: {self.noticed} of {self.tried} noticed ({share:.1f} %), of {self.all} in all"


def table(area: str, results: Iterable[Found]) -> str:
    """For a page of docs/, to be included there."""
    return "\n".join(f"{area} {each.line()}" for each in results) + "\n"
