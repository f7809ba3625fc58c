"""
How tests run here.

- Every test runs in the thread of the one real reactor, inside pytest-twisted's greenlet.  A test or a fixture may be
  ``async def`` (or return a Deferred) and may await Deferreds; so may a test under ``@given``.
- None of them waits for ever: after 10 seconds, or what ``@pytest.mark.limit(seconds)`` says, it is cancelled and
  fails with TimeoutError.
- None of them leaves anything: timers, sockets, threads, descriptors, temporary files and errors that nobody heard of
  are errors of the test that left them.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

LIMIT = 10.0
"""Seconds that a test or an asynchronous fixture may take."""

GRACE = 1.0
"""Seconds in which a socket may finish closing, or a thread ending, that was told to before the test ended."""

WORKERS = 8
"""Processes that run tests, at most: each has to collect all of them first."""

# A deadline would measure the machine, not the code.
hypothesis.settings.register_profile("pulp_dl", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=50,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # what fails need not be made small
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pulp_dl"))


def pytest_configure(config: pytest.Config) -> None:
    # Where one of these is set, pytest shows all of a difference: of two bodies of a megabyte that takes an hour.
    for name in ("CI", "BUILD_NUMBER"):
        os.environ.pop(name, None)
    config.addinivalue_line("markers", f"limit(seconds): how long the test may take; {LIMIT:g} seconds if not given")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """
    The whole suite runs in a process for each core; what somebody picked out of it, or wants to look at with C{-s},
    runs in this one.  C{-n 2} and C{-n 0} say otherwise.
    """
    options = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    picked = not whole or options.keyword or options.markexpr or options.lf
    cores = len(os.sched_getaffinity(0))
    return 0 if picked or options.capture == "no" or cores == 1 else min(cores, WORKERS)


# ---- waiting, but not for ever


def within(seconds: float, begin: Callable[[], Any]) -> Deferred[Any]:
    """
    What C{begin} returns (a coroutine, a Deferred or a plain value), or TimeoutError after so many seconds.

    What is late is cancelled, and has one second more to clean up; if it ignores that too, it is left alone.
    """
    from twisted.internet import reactor

    done: Deferred[Any] = Deferred()
    clock: Any = reactor
    timer: Any = None
    late = False

    def out_of_time() -> None:
        nonlocal late, timer
        late = True
        timer = clock.callLater(GRACE, lambda: done.errback(TimeoutError(f"still running after {seconds:g} seconds")))
        running.cancel()

    def ended(result: Any) -> None:
        if done.called:
            return
        timer.cancel()
        if late:
            overdue = TimeoutError(f"not done after {seconds:g} seconds")
            # Where it waited is in the traceback of the cause.
            overdue.__cause__ = result.value if isinstance(result, Failure) else None
            done.errback(overdue)
        else:
            done.callback(result)  # or errback, if it is a Failure

    def start() -> Any:
        started = begin()
        return ensureDeferred(started) if inspect.iscoroutine(started) else started

    timer = clock.callLater(seconds, out_of_time)
    running: Deferred[Any] = maybeDeferred(start)
    running.addBoth(ended)
    return done


def wait_for(begin: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Let the reactor run until this is done.  Not from inside a test or a callback: they hold up the reactor."""
    from twisted.internet import reactor

    # By way of the reactor, so that everything runs in its greenlet and nothing in ours.
    return pytest_twisted.blockon(deferLater(reactor, 0, within, seconds, begin))


