"""The suite's own promises: every test is run, a hang ends, and a leak is an error of the test that leaks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

SUITE = """
import gc, os, tempfile, threading
import pytest
from hypothesis import Phase, given, settings, strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

kept = []

@pytest.fixture
async def answer(reactor):
    yield await deferLater(reactor, 0, lambda: 42)
    await deferLater(reactor, 0)

# ---- these are in order

async def ok_awaits(reactor, answer):
    assert await deferLater(reactor, 0, lambda: answer) == 42

def ok_returns_a_deferred(reactor):
    return deferLater(reactor, 0)

class Base:
    @pytest.mark.parametrize("p", [1, 2])
    @given(n=st.integers())
    async def ok_property(self, reactor, p, n):
        await deferLater(reactor, 0)

class TestOne(Base): ...
class TestTwo(Base): ...

async def ok_uses_the_thread_pool():
    await deferToThread(threading.get_ident)

async def ok_closes_its_port_and_connection(reactor):
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, Closing())
    await Closing.lost
    port.stopListening()

def ok_takes_the_errors_it_expects(logged_errors):
    fail(ValueError("expected"))
    assert len(logged_errors.flush(ValueError)) == 1

# ---- these are not

@pytest.mark.limit(0.05)
async def bad_TimeoutError():
    await Deferred()

@pytest.mark.limit(0.05)
async def bad_TimeoutError_and_deaf_to_cancelling():
    while len(kept) < 5:
        try:
            await Deferred()
        except BaseException:
            pass

@pytest.mark.limit(0.05)
@settings(phases=[Phase.generate])
@given(n=st.integers())
async def bad_TimeoutError_and_a_property(n):
    await Deferred()

async def bad_AssertionError_and_an_await(reactor):
    await deferLater(reactor, 0)
    assert False

@given(n=st.integers())
async def bad_AssertionError_and_a_property(reactor, n):
    await deferLater(reactor, 0)
    assert n < 1000

def bad_timers(reactor):
    reactor.callLater(0.5, print)

def bad_sockets_and_listening(reactor):
    reactor.listenTCP(0, Factory(), interface="127.0.0.1")

async def bad_sockets_and_connected(reactor):
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, Staying())
    await Staying.made
    await port.stopListening()

def bad_threads():
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, daemon=True).start()

def bad_busy_threads(reactor):
    stop = threading.Event()
    reactor.callLater(0, lambda: None)
    kept.append(deferToThread(stop.wait, 0.5))

def bad_descriptors():
    os.open("/dev/null", os.O_RDONLY)

def bad_temporary_files():
    tempfile.mkdtemp()

def bad_nobody_handled_and_a_failed_deferred():
    fail(KeyError("nobody"))

def bad_nobody_handled_and_a_failed_deferred_in_a_cycle():
    deferred = Deferred()
    deferred.itself = deferred
    deferred.errback(KeyError("nobody"))

async def bad_nobody_handled_and_a_logged_failure():
    from twisted.logger import Logger
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("so it went")

def bad_never_awaited():
    async def forgotten(): ...
    forgotten()

def bad_unclosed_file():
    open("/dev/null")

# ---- and this one comes after all of them

def ok_is_not_blamed_for_the_others(): ...

from twisted.internet.protocol import ClientFactory, Protocol

class Echo(Protocol): ...

class Closing(ClientFactory):
    lost = Deferred()
    noisy = False
    class protocol(Protocol):
        def connectionMade(self): self.transport.loseConnection()
        def connectionLost(self, reason): Closing.lost.callback(None)

class Staying(ClientFactory):
    made = Deferred()
    noisy = False
    class protocol(Protocol):
        def connectionMade(self): Staying.made.callback(None)
"""

HOLDING = """
import pytest
from twisted.internet.defer import Deferred

@pytest.fixture(scope="module")
def held():
    deferred = Deferred()
    deferred.itself = deferred
    deferred.errback(KeyError("nobody"))
    return deferred

def ok_holds_it(held): ...

def bad_nobody_handled_and_what_a_module_held(): ...
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest said against each test of SUITE, and nothing of those that passed."""
    folder = tmp_path_factory.mktemp("suite")
    conftest = Path(__file__).with_name("conftest.py").read_text()
    assert "GRACE = 1.0" in conftest
    (folder / "conftest.py").write_text(conftest.replace("GRACE = 1.0", "GRACE = 0.1"))
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "test_holding.py").write_text(HOLDING)
    (folder / "pytest.ini").write_text("[pytest]\npython_functions = ok_* bad_*\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=result.xml", "--basetemp=here"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    found: dict[str, str] = {}
    for case in ET.parse(folder / "result.xml").iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        said = "".join(f"{part.get('message')}\n{part.text}" for part in case if part.tag in {"failure", "error"})
        found[name] = found.get(name, "") + said  # an error at teardown has an entry of its own
    return found


def names(prefix: str) -> list[str]:
    return re.findall(rf"def ({prefix}_\w+)", SUITE + HOLDING)


@pytest.mark.limit(60)
@pytest.mark.parametrize("name", names("ok"))
def test_what_is_in_order_passes(outcomes: dict[str, str], name: str) -> None:
    mine = [said for test, said in outcomes.items() if name in test]

    assert mine
    assert not any(mine)


@pytest.mark.limit(60)
@pytest.mark.parametrize("name", names("bad"))
def test_what_is_not_in_order_is_an_error_of_the_test_that_did_it(outcomes: dict[str, str], name: str) -> None:
    """The name of each of them begins with what the error has to speak of."""
    (said,) = (said.replace(" ", "_") for test, said in outcomes.items() if test.endswith(f".{name}"))

    assert name.removeprefix("bad_").split("_and_")[0] in said


def test_a_property_is_run_in_every_subclass_with_every_parameter(outcomes: dict[str, str]) -> None:
    assert {test for test in outcomes if "ok_property" in test} == {
        f"test_suite.{kind}.ok_property[{p}]" for kind in ("TestOne", "TestTwo") for p in (1, 2)
    }


# ---- every test is run


def passed_over(source: str, collected: bool = True) -> Iterator[str]:
    """
    Tests that pytest would not find: it looks into modules and into classes whose name begins with "Test".

    @param source: a file, or a part of it.
    @param collected: pytest looks into that.
    """
    return _passed_over(ast.parse(source), collected)


def _passed_over(node: ast.AST, collected: bool) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        collected = collected and node.name.startswith("Test")
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.name.startswith("test_") and not collected:
            yield node.name
        collected = False
    for child in ast.iter_child_nodes(node):
        yield from _passed_over(child, collected)


def test_no_test_stands_where_nobody_looks() -> None:
    here = Path(__file__).parent
    found = {
        str(path.relative_to(here)): names
        for path in here.rglob("*.py")
        if (names := [*passed_over(path.read_text(), path.name.startswith("test_"))])
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def test_a(): ...", []),
        ("if here:\n    async def test_a(): ...", []),
        ("class TestA:\n    class TestB:\n        def test_a(self): ...", []),
        ("class Broken(Sink):\n    def test_a(self): ...", ["test_a"]),
        ("class Broken:\n    class TestA:\n        async def test_a(self): ...", ["test_a"]),
        ("def pause():\n    def test_a(): ...", ["test_a"]),
    ],
)
def test_where_nobody_looks(source: str, found: list[str]) -> None:
    assert [*passed_over(source)] == found
    assert [*passed_over(source, collected=False)] == ["test_a"]
