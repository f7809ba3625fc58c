"""What was measured: the raw figures of all runs, one JSON file of them, and what follows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

OWN = "pulp_dl"


class Cost(NamedTuple):
    """
    What one run took.

    @ivar wall: seconds.
    @ivar cpu: seconds of user and system time.
    @ivar memory: KiB.
    """

    wall: float
    cpu: float
    memory: float


class Unit(NamedTuple):
    """How a figure is shown: a field of L{Cost}, what a person calls it, and what it is multiplied by for that."""

    figure: str
    name: str
    factor: float = 1.0


class Target(NamedTuple):
    """
    What is to be reached.

    @ivar most: the most that is good, as a ratio to C{than}; to nobody, in the figure's unit; C{more}: how much more
        than C{than}, in that unit.  None: it can wait.
    @ivar aim: what is wanted after that.
    @ivar who: it is about.
    """

    figure: str
    most: float | None
    than: str = ""
    aim: float | None = None
    more: bool = False
    who: str = OWN


class Ratio(NamedTuple):
    """Of medians; and where the middle half of the ratios within one round lies."""

    value: float
    low: float
    high: float


class Row(NamedTuple):
    """
    One workload.

    @ivar beside: whose figures are 1 in a plot.
    @ivar plot: which figures are in it.
    @ivar costs: who, and what each round took.
    @ivar start: whose start-up, of L{Figures.starts}, is taken off.
    """

    name: str
    units: list[Unit]
    targets: list[Target]
    beside: str
    plot: list[str]
    costs: dict[str, list[Cost]]
    start: str = ""

    def unit(self, figure: str) -> Unit:
        return next(unit for unit in self.units if unit.figure == figure)


class Figures:
    """All of a run of a benchmark."""

    def __init__(self, machine: str, versions: dict[str, str], rows: list[Row]) -> None:
        """
        @param versions: of all that take part, by their names.
        """
        self.machine = machine
        self.versions = versions
        self.rows = rows
        self.starts: dict[str, dict[str, list[Cost]]] = {}  # over which scheme: who, and what it took to start

    @property
    def names(self) -> list[str]:
        return list(self.versions)

    def net(self, row: Row, who: str, figure: str) -> float | None:
        """The median in the figure's unit, without start-up; of memory the most."""
        values = self._values(row, who, figure)
        if not values:
            return None
        return _middle(figure, values) * row.unit(figure).factor

    def ratio(self, row: Row, who: str, than: str, figure: str) -> Ratio | None:
        """None too if nothing is left of one of them but start-up."""
        rounds = zip(self._values(row, who, figure), self._values(row, than, figure), strict=False)
        pairs = [(ours, theirs) for ours, theirs in rounds if ours > 0 and theirs > 0]
        if not pairs:
            return None
        each = [ours / theirs for ours, theirs in pairs]
        low, _, high = quantiles(each, method="inclusive") if len(each) > 1 else each * 3
        ours, theirs = (_middle(figure, values) for values in zip(*pairs, strict=True))
        return Ratio(ours / theirs, low, high)

    def seen(self, row: Row, target: Target) -> float | None:
        """What stands beside a target; None if who it is about did not take part."""
        own, other = (self.net(row, name, target.figure) for name in (target.who, target.than))
        if target.more:
            return None if own is None or other is None else own - other
        if target.than:
            ratio = self.ratio(row, target.who, target.than, target.figure)
            return None if ratio is None else ratio.value
        return own

    def verdicts(self) -> Iterator[tuple[Row, Target, float]]:
        for row in self.rows:
            for target in row.targets:
                seen = self.seen(row, target)
                if seen is not None:
                    yield row, target, seen

    def _values(self, row: Row, who: str, figure: str) -> list[float]:
        values: list[float] = [getattr(cost, figure) for cost in row.costs.get(who, [])]
        start = self.starts.get(row.start, {}).get(who)
        if figure == "memory" or not start:
            return values
        least = middle(start, figure)
        return [value - least for value in values]

    def save(self, path: Path | None) -> None:
        """A line for each row, so that runs can be compared; nothing if nobody wants a file."""
        if path is None:
            return
        starts = {scheme: _rounded(costs) for scheme, costs in self.starts.items()}
        facts = {"machine": self.machine, "versions": self.versions, "starts": starts}
        head = "".join(
            f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},\n" for name, value in facts.items()
        )
        rows = ",\n".join(
            json.dumps({**row._asdict(), "costs": _rounded(row.costs)}, ensure_ascii=False) for row in self.rows
        )
        path.write_text(f'{{{head}"rows": [\n{rows}\n]}}\n')

    @classmethod
    def load(cls, path: Path) -> Figures:
        facts = json.loads(path.read_text())
        found = cls(facts["machine"], facts["versions"], [_row(row) for row in facts["rows"]])
        found.starts = {scheme: _costs(costs) for scheme, costs in facts["starts"].items()}
        return found


def middle(costs: Sequence[Cost], figure: str) -> float:
    """The median of one field."""
    found: float = median(getattr(cost, figure) for cost in costs)
    return found


def _middle(figure: str, values: Sequence[float]) -> float:
    return max(values) if figure == "memory" else median(values)


def _row(facts: dict[str, Any]) -> Row:
    units, targets = ([kind(*each) for each in facts[name]] for name, kind in (("units", Unit), ("targets", Target)))
    return Row(**{**facts, "units": units, "targets": targets, "costs": _costs(facts["costs"])})


def _costs(costs: dict[str, list[list[float]]]) -> dict[str, list[Cost]]:
    return {who: [Cost(*each) for each in found] for who, found in costs.items()}


def _rounded(costs: dict[str, list[Cost]]) -> dict[str, list[list[float]]]:
    return {who: [[float(f"{each:.5g}") for each in cost] for cost in found] for who, found in costs.items()}
