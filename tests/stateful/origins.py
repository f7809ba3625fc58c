"""Hosts of a model: files that change, and what becomes of requests for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import field, frozen
from hypothesis import strategies as st

from pulp_dl.testing import (
    Close,
    Cut,
    CutTLS,
    Drip,
    Entity,
    Hold,
    Repeat,
    Request,
    Reset,
    Respond,
    Script,
    Send,
    Stage,
    Step,
    Wait,
    answer,
    redirect,
    response_head,
)

__all__ = ["FAULTS", "FILES", "HONEST", "Fault", "Origin", "body_of", "cut", "versions_of"]

FILES = {"empty": 0, "one": 1, "some": 3000, "buffer": 65_536, "more": 65_537, "large": 150_000}
"""Sizes.  Nothing is so large that a thread would be asked to hash it: a model has no patience for threads."""


def body_of(name: str, version: int) -> bytes:
    """Two versions of a file have nothing but their size in common; the empty one has no versions."""
    piece = f"{chr(0x30 + version)}.{name}.{version}|".encode()
    return (piece * (FILES[name] // len(piece) + 1))[: FILES[name]]


def versions_of(name: str, data: bytes, *, damaged: bool) -> set[int]:
    """
    Which versions this is, in full.

    @param damaged: the first byte may be another one.
    """
    skip = int(damaged and data[:1] == b"!")
    return {each for each in range(50) if body_of(name, each)[skip:] == data[skip:] and len(data) == FILES[name]}


@frozen
class Fault:
    """
    What happens to a request.

    @ivar make: of the right answer and the request, what is played.
    """

    name: str
    make: Callable[[Respond, Request, Origin], Script] = field(repr=False)

    def __repr__(self) -> str:
        return self.name


class Origin:
    """
    A host.

    @ivar versions: which version of each file it has.
    @ivar faults: what becomes of the next requests; when there are none left, C{mood}.
    @ivar pulled: for each request, how many bytes of its answer have left the server.
    """

    def __init__(self, name: str, other: str) -> None:
        self.name = name
        self.other = other
        self.versions = dict.fromkeys(FILES, 0)
        self.faults: list[Fault] = []
        self.mood: Fault = HONEST
        self.stage: Stage
        self.pulled: dict[str, int] = {}

    def script(self, request: Request) -> Script:
        name = request.path.strip("/").partition("/")[2] or request.path.strip("/")
        if name == "endless":
            return _Pulled([Send(response_head(200)), Repeat(Send(bytes(8192)))], self.pulled, request.target)
        if name not in FILES:
            return answer(b"", 404)
        fault = self.faults.pop(0) if self.faults else self.mood
        version = self.versions[name]
        # A version has its own ETag: what is asked for with If-Range is the same or it is not.  As in life, that may be
        # the ETag of another version at another host.
        right = answer(Entity(body_of(name, version), b'"%d"' % (version + (self.name > self.other))))
        return fault.make(right, request, self)


@frozen
class _Pulled(Step):
    """Counts what has been sent, as it is sent."""

    script: Any
    counts: dict[str, int]
    key: str

    def acts(self, request: Request) -> Iterator[Any]:
        from pulp_dl.testing.script import acts

        for act in acts(self.script, request):
            if isinstance(act, Send):
                self.counts[self.key] = self.counts.get(self.key, 0) + len(act.data)
            yield act


def _wrong(right: Respond, request: Request, origin: Origin) -> Script:
    """The right head, and another byte."""
    assert isinstance(right.entity, Entity)
    data = right.entity.data
    return answer(Entity(b"!" + data[1:] if data else data, right.entity.etag))


def _without_ranges(right: Respond, request: Request, origin: Origin) -> Script:
    assert isinstance(right.entity, Entity)
    return answer(Entity(right.entity.data, right.entity.etag, ranges=False))


def _lying(right: Respond, request: Request, origin: Origin) -> Script:
    """A part of another version, to whoever asks for the rest of one."""
    assert isinstance(right.entity, Entity)
    return answer(Entity(right.entity.data, right.entity.etag, trusting=True))


def cut(after: int, end: Script) -> Fault:
    """Breaks off behind so many bytes of the body."""
    return Fault(f"cut at {after}, {end!r}", lambda right, request, origin: Cut(right, after, end))


HONEST = Fault("honest", lambda right, request, origin: right)
FAULTS: st.SearchStrategy[Fault] = st.one_of(
    st.just(Fault("wrong", _wrong)),
    st.builds(cut, st.integers(0, 150_000), st.sampled_from([Reset(), Close(), CutTLS(), Hold()])),
    st.sampled_from([204, 206, 304, 403, 404, 416, 429, 500, 503]).map(
        lambda status: Fault(f"status {status}", lambda right, request, origin: answer(b"sorry", status))
    ),
    st.sampled_from(
        [
            HONEST,
            Fault("without ranges", _without_ranges),
            Fault("lying", _lying),
            Fault("chunked", lambda right, request, origin: Respond(right.entity, framing="chunked")),
            Fault("close", lambda right, request, origin: Respond(right.entity, framing="close")),
            Fault("drips", lambda right, request, origin: Drip(right, 3000, 1)),
            Fault("too slow", lambda right, request, origin: Drip(right, 300, 1)),
            Fault("silent", lambda right, request, origin: Hold()),
            Fault("late", lambda right, request, origin: [Wait(20), right]),
            Fault("reset", lambda right, request, origin: Reset()),
            Fault("noise", lambda right, request, origin: [Send(b"220 ftp.example\r\n"), Close()]),
            Fault("more than all", lambda right, request, origin: [right, Send(b"EVIL")]),
            Fault("elsewhere", lambda right, request, origin: redirect(f"http://{origin.other}{request.path}")),
            Fault("in circles", lambda right, request, origin: redirect(request.path)),
        ]
    ),
)
