"""
Every snippet of the README and of docs/ is run, page by page, in order.

A page is run in an empty directory that holds ``ca.pem``, ``client.pem`` and ``client.key``, against the servers of
``tests/world.py``.

- A block with a caption is a file of that name.
- Python blocks share their names; those that await run in the reactor, the others in a thread.  The names ``reactor``,
  ``repository`` and ``den_sha256`` are there already.  A text block of class ``output`` is what the Python block before
  it prints, in any order.
- Of a console block each ``$`` line has to succeed, and to print what follows it.  ``pulp-dl`` is the one of this
  checkout.

In what is printed ``...`` stands for anything.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
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
    """A code block: its language, its options, its text, and the line that the text begins in."""

    language: str
    options: dict[str, str]
    text: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = re.fullmatch(r"( *)\.\. code-block:: (\S+)", line)
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
        yield Block(match[2], options, "\n".join(code), number + 2 + len(options))


def agrees(printed: str, expected: str) -> bool:
    """Whether something was printed that a page speaks of."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.\n?", expected.strip()))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


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
            SimpleNamespace(url=f"{base}/{name}", sha256=digest, path=name, pk=number)
            for number, (name, digest) in enumerate(world.digests.items())
        ]
        self._names: dict[str, Any] = {
            "__name__": "page",
            "reactor": reactor,
            "repository": SimpleNamespace(missing=lambda: iter(artifacts)),
            "den_sha256": world.digests["docs/den.txt"],
        }

    async def run(self) -> None:
        printed = ""
        for block in blocks(self._world.here(self._path.read_text())):
            if "caption" in block.options:
                file = self._folder / block.options["caption"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            elif block.language == "python":
                printed = await self._python(block)
            elif block.options.get("class") == "output":
                found, wanted = (sorted(filter(None, text.splitlines())) for text in (printed, block.text))
                assert len(found) == len(wanted), printed
                assert all(map(agrees, found, wanted)), printed
            elif block.language == "console" and block.options.get("name") != "two-commands":
                for command, expected in commands(block.text):
                    await deferToThread(self._command, command, expected)

    async def _python(self, block: Block) -> str:
        # Empty lines in front make tracebacks speak of the page's own lines.
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(self._path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with redirect_stdout(StringIO()) as out:
            if code.co_flags & inspect.CO_COROUTINE:
                await Deferred.fromCoroutine(eval(code, self._names))
            else:
                await deferToThread(exec, code, self._names)
        return out.getvalue()

    def _command(self, command: str, expected: str) -> None:
        environment = {
            **os.environ,
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self._folder}:{ROOT}",
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        assert agrees(ran.stdout, expected), f"{command}\n{ran.stdout}{ran.stderr}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


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
    monkeypatch.syspath_prepend(folder)
    before = {*sys.modules}

    await Page(path, world, reactor, folder).run()

    # The files of this page are not those of the next.
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    """In order, with parent, C{transient} and C{answer}."""
    text = (ROOT / "docs" / "reference" / "errors.rst").read_text()
    rows = re.findall(r"^   \* - ``(\w+)``\n     -(.*)\n     - (\w+)\n     - (\d+)$", text, re.MULTILINE)

    assert {(name, parent.strip(), transient, int(answer)) for name, parent, transient, answer in rows} == {
        (name, kind.__mro__[1].__name__.replace("Exception", ""), "yes" if kind.transient else "no", kind.answer)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.DownloadError)
    }


def test_every_promise_has_tests_of_its_number() -> None:
    page = (ROOT / "docs" / "architecture.rst").read_text().partition("The promises\n")[2].partition("How the tests")[0]
    promised = re.findall(r"^(\d+)\. \*", page, re.MULTILINE)
    tested = re.findall(r"def test_promise_(\d+)_", (ROOT / "tests" / "test_promises.py").read_text())

    assert {*promised} == {*tested} == {str(number) for number in range(1, 11)}


async def test_a_snippet_that_does_something_else_fails(
    world: World, reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner itself: it sees wrong output, a wrong exit code, and exceptions of both kinds of Python block."""
    right = [
        CONSOLE + "$ echo one; echo two\none\ntwo",
        CONSOLE + "$ seq 9\n1\n...\n9",
        CONSOLE + "$ pulp-dl get -q http://repo.example.org/docs/den.txt -o -\nHere is ...",
        CONSOLE + "$ true\n$ echo one\none",
        PYTHON + "assert repository and reactor",
        PYTHON + "from twisted.internet.task import deferLater\nawait deferLater(reactor, 0)",
        PYTHON + "print(1)\nprint(2)" + OUTPUT + "2\n1",
        FILE + "x = 3" + PYTHON + "import here\nassert here.x == 3" + CONSOLE + "$ cat here.py\nx = 3",
        ".. code-block:: text\n\n1 / 0",
    ]
    wrong = [
        CONSOLE + "$ echo one\ntwo",
        CONSOLE + "$ echo one; exit 3\none",
        CONSOLE + "$ seq 9\n1\n...\n10",
        CONSOLE + "$ false\n$ true",
        PYTHON + "1 / 0",
        PYTHON + "from twisted.internet.defer import fail\nawait fail(KeyError())",
        PYTHON + "print(1)\nprint(2)" + OUTPUT + "1\n3",
        PYTHON + "print(1)\nprint(2)" + OUTPUT + "1",
        PYTHON + "print(1)" + OUTPUT + "1\n2",
    ]
    page = tmp_path / "page.rst"
    monkeypatch.syspath_prepend(tmp_path)

    for text in right:
        page.write_text(_indented(text))
        await Page(page, world, reactor, tmp_path).run()
    for text in wrong:
        page.write_text(_indented(text))
        with pytest.raises((AssertionError, ZeroDivisionError, KeyError)):
            await Page(page, world, reactor, tmp_path).run()


CONSOLE = "\n.. code-block:: console\n\n"
PYTHON = "\n.. code-block:: python\n\n"
OUTPUT = "\n.. code-block:: text\n:class: output\n\n"
FILE = "\n.. code-block:: python\n:caption: here.py\n\n"


def _indented(text: str) -> str:
    return "\n".join(line if line.startswith(".. ") else f"   {line}" for line in text.splitlines())
