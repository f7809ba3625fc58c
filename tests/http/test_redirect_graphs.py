"""
Whatever chain of redirects servers make: it ends where it leads, or with an error; each place is asked as often as it
has to be; and no secret goes further than its origin.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from pulp_dl import TLS, Basic, Source
from pulp_dl.errors import BadStatus, DownloadError, NotFound, ProtocolError
from pulp_dl.testing import answer
from pulp_dl.testing.strategies import Redirects, redirect_graphs
from tests.memory import TRUST, identity, world

ORIGINS = ["http://a.example", "http://b.example", "https://c.example"]
IDENTITY = identity("c.example")
FILE = b"here it is"
MOST = 10
"""Redirects that are followed."""


def asked(stages: list[Any], places: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Which of them were asked, and whether with a secret, in any order."""
    found = []
    for stage, origin in zip(stages, ORIGINS, strict=True):
        for request in stage.requests:
            assert f"{origin}{request.path}" in places, "what nobody has named"
            secret = any(request.get(name) is not None for name in (b"authorization", b"x-secret", b"x-own"))
            found.append((f"{origin}{request.path}", secret))
    return found


B0, A1 = "http://b.example/0", "http://a.example/1"


@given(graph=redirect_graphs(ORIGINS), scoped=st.booleans(), found=st.booleans())
@example(graph=Redirects((B0, A1), ((301, A1), (301, B0)), (1, 0)), scoped=True, found=False)
def test_whatever_servers_make_of_it_a_chain_ends_where_it_leads(graph: Redirects, scoped: bool, found: bool) -> None:
    trail, there = graph.trail()
    settings: dict[str, Any] = {"tls": TRUST, "auth": Basic("elmer", "wabbit"), "headers": {"X-Secret": "wabbit"}}
    if scoped:
        settings["url"] = "http://a.example/"
    with world(**settings) as here:
        stages = [
            here.serve(
                origin.partition("://")[2],
                graph.scripts(origin, answer(FILE)),
                tls=IDENTITY if "https" in origin else None,
            )
            for origin in ORIGINS
        ]
        source = Source(graph.places[0], headers={"X-Own": "wabbit"})
        if found:
            source = source.at(graph.places[0])
        try:
            data, report = here.fetch(source)
        except DownloadError as error:
            event(f"{type(error).__name__}")
            assert not (there and len(trail) <= MOST + 1), error
            assert isinstance(error, BadStatus) or not isinstance(error.__cause__, AssertionError)
            assert isinstance(error, NotFound | ProtocolError) or not there
        else:
            event("came")
            assert there
            assert len(trail) <= MOST + 1
            assert data == FILE
            assert report.head.url == trail[-1]
        seen = asked(stages, graph.places)

    # In a circle a place is asked once with secrets and once without; else once.
    assert {place for place, _ in seen} <= {*trail}
    assert len(seen) == len({*seen}) <= MOST + 1
    if there:
        assert [place for place, _ in sorted(seen, key=lambda each: trail.index(each[0]))] == trail[: MOST + 1]
    home = "http://a.example" if scoped else graph.places[0].rpartition("/")[0]
    away = next((at for at, place in enumerate(trail) if place.rpartition("/")[0] != home), len(trail))
    for place, secret in seen:
        if secret:
            assert place in trail[:away], "a secret where it does not belong"


@pytest.mark.parametrize("length", [MOST, MOST + 1])
def test_a_chain_may_have_so_many_redirects_and_no_more(length: int) -> None:
    places = tuple(f"http://a.example/{number}" for number in range(length + 1))
    graph = Redirects(
        places, (*((302, f"/{number + 1}") for number in range(length)), True), (*range(1, length + 1), None)
    )
    assert graph.trail() == ([*places], True)
    with world(tls=TLS()) as here:
        here.serve("a.example", graph.scripts("http://a.example", answer(FILE)))
        if length > MOST:
            assert "more than 10 redirects" in str(here.error(ProtocolError, places[0]))
        else:
            assert here.get(places[0]) == FILE
