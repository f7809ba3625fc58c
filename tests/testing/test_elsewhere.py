"""The kit works for whoever writes a plugin, in a project that is not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PLUGIN = """
from contextlib import asynccontextmanager
from pulp_dl.testing import (
    ConsumerCase, FetcherCase, MemoryFetcher, Place, Recorder, RewindableRecorder, check_consumer, check_fetcher,
)

def cases(fetcher_class):
    @asynccontextmanager
    async def make(reactor):
        fetcher = fetcher_class({}, reactor)
        def serve(name, data):
            url = f"memory://host/{name.replace(' ', '-')}"
            fetcher.places[url] = Place(data, b'"%d"' % hash(data))
            return url
        yield FetcherCase(fetcher, serve)
    return make

class TestFetcher(check_fetcher(cases(MemoryFetcher))):
    "Right."

class TestAgain(check_fetcher(cases(MemoryFetcher))):
    "As the other."

class Wrong(MemoryFetcher):
    def open(self, source, span=None, same_as=None):
        return super().open(source)

class TestWrong(check_fetcher(cases(Wrong))):
    "It cannot bring parts."

@asynccontextmanager
async def recorder(reactor):
    consumer = RewindableRecorder()
    yield ConsumerCase(consumer, lambda: consumer.data if consumer.finished else None)

class TestConsumer(check_consumer(recorder)):
    "Right."
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.limit(60)
def test_the_checks_run_under_nothing_but_pytest_twisted_and_hypothesis(tmp_path: Path) -> None:
    (tmp_path / "test_plugin.py").write_text(PLUGIN)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plugin.py", cwd=tmp_path)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed, done.stdout + done.stderr
    assert all(
        "TestWrong" in line and any(each in line for each in ("span", "same_as", "offset")) for line in failed
    ), done.stdout
    # A broken promise is shown with its values.
    assert "assert (200, None) == (206, Span(" in done.stdout


@pytest.mark.limit(60)
def test_without_hypothesis_the_kit_works_and_its_checks_say_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "hypothesis.py").write_text("raise ImportError('there is no hypothesis')")
    done = python("-c", "from pulp_dl.testing import FaultServer, MemoryFetcher, Recorder", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for what in ("from pulp_dl.testing import check_fetcher", "import pulp_dl.testing.strategies"):
        done = python("-c", what, cwd=tmp_path)
        assert done.returncode == 1
        assert "pip install 'pulp_dl[test]'" in done.stderr


def test_the_kit_imports_no_reactor(tmp_path: Path) -> None:
    done = python("-c", "import sys, pulp_dl.testing; print('twisted.internet.reactor' in sys.modules)", cwd=tmp_path)
    assert done.stdout == "False\n", done.stderr


def test_what_the_kit_has_not_is_an_attribute_error(tmp_path: Path) -> None:
    done = python("-c", "import pulp_dl.testing; pulp_dl.testing.check_everything", cwd=tmp_path)
    assert "AttributeError" in done.stderr
