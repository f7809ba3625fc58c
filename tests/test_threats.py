"""The page on threats: each row of it has tests, each of them is there, and no advisory is left out."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pulp_dl
from pulp_dl.cli import places
from pulp_dl.flow import tail
from pulp_dl.importers import file as manifest
from pulp_dl.mirrors import list as mirror_list
from pulp_dl.protocols.ftp import data, replies
from pulp_dl.protocols.http import addresses, cookies, framing, pool
from pulp_dl.protocols.sftp import client as sftp

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "threat-model.rst"
ROWS = 119
ADVISORY = r"CVE-\d+-\d+|GHSA(?:-\w{4}){3}|VSV\d+|VU#\d+"


def found_in(tree: ast.Module) -> dict[str, str]:
    """Names of tests, as pytest has them, with their docstrings; a class may have them from its base in the file."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    found = {}
    for node in tree.body:
        for each in node.body if isinstance(node, ast.ClassDef) else (node,):
            if isinstance(each, functions) and each.name.startswith("test_"):
                name = f"{node.name}::{each.name}" if isinstance(node, ast.ClassDef) else each.name
                found[name] = ast.get_docstring(each) or ""
    return found


def named(text: str) -> list[tuple[str, str]]:
    """File and test."""
    return re.findall(r"``(\S+\.py)::(\S+)``", text)


def missing(text: str) -> Iterator[str]:
    files: dict[str, dict[str, str]] = {}
    for file, test in named(text):
        if file not in files:
            path = TESTS / file
            files[file] = found_in(ast.parse(path.read_text())) if path.exists() else {}
        if test not in files[file]:
            yield f"{file}::{test}"


def rows(text: str) -> list[tuple[int, str]]:
    """Each with its number."""
    table = text.partition("\nAdvisories\n")[0]
    return [(int(number), row) for number, row in re.findall(r"^   \* - (\d+)\n((?:     .*\n)+)", table, re.MULTILINE)]


def advisories(text: str) -> list[tuple[list[str], str, str]]:
    """Their names, the file and the test."""
    table = text.partition("\nAdvisories\n")[2]
    found = re.findall(r"^   \* - (.*)\n     - ``(\S+\.py)::(\S+)``$", table, re.MULTILINE)
    return [(re.findall(ADVISORY, ids), file, test) for ids, file, test in found]


FIXED = {
    "Bytes of an answer's head, interim answers included": framing.MAX_HEAD,
    "Fields of a head": framing.MAX_FIELDS,
    "Interim answers": framing.MAX_INTERIM,
    f"Bytes around the chunks of a body, and {framing.OVERHEAD_PER_CHUNK} for each": framing.MAX_OVERHEAD,
    "Bytes of a reply of FTP": replies.SIZE,
    "Lines of a reply of FTP": replies.LINES,
    "Lowest port of an FTP data connection": data._LOWEST,
    "Bytes of a packet of SFTP": sftp.LARGEST,
    "Bytes of a metalink whose files ``get --metalink`` fetches": places.LARGEST,
    "Places of a list": mirror_list.MOST,
    "Bytes of a manifest": manifest.LIMIT,
    "Bytes of all cookies of an origin": cookies.TOGETHER,
    "Sockets that are about to connect, for one connection": addresses.AT_ONCE,
    "Seconds that a connection idles": pool.IDLE,
    "Bytes that are held back until they are proven": tail.HOLD,
}


def default(setting: str) -> object:
    """Of C{Class.attribute} or C{Class(parameter)}."""
    kind, name = re.findall(r"\w+", setting)
    if "(" in setting:
        found: object = inspect.signature(getattr(pulp_dl, kind)).parameters[name].default
    else:
        found = getattr(getattr(pulp_dl, kind)(), name)
    return found


def test_the_defaults_are_those_of_the_code() -> None:
    text = (PAGE.parent / "security.rst").read_text()
    found = re.findall(r"^   \* - (.*)\n     - (.*)\n     - (.*)$", text, re.MULTILINE)[1:]

    assert {what for what, _, setting in found if setting == "fixed"} == {*FIXED}
    for what, told, setting in found:
        value = FIXED[what] if setting == "fixed" else default(setting.strip("`"))
        assert told == (f"{value:g}" if isinstance(value, float) else str(value)), what
    assert len(found) > 30


def test_every_threat_has_a_test_and_every_test_that_is_named_is_there() -> None:
    text = PAGE.read_text()
    found = rows(text)

    assert [number for number, _ in found] == list(range(1, ROWS + 1))
    assert [number for number, row in found if not named(row)] == []
    assert [*missing(text)] == []


def test_every_advisory_has_a_test_of_its_name() -> None:
    listed = advisories(PAGE.read_text())
    there = {
        (f"advisories/{path.name}", name): text
        for path in (TESTS / "advisories").glob("test_*.py")
        for name, text in found_in(ast.parse(path.read_text())).items()
    }

    assert len(listed) > 30
    for ids, file, test in listed:
        first = ids[0].lower().replace("-", "_").replace("#", "_")
        assert test.startswith(f"test_{first}_"), test
        assert all(each in there[file, test] for each in ids[1:]), test
    assert {(file, test) for file, test in there if re.match(r"test_(cve|ghsa|vsv|vu)_?\d", test)} == {
        (file, test) for _, file, test in listed
    }


@pytest.mark.parametrize(
    "name", ["test_threats.py::test_nobody_has_written", "test_nothing.py::test_x", "test_threats.py::Missing::test_x"]
)
def test_a_test_that_is_not_there_is_told(name: str) -> None:
    """One that was renamed, or whose file was."""
    assert [*missing(f"   * - 1\n     - ``{name}``\n")] == [name]
    assert [*missing("``test_threats.py::test_a_test_that_is_not_there_is_told``")] == []
