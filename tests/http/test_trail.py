"""A chain of redirects by itself: where it is, what it may take along, and how close it may come."""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl import Basic, Limits, Proxy, Remote, Source
from pulp_dl.errors import ProtocolError, RedirectRefused
from pulp_dl.protocols.http.redirect import Trail
from pulp_dl.protocols.spaces import Space
from pulp_dl.urls import parse

A, B = "http://a.example/x", "http://b.example/y"


def trail(source: Source | str = A, **remote: Any) -> Any:
    return Trail(Remote(**remote), Source(source) if isinstance(source, str) else source)


def led(way: Trail, *locations: str, space: Space = Space.PUBLIC) -> Any:
    for each in locations:
        way.follow(((b"Location", each.encode()),), space)
    return way


def seen(way: Trail) -> tuple[str, bool, bool, bool]:
    return str(way.place), way.inside, way.own, way.named


# ---- what goes along


def test_secrets_go_as_far_as_the_chain_has_been_nowhere_else() -> None:
    way = trail()
    assert seen(way) == (A, True, True, True)
    assert seen(led(way, "/z")) == ("http://a.example/z", True, True, True)
    assert seen(led(way, B)) == (B, False, False, False)
    assert seen(led(way, A)) == (A, False, False, True)


@pytest.mark.parametrize("onward", ["https://a.example/x", "http://a.example:81/x", "http://a.example.org/x"])
def test_another_origin_of_the_same_name_is_another_origin(onward: str) -> None:
    way = led(trail(), onward)
    assert (way.inside, way.own) == (False, False)


def test_the_scope_of_a_remote_has_its_secrets_and_a_url_its_own_user() -> None:
    way = trail("http://user:password@a.example/x", url="http://b.example/", auth=Basic("elmer", "pw"))
    assert (way.inside, way.own, way.auth) == (False, True, Basic("user", "password"))
    led(way, "/again")
    assert way.auth == Basic("user", "password")
    led(way, B)
    assert (way.inside, way.own, way.auth) == (False, False, None)

    inside = trail("http://b.example/x", url="http://b.example/")
    assert inside.inside
    assert led(inside, "/z").inside


def test_a_source_makes_us_somebody_as_long_as_it_may_say_so() -> None:
    """By an Authorization of its own in its scope, by the user of its URL at its origin."""
    secret = {"Authorization": "Bearer secret"}
    user = "http://user:password@a.example/x"
    assert trail().who is None
    assert trail(Source(A, headers={"X-Other": "a"})).who is None
    assert trail(user).who == (Basic("user", "password"), None)
    assert trail(Source(user, headers=secret)).who == (Basic("user", "password"), b"Bearer secret")
    way = trail(Source(A, headers=secret))
    assert led(way, "/z").who == (None, b"Bearer secret")
    assert led(way, B).who is None


def test_cookies_go_where_secrets_may() -> None:
    class Jar:
        def fields(self, place: Any) -> Any:
            return ((b"Cookie", str(place).encode()),)

    jar: Any = Jar()
    way = trail()
    assert way.cookies == ()
    way.follow(((b"Location", b"/z"),), Space.PUBLIC, jar)
    assert way.cookies == ((b"Cookie", b"http://a.example/z"),)
    way.follow(((b"Location", B.encode()),), Space.PUBLIC, jar)
    assert way.cookies == ()


# ---- where it does not go


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ((b"Location", b""),),
        ((b"Location", b"/a"), (b"location", b"/b")),
        ((b"Location", b"http://["),),
    ],
)
def test_a_location_that_is_none_leads_nowhere(pairs: Any) -> None:
    way = trail()
    with pytest.raises(ProtocolError, match="leads nowhere") as caught:
        way.follow(pairs, Space.PUBLIC)
    assert caught.value.url == A
    assert str(way.place) == A


def test_the_same_location_twice_is_one() -> None:
    way = trail()
    way.follow(((b"Location", b"/a"), (b"LOCATION", b"/a")), Space.PUBLIC)
    assert way.place.target == "/a"


@pytest.mark.parametrize(("raw", "target"), [("/ü".encode(), "/%C3%BC"), (b"/\x80\xff~", "/%80%FF~")])
def test_bytes_of_whatever_encoding_are_kept(raw: bytes, target: str) -> None:
    way = trail()
    way.follow(((b"Location", raw),), Space.PUBLIC)
    assert way.place.target == target


def test_so_many_redirects_and_no_more() -> None:
    for limit in (0, 1, 3):
        way = trail(limits=Limits(redirects=limit))
        led(way, *(f"/{number}" for number in range(limit)))
        with pytest.raises(ProtocolError, match=rf"more than {limit} redirects \(Limits.redirects\)"):
            led(way, "/more")


