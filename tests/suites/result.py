"""What a suite has found, and how the documentation shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill

from attrs import field, frozen

__all__ = ["Result", "section"]


@frozen(kw_only=True)
class Result:
    """
    Of one suite.

    @ivar suite: its name and version.
    @ivar said: lines of what it found, for people.
    @ivar explained: what it holds against us, or what differs, by the reason why that stays.
    @ivar wrong: what nobody has explained: to be mended.
    """

    suite: str
    said: tuple[str, ...]
    explained: Mapping[str, Iterable[str]] = field(factory=dict)
    wrong: tuple[str, ...] = ()


def section(result: Result) -> str:
    """Of a page of docs/, to be included there."""
    lines = [result.suite, "-" * len(result.suite), ""]
    lines += [f"- {line}" for line in result.said]
    lines += [f"- **Wrong**: {line}" for line in result.wrong]
    lines.append("")
    for reason, cases in result.explained.items():
        lines += [reason, *fill(", ".join(f"``{case}``" for case in cases), 120, break_on_hyphens=False,
                                initial_indent="   ", subsequent_indent="   ").splitlines(), ""]  # fmt: skip
    return "\n".join(lines)
