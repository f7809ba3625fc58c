"""
A model: hosts that fail, change and go away, downloads to files and to clients that read, pause, raise and leave, a
disk that breaks, and somebody who cancels and closes; in whatever order.

After every step: sockets are within the limits, every connection is of one identity, no secret is where it does not
belong, no name holds anything but the old or an exact version, nobody is given a clean end of a wrong body, and who
pauses is waited for.  In the end everything has ended once, and nothing is left.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pulp_dl import Basic, Limits, Places, Remote, Retries, Scores, Sharing, Source
from pulp_dl.engine.downloader import Downloader
from pulp_dl.testing import MemoryNetwork, Recorder, Request, RewindableRecorder, answer
from pulp_dl.testing.pipe import HIGH_WATER, RECEIVE, WINDOW, MemoryTransport
from tests.memory import TRUST, asking, client, fired
from tests.stateful.origins import FAULTS, FILES, Fault, Origin
from tests.stateful.wants import OLD, Disk, FileHere, Want, expectations

TOTAL, PER_HOST = 3, 2
LIMIT = 1_000_000
"""Bytes of a body without an end that are taken."""

USER = Basic("elmer", "wabbit")
SECURE = asking("s.example")
IDENTITIES = {name: client(name) for name in ("alice", "bob")}
FILE = st.sampled_from([*FILES])
HOST = st.sampled_from(["a.example", "b.example"])
ANY = st.integers(0, 1000)


class Network(MemoryNetwork):
    """
    Counts sockets whenever there is one more.

    @ivar ends: the ends of connections that are ours, with where they lead.
    """

    def __init__(self, segments: Any) -> None:
        super().__init__(segments)
        self.ends: list[tuple[MemoryTransport, tuple[str, int]]] = []

    def link(self, address: str, port: int) -> tuple[MemoryTransport, Any] | None:
        found = super().link(address, port)
        if found is not None:
            self.ends = [each for each in self.ends if not each[0].disconnected]
            self.ends.append((found[0], (address, port)))
            assert len(self.ends) <= TOTAL, "more sockets than allowed"
            there = [each for each in self.ends if each[1] == (address, port)]
            assert len(there) <= PER_HOST, "more sockets to one host than allowed"
        return found

    def ended(self, *waiting: Deferred[Any]) -> bool:
        """
        Will all of these have fired in the end?  Parts are read again by threads, which have their own time.
        """
        ends = [fired(each) for each in waiting]
        for _ in range(3000):
            self.run()
            if all(ends):
                return True
            self.advance(1)
            time.sleep(0.001)
        return False

    @property
    def sockets(self) -> int:
        return sum(not end.disconnected for end, _ in self.ends)


class Model(RuleBasedStateMachine):
    @initialize(
        segments=st.sampled_from([None, 1000, [1, 7, 1000, 65536]]),
        mirrors=st.sampled_from(["none", "places", "scores"]),
        retries=st.integers(0, 2),
    )
    def begin(self, segments: Any, mirrors: str, retries: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="model"))
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.network = Network(segments)
        self.origins = {"a.example": Origin("a.example", "b.example"), "b.example": Origin("b.example", "a.example")}
        for name, origin in self.origins.items():
            origin.stage = self.network.serve(name, origin.script)
        self.secure = self.network.serve("s.example", answer(b"secret"), tls=SECURE)
        self.mirrors, self.retries = mirrors, retries
        self.disk = Disk()
        self.numbers = count()
        self.wants: list[Want] = []
        self.readers: list[Recorder] = []
        self.batches: list[tuple[Deferred[Any], list[Any]]] = []
        self.endless: list[tuple[str, RewindableRecorder, list[Any]]] = []
        self.open()

    def open(self) -> None:
        """A downloader, as after a restart."""
        mirrors: Any = None
        if self.mirrors != "none":
            mirrors = Places(["http://a.example/", "http://b.example/"], under="http://a.example/")
        if self.mirrors == "scores":
            mirrors = Scores(mirrors, clock=self.network.seconds)
        self.remote = Remote(
            url="http://a.example/",
            auth=USER,
            tls=TRUST,
            limits=Limits(connections=TOTAL, per_host=PER_HOST, max_size=LIMIT),
            retries=Retries(count=self.retries),
        )
        self.downloader = Downloader(self.network, self.remote, mirrors=mirrors)
        self.sharing = Sharing(self.downloader, self.network, window=20_000)

    # ---- downloads

    @rule(
        name=FILE, host=HOST, digest=st.booleans(), size=st.booleans(), old=st.booleans(), part=st.booleans(),
        durable=st.booleans(),
    )  # fmt: skip
    def start_file(self, name: str, host: str, digest: bool, size: bool, old: bool, part: bool, durable: bool) -> None:
        path = self.folder / f"file{next(self.numbers)}"
        if old:
            path.write_bytes(OLD)
        version = self.origins[host].versions[name]
        consumer = FileHere(path, durable=durable, part=part, disk=self.disk)
        want = Want(name, version if digest else None, consumer, path, part=part)
        self.wants.append(want)
        expect = expectations(name, version, digest=digest, size=size)
        want.begin(self.downloader.download(Source(f"http://{host}/{name}", expect), consumer))

    @rule(which=ANY)
    @precondition(lambda self: any(want.part and want.ends and not want.whole for want in self.wants))
    def start_file_again(self, which: int) -> None:
        """One that broke off; what it has left is gone on with, or not."""
        failed = [want for want in self.wants if want.part and want.ends and not want.whole]
        before = failed[which % len(failed)]
        assert before.path is not None
        self.wants.remove(before)
        consumer = FileHere(before.path, part=True, disk=self.disk)
        want = Want(before.name, before.version, consumer, before.path, part=True)
        want.old = before.old
        self.wants.append(want)
        expect = () if before.version is None else expectations(before.name, before.version, digest=True, size=True)
        want.begin(self.downloader.download(Source(f"http://a.example/{before.name}", expect), consumer))

    @rule(
        name=FILE, host=HOST, digest=st.booleans(), shared=st.booleans(), forgets=st.booleans(),
        pause=st.none() | st.integers(1, 3), speed=st.none() | st.sampled_from([500, 50_000]),
        raises=st.sampled_from([None, None, None, "begin", "write", "finish"]), raise_at=st.integers(1, 3),
    )  # fmt: skip
    def start_stream(
        self, name: str, host: str, digest: bool, shared: bool, forgets: bool, pause: int | None, speed: int | None,
        raises: str | None, raise_at: int,
    ) -> None:  # fmt: skip
        make = RewindableRecorder if forgets else Recorder
        raising = {} if raises is None else {raises: ZeroDivisionError("the consumer's own")}
        reader = make(self.network, pause_after=pause, speed=speed, raises=raising, raise_at=raise_at)
        version = self.origins[host].versions[name]
        want = Want(name, version if digest else None, reader)
        self.wants.append(want)
        self.readers.append(reader)
        source = Source(f"http://{host}/{name}", expectations(name, version, digest=digest, size=False))
        want.begin((self.sharing if shared else self.downloader).download(source, reader))

    @rule(name=FILE, host=HOST, shared=st.booleans())
    def start_client(self, name: str, host: str, shared: bool) -> None:
        """A stream to a client that takes what comes; its digest is known."""
        self.start_stream(name, host, True, shared, False, None, None, None, 1)

    @rule(host=HOST, name=FILE, fault=FAULTS, shared=st.booleans())
    def start_client_of_a_bad_host(self, name: str, host: str, fault: Fault, shared: bool) -> None:
        """The same, and what is most worth looking at: nothing else is right there either."""
        self.origins[host].mood = fault
        self.start_client(name, host, shared)

    @rule(pause=st.integers(1, 3))
    def start_without_end(self, pause: int) -> None:
        """A body that never ends, to a consumer that pauses: no more is fetched than there are buffers for."""
        target = f"/endless?{next(self.numbers)}"
        reader = RewindableRecorder(pause_after=pause)
        self.readers.append(reader)
        self.endless.append((target, reader, fired(self.downloader.download(f"http://a.example{target}", reader))))

    @rule(identity=st.sampled_from(["alice", "bob", None]))
    def ask_over_tls(self, identity: str | None) -> None:
        remote = self.remote if identity is None else Remote(tls=IDENTITIES[identity], limits=self.remote.limits)
        download: Deferred[Any]
        download = self.downloader.download(Source(f"https://s.example/{identity}", remote=remote), Recorder())
        self.batches.append((download, fired(download)))

    @rule(names=st.lists(FILE, max_size=6), host=HOST, concurrency=st.integers(1, 4))
    def start_batch(self, names: list[str], host: str, concurrency: int) -> None:
        downloader = self.downloader

        def items() -> Any:
            for name in names:
                path = self.folder / f"file{next(self.numbers)}"
                consumer = FileHere(path, durable=False, disk=self.disk)
                want = Want(name, None, consumer, path)
                self.wants.append(want)
                yield Source(f"http://{host}/{name}", tag=want), consumer

        async def bring() -> int:
            async with downloader.download_many(items(), concurrency) as outcomes:
                async for outcome in outcomes:
                    want: Any = outcome.source.tag
                    want.ends.append(outcome.report if outcome.ok else Failure(outcome.error))
            return len(names)

        batch: Deferred[Any] = Deferred.fromCoroutine(bring())
        self.batches.append((batch, fired(batch)))

    # ---- what happens to them

    @rule(which=ANY)
    @precondition(lambda self: self.wants)
    def cancel(self, which: int) -> None:
        want = self.wants[which % len(self.wants)]
        if hasattr(want, "deferred"):
            want.cancel()
            assert want.ends or want.path is not None or want.consumer.finished  # what is being made last may finish

    @rule(which=ANY)
    @precondition(lambda self: self.batches)
    def cancel_batch(self, which: int) -> None:
        batch, ends = self.batches[which % len(self.batches)]
        if not ends:
            batch.cancel()

    @rule(which=ANY, what=st.sampled_from(["pause", "resume", "leave", "stop"]))
    @precondition(lambda self: self.readers)
    def a_client_does(self, which: int, what: str) -> None:
        reader = self.readers[which % len(self.readers)]
        if what == "stop":
            if reader.producer is not None:
                reader.producer.stopProducing()
        else:
            getattr(reader, what)()

    @rule(seconds=st.sampled_from([0.01, 0.4, 3, 20, 40, 100]))
    def time_goes_by(self, seconds: float) -> None:
        self.network.advance(seconds)

    @rule(turns=st.integers(1, 300))
    def something_happens(self, turns: int) -> None:
        for _ in range(turns):
            if not self.network.step():
                break

    # ---- what happens to the world

    @rule(host=HOST, fault=FAULTS)
    def the_next_request_is_answered_with(self, host: str, fault: Fault) -> None:
        self.origins[host].faults.append(fault)

    @rule(host=HOST, fault=FAULTS)
    def all_requests_are_answered_with(self, host: str, fault: Fault) -> None:
        self.origins[host].mood = fault

    @rule(name=FILE, hosts=st.sets(HOST, min_size=1))
    def a_file_changes(self, name: str, hosts: set[str]) -> None:
        newest = max(origin.versions[name] for origin in self.origins.values()) + 1
        for host in hosts:
            self.origins[host].versions[name] = newest

    @rule(host=HOST)
    def the_link_drops(self, host: str) -> None:
        self.network.silent.update(self.network.names[host])
        self.origins[host].stage.abort()

    @rule(host=HOST)
    def the_link_heals(self, host: str) -> None:
        self.network.silent.difference_update(self.network.names[host])

    @rule(host=HOST)
    def what_was_held_goes_on(self, host: str) -> None:
        self.origins[host].stage.release()

    @rule(error=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS]), after=st.integers(0, 12))
    def the_disk_fails(self, error: int, after: int) -> None:
        self.disk.error, self.disk.after = error, after

    @rule()
    def close_and_open_again(self) -> None:
        assert self.network.ended(self.sharing.close(), self.downloader.close()), "closing does not end"
        assert self.network.sockets == 0
        assert all(want.ends for want in self.wants if hasattr(want, "deferred"))
        assert all(ends for _, ends in self.batches)
        assert all(ends for _, _, ends in self.endless)
        self.open()

    # ---- what always holds

    @invariant()
    def every_file_is_old_or_right(self) -> None:
        for want in getattr(self, "wants", ()):
            want.check()

    @invariant()
    def there_is_nothing_else(self) -> None:
        if hasattr(self, "wants"):
            allowed = {name for want in self.wants for name in want.names()}
            assert {*os.listdir(self.folder)} <= allowed

    @invariant()
    def a_connection_is_of_one_identity(self) -> None:
        if not hasattr(self, "secure"):
            return
        for stage in (self.secure, *(origin.stage for origin in self.origins.values())):
            seen: dict[int, set[Any]] = {}
            for request in stage.requests:
                seen.setdefault(request.connection, set()).add(_who(request))
            assert all(len(each) == 1 for each in seen.values()), "somebody rode on the connection of somebody else"
        for request in self.secure.requests:
            assert (request.certificate is None) == (request.path == "/None")
        for request in (*self.secure.requests, *self.origins["b.example"].stage.requests):
            assert request.get(b"authorization") is None, "a secret where it does not belong"

    @invariant()
    def who_pauses_is_waited_for(self) -> None:
        for target, reader, _ in getattr(self, "endless", ()):
            if reader.rewinds:  # what it has is of another request
                continue
            pulled = self.origins["a.example"].pulled.get(target, 0)
            assert pulled <= len(reader.data) + WINDOW + HIGH_WATER + 4 * RECEIVE, "buffers without a limit"

    def teardown(self) -> None:
        if not hasattr(self, "network"):
            return
        try:
            self.heal()
            for _ in range(60):
                for reader in self.readers:
                    if reader.paused:
                        reader.resume()
                self.network.advance(60)
            assert self.network.ended(*(want.deferred for want in self.wants if hasattr(want, "deferred")))
            self.it_has_all_ended()
            assert self.network.ended(self.sharing.close()), "closing does not end"
            for stage in (self.secure, *(origin.stage for origin in self.origins.values())):
                assert self.network.ended(stage.abort())
            self.network.run()
            assert self.network.connections == 0
            assert self.network.getDelayedCalls() == []
            assert len(os.listdir("/proc/self/fd")) == self.descriptors
            self.there_is_nothing_else()
        finally:
            shutil.rmtree(self.folder)

    def heal(self) -> None:
        """The world is good again, and everybody goes on."""
        self.disk.error = None
        self.network.silent.clear()
        for origin in self.origins.values():
            origin.faults.clear()
            origin.mood = Fault("honest", lambda right, request, origin: right)
            origin.stage.release()
        for _, reader, _ in self.endless:
            reader.leave()

    def it_has_all_ended(self) -> None:
        for want in self.wants:
            assert len(want.ends) == 1 or not hasattr(want, "deferred"), "it never ends"
            want.check()
        assert all(len(ends) == 1 for _, ends in self.batches)
        assert all(len(ends) == 1 for _, _, ends in self.endless)


def _who(request: Request) -> tuple[Any, Any]:
    certificate: Any = request.certificate
    return None if certificate is None else certificate.serial_number, request.get(b"authorization")


@pytest.mark.limit(600)
def test_whatever_happens_in_whatever_order_all_that_is_promised_holds(logged_errors: Any) -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=settings().max_examples,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=[*HealthCheck],
        ),
    )
