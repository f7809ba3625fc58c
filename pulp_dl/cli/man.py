"""The manual page pulp-dl(1), made from what C{--help} says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

__all__ = ["man_page"]


def man_page(group: click.Group, name: str, version: str) -> str:
    """A page in man(7), with all subcommands of a group."""
    ctx = click.Context(group, info_name=name, **group.context_settings)
    summary = cleandoc(group.help or "").partition("\n")[0].rstrip(".")
    lines = [
        f'.TH "{name.upper()}" "1" "" "{name} {version}" "User Commands"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        *(line for _, sub in _commands(ctx) for line in _synopsis(sub)),
        ".SH OPTIONS",
        *_options(ctx),
        ".SH COMMANDS",
    ]
    for command, sub in _commands(ctx):
        lines += [f'.SS "{_text(command)}"', *_synopsis(sub), ".PP", *_prose(sub.command.help), *_options(sub)]
        if sub.command.epilog:
            lines += [".PP", *_prose(sub.command.epilog)]
    return "\n".join([*lines, *_epilog(group.epilog)]) + "\n"


def _commands(ctx: click.Context) -> Iterator[tuple[str, click.Context]]:
    assert isinstance(ctx.command, click.Group)
    for name, command in ctx.command.commands.items():
        if not command.hidden:
            yield name, click.Context(command, info_name=name, parent=ctx)


def _synopsis(ctx: click.Context) -> list[str]:
    pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
    return [".PP", f"\\fB{_text(ctx.command_path)}\\fR {_text(pieces)}"]


def _options(ctx: click.Context) -> Iterator[str]:
    for param in ctx.command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and isinstance(param, click.Option):
            yield from (".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]))


def _prose(text: str | None) -> Iterator[str]:
    """Paragraphs; those after a backspace keep their lines, as in C{--help}."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", cleandoc(text or ""))):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *(_text(line) for line in paragraph.splitlines()[1:]), ".fi")
        else:
            yield from map(_text, paragraph.splitlines())


def _epilog(text: str | None) -> Iterator[str]:
    """Paragraphs with a title: a section each."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(text or "")):
        title, _, rest = paragraph.removeprefix("\b").strip().partition("\n")
        if title:
            yield from (f'.SH "{_text(title.rstrip(":").upper())}"', ".nf", *map(_text, rest.splitlines()), ".fi")


def _text(text: str) -> str:
    """As it is, whatever it looks like: dashes are those of options, and a dot at the beginning is no request."""
    escaped = text.strip("\n").replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped
