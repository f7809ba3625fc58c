"""An order that learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pulp_dl import Attempt, Head, Places, Scores, Source, Timeouts
from pulp_dl.errors import (
    AuthFailed,
    CircuitOpen,
    ConnectFailed,
    ConsumerGone,
    DigestMismatch,
    DownloadError,
    NotFound,
    ProxyFailed,
    TimedOut,
    Truncated,
    Unavailable,
)
from pulp_dl.mirrors.interfaces import IScoring
from pulp_dl.mirrors.links import Duplicates
from pulp_dl.mirrors.remembered import LONGEST, MOST
from pulp_dl.mirrors.scores import SLOW

A, B, C = "http://a", "http://b", "http://c"
OWN = Source("http://origin/repo/file")
MB = 1 << 20


class Case:
    def __init__(self, *bases: str, explore: float = 0, chances: list[float] | None = None) -> None:
        self.clock = Clock()
        self.chances = chances or []
        self.scores = Scores(
            Places(bases or (A, B, C), original=False),
            explore=explore,
            clock=self.clock.seconds,
            wall=self.clock.seconds,
            chance=lambda: self.chances.pop(0) if self.chances else 0.999,
        )

    def order(self, source: Source = OWN) -> str:
        places = [source.at(base + source.path) for base in (A, B, C)]
        return "".join(each.place.host for each in self.scores.order(places))

    def ended(
        self,
        host: str,
        error: DownloadError | None = None,
        *,
        path: str = "/repo/file",
        waited: float | None = 0.1,
        received: int = 0,
        seconds: float = 0.0,
        offset: int = 0,
        status: int | None = 200,
        modified: str | None = None,
    ) -> None:
        place = Source(f"http://origin{path}").at(f"http://{host}{path}")
        headers = () if modified is None else ((b"Last-Modified", modified.encode()),)
        head = None if status is None else Head(place.url, status, headers)
        if self.scores.refused(place) is not None:
            raise AssertionError("refused")
        if head is not None and waited is not None:
            self.scores.answered(place, head, waited)
        self.scores.record(
            Attempt(place, offset, received, 100.0 if received else 0.3, seconds, status, error, waited, head)
        )


def test_it_keeps_the_promises_of_mirrors() -> None:
    assert verifyObject(IScoring, Scores(Places([])))


def test_while_nothing_is_known_the_order_is_that_of_the_mirrors() -> None:
    assert Case().order() == "abc"


def test_who_answers_sooner_comes_first() -> None:
    case = Case()
    for host, waited in (("a", 0.5), ("b", 0.3), ("c", 0.1)):
        case.ended(host, waited=waited)

    assert case.order() == "cba"


def test_who_brings_more_comes_first_and_the_time_of_a_slow_consumer_does_not_count() -> None:
    case = Case()
    case.ended("a", received=MB, seconds=2)
    case.ended("b", received=MB, seconds=1)
    case.ended("c", received=MB, seconds=0.1)  # of the 100 s that the attempt took

    assert case.order() == "cba"


def test_a_body_that_was_there_at_once_tells_no_speed() -> None:
    case = Case()
    case.ended("a", received=MB, seconds=0)

    assert case.scores.hosts[0].speed is None


def test_among_equals_the_mirrors_own_order_counts() -> None:
    case = Case()
    for host in "cba":
        case.ended(host)

    assert case.order() == "abc"


def test_what_is_not_known_is_taken_for_average() -> None:
    case = Case()
    case.ended("a", waited=1)
    case.ended("c", waited=0.1)

    assert case.order() == "cba"


@pytest.mark.parametrize(
    "error", [ConnectFailed("no"), TimedOut("idle", 3), Truncated(1), Unavailable(500), TimedOut("low_speed", 3)]
)
def test_who_fails_comes_later_until_it_is_forgotten(error: DownloadError) -> None:
    case = Case()
    for host in "abc":
        case.ended(host, waited=0.1)
    case.ended("a", error)

    assert case.order() == "bca"
    case.clock.advance(3600)
    assert case.order() == "abc"


def test_who_does_well_again_is_forgiven_sooner() -> None:
    case = Case()
    for host in "abc":
        case.ended(host, waited=0.1)
    case.ended("a", Truncated(1))
    for _ in range(12):
        case.ended("a")

    assert case.order() == "abc"


@pytest.mark.parametrize("error", [NotFound(404), DigestMismatch("sha256", "x", "y"), AuthFailed(403)])
def test_who_has_not_the_right_file_comes_later_in_that_directory_and_nowhere_else(error: DownloadError) -> None:
    case = Case()
    case.ended("a", error, path="/repo/file", waited=None)

    assert case.order(Source("http://origin/repo/another")) == "bca"
    assert case.order(Source("http://origin/other/file")) == "abc"
    assert case.scores.hosts[0].trouble == 0
    assert case.scores.hosts[0].circuit == "closed"


def test_a_file_that_is_older_than_elsewhere_is_held_against_its_place() -> None:
    case = Case()
    for host, day in (("c", 5), ("a", 4), ("b", 5)):
        case.ended(host, modified=f"Mon, 0{day} Jan 2026 12:00:00 GMT")

    assert case.order() == "bca"
    assert case.order(Source("http://origin/other/file")) == "abc"


def test_two_files_that_have_one_scope_are_not_compared() -> None:
    case = Case()
    for host, name, day in (("b", "new", 5), ("a", "old", 4)):
        place = Source(f"http://{host}/repo/{name}", scope="http://origin/metalink")
        head = Head(place.url, 200, ((b"Last-Modified", b"Mon, 0%d Jan 2026 12:00:00 GMT" % day),))
        case.scores.record(Attempt(place, 0, 10, 0.1, 0.1, 200, None, 0.1, head))

    assert [each.demerits for each in case.scores.standing([Source("http://a/repo/x")])] == [0]


def test_nobody_is_blamed_for_a_body_that_two_have_brought() -> None:
    case = Case()
    case.ended("a", DigestMismatch("sha256", "x", "y"), offset=100, status=206)
    case.ended("b", DigestMismatch("sha256", "x", "y"), offset=100, status=200)  # read again as a whole

    assert case.order() == "acb"


OF_US = [ProxyFailed("no", status=401), ProxyFailed("no", status=407), ProxyFailed("no", login_refused=True)]
TOO_MANY = ProxyFailed("no", status=429, retry_after=9)


@pytest.mark.parametrize("error", [ConsumerGone("left"), TimedOut("total", 5), CircuitOpen("no")])
def test_what_is_not_its_fault_is_not_held_against_a_place(error: DownloadError) -> None:
    case = Case()
    for _ in range(5):
        case.ended("a", error, status=None)

    assert case.order() == "abc"
    assert case.scores.refused(Source("http://a/")) is None


@pytest.mark.parametrize(
    "error",
    [ProxyFailed("closed"), ProxyFailed("no", status=403), ProxyFailed("no", status=502), *OF_US, TOO_MANY],
)
def test_who_is_not_reached_through_a_proxy_comes_later_but_is_not_left_alone(error: DownloadError) -> None:
    """Whoever is to blame: if it is the proxy, all behind it come later, and who is reached without it comes first."""
    case = Case()
    for _ in range(5):
        for host in "ab":
            case.ended(host, error, status=None)

    assert case.order() == "cab"
    assert {each.circuit for each in case.scores.hosts} == {"closed"}
    assert case.scores.refused(Source("http://a/")) is None
    case.clock.advance(36000)
    assert case.order() == "abc"


def test_a_host_that_fails_again_and_again_is_left_alone_and_asked_last() -> None:
    case = Case()
    for _ in range(3):
        case.ended("a", ConnectFailed("no"), status=None)

    refusal = case.scores.refused(Source("http://a/elsewhere"))
    assert isinstance(refusal, CircuitOpen)
    assert refusal.retry_after == 10
    assert case.order() == "bca"
    assert case.scores.hosts[0].circuit == "open"
    case.clock.advance(10)
    case.ended("a")  # the probe
    assert case.scores.hosts[-1].circuit == "closed"


@pytest.mark.parametrize("unknown", [ProxyFailed("no"), ConsumerGone("left"), TimedOut("total", 5)])
def test_who_asked_whether_a_host_is_back_and_did_not_learn_it_leaves_that_to_the_next(unknown: DownloadError) -> None:
    case = Case()
    for _ in range(3):
        case.ended("a", ConnectFailed("no"), status=None)
    case.clock.advance(10)
    case.ended("a", unknown, status=None)

    assert case.scores.refused(Source("http://a/elsewhere")) is None


def test_a_host_that_asks_for_it_is_left_alone_and_nothing_is_held_against_it() -> None:
    case = Case()
    case.ended("a", Unavailable(429, retry_after=30), waited=None)

    assert case.order() == "bca"
    refusal = case.scores.refused(Source("http://a/"))
    assert refusal is not None
    assert getattr(refusal, "retry_after", None) == 30
    case.clock.advance(30)
    assert case.order() == "abc"


def test_nobody_is_left_alone_for_longer_than_an_hour() -> None:
    case = Case()
    case.ended("a", Unavailable(503, retry_after=1e9), waited=None)
    case.clock.advance(3600)

    assert case.scores.refused(Source("http://a/")) is None


def test_new_places_are_tried_now_and_then() -> None:
    case = Case(explore=0.05, chances=[0.04, 0.99, 0.06, 0.04, 0.0])
    case.ended("a", waited=0.01)

    assert case.order() == "cab", "the last of the two that are new"
    assert case.order() == "abc"
    assert case.order() == "bac"


def test_the_first_download_follows_the_mirrors_own_order() -> None:
    case = Case(explore=1, chances=[0, 0, 0])

    assert case.order() == "abc"


def test_what_was_known_long_ago_is_new_again() -> None:
    case = Case(explore=1, chances=[0, 0])
    for host, waited in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        case.ended(host, waited=waited)
    assert case.order() == "abc"

    case.clock.advance(301)
    case.ended("a", waited=0.1)
    case.ended("b", waited=0.2)
    case.chances = [0, 0]
    assert case.order() == "cab"


def test_a_place_whose_speed_is_known_has_less_time_than_a_new_one() -> None:
    case = Case()
    place = Source("http://a/f")
    new = Timeouts(head=5, connect=5, idle=5, low_speed=SLOW, low_speed_window=5)
    assert case.scores.hurried(place, Timeouts(idle=3)) == evolve(new, idle=3)
    assert case.scores.hurried(place, Timeouts(idle=None)) == new
    assert case.scores.hurried(place, Timeouts(low_speed=2 * SLOW)) == evolve(new, low_speed=2 * SLOW)
    case.ended("a", received=MB, seconds=0.1)
    hurried = case.scores.hurried(place, Timeouts(total=7))
    assert hurried is not None
    assert (hurried.idle, hurried.head, hurried.connect, hurried.total) == (1.5, 1.5, 1.5, 7)
    assert hurried.low_speed is not None
    assert hurried.low_speed > 100_000
    assert case.scores.hurried(place, Timeouts(idle=1)).idle == 1  # type: ignore[union-attr]


def test_a_slow_place_is_given_the_time_it_needs() -> None:
    case = Case()
    case.ended("a", received=MB, seconds=100)

    assert case.scores.hurried(Source("http://a/f"), Timeouts()).idle == 30  # type: ignore[union-attr]


def test_what_is_usual_follows_from_how_even_the_answers_are() -> None:
    case = Case()
    assert case.scores.usual(Source("http://a/f")) == 1
    for _ in range(30):
        case.ended("a", waited=0.2)
    assert case.scores.usual(Source("http://a/f")) == pytest.approx(0.3, abs=0.01)
    for waited in (0.1, 0.5) * 15:
        case.ended("a", waited=waited)
    assert 0.8 < case.scores.usual(Source("http://a/f")) < 1.5


def test_who_was_outrun_is_slower_than_was_thought_and_nothing_else() -> None:
    case = Case()
    for host in "abc":
        case.ended(host, waited=0.1)
    place = Source("http://a/repo/file")
    case.scores.refused(place)
    case.scores.record(Attempt(place, 0, 0, 0.05, 0.0, None, None, outrun=True))
    assert case.scores.hosts[-1].latency == pytest.approx(0.1)
    case.scores.record(Attempt(place, 0, 0, 0.6, 0.0, None, None, outrun=True))

    assert case.scores.hosts[-1].latency == pytest.approx(0.25)
    assert (case.scores.hosts[-1].trouble, case.scores.hosts[-1].demerits) == (0, 0)
    assert case.order() == "bca"


def test_what_was_learnt_outlives_the_process() -> None:
    case = Case()
    for host, waited in (("a", 0.5), ("b", 0.3), ("c", 0.1)):
        case.ended(host, waited=waited, received=MB, seconds=1)
    case.ended("b", NotFound(404))
    for _ in range(3):
        case.ended("c", ConnectFailed("no"), status=None)
    text = case.scores.to_json()

    again = Case()
    again.scores.from_json(text)

    assert again.order() == case.order() == "abc"
    assert again.scores.hosts == case.scores.hosts
    for host in "abc":
        place = Source(f"http://{host}/f")
        assert again.scores.usual(place) == pytest.approx(case.scores.usual(place))
    assert again.order(Source("http://origin/x/y")) == case.order(Source("http://origin/x/y")) == "bac"


def test_time_that_has_passed_meanwhile_heals_too() -> None:
    case = Case()
    for _ in range(3):
        case.ended("a", ConnectFailed("no"), status=None)
    text = case.scores.to_json()

    later = Case()
    later.clock.advance(3600)
    later.scores.from_json(text)

    assert later.order() == "abc"
    assert later.scores.refused(Source("http://a/")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2}',
        '{"version": 1, "saved": 0, "size": 1, "hosts": {"nowhere": {}}, "demerits": {}}',
        '{"version": 1, "saved": 0, "size": NaN, "hosts": {}, "demerits": {}}',
        '{"version": 1, "saved": 0, "size": 1, "hosts": {}, "demerits": {"x": "y"}}',
        '{"version": 1, "saved": 0, "size": 1, "hosts": {"http://a": {"latency": "soon"}}, "demerits": {}}',
    ],
)
def test_what_was_not_saved_by_us_is_refused_and_changes_nothing(text: str) -> None:
    case = Case()
    case.ended("c", waited=0.01)
    before = case.scores.to_json()

    with pytest.raises(ValueError, match="not what was saved"):
        case.scores.from_json(text)
    assert case.scores.to_json() == before


@pytest.mark.parametrize("nothing", [0, -1])
def test_a_speed_that_nothing_can_be_divided_by_is_none(nothing: float) -> None:
    """The file is somebody's to write, too."""
    case = Case()
    case.ended("a", waited=0.1, received=10_000_000, seconds=1)
    saved = json.loads(case.scores.to_json())
    (host,) = saved["hosts"].values()
    host["speed"] = host["latency"] = nothing

    case.scores.from_json(json.dumps(saved))
    assert case.scores.hurried(Source("http://a/x"), Timeouts()) is not None
    assert case.order()


