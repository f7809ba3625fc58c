"""
A model: hosts that fail, change and go away, downloads to files and to clients that read, pause, raise and leave, a
disk that breaks, a process that dies, and somebody who cancels and closes; in whatever order.

After every step: sockets are within the limits, every connection is of one identity, no secret is where it does not
belong, no name holds anything but the old or an exact version, nobody is given a clean end of a wrong body, and who
pauses is waited for; nothing outside of the directory is touched, and nothing that is said holds a secret.  In the end
everything has ended once, and nothing is left, neither in the reactor nor in memory.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.protocol import BaseProtocol
from twisted.python.failure import Failure

from pulp_dl import Remote, Source
from pulp_dl.engine.downloader import Downloader
from pulp_dl.flow.pipe import Pipe
from pulp_dl.protocols.http.connection import HTTPConnection
from pulp_dl.testing import Recorder, RewindableRecorder
from tests.memory import client, fired
from tests.stateful.origins import FAULTS, Fault
from tests.stateful.wants import OLD, FileHere, Want, expectations
from tests.stateful.world import FILE, HOST, LARGE, PLACE, World

IDENTITIES = {name: client(name) for name in ("alice", "bob")}
ANY = st.integers(0, 1000)
KEPT = (BaseProtocol, Downloader, HTTPConnection, Pipe, Want)
"""What must not outlive its process, in whatever state that was left."""


class Model(World):
    # ---- downloads

    @rule(
        name=FILE, place=PLACE, digest=st.booleans(), size=st.booleans(), old=st.sampled_from([None, "file", "link"]),
        part=st.booleans(), durable=st.booleans(),
    )  # fmt: skip
    def start_file(
        self, name: str, place: str, digest: bool, size: bool, old: str | None, part: bool, durable: bool
    ) -> None:
        path = self.folder / f"file{next(self.numbers)}"
        if old == "file":
            path.write_bytes(OLD)
        elif old == "link":
            path.symlink_to(self.neighbour)
        version = self.version(place, name)
        consumer = FileHere(path, durable=durable, part=part, disk=self.disk)
        want = Want(name, version if digest else None, consumer, path, part=part)
        self.wants.append(want)
        expect = expectations(name, version, digest=digest, size=size)
        want.begin(self.downloader.download(Source(f"{place}/{name}", expect), consumer))

    @rule(name=FILE, place=PLACE, digest=st.booleans(), part=st.booleans(), after=st.integers(0, 8))
    def start_file_and_die(self, name: str, place: str, digest: bool, part: bool, after: int) -> None:
        """What is most worth looking at after a crash: a download that was at work when it came."""
        self.start_file(name, place, digest, False, None, part, False)
        self.the_process_dies(after)
        self.something_happens(200)

    @rule(
        name=LARGE, place=PLACE, after=st.integers(1, 150_000), digest=st.booleans(), dies=st.booleans(),
        then=st.sampled_from(["nothing", "again", "changes, and again"]), elsewhere=PLACE,
    )  # fmt: skip
    def start_file_that_breaks_off(
        self, name: str, place: str, after: int, digest: bool, dies: bool, then: str, elsewhere: str
    ) -> None:
        """What may be gone on with, by the same process or another one, here or there."""
        self.every_place_breaks_off(after)
        self.start_file(name, place, digest, False, None, True, False)
        self.time_goes_by(3)
        if dies:
            self.the_process_dies(0)
            self.who_is_dead_is_followed()
        if then == "changes, and again":
            self.a_file_changes(name, {"a.example"}, True)
        if then != "nothing" and any(want.broke_off for want in self.wants):
            self.every_place_is_honest()
            self.start_file_again(0, elsewhere)

    @rule(which=ANY, place=PLACE)
    @precondition(lambda self: any(want.broke_off for want in self.wants))
    def start_file_again(self, which: int, place: str) -> None:
        """One that broke off, perhaps with its process; those first that have left something to go on with."""
        broken = [want for want in self.wants if want.broke_off]
        failed = [want for want in broken if want.has_part] or broken
        before = failed[which % len(failed)]
        assert before.path is not None
        self.wants.remove(before)
        consumer = FileHere(before.path, part=before.part, disk=self.disk)
        want = Want(before.name, before.version, consumer, before.path, part=before.part)
        want.old = before.old
        self.wants.append(want)
        expect = () if before.version is None else expectations(before.name, before.version, digest=True, size=True)
        want.begin(self.downloader.download(Source(f"{place}/{before.name}", expect), consumer))

    @rule(
        name=FILE, place=PLACE, digest=st.booleans(), shared=st.booleans(), forgets=st.booleans(),
        pause=st.none() | st.integers(1, 3), speed=st.none() | st.sampled_from([500, 50_000]),
        raises=st.sampled_from([None, None, None, "begin", "write", "finish"]), raise_at=st.integers(1, 3),
    )  # fmt: skip
    def start_stream(
        self, name: str, place: str, digest: bool, shared: bool, forgets: bool, pause: int | None, speed: int | None,
        raises: str | None, raise_at: int,
    ) -> None:  # fmt: skip
        make = RewindableRecorder if forgets else Recorder
        raising = {} if raises is None else {raises: ZeroDivisionError("the consumer's own")}
        reader = make(self.network, pause_after=pause, speed=speed, raises=raising, raise_at=raise_at)
        version = self.version(place, name)
        want = Want(name, version if digest else None, reader)
        self.wants.append(want)
        self.readers.append(reader)
        source = Source(f"{place}/{name}", expectations(name, version, digest=digest, size=False))
        want.begin((self.sharing if shared else self.downloader).download(source, reader))

    @rule(name=FILE, place=PLACE, shared=st.booleans())
    def start_client(self, name: str, place: str, shared: bool) -> None:
        """A stream to a client that takes what comes; its digest is known."""
        self.start_stream(name, place, True, shared, False, None, None, None, 1)

    @rule(host=HOST, name=FILE, fault=FAULTS, shared=st.booleans())
    def start_client_of_a_bad_host(self, name: str, host: str, fault: Fault, shared: bool) -> None:
        """The same, and what is most worth looking at: nothing else is right there either."""
        self.origins[host].mood = fault
        self.start_client(name, f"http://{host}", shared)

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
        downloader, disk, wants = self.downloader, self.disk, self.wants

        def items() -> Any:
            for name in names:
                path = self.folder / f"file{next(self.numbers)}"
                consumer = FileHere(path, durable=False, disk=disk)
                want = Want(name, None, consumer, path)
                wants.append(want)
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
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, KEPT)] == []
