"""Whom an answer that came through a proxy says it is from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.protocols.http.forwarded import refused

SQUID = b"X-Squid-Error", b"ERR_ACCESS_DENIED 0"
STATUS = b"Proxy-Status"


def own(*pairs: tuple[bytes, bytes]) -> bool:
    """A 403 with these fields is the proxy's own."""
    return refused(403, pairs, "http://origin.example/", 0) is not None


WORDS = st.text('ab6 ,;"=', max_size=6)
COMMENTS = st.recursive(
    WORDS | st.sampled_from(["\\)", "\\(", "\\\\", '\\"']),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"({''.join(parts)})"),
).map(lambda text: f"({text})")
HOPS = st.tuples(st.sampled_from(["1.1 gate", "1.0 cdn.example:80", "HTTP/2 x"]), st.none() | COMMENTS).map(
    lambda hop: hop[0] if hop[1] is None else f"{hop[0]} {hop[1]}"
)


@given(st.lists(HOPS, min_size=1, max_size=4), st.sampled_from([", ", ",", " ,, ", None]))
def test_whatever_a_hop_says_of_itself_it_is_one(hops: list[str], between: str | None) -> None:
    """Comments nest, escape, and may hold a lone quote (RFC 9110 section 5.6.5); in one C{Via} or in several."""
    values = hops if between is None else [between.join(hops)]

    assert own(SQUID, *((b"Via", value.encode()) for value in values)) == (len(hops) == 1)


@pytest.mark.parametrize(
    ("via", "alone"),
    [
        (b"1.1 gate.example (squid (Debian, 5.7), main)", True),
        (rb"1.1 gate.example (a \) b, c)", True),
        (b'1.1 cdn.example (6" rack), 1.1 gate.example', False),
        (b'1.1 a (say "hi), 1.1 b (bye" now)', False),
    ],
)
def test_hops_are_counted(via: bytes, alone: bool) -> None:
    assert own(SQUID, (b"VIA", via)) == alone


def test_what_one_hop_leaves_open_does_not_hide_the_next_field() -> None:
    assert not own(SQUID, (b"Via", b"1.1 cdn.example (open"), (b"Via", b"1.1 gate.example"))


TEXTS = st.text('ab,;(=" )\\', max_size=8).map(lambda text: text.replace("\\", "\\\\").replace('"', '\\"'))


@given(st.lists(st.tuples(TEXTS, st.booleans()), min_size=1, max_size=4))
def test_whatever_the_details_only_an_error_of_the_last_counts(members: list[tuple[str, bool]]) -> None:
    """The last one is the closest to us (RFC 9209 section 2)."""
    written = (f'gate; details="{text}"{"; error=dns_error" if error else ""}' for text, error in members)

    assert own((STATUS, ", ".join(written).encode())) == members[-1][1]
