"""SFTP in time: one limit for an answer, however many questions it takes; and what is learnt of a host on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

from pulp_dl.engine.shared import Shared
from pulp_dl.errors import RedirectRefused, TimedOut
from pulp_dl.model.remote import Remote, Timeouts
from pulp_dl.model.source import Source
from pulp_dl.protocols.ftp import FTPFetcher
from pulp_dl.protocols.sftp import SFTPFetcher
from pulp_dl.testing import MemoryNetwork, Reset
from tests.sftp.double import Double, running_double
from tests.sinks import read

HEAD = 0.5
"""Seconds for an answer."""


@pytest.fixture
async def double(reactor: Any) -> Any:
    async with running_double(reactor) as server:
        server.files |= {b"/data": b"hello", b"/empty": b""}
        yield server


def fetcher_of(reactor: Any, shared: Shared, double: Double, head: float | None = HEAD) -> SFTPFetcher:
    return SFTPFetcher(reactor, Remote(ssh=double.ssh(), timeouts=Timeouts(head=head)), shared)


class Slow:
    """Answers what is asked of a path so many seconds later."""

    def __init__(self, reactor: Any, double: Double, seconds: float) -> None:
        self._reactor = reactor
        self._attributes = double.attributes
        self._seconds = seconds
        self.waiting: list[Deferred[Any]] = []
        double.attributes = self.attributes

    def attributes(self, path: bytes) -> Any:
        self.waiting = [each for each in self.waiting if not each.called]
        self.waiting.append(deferLater(self._reactor, self._seconds, self._attributes, path))
        return self.waiting[-1]


async def test_all_questions_of_an_open_have_the_time_of_one_answer(
    reactor: Any, shared: Shared, double: Double
) -> None:
    """Each comes within the limit, and both together do not."""
    fetcher = fetcher_of(reactor, shared, double)
    await read(fetcher, double.url("/data"))  # the login has a limit of its own
    slow = Slow(reactor, double, 0.7 * HEAD)
    with pytest.raises(TimedOut) as caught:
        await fetcher.open(Source(double.url("/data")))

    assert caught.value.phase == "head"
    while double.open_files or not all(each.called for each in slow.waiting):
        await deferLater(reactor, 0.001)


class Held:
    """A double that keeps the answer to one kind of question."""

    def __init__(self, double: Double, question: str) -> None:
        self._double = double
        self._attributes, self._read = double.attributes, double.read
        self.answer: Deferred[None] | None = None
        if question == "open":
            self.answer = double.waits[b"/empty"] = Deferred()
        elif question == "read":
            double.read = lambda *asked: self._hold(lambda: self._read(*asked))
        else:
            double.attributes = self._ask
        self._question = question

    @property
    def asked(self) -> bool:
        if self._question == "open":
            return ("open", b"/empty") in self._double.asked
        return self.answer is not None

    def _ask(self, path: bytes) -> Any:
        there = self._double.open_files > 0
        wanted = there if self._question == "fstat" else not there
        return self._hold(lambda: self._attributes(path)) if wanted else self._attributes(path)

    def _hold(self, answer: Callable[[], Any]) -> Any:
        self.answer = Deferred()
        return self.answer.addCallback(lambda _: answer())

    def give(self) -> None:
        self._double.attributes, self._double.read = self._attributes, self._read
        self._double.waits.clear()
        assert self.answer is not None
        self.answer.callback(None)


@pytest.mark.parametrize("ends", ["cancelled", "late"])
@pytest.mark.parametrize("question", ["stat", "open", "fstat", "read"])
async def test_an_open_that_ends_at_any_question_leaves_no_file_open(
    reactor: Any, shared: Shared, double: Double, question: str, ends: str
) -> None:
    """And the connection stays good, since the answer came after all."""
    held = Held(double, question)
    fetcher = fetcher_of(reactor, shared, double, 0.1 if ends == "late" else None)
    opening = fetcher.open(Source(double.url("/empty")))
    while not held.asked:
        await deferLater(reactor, 0.001)
    if ends == "cancelled":
        opening.cancel()
    with pytest.raises(CancelledError if ends == "cancelled" else TimedOut):
        await opening
    held.give()
    patient = fetcher_of(reactor, shared, double, None)

    assert (await read(patient, double.url("/data")))[1] == b"hello"
    while double.open_files:
        await deferLater(reactor, 0.001)
    assert len(double.connections) <= (2 if ends == "late" else 1)
    assert double.asked.count(("open", b"/empty")) == (0 if question == "stat" else 1)


class AtOnce:
    """Threads that are none, for a network whose time does not wait for them."""

    def run(self, job: Callable[[], Any]) -> Deferred[Any]:
        return succeed(job())

    def close(self) -> Deferred[None]:
        return succeed(None)


def test_another_protocol_knows_where_a_list_over_sftp_was_found() -> None:
    """What one has learnt of a host, which may say another thing to each that asks (DNS rebinding)."""
    network, double = MemoryNetwork(), Double()
    double.files[b"/list"] = b"ftp://public.example:2121/a"
    network.names["public.example"] = ["8.8.8.8"]
    network._listening["8.8.8.8", 22] = double
    double.doStart()
    stage = network.serve("127.0.0.1", {}, port=2121, greeting=Reset())
    remote = Remote(ssh=double.ssh())
    shared = Shared(network, remote, None)
    shared.workers = AtOnce()  # type: ignore[assignment]
    sftp, ftp = SFTPFetcher(network, remote, shared), FTPFetcher(network, remote, shared)
    source = Source("sftp://elmer:wabbit@public.example/list")

    assert network.result(Deferred.fromCoroutine(read(sftp, source)))[1] == double.files[b"/list"]
    network.names["public.example"] = ["127.0.0.1"]
    for host in ("127.0.0.1", "public.example"):
        with pytest.raises(RedirectRefused, match="is not for a public server"):
            network.result(ftp.open(source.at(f"ftp://{host}:2121/a")))
    assert stage.connections.total == 0

    for each in (sftp, ftp, shared):
        network.result(each.close())
    network.result(stage.abort())
    network.run()
    double.doStop()
