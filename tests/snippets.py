"""The code blocks of a page, and whether something was printed that a page speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

__all__ = ["Block", "agrees", "blocks", "commands"]


@frozen
class Block:
    """
    A code block: its language, its options, its text, and the line that the text begins in.  Of a C{literalinclude} the
    text is the path.
    """

    language: str
    options: dict[str, str]
    text: str
    line: int

    @property
    def classes(self) -> list[str]:
        return self.options.get("class", "").split()


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. (?:code-block:: (\S+)|literalinclude:: (\S+))", line)
        if match is None:
            continue
        indent = " " * (len(match[1]) + 3)
        inside = []
        for each in lines[number + 1 :]:
            if each and not each.startswith(indent):
                break
            inside.append(each.removeprefix(indent))
        options = dict(re.findall(r"^:(\w+): (.*)$", "\n".join(inside[: inside.index("")]), re.MULTILINE))
        code = inside[len(options) :]
        if match[3] is not None:
            yield Block("literalinclude", options, match[3], number + 1)
            continue
        yield Block(match[2], options, "\n".join(code), number + 2 + len(options))


def agrees(printed: str, expected: str) -> bool:
    """Whether this was printed; C{...} stands for anything."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.\n?", expected.strip()))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def commands(text: str) -> Iterator[tuple[str, str]]:
    r"""Each command of a console block, and what it prints.  After a C{\} it goes on behind the next C{> }."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command = re.match(r"(.*\\\n> )*.*", part)
        assert command is not None
        yield command[0].replace("\n> ", "\n"), part[command.end() :].removeprefix("\n")
