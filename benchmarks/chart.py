"""Figures as bars (SVG), which read on a light page and on a dark one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from figures import OWN, Figures, Row
from tables import number

WIDTH, NAMES, ROOM, ABREAST = 760, 124, 58, 4
"""Of all, of the names at the left, of the numbers right of the bars; and how many panels stand beside each other."""
PANEL = (WIDTH - NAMES - 16) / ABREAST
BAR, PITCH, HEAD, FOOT = 10, 17, 60, 22
LARGEST = 2.5
"""How many times what is wanted a bar may be long; a longer one is broken."""

STYLE = """
text { font: 11px system-ui, sans-serif; fill: #24292f }
.card { fill: #ffffff; stroke: #d0d7de }
.title { font-weight: 600; font-size: 12px }
.soft { fill: #57606a; font-size: 10px }
.theirs { fill: #b6c2cf }
.ours { fill: #0969da }
.kin { fill: #80b7ee }
text.ours, text.kin { fill: #0969da }
text.ours { font-weight: 600; font-size: 10.5px }
.axis { stroke: #d0d7de }
.spread { stroke: #24292f; stroke-opacity: .7 }
.most { stroke: #cf222e; stroke-width: 1.5 }
.aim { stroke: #cf222e; stroke-dasharray: 3 2 }
.break { stroke: #ffffff; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .card { fill: #161b22; stroke: #30363d }
  .soft { fill: #9da7b3 }
  .theirs { fill: #4b5663 }
  .ours, text.ours, text.kin { fill: #58a6ff }
  .kin { fill: #2f5f97 }
  .axis { stroke: #30363d }
  .spread { stroke: #e6edf3 }
  .most, .aim { stroke: #ff7b72 }
  .break { stroke: #161b22 }
}
"""


class Bar(NamedTuple):
    name: str
    value: float
    low: float
    high: float


class Panel(NamedTuple):
    """One figure of one workload: its bars, and where its targets stand."""

    title: list[str]
    bars: list[Bar]
    most: float | None
    aim: float | None
    top: float


def panels(figures: Figures) -> Iterator[Panel]:
    for row in figures.rows:
        for figure in row.plot:
            bars = [bar for name in figures.names if (bar := _bar(figures, row, name, figure)) is not None]
            most, aim = _targets(figures, row, figure)
            unit = row.unit(figure).name
            what = f"{unit.split()[0]}, {row.beside} = 1" if row.beside else unit
            first, _, rest = row.name.partition(", ")
            reach = LARGEST * (1 if row.beside else most or 1)
            longest = max((bar.value for bar in bars), default=1)
            top = reach if row.beside else max(min(longest, reach), 1.3 * (most or 0))
            yield Panel([first, rest, what], bars, most, aim, top)


def _bar(figures: Figures, row: Row, name: str, figure: str) -> Bar | None:
    if row.beside:
        ratio = figures.ratio(row, name, row.beside, figure)
        return None if ratio is None else Bar(name, *ratio)
    net = figures.net(row, name, figure)
    return None if net is None else Bar(name, net, net, net)


def _targets(figures: Figures, row: Row, figure: str) -> tuple[float | None, float | None]:
    for target in row.targets:
        ours = (target.figure, target.who) == (figure, OWN) and (target.than == row.beside or target.more)
        if ours and target.most is not None:
            more = (figures.net(row, target.than, figure) or 0) if target.more else 0
            return target.most + more, target.aim
    return None, None


def chart(figures: Figures, title: str) -> str:
    shown = list(panels(figures))
    rows = [shown[at : at + ABREAST] for at in range(0, len(shown), ABREAST)]
    depth = HEAD + PITCH * len(figures.names) + FOOT
    height = depth * len(rows) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    for at_row, row in enumerate(rows):
        y = depth * at_row + HEAD
        for at, name in enumerate(figures.names):
            lines.append(_text(NAMES - 6, y + PITCH * at + 9, name, _kind(name, ""), "end"))
        for at, panel in enumerate(row):
            lines += _panel(panel, figures.names, NAMES + PANEL * at, y)
    lines += _legend(height - 18)
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, names: list[str], x: float, y: float) -> Iterator[str]:
    for at, (line, kind) in enumerate(zip(panel.title, ("title", "", "soft"), strict=True)):
        yield _text(x, y - 38 + 14 * at, line, kind)
    scale = (PANEL - ROOM) / panel.top
    bottom = y + PITCH * len(names) - 3
    yield _line(x, y - 3, x, bottom, "axis")
    for bar in panel.bars:
        top = y + PITCH * names.index(bar.name)
        length = max(min(bar.value, panel.top), 0) * scale
        kind = _kind(bar.name, "theirs")
        yield f'<rect class="{kind}" x="{x:.1f}" y="{top:.1f}" width="{length:.1f}" height="{BAR}" rx="1.5"/>'
        if bar.value > panel.top:
            yield _line(x + length - 9, top + BAR + 2, x + length - 5, top - 2, "break")
        elif bar.high > bar.low:
            middle = top + BAR / 2
            yield _line(x + bar.low * scale, middle, x + min(bar.high, panel.top) * scale, middle, "spread")
        yield _text(x + PANEL - 14, top + 9, number(bar.value), _kind(bar.name, "soft"), "end")
    if panel.most is not None:
        yield _line(x + panel.most * scale, y - 3, x + panel.most * scale, bottom, "most")
        then = "" if panel.aim is None else f", then {panel.aim:g}"
        if panel.aim is not None:
            yield _line(x + panel.aim * scale, y - 3, x + panel.aim * scale, bottom, "aim")
        yield _text(x, bottom + 13, f"at most {number(panel.most)}{then}", "soft")


def _kind(name: str, other: str) -> str:
    """Of us, of us in another way, or of somebody else."""
    return "ours" if name == OWN else "kin" if name.startswith(OWN) else other


def _legend(y: float) -> Iterator[str]:
    yield f'<rect class="ours" x="{NAMES}" y="{y - 9}" width="18" height="{BAR}" rx="1.5"/>'
    yield _text(NAMES + 24, y, "with every promise on", "soft")
    yield _line(NAMES + 150, y - 10, NAMES + 150, y + 2, "most")
    yield _text(NAMES + 157, y, "target", "soft")
    yield _line(NAMES + 206, y - 10, NAMES + 206, y + 2, "aim")
    yield _text(NAMES + 213, y, "the one after it", "soft")
    yield _line(NAMES + 302, y - 4, NAMES + 326, y - 4, "spread")
    yield _text(NAMES + 332, y, "the middle half of the rounds", "soft")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
