"""Whoever comes, pauses and leaves, and whatever the places do: exactly the right bytes, or an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from pulp_dl import Size, Source
from pulp_dl.engine.transfer import LOOK
from pulp_dl.errors import ConsumerFailed, ConsumerGone, DownloadError, NotFound, Unavailable
from pulp_dl.flow.tail import HOLD
from pulp_dl.mirrors.places import Places
from pulp_dl.testing import Place, Recorder, RewindableRecorder

from .shared_case import BODY, SHA256, URL, Case, Client

OTHER = "memory://b/f"


class Named(bytes):
    """Hypothesis would choke on printing them."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes, {'right' if self == BODY else 'wrong'}>"


RIGHT = Named(BODY)
WRONG = [
    *map(Named, (b"!" + BODY[1:], BODY[:-1] + b"!", BODY[:90_000] + b"!" + BODY[90_001:])),
    *map(Named, (BODY + b"more", BODY[:-1], b"")),
]

chunks = st.sampled_from([977, 5000, 16_384])
offsets = st.none() | st.sampled_from([0, 1, len(BODY) - 1, len(BODY)]) | st.integers(0, len(BODY))
honest = st.builds(
    Place,
    data=st.just(RIGHT),
    etag=st.sampled_from([b'"1"', b'W/"1"', None]),
    ranges=st.booleans(),
    length=st.booleans(),
    chunk=chunks,
    every=st.just(0.01),
)
faulty = st.builds(
    Place,
    data=st.one_of(st.just(RIGHT), st.just(RIGHT), st.sampled_from(WRONG)),
    etag=st.sampled_from([b'"1"', b'"2"', b'W/"1"', None]),
    ranges=st.booleans(),
    trusting=st.booleans(),
    length=st.booleans(),
    unproven=st.booleans(),
    total=st.none() | st.none() | st.just("*") | st.integers(0, 200_000),
    drop_at=offsets,
    stall_at=st.none() | st.none() | st.integers(0, 180_000),
    chunk=chunks,
    every=st.just(0.01),
)
refusing = st.builds(
    lambda make: Place(error=make), st.sampled_from([lambda: NotFound(404), lambda: Unavailable(503, "", None, 3)])
)
worlds = st.fixed_dictionaries(
    dict.fromkeys([URL, OTHER], st.lists(faulty | faulty | honest | refusing, min_size=1, max_size=4))
)
who = st.integers(0, 5)
windows = st.sampled_from([30_000, 30_000, 100_000, 1_000_000])
events = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.booleans()),
        st.tuples(st.just("come"), st.just(False)),
        st.tuples(st.just("pause"), who),
        st.tuples(st.just("resume"), who),
        st.tuples(st.sampled_from(["cancel", "leave", "stop"]), who),
        st.tuples(st.just("turns"), st.integers(1, 60)),
        st.tuples(st.just("turns"), st.integers(1, 60)),
        st.tuples(st.just("look"), st.integers(1, 2)),
    ),
    min_size=3,
    max_size=25,
)


# What consumers do from inside of their methods, to themselves (None) or to others: after so many calls, this.
METHODS = ("begin", "registerProducer", "write", "rewind")
inside = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        METHODS,
        st.lists(
            st.one_of(
                st.tuples(st.integers(0, 9), st.sampled_from(["pause", "flick", "resume"]), st.none() | who),
                st.tuples(st.integers(0, 9), st.sampled_from(["cancel", "leave", "stop"]), who),
            ),
            min_size=1,
            max_size=8,
        ),
    ),
)


class Acts:
    """Does what there is to be done inside of each method, whoever is called."""

    def __init__(self, clients: list[Client], inside: dict[str, list[Any]]) -> None:
        self._clients = clients
        self._left = {method: [*acts] for method, acts in inside.items()}

    def inside(self, method: str, consumer: Recorder) -> None:
        left = self._left.get(method)
        if not left:
            return
        wait, act, whom = left[0]
        if wait:
            left[0] = (wait - 1, act, whom)
            return
        del left[0]
        if whom is None:
            TO_ITSELF[act](consumer)
        elif self._clients:
            DOINGS[act](self._clients[whom % len(self._clients)])