def test_no_secret_of_a_url_is_saved() -> None:
    case = Case()
    place = Source("http://a/repo/file?token=secret")
    case.scores.refused(place)
    case.scores.record(Attempt(place, 0, 0, 1, 1, 404, NotFound(404)))

    assert "secret" not in case.scores.to_json()
    assert json.loads(case.scores.to_json())["demerits"]


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    case = Case()
    for number in range(MOST + 50):
        case.ended(f"h{number}", NotFound(404), path=f"/{number}/f", modified="Mon, 05 Jan 2026 12:00:00 GMT")

    state = json.loads(case.scores.to_json())
    assert len(state["hosts"]) == len(state["demerits"]) == MOST
    assert "http://h0" not in state["hosts"]


@pytest.mark.parametrize(("length", "kept"), [(LONGEST, True), (LONGEST + 1, False), (100_000, False)])
def test_a_directory_with_a_name_that_is_too_long_is_not_remembered(length: int, kept: bool) -> None:
    """A server chooses it, by a C{Link} or a list; what it makes us keep is room that others have not."""
    case = Case()
    path = "/" + "d" * (length - len("http://a/"))
    case.ended("a", NotFound(404), path=f"{path}/file")
    case.ended("b", NotFound(404))

    found = [*json.loads(case.scores.to_json())["demerits"]]
    assert found == [f"http://a{path}", "http://b/repo"][not kept :]
    assert case.order() == "acb"


