"""
The house: a folder is a layer, and a file imports its own layer or one above it.

Read from the source, not from what happens to be loaded: a late import inside a function counts too, one that is only
for the type checker does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 400

# From what everything else is built on, to what nothing is built on.  Layers of one line never import each other.
LAYERS = (
    ("_version",),
    ("urls", "errors", "interfaces"),
    ("model",),
    ("flow",),
    ("protocols", "consumers"),
    ("mirrors",),
    ("auth",),
    ("engine",),
    ("blocking",),
    ("__init__",),
    ("importers",),
    ("streamer",),
    ("service",),
    ("cli",),
    ("__main__",),
    ("testing",),
)
RANK = {layer: rank for rank, layers in enumerate(LAYERS) for layer in layers}
# These three are one layer of files that may know each other.
BASE = frozenset({"urls", "errors", "interfaces"})


def statements(tree: ast.AST, *, late: bool = True) -> Iterator[ast.stmt]:
    """All statements but those for the type checker; without C{late}, only those that run when the file is imported."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (each for statement in child.orelse for each in (statement, *statements(statement, late=late)))
        elif late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if isinstance(child, ast.stmt):
                yield child
            yield from statements(child, late=late)


def imported(statement: ast.stmt, package: tuple[str, ...]) -> Iterator[str]:
    """The absolute names that a statement imports, for a file in this package."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        parents = package[: len(package) - statement.level + 1] if statement.level else ()
        base = ".".join((*parents, *(statement.module or "").split("."))).strip(".")
        yield from (f"{base}.{alias.name}" for alias in statement.names)


def layer_of(name: str, package: Path) -> str | None:
    """The layer that an absolute name belongs to, or None if it is not ours."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    known = rest and ((package / rest[0]).is_dir() or (package / f"{rest[0]}.py").is_file())
    return rest[0] if known else "__init__"


def faults(package: Path) -> list[str]:
    """What breaks the rules of the house in the package at this path."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package.parent)
        mine = place.parts[1].removesuffix(".py")
        text = path.read_text()
        tree = ast.parse(text)
        if mine not in RANK:
            found.append(f"{place}: {mine} is no layer")
            continue
        if len(text.splitlines()) > LONGEST:
            found.append(f"{place}: longer than {LONGEST} lines")
        for statement in statements(tree):
            for name in imported(statement, place.parts[:-1]):
                other = layer_of(name, package)
                if other is None or other == mine or {mine, other} <= BASE:
                    continue
                if RANK.get(other, len(LAYERS)) >= RANK[mine]:
                    found.append(f"{place}:{statement.lineno}: {mine} imports {other} ({name})")
        found += [
            f"{place}:{statement.lineno}: imports the reactor when it is imported"
            for statement in statements(tree, late=False)
            for name in imported(statement, place.parts[:-1])
            if f"{name}.".startswith("twisted.internet.reactor.")
        ]
    return found


def test_the_house_is_in_order() -> None:
    assert faults(ROOT / "pulp_dl") == []


def test_mirrors_know_no_protocol_and_one_consumer() -> None:
    """All three are edges, and know nothing of each other; but a list of mirrors has to be read into memory."""
    package = ROOT / "pulp_dl"
    found = [
        (path.name, name)
        for path in sorted((package / "mirrors").rglob("*.py"))
        for statement in statements(ast.parse(path.read_text()))
        for name in imported(statement, path.relative_to(ROOT).parts[:-1])
        if layer_of(name, package) in {"protocols", "consumers"}
    ]
    assert found == [("document.py", "pulp_dl.consumers.memory.ToMemory")]


def test_plugins_and_nothing_else_share_twisteds_name() -> None:
    """An __init__.py there would hide Twisted itself."""
    assert [path for path in (ROOT / "twisted").rglob("*.py") if path.parent != ROOT / "twisted" / "plugins"] == []
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("model/a.py", "from ..flow import valve", "model/a.py:1: model imports flow (pulp_dl.flow.valve)"),
        ("model/a.py", "import pulp_dl.engine.x", "model/a.py:1: model imports engine (pulp_dl.engine.x)"),
        ("model/a.py", "from pulp_dl import Name", "model/a.py:1: model imports __init__ (pulp_dl.Name)"),
        ("model/a.py", "from .. import engine", "model/a.py:1: model imports engine (pulp_dl.engine)"),
        ("flow/a.py", "def f():\n    from ..engine import x", "flow/a.py:2: flow imports engine (pulp_dl.engine.x)"),
        ("flow/a.py", "try:\n    import pulp_dl.cli\nexcept E: ...", "flow/a.py:2: flow imports cli (pulp_dl.cli)"),
        (
            "protocols/http/a.py",
            "from ...consumers.file import ToFile",
            "protocols/http/a.py:1: protocols imports consumers (pulp_dl.consumers.file.ToFile)",
        ),
        ("errors.py", "from .model import x", "errors.py:1: errors imports model (pulp_dl.model.x)"),
        ("cli/a.py", "from ..testing import x", "cli/a.py:1: cli imports testing (pulp_dl.testing.x)"),
        ("model/a.py", "\n" * 401, "model/a.py: longer than 400 lines"),
        ("utils/a.py", "", "utils/a.py: utils is no layer"),
        (
            "engine/a.py",
            "from twisted.internet import reactor",
            "engine/a.py:1: imports the reactor when it is imported",
        ),
        (
            "engine/a.py",
            "class A:\n    import twisted.internet.reactor as r",
            "engine/a.py:2: imports the reactor when it is imported",
        ),
        (
            "flow/a.py",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from ..engine import x",
            "flow/a.py:4: flow imports engine (pulp_dl.engine.x)",
        ),
    ],
)
def test_what_is_out_of_order_is_found(tmp_path: Path, file: str, text: str, fault: str) -> None:
    assert faults(_house(tmp_path, file, text)) == [f"pulp_dl/{fault}"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("flow/a.py", "from ..model import x\nfrom . import b\nfrom ..errors import E\nimport attrs, hashlib"),
        ("protocols/http/a.py", "from ..file import x\nfrom .b import y\nfrom ...flow import z"),
        ("errors.py", "from .urls import shown"),
        ("model/a.py", "if TYPE_CHECKING:\n    from ..engine import x"),
        ("model/a.py", "import typing\nif typing.TYPE_CHECKING:\n    from ..engine import x"),
        ("engine/a.py", "def f():\n    from twisted.internet import reactor"),
        ("__init__.py", "from .blocking import B\nfrom .engine.downloader import D"),
        ("cli/a.py", "from .. import Name\nfrom .._version import __version__"),
        ("model/a.py", "\n" * 400),
    ],
)
def test_what_is_in_order_is_let_be(tmp_path: Path, file: str, text: str) -> None:
    assert faults(_house(tmp_path, file, text)) == []


def _house(folder: Path, file: str, text: str) -> Path:
    """A package of empty layers, and one file with this text."""
    package = folder / "pulp_dl"
    for name in ("model", "flow", "protocols/http", "consumers", "mirrors", "engine", "cli", "testing"):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").touch()
    for name in ("__init__", "_version", "urls", "errors", "interfaces", "blocking"):
        (package / f"{name}.py").touch()
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text(text)
    return package
