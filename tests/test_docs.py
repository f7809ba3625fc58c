"""
Every snippet of the README and of docs/ is run, page by page, in order.

A page is run in an empty directory that holds ``ca.pem``, ``client.pem``, ``client.key`` and ``server.pem``, against
the servers of ``tests/world.py``.

- A block with a caption is a file of that name; so is a ``literalinclude`` with one.
- Python blocks share their names; those that await run in the reactor, the others in a thread.  The names ``reactor``,
  ``repository`` and ``den_sha256`` are there already.  A text block of class ``output`` is what the Python block before
  it prints, in any order.
- Of a console block each ``$`` line has to succeed, and to print what follows it on stdout.  ``pulp-dl`` is the one of
  this checkout.  One of class ``terminal`` is typed into a shell in a terminal, and the whole screen is compared, as a
  person sees it in the end: ``tests/shell.py`` says how passwords, ``^C`` and exit codes go.  A text block of class
  ``screen`` is what stood on it at some moment meanwhile.
- A Python block of class ``theirs`` is somebody else's, and is not run.

In what is printed ``...`` stands for anything.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from pulp_dl import errors
from pulp_dl.cli import main

from .shell import Shell
from .snippets import Block, agrees, blocks, commands
from .world import PASSWORDS, World

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]

PROGRAMS = ("curl", "openssl")
"""What pages type that not every machine has; such a page is skipped there."""

EVERYWHERE = {
    "base64", "cat", "cd", "chmod", "cmp", "dd", "echo", "eval", "find", "grep", "kill", "ls", "mkdir", "printf", "rm",
    "sha256sum", "sort", "timeout", "touch", "true", "umask", "wait",
}  # fmt: skip
OURS = {"pulp-dl", "python"}


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
        self._environment = {
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder}:{ROOT}",
        }
        self._moments: list[str] = []
        self._names: dict[str, Any] = {
            "__name__": "page",
            "reactor": reactor,
            "repository": SimpleNamespace(missing=lambda: iter(artifacts)),
            "den_sha256": world.digests["docs/den.txt"],
        }

    async def run(self) -> None:
        printed, text = "", self._path.read_text()
        if "ssh.example.org" in text:
            await self._world.open_ssh(self._folder)
        for block in blocks(self._world.here(text)):
            if "caption" in block.options:
                file = self._folder / block.options["caption"]
                file.parent.mkdir(parents=True, exist_ok=True)
                included = block.language == "literalinclude"
                file.write_text((self._path.parent / block.text).read_text() if included else block.text)
            elif block.language == "python" and "theirs" not in block.classes:
                printed = await self._python(block)
            elif "output" in block.classes:
                found, wanted = (sorted(filter(None, text.splitlines())) for text in (printed, block.text))
                assert len(found) == len(wanted), printed
                assert all(map(agrees, found, wanted)), printed
            elif "screen" in block.classes:
                assert any(agrees(moment, block.text) for moment in self._moments), "\n---\n".join(self._moments)
            elif "terminal" in block.classes:
                await deferToThread(self._terminal, block.text)
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

    def _terminal(self, text: str) -> None:
        with Shell(self._folder, self._environment, PASSWORDS) as shell:
            self._moments = shell.moments
            shell.follow(text)

    def _command(self, command: str, expected: str) -> None:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._folder, env={**os.environ, **self._environment}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        assert agrees(ran.stdout, expected), f"{command}\n{ran.stdout}{ran.stderr}"


@pytest.fixture
async def world(reactor: Any, tmp_path: Path) -> Any:
    world = World(reactor, tmp_path)
    world.open()
    yield world
    await world.close()


@pytest.mark.limit(60)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
async def test_every_snippet_of_a_page_does_what_it_says(
    path: Path,
    world: World,
    reactor: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Callable[[str], str],
) -> None:
    for name in typed(path).intersection(PROGRAMS):
        program(name)
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


def typed(path: Path) -> set[str]:
    """The commands that a page has its reader type."""
    consoles = (
        each.text for each in blocks(path.read_text()) if each.language == "console" and "name" not in each.options
    )
    begin = r"(?:^|[|;(]|&&) *(?:\w+=[^\s$]* +)*(?:\w+=\$\()?([A-Za-z][\w.-]*)(?![\w=])"
    return {word for text in consoles for command, _ in commands(text) for word in re.findall(begin, command)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_needs_that_not_every_machine_has_is_known(path: Path) -> None:
    """Else the tests fail where nothing is installed but Python, and the README says that they are skipped there."""
    assert typed(path) <= {*PROGRAMS, *EVERYWHERE, *OURS}


def test_an_authenticator_of_ones_own_takes_fewer_than_15_lines() -> None:
    text = (ROOT / "docs" / "howto" / "tokens.rst").read_text()
    (own,) = [block.text for block in blocks(text) if "@implementer(IAuth, IAuthenticator)" in block.text]
    lines = own[own.index("@implementer") :].splitlines()

    assert 0 < sum(bool(line.strip()) for line in lines) < 15


def test_whatever_a_table_calls_ours_stands_in_a_snippet_that_is_run() -> None:
    text = (ROOT / "docs" / "coming-from.rst").read_text()
    snippets = (block.text for block in blocks(text) if "theirs" not in block.classes)
    ours = " ".join("\n".join(snippets).split())
    rows = re.findall(r"^   \* - .*\n(?:      .*\n)*?     - (.*)\n(?:       .*\n)*     - ", text, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"``(.*?)``", row)]

    assert len(rows) == text.count("\n   * - ") > 50
    assert [name for name in names if not agrees(ours, f"...{name}...")] == []


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    """In order, with parent, C{transient} and C{answer}."""
    text = (ROOT / "docs" / "reference" / "errors.rst").read_text()
    rows = re.findall(r"^   \* - ``(\w+)``\n     -(.*)\n     - (\w+)\n     - (\d+)$", text, re.MULTILINE)

    assert {(name, parent.strip(), transient, int(answer)) for name, parent, transient, answer in rows} == {
        (name, kind.__mro__[1].__name__.replace("Exception", ""), "yes" if kind.transient else "no", kind.answer)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.DownloadError)
    }


def test_the_exit_codes_are_those_of_the_help() -> None:
    """Code by code, in the words of C{--help}; the how-to has a row for each."""
    told = re.findall(r"^  ([\d, ]*\d)  (.*)$", str(main.epilog), re.MULTILINE)
    reference = (ROOT / "docs" / "reference" / "command.rst").read_text()
    howto = (ROOT / "docs" / "howto" / "errors.rst").read_text()
    table = re.findall(r"^(\d[\d, ]*?)  +(\S.*)$", reference, re.MULTILINE)

    assert len(told) == 10
    assert table == told
    assert re.findall(r"^   \* - (\d.*)$", howto, re.MULTILINE) == [code for code, _ in told]


def test_every_promise_has_tests_of_its_number() -> None:
    page = (ROOT / "docs" / "architecture.rst").read_text().partition("The promises\n")[2].partition("How the tests")[0]
    promised = re.findall(r"^(\d+)\. \*", page, re.MULTILINE)
    tested = re.findall(r"def test_promise_(\d+)_", (ROOT / "tests" / "test_promises.py").read_text())

    assert {*promised} == {*tested} == {str(number) for number in range(1, 11)}


async def test_a_snippet_that_does_something_else_fails(
    world: World, reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner itself: it sees wrong output, a wrong exit code, exceptions of both kinds of Python block."""
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
        THEIRS + "1 / 0",
        TERMINAL + "$ echo one >&2\none\n$ test -t 0 && \\\n> test -t 1 && echo two\ntwo",
        TERMINAL + "$ false\n$ echo $?\n1",
        TERMINAL + "$ read -sp 'Password of elmer: ' typed; echo; echo $typed\nPassword of elmer:\nwabbit",
        TERMINAL + "$ printf 9%%; sleep 60; echo over\n...%...\n^C\n$ echo $?\n130",
        TERMINAL + f"$ {PASSES_BY}\ndone" + SCREEN + "$ printf ...\n50%",
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
        TERMINAL + "$ echo one >&2",
        TERMINAL + "$ echo one; false\none",
        TERMINAL + "$ false\n$ true",
        TERMINAL + "$ false\n$ echo $?\n2",
        TERMINAL + "$ read -p 'Password of nobody: ' typed\nPassword of nobody:",
        TERMINAL + "$ printf 9%%; (trap 'exit 3' INT; sleep 60)\n...%...\n^C",
        TERMINAL + f"$ {PASSES_BY}\n50%\ndone",
        TERMINAL + f"$ {PASSES_BY}\ndone" + SCREEN + "$ printf ...\n60%",
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
THEIRS = "\n.. code-block:: python\n:class: theirs\n\n"
TERMINAL = "\n.. code-block:: console\n:class: terminal\n\n"
SCREEN = "\n.. code-block:: text\n:class: screen\n\n"
PASSES_BY = r"printf '50%%'; sleep 0.1; printf '\r\e[Kdone\n'"
OUTPUT = "\n.. code-block:: text\n:class: output\n\n"
FILE = "\n.. code-block:: python\n:caption: here.py\n\n"


def _indented(text: str) -> str:
    return "\n".join(line if line.startswith(".. ") else f"   {line}" for line in text.splitlines())