def bounded(function: Callable[..., Any], seconds: float) -> Callable[..., Deferred[Any]]:
    """The same test with a limit."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Deferred[Any]:
        return within(seconds, lambda: function(*args, **kwargs))

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    marker = pyfuncitem.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT
    property_test = getattr(pyfuncitem.obj, "hypothesis", None)
    if property_test is None:
        pyfuncitem.obj = bounded(pyfuncitem.obj, seconds)
        return (yield)
    # The function is shared by all parameters and all subclasses of a test, and pytest-twisted wraps it at each call.
    inner = property_test.inner_test
    property_test.inner_test = bounded(inner, seconds)
    try:
        return (yield)
    finally:
        property_test.inner_test = inner


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Fixtures may be ``async def``, with or without a ``yield``."""
    function: Any = fixturedef.func
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        def both_halves(*args: Any, **kwargs: Any) -> Iterator[Any]:
            steps = function(*args, **kwargs)
            yield wait_for(lambda: _awaited(anext(steps)))
            wait_for(lambda: _awaited(anext(steps, None)))

        fixturedef.func = both_halves  # type: ignore[misc]  # final for its users; this is its maker's hook
    elif inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        def awaited(*args: Any, **kwargs: Any) -> Any:
            return wait_for(lambda: function(*args, **kwargs))

        fixturedef.func = awaited  # type: ignore[misc]  # as above
    return (yield)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    """A coroutine of it, since that is all that Twisted can drive."""
    return await awaitable


@pytest.fixture(scope="session")
def reactor() -> Any:
    """The real one; it runs.  For the whole session, so that a test under ``@given`` may have it."""
    from twisted.internet import reactor

    return reactor


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """
    The path of a program that a test needs.  Without it the test is skipped; or it fails, if PULP_DL_REQUIRE_SERVERS
    is set.
    """

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if path is None:
            # As tests/needs.py does it, which cannot be imported: projects of their own have this file and no other.
            (pytest.fail if os.environ.get("PULP_DL_REQUIRE_SERVERS") else pytest.skip)(f"{name} is not installed")
        return path

    return find


