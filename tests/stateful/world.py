"""
The world of a model: hosts, a disk, a process that may die, and what happens to them; and what holds whatever happens.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from pulp_dl import Basic, Limits, Places, Remote, Retries, Scores, Sharing
from pulp_dl.consumers.strays import strays
from pulp_dl.engine.downloader import Downloader
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.testing import (
    DiskFault,
    FaultDisk,
    MemoryNetwork,
    Recorder,
    Request,
    Reset,
    RewindableRecorder,
    Stage,
    answer,
    reply,
)
from pulp_dl.testing.pipe import HIGH_WATER, RECEIVE, WINDOW, MemoryTransport
from pulp_dl.testing.strategies import disk_faults
from tests.memory import TRUST, asking, fired
from tests.stateful.ftp_origin import FTP_FAULTS, FTPFault, FTPOrigin, ftp_cut
from tests.stateful.origins import FAULTS, FILES, HONEST, Fault, Origin, cut
from tests.stateful.wants import OLD, Want

__all__ = ["FILE", "HOST", "LARGE", "PLACE", "World"]

TOTAL, PER_HOST = 3, 2
LIMIT = 1_000_000
"""Bytes of a body without an end that are taken."""

USER = Basic("elmer", "wabbit")
SECRETS = (USER.password, b64encode(b"elmer:wabbit").decode())
SECURE = asking("s.example")
FILE = st.sampled_from([*FILES])
LARGE = st.sampled_from(["more", "large"])
HOST = st.sampled_from(["a.example", "b.example"])
ANY_HOST = HOST | st.just("f.example")
PLACE = st.sampled_from(["http://a.example", "http://b.example", "ftp://f.example"])


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
        """Will all of these have fired in the end?"""
        ends = [fired(each) for each in waiting]
        for _ in range(3000):
            self.run()
            if all(ends):
                return True
            self.advance(1)
        return False

    @property
    def sockets(self) -> int:
        return sum(not end.disconnected for end, _ in self.ends)


@implementer(ILogObserver)
class Said(list[str]):
    """All that is said: to the log, of how downloads ended, and of things that are shown."""

    def __call__(self, event: LogEvent) -> None:
        self.append(f"{formatEvent(event)} {event}")
        if "log_failure" in event:
            self.append(event["log_failure"].getTraceback())

    def of(self, ends: list[Any]) -> None:
        for end in ends:
            self.append(f"{end!r} {end}")
            if isinstance(end, Failure):
                self.append(f"{end.value!r} {end.value} {end.getTraceback()}")


@define
class Process:
    """What is left of one: nothing that it does matters to anybody, but in the end it has to let go of everything."""

    network: Network
    downloader: Downloader
    sharing: Sharing
    stages: list[Stage]
    unfinished: list[Want] = field(factory=list)

    def end(self) -> None:
        assert self.network.ended(self.sharing.close(), self.downloader.close()), "closing does not end"
        for stage in self.stages:
            close = getattr(stage, "close", stage.abort)
            assert self.network.ended(close())
        self.network.run()
        assert all(len(want.ends) == 1 for want in self.unfinished if hasattr(want, "deferred"))
        assert self.network.connections == 0
        assert self.network.getDelayedCalls() == []


class World(RuleBasedStateMachine):
    """
    @ivar dead: processes that died.
    """

    @initialize(
        segments=st.sampled_from([None, 1000, [1, 7, 1000, 65536]]),
        mirrors=st.sampled_from(["none", "places", "scores"]),
        retries=st.integers(0, 2),
    )
    def begin(self, segments: Any, mirrors: str, retries: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="model"))
        self.folder, self.neighbour = self.home / "target", self.home / "neighbour"
        self.folder.mkdir()
        self.neighbour.write_bytes(OLD)
        self.said = Said()
        globalLogPublisher.addObserver(self.said)
        self.told: dict[int, list[Any]] = {}  # ends of which all has been said
        self.descriptors = descriptors()
        self.origins = {"a.example": Origin("a.example", "b.example"), "b.example": Origin("b.example", "a.example")}
        self.ftp = FTPOrigin()
        self.segments, self.mirrors, self.retries = segments, mirrors, retries
        self.numbers = count()
        self.wants: list[Want] = []
        self.dead: list[Process] = []
        self.restart()

    def restart(self) -> None:
        """A process begins, as after a crash: there is what is on the disk, and nobody else remembers anything."""
        self.network = Network(self.segments)
        for name, origin in self.origins.items():
            origin.stage = self.network.serve(name, origin.script)
        self.ftp.serve(self.network)
        self.secure = self.network.serve("s.example", answer(b"secret"), tls=SECURE)
        self.disk = FaultDisk()
        self.readers: list[Recorder] = []
        self.batches: list[tuple[Deferred[Any], list[Any]]] = []
        self.endless: list[tuple[str, RewindableRecorder, list[Any]]] = []
        self.open()

    def open(self) -> None:
        """A downloader."""
        mirrors: Any = None
        if self.mirrors != "none":
            mirrors = Places(["http://a.example/", "http://b.example/", "ftp://f.example/"], under="http://a.example/")
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
        # Threads would have their own time, and nothing could be done again as it was.
        self.downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]
        self.sharing = Sharing(self.downloader, self.network, window=20_000)
        self.said.of([self.remote, self.downloader, self.sharing])

    # ---- time

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

    @rule(fault=FTP_FAULTS)
    def the_ftp_host_misbehaves(self, fault: FTPFault) -> None:
        self.ftp.misbehave(fault)

    @rule(after=st.integers(0, 150_000))
    def every_place_breaks_off(self, after: int) -> None:
        for origin in self.origins.values():
            origin.mood = cut(after, Reset())
        self.ftp.misbehave(ftp_cut(after, Reset(), reply(426, "no")))

    @rule()
    def every_place_is_honest(self) -> None:
        for origin in self.origins.values():
            origin.mood = HONEST
        self.ftp.heal()

    @rule(name=FILE, hosts=st.sets(HOST), ftp=st.booleans())
    def a_file_changes(self, name: str, hosts: set[str], ftp: bool) -> None:
        newest = 1 + max(self.ftp.versions[name], *(origin.versions[name] for origin in self.origins.values()))
        for host in hosts:
            self.origins[host].versions[name] = newest
        if ftp:
            self.ftp.change(name, newest)

    @rule(host=ANY_HOST)
    def the_link_drops(self, host: str) -> None:
        self.network.silent.update(self.network.names[host])
        (self.ftp if host == self.ftp.name else self.origins[host]).stage.abort()

    @rule(host=ANY_HOST)
    def the_link_heals(self, host: str) -> None:
        self.network.silent.difference_update(self.network.names[host])

    @rule(host=ANY_HOST)
    def what_was_held_goes_on(self, host: str) -> None:
        (self.ftp if host == self.ftp.name else self.origins[host]).stage.release()

    @rule(fault=disk_faults(12))
    def the_disk_fails(self, fault: DiskFault) -> None:
        self.disk.fail(fault)

    @rule()
    def the_disk_is_good_again(self) -> None:
        self.disk.heal()

    @rule(after=st.integers(0, 12))
    def the_process_dies(self, after: int) -> None:
        """Before so many more things are done to the disk; whoever it is told to has no time to clean up."""
        self.disk.crash(after)

    def bury(self) -> None:
        """
        The process is dead: nothing happens in its network any more, nothing reaches the disk, and another one begins.
        """
        process = Process(self.network, self.downloader, self.sharing, self.stages())
        process.unfinished = [want for want in self.wants if not want.ends]
        self.dead.append(process)
        self.wants = [each for want in self.wants if (each := want.after_a_crash()) is not None]
        self.restart()

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
    def who_is_dead_is_followed(self) -> None:
        if hasattr(self, "wants") and self.disk.dead:
            self.bury()

    @invariant()
    def every_file_is_old_or_right(self) -> None:
        for want in getattr(self, "wants", ()):
            want.check()

    @invariant()
    def there_is_nothing_else(self) -> None:
        if hasattr(self, "wants"):
            allowed = {name for want in self.wants for name in want.names()}
            # Who dies, or finds the disk broken, between two names leaves one that is known for what it is.
            assert {*os.listdir(self.folder)} <= allowed | {each.name for each in strays(self.folder)}
            assert {*os.listdir(self.home)} == {"target", "neighbour"}
            assert self.neighbour.read_bytes() == OLD, "what lies outside was touched"

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
        assert not any(USER.password in command for command in self.ftp.stage.commands)

    @invariant()
    def no_secret_is_said(self) -> None:
        if not hasattr(self, "wants"):
            return
        for ends in (*(want.ends for want in self.wants), *(ends for _, ends in self.batches)):
            if ends and id(ends) not in self.told:
                self.told[id(ends)] = ends
                self.said.of(ends)
        shown = [text for text in self.said if any(secret in text for secret in SECRETS)]
        assert not shown, f"a secret was said: {shown[0]}"
        self.said.clear()

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
            self.who_is_dead_is_followed()
            self.heal()
            for _ in range(60):
                for reader in self.readers:
                    if reader.paused:
                        reader.resume()
                self.network.advance(60)
            assert self.network.ended(*(want.deferred for want in self.wants if hasattr(want, "deferred")))
            self.it_has_all_ended()
            for process in (*self.dead, Process(self.network, self.downloader, self.sharing, self.stages())):
                process.end()
            now = descriptors()
            assert len(now) == len(self.descriptors), (self.descriptors, now)
            self.there_is_nothing_else()
            self.no_secret_is_said()
        finally:
            globalLogPublisher.removeObserver(self.said)
            shutil.rmtree(self.home)

    def heal(self) -> None:
        """The world is good again, and everybody goes on."""
        self.disk.heal()
        self.ftp.heal()
        self.network.silent.clear()
        for origin in self.origins.values():
            origin.faults.clear()
            origin.mood = HONEST
            origin.stage.release()
        for _, reader, _ in self.endless:
            reader.leave()

    def version(self, place: str, name: str) -> int:
        """Which one this place has now."""
        host = place.partition("://")[2]
        return (self.ftp if host == self.ftp.name else self.origins[host]).versions[name]

    def stages(self) -> list[Stage]:
        return [self.secure, self.ftp.stage, *(origin.stage for origin in self.origins.values())]

    def it_has_all_ended(self) -> None:
        for want in self.wants:
            assert len(want.ends) == 1 or not hasattr(want, "deferred"), "it never ends"
            want.check()
        assert all(len(ends) == 1 for _, ends in self.batches)
        assert all(len(ends) == 1 for _, _, ends in self.endless)


def descriptors() -> list[str]:
    """What this process has open; the one that lists them is gone by then."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(f"{path.name} {path.readlink()}")
    return found


def _who(request: Request) -> tuple[Any, Any]:
    certificate: Any = request.certificate
    return None if certificate is None else certificate.serial_number, request.get(b"authorization")
