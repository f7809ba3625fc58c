"""Whose the secrets of a Remote are: the one origin that they may be shown to."""

from __future__ import annotations

from typing import Any

import pytest

from pulp_dl import Remote, Source
from pulp_dl.protocols.spaces import home, inside, named, scope
from pulp_dl.urls import parse

OURS, LIST, PLACE = (f"https://{host}.example/a" for host in ("ours", "list", "place"))


@pytest.mark.parametrize(
    ("url", "found_at", "whose"),
    [(OURS, LIST, OURS), (OURS, None, OURS), (None, LIST, LIST), (None, None, PLACE)],
)
def test_they_are_for_the_remotes_url_or_for_where_a_source_was_found_or_for_itself(
    url: str | None, found_at: str | None, whose: str
) -> None:
    remote, source = Remote(url=url), Source(PLACE, scope=found_at)
    assert scope(remote, source) == parse(whose).origin
    assert home(remote, source) == (None if whose == PLACE else parse(found_at or OURS))
    for place in (OURS, LIST, PLACE):
        assert inside(remote, Source(place, scope=found_at or PLACE)) is (place == whose)


@pytest.mark.parametrize("url", ["http://ours.example/a", "https://ours.example:444/a", "https://our.example/a"])
def test_scheme_host_and_port_make_an_origin(url: str) -> None:
    assert not inside(Remote(url=OURS), Source(url))
    assert inside(Remote(url=OURS), Source("https://ours.example:443/b"))


def test_a_source_may_be_without_them_at_home() -> None:
    assert not inside(Remote(), Source(PLACE, public=True))
    assert not inside(Remote(url=PLACE), Source(PLACE, public=True))


@pytest.mark.parametrize(
    ("settings", "host", "known"),
    [
        ({}, "place.example", True),
        ({"found": True}, "place.example", False),
        ({"found": True, "scope": LIST}, "list.example", True),
        ({"found": True}, "ours.example", True),
        ({}, "list.example", False),
    ],
)
def test_a_host_was_named_by_the_caller_or_by_nobody(settings: dict[str, Any], host: str, known: bool) -> None:
    assert named(Remote(url=OURS), Source(PLACE, **settings), host) is known
