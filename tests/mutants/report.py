"""What was found, and how the documentation shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import define, field

__all__ = ["Found", "section", "share"]


@define
class Found:
    """
    In one file.

    @ivar all: faults that it can have; C{tried}: of which so many were.
    @ivar reasons: why those that no test has noticed are none, or need not be noticed; and how many of each.
    @ivar unexplained: how many more have not been noticed.
    """

    name: str
    all: int
    tried: int
    reasons: Counter[str] = field(factory=Counter)
    unexplained: int = 0

    def survived(self, reason: str | None) -> None:
        if reason is None:
            self.unexplained += 1
        else:
            self.reasons[reason] += 1

    @property
    def noticed(self) -> int:
        return self.tried - self.reasons.total() - self.unexplained

    def row(self) -> tuple[str, ...]:
        return self.name, str(self.all), str(self.tried), str(self.noticed), f"{share(self):.0f} %"


def share(*results: Found) -> float:
    """Of the faults that were tried, those that were noticed, in percent."""
    tried = sum(each.tried for each in results)
    return 100 * sum(each.noticed for each in results) / tried if tried else 100.0


def section(area: str, results: Sequence[Found]) -> str:
    """Of a page of docs/, to be included there."""
    rows = [(area, "Faults", "Tried", "Noticed", "Share"), *(each.row() for each in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, "", *_reasons(results)])


def _reasons(results: Iterable[Found]) -> list[str]:
    all_: Counter[str] = sum((each.reasons for each in results), Counter())
    lines = [f"- {number} not noticed: {reason}" for reason, number in all_.most_common()]
    unexplained = sum(each.unexplained for each in results)
    return [*lines, *([f"- **Wrong**: {unexplained} not noticed, and nobody knows why"] * bool(unexplained)), ""]
