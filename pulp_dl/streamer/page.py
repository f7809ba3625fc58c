"""The status page: plain HTML, without scripts, that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

__all__ = ["page"]

STYLE: Final = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .75em;border-bottom:1px solid #ccc;"
    "vertical-align:top;overflow-wrap:anywhere}td.n,th.n{text-align:right;white-space:nowrap}.bad{color:#a00}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}.bad{color:#f77}th,td{border-color:#444}}"
)

RUNNING: Final = ("Path", "From", "Client", "Status", "#Sent", "#Rate", "#Time")
FAILED: Final = ("#Ago", "Path", "From", "Client", "Status", "Why")
MIRRORS: Final = ("Mirror", "Circuit", "#Answers in", "#Speed", "#Recent failures")
CLASS_BAD: Final = ' class="bad"'


def page(facts: Mapping[str, Any]) -> str:
    """
    The page.

    @param facts: as a program gets them.
    """
    ready = "ready" if facts["ready"] else f"not ready: {facts['why_not_ready']}"
    trouble = facts["configuration_trouble"]
    late = ", ".join(facts["needs_restart"])
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>pulp-streamer: {escape(ready)}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>pulp-streamer <span{'' if facts['ready'] else CLASS_BAD}>{escape(ready)}</span></h1>\n"
        + ("" if trouble is None else f'<p class="bad">The configuration was not taken: {escape(trouble)}</p>\n')
        + (f'<p class="bad">{escape(late)}: changed, which takes a restart</p>\n' if late else "")
        + f"<p>{_count(facts['requests'], 'request')} answered in {_time(facts['seconds'])}, "
        f"{size(facts['sent_bytes'])} sent, {size(facts['received_bytes'])} fetched. "
        f"Version {escape(facts['version'])}.</p>\n"
        + _list("Listens on", facts["listening"])
        + _list("Serves", facts["serves"])
        + f"<h2>Streams now: {len(facts['running'])}, {size(facts['bytes_per_second'])}/s</h2>\n"
        + _table(
            "running", ("Path", "From", "Client", "Status", "#Sent", "#Rate", "#Time"), map(_run, facts["running"])
        )
        + f"<h2>Failed in the last hour: {len(facts['failed_last_hour'])}</h2>\n"
        + _table("failed", FAILED, map(_fail, facts["failed_last_hour"]))
        + (
            "<h2>Mirrors</h2>\n" + _table("mirrors", MIRRORS, map(_mirror, facts["mirrors"]))
            if facts["mirrors"]
            else ""
        )
        + '<p><a href="?format=json">The same as JSON</a>, <a href="/metrics">for Prometheus</a>.</p>\n'
        "</body></html>\n"
    )


def _run(each: Mapping[str, Any]) -> Iterable[str]:
    total = each["total_bytes"]
    of = "" if total is None else f" of {size(total)}"
    return (
        f"{each['method']} {each['path']}",
        each["source"] or "",
        each["client"],
        str(each["status"] or ""),
        size(each["sent_bytes"]) + of,
        f"{size(each['bytes_per_second'])}/s",
        _time(each["seconds"]),
    )


def _fail(each: Mapping[str, Any]) -> Iterable[str]:
    why = f"{each['error']}: {each['message']}"
    return (
        _time(each["seconds_ago"]),
        f"{each['method']} {each['path']}",
        each["source"] or "",
        each["client"],
        str(each["status"] or "cut"),
        "\n".join((why, *each["attempts"])),
    )


def _mirror(each: Mapping[str, Any]) -> Iterable[str]:
    latency, speed = each["latency"], each["speed"]
    return (
        each["host"],
        each["circuit"] + (f" for {_time(each['wait'])}" if each["wait"] else ""),
        "" if latency is None else f"{latency * 1000:.0f} ms",
        "" if speed is None else f"{size(speed)}/s",
        f"{each['trouble']:.1f}",
    )


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2>\n<ul>{items}</ul>\n" if items else ""


def _table(name: str, heads: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    """A head that begins with # is one of numbers."""
    classes = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(f"<th{kind}>{text.lstrip('#')}</th>" for kind, text in zip(classes, heads, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, classes, row))}</tr>\n" for row in rows)
    return f'<table id="{name}"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n' if body else ""


def _cell(kind: str, text: str) -> str:
    return f"<td{kind}>{escape(text).replace(chr(10), '<br>')}</td>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