@pytest.mark.parametrize("behind", ["f" * 100, "f" * 3000, "f?signature=" + "s" * 3000])
def test_files_are_compared_however_long_their_urls_are(behind: str) -> None:
    case = Case()
    for host, day in (("b", 6), ("a", 5)):
        case.ended(host, path=f"/repo/{behind}", modified=f"Mon, 0{day} Jan 2026 12:00:00 GMT")
    assert case.order() == "bca"


def test_a_name_that_is_too_long_is_not_taken_over() -> None:
    """The file is somebody's to write, too."""
    case = Case()
    case.ended("b", NotFound(404))
    state = json.loads(case.scores.to_json())
    state["demerits"]["http://a/" + "d" * LONGEST] = 1

    case.scores.from_json(json.dumps(state))
    assert [*json.loads(case.scores.to_json())["demerits"]] == ["http://b/repo"]


def test_who_is_told_of_places_by_answers_goes_round_it() -> None:
    with pytest.raises(TypeError, match="too early"):
        Scores(Duplicates())
    assert IScoring.providedBy(Duplicates(Scores(Places([]))))
    assert not IScoring.providedBy(Duplicates(Places([])))


async def test_a_long_list_is_put_in_order_at_its_beginning_and_read_on_only_if_it_has_to_be() -> None:
    read: list[str] = []

    class Long:
        def locate(self, source: Source, direct: object) -> Iterator[Source]:
            for number in range(100):
                read.append(f"http://h{number}/repo/file")
                yield source.at(read[-1])

        def record(self, attempt: Attempt) -> None: ...

    long: Any = Long()
    scores, direct = Scores(long, explore=0, wide=4, clock=Clock().seconds), None
    worst = OWN.at("http://h0/repo/file")
    scores.refused(worst)
    scores.record(Attempt(worst, 0, 0, 1, 1, None, ConnectFailed("no")))
    places: Any = scores.locate(OWN, direct)  # type: ignore[arg-type]

    first = [(await anext(places)).place.host for _ in range(4)]
    assert (first, len(read)) == (["h1", "h2", "h3", "h0"], 4)
    assert (await anext(places)).place.host == "h4"
    assert len(read) == 5
    await places.aclose()