def test_a_circle_is_one_where_all_is_the_same_again() -> None:
    with pytest.raises(ProtocolError, match="circles"):
        led(trail(), "/x")
    with pytest.raises(ProtocolError, match="circles"):
        led(trail(), "/z", "/x")
    way = led(trail(), B, A)  # now without secrets
    with pytest.raises(ProtocolError, match="circles"):
        led(way, B)


def test_schemes_that_are_followed() -> None:
    assert led(trail(), "https://a.example/x").place.scheme == "https"
    for bad in ("ftp://a.example/x", "file:///etc/passwd"):
        with pytest.raises(RedirectRefused):
            led(trail(), bad)
    with pytest.raises(RedirectRefused, match="allow_downgrade"):
        led(trail("https://a.example/x"), A)
    assert led(trail("https://a.example/x", allow_downgrade=True), A).place.scheme == "http"
    assert led(trail(allow_downgrade=False), B).place.host == "b.example"


# ---- how close it may come


def test_nobody_leads_closer_than_the_farthest_place_so_far() -> None:
    way = trail()
    assert way.floor is None
    for space, floor in (
        (Space.MACHINE, None),
        (Space.PRIVATE, Space.PRIVATE),
        (Space.MACHINE, Space.PRIVATE),
        (Space.PUBLIC, Space.PUBLIC),
        (Space.PRIVATE, Space.PUBLIC),
    ):
        way.follow(((b"Location", f"http://{space.name}{floor}.example/".lower().encode()),), space)
        assert (way.floor, way.named) == (floor, way.floor is None)


def test_who_is_named_may_be_anywhere_but_leads_no_closer_to_itself() -> None:
    way = led(trail(), B, A, space=Space.PUBLIC)
    assert (way.named, way.floor) == (True, Space.PUBLIC)  # where it has answered

    way = trail()
    way.follow(((b"Location", B.encode()),), Space.PRIVATE)
    way.follow(((b"Location", A.encode()),), Space.PUBLIC)
    assert (way.named, way.floor) == (True, Space.PRIVATE)

    way = trail(url="http://c.example/")
    led(way, B, "http://c.example/")
    assert (way.named, way.floor) == (True, None)  # it has not answered yet


def test_the_farthest_answer_of_a_host_counts() -> None:
    way, floors = trail(), []
    for space in (Space.PRIVATE, Space.PUBLIC, Space.PRIVATE):
        led(way, f"/{len(floors)}", space=space)
        floors.append(way.floor)

    assert floors == [Space.PRIVATE, Space.PUBLIC, Space.PUBLIC]


def test_through_a_proxy_nobody_knows_where_a_host_is() -> None:
    way = led(trail(proxy=Proxy("http://gate.example:3128")), "/1")
    assert (way.named, way.floor) == (True, None)
    assert led(way, B).floor is Space.PUBLIC


def test_the_remote_permits_it() -> None:
    way = led(trail(allow_private=True), B)
    assert (way.floor, way.named) == (None, True)
    found = trail(Source(A).at(B), allow_private=True)
    assert (found.home, found.floor, found.named) == (None, None, True)


def test_what_was_found_begins_where_it_was_found() -> None:
    way = trail(Source(A).at(B))
    assert way.home is not None
    assert str(way.home) == A
    way.begin_at(Space.PRIVATE)
    assert (way.home, way.floor, way.named) == (None, Space.PRIVATE, False)
    assert led(way, "/z", space=Space.MACHINE).floor is Space.PRIVATE

    at_home = trail(Source(A).at(B))
    at_home.begin_at(Space.MACHINE)
    assert (at_home.floor, at_home.named) == (None, True)


def test_the_host_where_it_was_found_is_named_but_no_closer_than_it_was() -> None:
    way = trail(Source(A).at("http://a.example/other"))
    assert way.home is not None
    way.begin_at(Space.PUBLIC)
    assert (way.named, way.floor) == (True, Space.PUBLIC)


def test_what_was_found_nowhere_was_found_in_public() -> None:
    way = trail(Source(B, found=True))
    assert (way.home, way.floor, way.named) == (None, Space.PUBLIC, False)


def test_a_list_on_our_disk_may_name_any_host() -> None:
    way = trail(Source(B, scope="file:///list", found=True))
    assert (way.home, way.floor, way.named) == (None, None, True)


def test_a_host_that_the_remote_names_is_not_looked_for() -> None:
    way = trail(Source(B, scope=A, found=True), url="http://b.example/")
    assert (way.home, way.floor, way.named) == (None, None, True)
    assert parse(B) == way.place
