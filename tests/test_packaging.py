"""What is installed is whole: Twisted finds plugins, ours and those of others, in wheels and editable checkouts."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver

from pulp_dl._version import __version__
from pulp_dl.cli import main
from pulp_dl.cli.man import man_page
from pulp_dl.testing import FaultServer, answer
from tests.service.running import ask, streamer

ROOT = Path(__file__).parent.parent

LIST_SCHEMES = """
import pulp_dl
from pulp_dl.interfaces import IScheme
from twisted.plugin import getPlugins
print(pulp_dl.__file__, *sorted(name for scheme in getPlugins(IScheme) for name in scheme.names))
"""

pytestmark = pytest.mark.limit(120)


def run(*command: object, cwd: Path) -> str:
    """What a program prints; if it fails, what it said is in the error."""
    ran = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source in which plugins were listed once, which leaves a cache behind."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.rst", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, copy)
    for name in ("pulp_dl", "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "twisted" / "plugins" / "dropin.cache").write_bytes(b"stale")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", cwd=checkout)
    (path,) = (checkout / "dist").glob("*.whl")
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a fresh environment that has what ours has, except for ourselves."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python


def install(python: Path, *what: object) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-build-isolation", "--quiet")
    run(*pip, "--force-reinstall", *what, cwd=python.parent)


def test_the_lowest_versions_that_are_tried_are_those_of_the_extras_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would notice a bound that is too low: wherever else an extra is installed, its newest version is."""
    nox: Any = ModuleType("nox")
    nox.options, nox.session = SimpleNamespace(), lambda function=None, **_: function or (lambda decorated: decorated)
    monkeypatch.setitem(sys.modules, "nox", nox)
    monkeypatch.chdir(ROOT)
    installed: list[str] = []
    session = SimpleNamespace(install=lambda *what: installed.extend(what), run=lambda *_: None, posargs=())
    runpy.run_path("noxfile.py")["lowest"](session)

    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for_users = extras.keys() - {"test", "lint", "types", "docs", "bench"}
    bounds = [*project["dependencies"], *chain.from_iterable(extras[name] for name in for_users)]
    assert {"metrics", "progress", "sftp"} <= for_users
    assert {bound.replace(">=", "==") for bound in bounds} <= {*installed}


def test_the_wheel_holds_the_package_its_types_and_the_plugins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}

    source = {path.relative_to(ROOT) for path in (ROOT / "pulp_dl").rglob("*") if path.suffix in {".py", ".typed"}}
    plugins = {path.relative_to(ROOT) for path in (ROOT / "twisted" / "plugins").glob("*.py")}
    assert names == {str(path) for path in source | plugins}
    assert "pulp_dl/py.typed" in names


def test_plugins_are_found_in_an_installed_wheel(wheel: Path, python: Path, tmp_path: Path) -> None:
    install(python, wheel)

    where, *schemes = run(python, "-c", LIST_SCHEMES, cwd=tmp_path).split()

    assert where.startswith(str(python.parent.parent))
    assert {"http", "https", "file"} <= {*schemes}


def test_plugins_are_found_in_an_editable_checkout(checkout: Path, python: Path, tmp_path: Path) -> None:
    install(python, "--editable", checkout)

    where, *schemes = run(python, "-c", LIST_SCHEMES, cwd=tmp_path).split()

    assert where.startswith(str(checkout))
    assert {"http", "https", "file"} <= {*schemes}


def test_the_manual_page_is_installed_where_man_looks(wheel: Path, python: Path, tmp_path: Path) -> None:
    install(python, wheel)
    page = (python.parent.parent / "share" / "man" / "man1" / "pulp-dl.1").read_text()

    assert page == man_page(main, "pulp-dl", __version__)


def test_the_command_is_installed(wheel: Path, python: Path, tmp_path: Path) -> None:
    install(python, wheel)

    assert __version__ in run(python.with_name("pulp-dl"), "--version", cwd=tmp_path)


# ---- the worked plugin of docs/howto/protocol


EXAMPLE = ROOT / "docs" / "examples" / "gopher"
FILE = b"a small bear\n" * 10_000