@pytest.fixture
def in_zone() -> Iterator[Callable[[str], None]]:
    """Call it to have this machine stand in a time zone."""
    with pytest.MonkeyPatch.context() as patch:

        def set_zone(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        yield set_zone
    time.tzset()


# ---- nothing is left


@implementer(ILogObserver)
class Errors:
    """Errors that went to the log: those of Deferreds that nobody listened to, and all that code logged itself."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        # The reactor still logs what a protocol raises by twisted.python.log, where it is called "failure".
        failure = event.get("log_failure", event.get("failure"))
        if failure is not None:
            self.failures.append(failure)

    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """Take those of these kinds out: the test expects them."""
        _collect()
        taken = [failure for failure in self.failures if failure.check(*kinds)]
        self.failures = [failure for failure in self.failures if failure not in taken]
        return taken

    def told(self) -> None:
        """Fail with those that nobody took."""
        if self.failures:
            texts = "\n".join(failure.getTraceback() for failure in self.failures)
            pytest.fail(f"errors that nobody handled:\n{texts}", pytrace=False)


def _collect() -> None:
    """Deferreds in reference cycles report their errors when they are collected."""
    gc.collect()


class Belongings:
    """What this process holds at one moment."""

    def __init__(self, reactor: Any, temporary: Path) -> None:
        self.timers = {*reactor.getDelayedCalls()}
        self.selectables = {*reactor.getReaders(), *reactor.getWriters()}
        pool = reactor.getThreadPool()
        # An idle thread of the reactor's pool belongs to the reactor; a busy one is in a test's call.
        self.threads = {*threading.enumerate()} - {*pool.threads}
        self.busy = len(pool.working)
        self.descriptors = {*_descriptors()}
        self.files = {*temporary.iterdir()}

    def since(self, before: Belongings) -> dict[str, set[Any]]:
        """What came to it."""
        found = {
            "timers": self.timers - before.timers,
            "sockets": self.selectables - before.selectables,
            "threads": self.threads - before.threads,
            "busy threads": {*range(before.busy, self.busy)},
            "descriptors": self.descriptors - before.descriptors,
            "temporary files": self.files - before.files,
        }
        return {name: things for name, things in found.items() if things}


def _descriptors() -> Iterator[tuple[int, str]]:
    for path in Path("/proc/self/fd").iterdir():
        # The one that lists them is gone by now.
        with suppress(FileNotFoundError):
            yield int(path.name), str(path.readlink())


def _let_go(left: dict[str, set[Any]], reactor: Any) -> None:
    """So that one test's leak is not the next one's."""
    for timer in left.get("timers", ()):
        if timer.active():
            timer.cancel()
    for selectable in left.get("sockets", ()):
        reactor.removeReader(selectable)
        reactor.removeWriter(selectable)
        stop = getattr(selectable, "abortConnection", None) or getattr(selectable, "stopListening", None)
        if stop is not None:
            stop()


@pytest.fixture(scope="session", autouse=True)
def _ready(tmp_path_factory: pytest.TempPathFactory, reactor: Any) -> Iterator[Path]:
    """The reactor runs and has its own descriptors; temporary files go where they can be counted."""
    temporary = tmp_path_factory.mktemp("temporary")
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    # The first port makes Twisted set a descriptor aside, for the day when there are no more.
    wait_for(lambda: reactor.listenTCP(0, Factory(), interface="127.0.0.1").stopListening())
    yield temporary
    gc.unfreeze()
    tempfile.tempdir = before[0]
    if before[1] is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before[1]


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The proxies, passwords, window and settings of whoever runs the tests are not for them."""
    home = tmp_path_factory.mktemp("home")
    (home / "netrc").touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.lower().endswith("_proxy") or (name.startswith("PULP_DL_") and name != "PULP_DL_REQUIRE_SERVERS"):
                patch.delenv(name)
        for name in ("COLUMNS", "LINES"):  # of somebody's terminal, or what readline takes for one
            patch.delenv(name, raising=False)
        patch.setenv("XDG_CONFIG_HOME", str(home))
        patch.setenv("NETRC", str(home / "netrc"))
        if "PYTHONDONTWRITEBYTECODE" in os.environ:
            # Then nothing is written into the checkout; yet hundreds of processes need not compile it all over again.
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(home / "bytecode"))
        # Who begins this in the background has it ignored, and processes inherit that: they would be deaf to Ctrl-C.
        before = signal.getsignal(signal.SIGINT)
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module", autouse=True)
def _module(_ready: Path) -> Iterator[None]:
    """What the tests of a module held for longer than one of them is garbage in the end; its errors are told then."""
    # What is there by now stays: looking through all of it after each test takes longer than the test.
    gc.collect()
    gc.freeze()
    yield
    errors = Errors()
    globalLogPublisher.addObserver(errors)
    _collect()
    globalLogPublisher.removeObserver(errors)
    errors.told()


@pytest.fixture(autouse=True)
def _nothing_learnt(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test learns of mirrors is not for another, nor for whoever runs them; ports come again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture(autouse=True)
def logged_errors(_module: None, _ready: Path, reactor: Any) -> Iterator[Errors]:
    """
    The errors that are logged while a test runs.  Those that the test does not C{flush} are its errors, and so is all
    that it leaves behind.
    """
    errors = Errors()
    globalLogPublisher.addObserver(errors)
    before = Belongings(reactor, _ready)
    yield errors
    # Twisted ends some things with callLater(0): a few turns are not a leak.
    for _ in range(5):
        left = Belongings(reactor, _ready).since(before)
        if not left:
            break
        wait_for(lambda: None)
    # Timers had their turns.  A socket whose peer is closing, and a thread that ends, have until GRACE.
    deadline = reactor.seconds() + GRACE
    while left and "timers" not in left and reactor.seconds() < deadline:
        wait_for(lambda: deferLater(reactor, 0.01))
        left = Belongings(reactor, _ready).since(before)
    said = "; ".join(f"{name}: {things}" for name, things in left.items())
    _let_go(left, reactor)
    _collect()
    globalLogPublisher.removeObserver(errors)
    if left:
        pytest.fail(f"left behind: {said}", pytrace=False)
    errors.told()