def acting(base: type[Recorder], acts: Acts) -> Recorder:
    """A consumer that does."""

    def doing(method: str) -> Callable[..., None]:
        def call(self: Recorder, *args: Any) -> None:
            getattr(base, method)(self, *args)
            acts.inside(method, self)

        return call

    return type("Acting", (base,), {each: doing(each) for each in METHODS if hasattr(base, each)})()  # type: ignore[no-any-return]


def flick(consumer: Recorder) -> None:
    consumer.pause()
    consumer.resume()


TO_ITSELF: dict[str, Callable[[Recorder], object]] = {
    "pause": Recorder.pause,
    "resume": Recorder.resume,
    "flick": flick,
}
DOINGS: dict[str, Callable[[Client], object]] = {
    "flick": lambda client: flick(client.consumer),
    "pause": lambda client: client.consumer.pause(),
    "resume": lambda client: client.consumer.resume(),
    "cancel": lambda client: client.leave(),
    "leave": lambda client: client.consumer.leave(),
    "stop": lambda client: client.consumer.producer and client.consumer.producer.stopProducing(),
}


def play(case: Case, source: Source, events: list[Any], inside: dict[str, list[Any]], window: int) -> list[Client]:
    """Do all that, then let everybody take the rest."""
    clients: list[Client] = []
    acts = Acts(clients, inside)
    clients.append(case.get(acting(Recorder, acts), source))
    for event, argument in events:
        if event == "come":
            clients.append(case.get(acting(RewindableRecorder if argument else Recorder, acts), source))
        elif event == "turns":
            for _ in range(argument):
                case.turns()
                # The end comes in one piece, which may be larger than this window.
                assert all(size == each.size for each, size in case.sharing._kept.items())
                assert all(each.size <= (window if each.open else window + HOLD) for each in case.transfers())
        elif event == "look":
            case.turns(argument * 16, LOOK / 15)
        else:
            DOINGS[event](clients[argument % len(clients)])

    def all_end() -> bool:
        for client in clients:
            client.consumer.resume()  # again, for it may pause in there
        return all(each.ends for each in clients)

    case.until(all_end, 0.05)
    case.until(lambda: not case.sharing._running, 0.05)  # what keeps has the rest
    case.nothing_is_left()
    return clients


@given(worlds, events, inside, st.booleans(), windows)
def test_whatever_happens_each_reader_ends_with_the_right_bytes_or_visibly_not(
    world: dict[str, Any], events: list[Any], inside: dict[str, list[Any]], keep: bool, window: int
) -> None:
    kept: list[Recorder] = []

    def keeper(source: Source) -> Recorder | None:
        if keep:
            kept.append(Recorder())
        return kept[-1] if keep else None

    case = Case(world, mirrors=Places([URL, OTHER], under=URL), window=window, keep=keeper)

    clients = play(case, Source(URL, (Size(len(BODY)), SHA256)), events, inside, window)

    for client in clients:
        consumer, end = client.consumer, client.ends[0]
        if isinstance(end, Failure):
            assert isinstance(end.value, DownloadError | CancelledError)
            assert not isinstance(end.value, ConsumerFailed)
            assert consumer.failure is not None
            if not isinstance(consumer, RewindableRecorder) and not isinstance(
                end.value, ConsumerGone | CancelledError
            ):
                assert consumer.data != BODY
        else:
            assert consumer.data == BODY
            assert consumer.finished
            assert end.size == len(BODY)
            assert end.facts == {"sha256": SHA256.value, "size": len(BODY)}
    for each in kept:
        assert each.finished != (each.failure is not None)
        assert not each.finished or each.data == BODY


@given(honest, events, inside, st.sampled_from([(), SHA256, (SHA256, Size(len(BODY)))]), windows)
def test_where_nothing_fails_everybody_who_stays_gets_it_and_no_more_is_asked_for_than_without_sharing(
    place: Place, events: list[Any], inside: dict[str, list[Any]], expect: Any, window: int
) -> None:
    case = Case(place, window=window)

    clients = play(case, Source(URL, expect), events, inside, window)

    for client in clients:
        if isinstance(client.ends[0], Failure):
            assert isinstance(client.error, ConsumerGone | CancelledError)
        else:
            assert client.has_all()
    done = {event for event, _ in events} | {act for acts in inside.values() for _, act, _ in acts}
    if not done & {"cancel", "leave", "stop"}:
        assert all(each.has_all() for each in clients)
    # Who is too slow asks for the rest and, if there is none to be had, for the whole.
    assert len(case.spans) <= len(clients) * (1 if place.ranges else 2)
