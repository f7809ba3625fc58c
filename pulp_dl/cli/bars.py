"""What a person sees on a terminal while files come.  Needs rich."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .figures import Figures, duration_text
from .log import printable
from .outcome import size_text

__all__ = ["Glyphs", "bars", "block", "glyphs"]

SLOWEST: Final = 4
"""Lines for files that are under way."""

Glyphs = tuple[str, str, bool]
"""What is there, what is not yet, and whether other characters than ASCII can be shown."""

LINES: Final[Glyphs] = ("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}", True)
ASCII: Final[Glyphs] = ("#", "-", False)


def glyphs(environment: Mapping[str, str], encoding: str) -> Glyphs:
    """
    What this terminal can show.

    Python takes a C locale for UTF-8, but who asked for it has a reason.
    """
    locale = environment.get("LC_ALL") or environment.get("LANG") or "UTF-8"
    return LINES if "utf" in locale.lower() and encoding.lower().startswith("utf") else ASCII


@contextmanager
def bars() -> Iterator[Callable[[Figures], None]]:
    """Takes figures and shows them, in place of those before; at the end nothing of them is left, and the cursor is."""
    console = Console(stderr=True)
    known = glyphs(os.environ, console.encoding)
    # Not stdout: it may be a file, and what is printed there is no affair of a terminal.
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        # Less than the width, as some terminals begin a new line when the last column is written.
        yield lambda figures: live.update(block(figures, console.width - 1, console.height, known), refresh=True)


def block(figures: Figures, width: int, height: int, known: Glyphs) -> Text:
    """All lines, none of them longer than the terminal is wide."""
    lines = [_headline(figures, width, known)]
    if figures.files != 1:
        slow = figures.slow[:SLOWEST]
        lines += [_file_line(name, fraction, width) for name, fraction in slow]
    for host, seconds, why in figures.waits:
        lines.append(Text(_one_line(f" waiting {duration_text(seconds)} for {host}: {why}")))
    for line in lines:
        _fit(line, width, known)
    return Text("\n", no_wrap=True, overflow="crop").join(lines[: max(1, height - 1)])


def _headline(figures: Figures, width: int, known: Glyphs) -> Text:
    files = f"{figures.done}" + (f" of {figures.files}" if figures.files is not None else "") + " files"
    size = size_text(figures.size) + (f" of {size_text(figures.total)}" if figures.total is not None else "")
    wanted = [
        "" if figures.fraction is None else f"{figures.fraction:4.0%}",
        "" if figures.files == 1 else files,
        size,
        f"{size_text(figures.rate)}/s",
        "" if figures.left is None else f"{duration_text(figures.left)} left",
        f"{figures.failed} failed" if figures.failed else "",
    ]
    parts = [part for part in wanted if part]
    lengths = accumulate(len(part) + 2 for part in parts)
    text = "  ".join(part for part, length in zip(parts, lengths, strict=True) if length - 2 <= width)
    room = min(40, width - len(text) - 2)
    if figures.fraction is None or room < 8:
        return Text(text)
    there = int(room * figures.fraction)
    return Text.assemble((known[0] * there, "green"), (known[1] * (room - there), "dim"), "  ", text)


def _file_line(name: str, fraction: float | None, width: int) -> Text:
    share = "    " if fraction is None else f"{fraction:4.0%}"
    return Text(f" {share}  {_tail(_one_line(name), width - 7)}", style="dim")


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _tail(name: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    if cell_len(name) <= width:
        return name
    while name and cell_len(name) > max(0, width - 2):
        name = name[1:]
    return f"..{name}"


def _fit(line: Text, width: int, known: Glyphs) -> None:
    plain = line.plain if known[2] else line.plain.encode("ascii", "replace").decode()
    line.plain = set_cell_size(plain, width).rstrip() if cell_len(plain) > width else plain