def test_the_standing_of_a_place_can_be_read() -> None:
    case = Case()
    case.ended("a", waited=0.25, received=MB, seconds=0.5)
    case.ended("b", ConnectFailed("no"), status=None)
    case.ended("c", Unavailable(429, retry_after=30), waited=None)

    places = [OWN.at(base + OWN.path) for base in (A, B, C)]
    assert [str(each) for each in case.scores.standing(places)] == [
        "answers in 250 ms, 2.1 MB/s",
        "not tried yet, 1.0 recent failures",
        "not tried yet, circuit open, left alone for 30 s",
    ]


errors = st.sampled_from(
    [
        None,
        ConnectFailed("no"),
        TimedOut("idle", 1),
        NotFound(404),
        Unavailable(503, retry_after=5),
        Unavailable(500),
        DigestMismatch("a", "b", "c"),
        ConsumerGone("left"),
        DownloadError("strange"),
    ]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), errors, st.sampled_from([None, 200, 206]), st.integers(0, 10**9), st.floats(0, 50)
        ),
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_is_learnt_every_place_is_in_the_order_once(
    attempts: list[tuple[str, Any, int | None, int, float]], rng: Any
) -> None:
    case = Case(explore=0.5)
    case.scores._chance = rng.random
    for host, error, status, received, seconds in attempts:
        place = Source("http://origin/d/f").at(f"http://{host}/d/f")
        case.scores.refused(place)
        case.scores.record(Attempt(place, 0, received, seconds, seconds, status, error))
        case.clock.advance(seconds)
        assert sorted(case.order()) == ["a", "b", "c"]
    again = Case()
    again.scores.from_json(case.scores.to_json())
    assert sorted(again.order()) == ["a", "b", "c"]
