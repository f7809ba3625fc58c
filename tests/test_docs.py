"""
Every snippet of the README and of docs/ is run, page by page, in order.

A page is run in an empty directory that holds ``ca.pem``, ``client.pem`` and ``client.key``, against the servers of
``tests/world.py``.  Its Python blocks share their names; those that await run in the reactor, the others in a thread.
The names ``reactor``, ``repository`` and ``den_sha256`` are there already.  Of a console block each ``$`` line has to
succeed and to print what follows it, where ``...`` stands for anything; ``pulp-dl`` is the one of this checkout.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from pulp_dl import errors

from .world import World

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]


@frozen
class Block:
    """A code block: its language, its text, the line that it begins in, and its name if it has one."""

    language: str
    text: str
    line: int
    name: str | None


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. code-block:: (\S+)", line)
        if match is None:
            continue
        indent = len(match[1]) + 3
        end = next(
            (
                after
                for after in range(number + 1, len(lines))
                if lines[after].strip() and not lines[after][:indent].isspace()
            ),
            len(lines),
        )
        inside = [each[indent:] for each in lines[number + 1 : end]]
        options = [each for each in inside[: inside.index("")] if each.startswith(":")]
        name = next((each.removeprefix(":name: ") for each in options if each.startswith(":name: ")), None)
        yield Block(match[2], "\n".join(inside[len(options) :]), number + 2 + len(options), name)


class Page:
    """A page that is being run."""

    def __init__(self, path: Path, world: World, reactor: Any, folder: Path) -> None:
        self._path = path
        self._world = world
        self._folder = folder
        self._bin = folder.parent / "bin"
        self._bin.mkdir(exist_ok=True)
        (self._bin / "pulp-dl").write_text(f"#!{sys.executable}\nfrom pulp_dl.cli import main\nmain()\n")
        (self._bin / "pulp-dl").chmod(0o755)
        base = world.names["http://repo.example.org"]
        artifacts = [
            SimpleNamespace(url=f"{base}/{name}", sha256=digest, path=str(folder / "artifacts" / name), pk=number)
            for number, (name, digest) in enumerate(world.digests.items())
        ]
        self._names: dict[str, Any] = {
            "__name__": "page",
            "reactor": reactor,
            "repository": SimpleNamespace(missing=lambda: iter(artifacts)),
            "den_sha256": world.digests["docs/den.txt"],
        }

    async def run(self) -> None:
        for block in blocks(self._path.read_text()):
            if block.language == "python":
                await self._python(block)
            elif block.language == "console" and block.name != "two-commands":
                for command, printed in commands(self._world.here(block.text)):
                    await deferToThread(self._command, command, printed)

    async def _python(self, block: Block) -> None:
        # Empty lines in front make tracebacks speak of the page's own lines.
        source = "\n" * (block.line - 1) + self._world.here(block.text)
        code = compile(source, str(self._path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await Deferred.fromCoroutine(eval(code, self._names))
        else:
            await deferToThread(exec, code, self._names)

    def _command(self, command: str, printed: str) -> None:
        environment = {
            **os.environ,
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.\n?", printed.strip()))
        assert re.fullmatch(pattern, ran.stdout.strip(), re.DOTALL), f"{command}\n{ran.stdout}{ran.stderr}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


@pytest.fixture
async def world(reactor: Any, tmp_path: Path) -> Any:
    world = World(reactor, tmp_path)
    world.open()
    yield world
    await world.close()


@pytest.mark.limit(60)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
async def test_every_snippet_of_a_page_does_what_it_says(
    path: Path, world: World, reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    world.write_identity(folder)
    monkeypatch.chdir(folder)

    await Page(path, world, reactor, folder).run()


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    """In order, with parent, C{transient} and C{answer}."""
    text = (ROOT / "docs" / "reference" / "errors.rst").read_text()
    rows = re.findall(r"^   \* - ``(\w+)``\n     -(.*)\n     - (\w+)\n     - (\d+)$", text, re.MULTILINE)

    assert {(name, parent.strip(), transient, int(answer)) for name, parent, transient, answer in rows} == {
        (name, kind.__mro__[1].__name__.replace("Exception", ""), "yes" if kind.transient else "no", kind.answer)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.DownloadError)
    }


async def test_a_snippet_that_does_something_else_fails(world: World, reactor: Any, tmp_path: Path) -> None:
    """The runner itself: it sees wrong output, a wrong exit code, and exceptions of both kinds of Python block."""
    right = [
        (".. code-block:: console", "$ echo one; echo two", "one", "two"),
        (".. code-block:: console", "$ seq 9", "1", "...", "9"),
        (".. code-block:: console", "$ curl -s http://repo.example.org/docs/den.txt", "Here is ..."),
        (".. code-block:: python", "assert repository and reactor"),
        (".. code-block:: python", "from twisted.internet.task import deferLater", "await deferLater(reactor, 0)"),
        (".. code-block:: text", "1 / 0"),
    ]
    wrong = [
        (".. code-block:: console", "$ echo one", "two"),
        (".. code-block:: console", "$ echo one; exit 3", "one"),
        (".. code-block:: console", "$ seq 9", "1", "...", "10"),
        (".. code-block:: python", "1 / 0"),
        (".. code-block:: python", "from twisted.internet.defer import fail", "await fail(KeyError())"),
    ]
    page = tmp_path / "page.rst"

    for first, *rest in right:
        page.write_text("\n".join([first, "", *(f"   {line}" for line in rest), ""]))
        await Page(page, world, reactor, tmp_path).run()
    for first, *rest in wrong:
        page.write_text("\n".join([first, "", *(f"   {line}" for line in rest), ""]))
        with pytest.raises((AssertionError, ZeroDivisionError, KeyError)):
            await Page(page, world, reactor, tmp_path).run()
