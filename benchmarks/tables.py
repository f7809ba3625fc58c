"""Figures as tables, for a terminal (Markdown) and for the documentation (reStructuredText)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from figures import OWN, Figures, Row, Target, middle

NOTHING = "\\"  # an empty cell, where one may not be empty


class Table(NamedTuple):
    """Lines of cells; the first of each says what the line is about."""

    head: list[str]
    lines: list[list[str]]


def tables(figures: Figures) -> Iterator[Table]:
    """All that is to be said: what was measured, what it takes to start, the targets."""
    groups = groupby(figures.rows, key=lambda row: row.name.partition(", ")[0])
    for name, found in ((name, list(rows)) for name, rows in groups):
        if len(found) == 1:
            (row,) = found
            units = [unit for unit in row.units if _told(figures, unit.figure)]
            yield Table(
                [row.name, *(unit.name for unit in units)], _lines(figures, [(row, unit.figure) for unit in units])
            )
            continue
        for unit in found[0].units:
            if _told(figures, unit.figure):
                head = [f"{name}: {unit.name}", *(row.name.partition(", ")[2] for row in found)]
                yield Table(head, _lines(figures, [(row, unit.figure) for row in found]))
    if figures.starts:
        columns = [f"{scheme}: {unit}" if scheme else unit for scheme in figures.starts for unit in ("CPU s", "wall s")]
        yield Table(["start-up", *columns, "peak RSS MiB of all"], list(_starts(figures)))
    lines = [_verdict(row, target, seen) for row, target, seen in figures.verdicts()]
    if lines:
        yield Table(["target", "seen", "at most", "then", ""], lines)


def _told(figures: Figures, figure: str) -> bool:
    """Where there is a table of start-up, it tells of memory, once for all workloads."""
    return figure != "memory" or not figures.starts


def _lines(figures: Figures, columns: list[tuple[Row, str]]) -> list[list[str]]:
    return [[name, *(_cell(figures, row, name, figure) for row, figure in columns)] for name in figures.names]


def _cell(figures: Figures, row: Row, who: str, figure: str) -> str:
    """The figure, and in brackets our ratio to it."""
    net, ratio = figures.net(row, who, figure), figures.ratio(row, OWN, who, figure)
    if net is None:
        return "–"
    return number(net) if who == OWN or ratio is None else f"{number(net)} ({ratio.value:.2f})"


def _starts(figures: Figures) -> Iterator[list[str]]:
    for name in figures.names:
        most = max((cost.memory for row in figures.rows for cost in row.costs.get(name, [])), default=0)
        found = (costs.get(name) for costs in figures.starts.values())
        times = [number(middle(costs, figure)) if costs else "–" for costs in found for figure in ("cpu", "wall")]
        yield [name, *times, f"{most / 1024:.0f}"]


def _verdict(row: Row, target: Target, seen: float) -> list[str]:
    what = row.unit(target.figure).name
    if target.more:
        what = f"{what} more than {target.than}"
    elif target.than:
        what = f"{what.split()[0]} of {target.than}'s"
    limits = ("" if limit is None else f"{limit:g}" for limit in (target.most, target.aim))
    who = "" if target.who == OWN else f"{target.who}, "
    return [f"{row.name}: {who}{what}", number(seen), *limits, _word(target, seen)]


def _word(target: Target, seen: float) -> str:
    if target.aim is not None and seen <= target.aim:
        return "both met" if target.most else "met"
    if target.most is None:
        return "not yet"
    return "met" if seen <= target.most else "missed"


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def caption(figures: Figures) -> str:
    """On what, how often, and who."""
    who = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    return "; ".join(part for part in (figures.machine, _rounds(figures), who) if part)


def _rounds(figures: Figures) -> str:
    """C{7 rounds, 3 of "100 clients stall"}: so many of all but these."""
    counts: dict[int, dict[str, None]] = {}
    for row in figures.rows:
        counts.setdefault(max(map(len, row.costs.values()), default=0), {})[row.name.partition(", ")[0]] = None
    usual = max(counts, default=0)
    others = "".join(f", {count} of {', '.join(map(repr, names))}" for count, names in counts.items() if count != usual)
    return f"{usual} round{'s'[: usual != 1]}{others}" if counts else ""


def markdown(caption: str, tables: Iterable[Table]) -> str:
    lines = [caption]
    for table in tables:
        lines += ["", *(f"| {' | '.join(cells)} |" for cells in (table.head, ["---"] * len(table.head), *table.lines))]
    return "\n".join(lines)


def rst(caption: str, tables: Iterable[Table]) -> str:
    """Simple tables; a page includes them."""
    lines = [f"{caption}."]
    for head, rest in tables:
        widths = [max(1, *(len(cells[at]) for cells in (head, *rest))) for at in range(len(head))]
        rule = "  ".join("=" * width for width in widths)
        shown = [
            "  ".join(f"{cell or NOTHING:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in (head, *rest)
        ]
        lines += ["", rule, shown[0], rule, *shown[1:], rule]
    return "\n".join(lines) + "\n"
