"""A fixed sequence of places."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from pulp_dl import Source
from pulp_dl.interfaces import IMirrors
from pulp_dl.mirrors.places import Places
from pulp_dl.urls import InvalidURL


def urls(places: Places, source: Source) -> list[str]:
    direct: Any = None
    return [each.url for each in places.locate(source, direct)]


def test_it_keeps_the_promises_of_mirrors() -> None:
    assert verifyObject(IMirrors, Places([]))


def test_bases_take_the_place_of_scheme_host_and_port_and_the_original_comes_last() -> None:
    source = Source("http://origin:8080/pub/a%20b?x=1")

    assert urls(Places(["http://m1", "https://m2/deep/"]), source) == [
        "http://m1/pub/a%20b?x=1",
        "https://m2/deep/pub/a%20b?x=1",
        "http://origin:8080/pub/a%20b?x=1",
    ]


def test_under_names_what_is_replaced() -> None:
    places = Places(["http://m/mirror"], under="http://origin/pub/")

    assert urls(places, Source("http://origin/pub/x/y")) == ["http://m/mirror/x/y", "http://origin/pub/x/y"]
    assert urls(places, Source("http://origin/public/x")) == ["http://origin/public/x"]
    assert urls(places, Source("http://elsewhere/pub/x")) == ["http://elsewhere/pub/x"]


def test_one_file_may_have_whole_urls() -> None:
    places = Places(["http://a/1.iso", "ftp://b/2.iso"], under="http://origin/0.iso", original=False)

    assert urls(places, Source("http://origin/0.iso")) == ["http://a/1.iso", "ftp://b/2.iso"]


def test_the_original_may_stand_among_the_bases_and_keeps_its_headers() -> None:
    source = Source("http://origin/x", headers={"X-Token": "t"})
    places = Places(["http://origin", "http://m"])

    found = list(places.locate(source, None))  # type: ignore[arg-type]

    assert [each.url for each in found] == ["http://origin/x", "http://m/x"]
    assert found[0] is source
    assert found[1].headers == ()
    assert found[1].scope == "http://origin/x"


def test_a_base_that_is_no_url_is_refused_when_the_places_are_made() -> None:
    with pytest.raises(InvalidURL):
        Places(["m.example"])


def test_one_text_is_no_list_of_bases() -> None:
    """It would be read letter by letter."""
    with pytest.raises(TypeError, match=r"^bases: one text .*; give them as a list"):
        Places("http://m.example/")