class Gopherd(LineReceiver):
    """A server with one file."""

    transport: Any

    def lineReceived(self, line: bytes) -> None:
        if line == b"bears/small":
            self.transport.write(FILE)
        self.transport.loseConnection()


@pytest.fixture
async def server(reactor: Any) -> AsyncIterator[str]:
    factory = Factory.forProtocol(Gopherd)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    yield f"gopher://127.0.0.1:{port.getHost().port}/9bears/small"
    await port.stopListening()


def test_it_has_fewer_than_60_lines() -> None:
    """Besides its imports, and the empty ones between its parts."""
    text = (EXAMPLE / "pulp_dl_gopher.py").read_text()
    code = text[text.index("@implementer") :]

    assert len([line for line in code.splitlines() if line.strip()]) < 60


async def test_it_is_installed_and_used(wheel: Path, python: Path, tmp_path: Path, server: str) -> None:
    """By the command of that environment, which finds it among the protocols, and says where it comes from."""
    source = shutil.copytree(EXAMPLE, tmp_path / "source")

    def use() -> tuple[dict[str, Any], bytes]:
        install(python, wheel)
        install(python, source)
        command = python.with_name("pulp-dl")
        listed = json.loads(run(command, "schemes", "--json", cwd=tmp_path))
        run(command, "get", "--quiet", server, "-o", "bear", cwd=tmp_path)
        (found,) = [each for each in listed["schemes"] if each["scheme"] == "gopher"]
        return found, (tmp_path / "bear").read_bytes()

    found, data = await deferToThread(use)

    assert data == FILE
    assert found["distribution"] == "pulp-dl-gopher 1.0"
    assert found["class"] == "pulp_dl_gopher.GopherFetcher"
    assert found["file"].startswith(str(python.parent.parent))
    assert found["usable"]


# ---- that of docs/howto/mirrors-plugin


MIRRORS = ROOT / "docs" / "examples" / "bears"


def test_a_list_of_mirrors_has_fewer_than_ten_lines() -> None:
    text = (MIRRORS / "bear_mirrors.py").read_text()
    code = text[text.index("@implementer") :]

    assert 0 < len([line for line in code.splitlines() if line.strip()]) < 10


async def test_it_is_installed_and_an_importer_and_a_streamer_use_it(
    wheel: Path, python: Path, tmp_path: Path, reactor: Any
) -> None:
    """Both by the same words in the settings; the origin is never asked."""
    source = shutil.copytree(MIRRORS, tmp_path / "source")
    files = {"bear": FILE, "PULP_MANIFEST": f"bear,{hashlib.sha256(FILE).hexdigest()},{len(FILE)}\n".encode()}

    def importer(file: Path) -> Any:
        install(python, wheel)
        install(python, source)
        command = python.with_name("pulp-dl")
        run(command, "--config", file, "sync", "--remote", "bears", "PULP_MANIFEST", "-d", "here", cwd=tmp_path)
        (found,) = [
            each
            for each in json.loads(run(command, "schemes", "--json", cwd=tmp_path))["mirrors"]
            if each["name"] == "bears"
        ]
        return found

    async with FaultServer(reactor, {f"/{name}": answer(data) for name, data in files.items()}) as mirror:
        base = mirror.url("").rstrip("/")
        async with FaultServer(reactor, {"/bears": answer(f"{base}\n".encode())}) as origin:
            file = tmp_path / "settings.toml"
            file.write_text(
                f'mirror-state = ""\n[remotes.bears]\nurl = "{origin.url("")}"\n'
                f'mirrors-from = "bears:{origin.url("/bears")}"\n'
            )
            found = await deferToThread(importer, file)
            args = ("--config", file, "--passthrough", "/p=bears")
            async with streamer(reactor, *args, cwd=tmp_path, python=python, PYTHONPATH="") as running:
                served = await ask(running.url, "/p/bear")
            asked = {each.path for each in origin.requests}

    assert (tmp_path / "here" / "bear").read_bytes() == served.body == FILE
    assert asked == {"/bears"}
    assert (found["distribution"], found["usable"]) == ("bear-mirrors 1.0", True)
    assert found["file"].startswith(str(python.parent.parent))
