"""Reading WWW-Authenticate."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.auth.challenge import MOST, Challenge, challenges, parameters

TOKENS = st.text(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=8
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12)
SPACES = st.sampled_from(["", " ", "\t", "  "])
COMMAS = st.sampled_from([",", ", ", " ,", " , ,\t", ",,"])


@st.composite
def parameter(draw: st.DrawFn) -> tuple[str, str, str]:
    """A name, what it says, and how that is written."""
    name, plain = draw(TOKENS), draw(st.booleans())
    equals = f"{draw(SPACES)}={draw(SPACES)}"
    if plain:
        value = draw(TOKENS)
        return name, value, f"{name}{equals}{value}"
    value = draw(TEXTS)
    quoted = "".join(f"\\{each}" if each in '"\\' or draw(st.booleans()) else each for each in value)
    return name, value, f'{name}{equals}"{quoted}"'


@st.composite
def challenge(draw: st.DrawFn) -> tuple[Challenge, str]:
    scheme = draw(TOKENS)
    kind = draw(st.sampled_from(["bare", "token68", "parameters"]))
    if kind == "bare":
        return Challenge(scheme.lower()), scheme
    if kind == "token68":
        return Challenge(scheme.lower()), f"{scheme} {draw(st.from_regex(r'[A-Za-z0-9._~+/-]{1,9}=?', fullmatch=True))}"
    several = draw(st.lists(parameter(), min_size=1, max_size=4, unique_by=lambda each: each[0].lower()))
    text = draw(COMMAS).join(written for _, _, written in several)
    return Challenge(scheme.lower(), {name.lower(): value for name, value, _ in several}), f"{scheme} {text}"


def read(*values: str | bytes) -> list[Challenge]:
    encoded = (value if isinstance(value, bytes) else value.encode() for value in values)
    return challenges(tuple((b"WWW-Authenticate", value) for value in encoded))


@given(st.lists(challenge(), max_size=5), COMMAS, SPACES)
def test_whatever_is_offered_is_read(offered: list[tuple[Challenge, str]], commas: str, space: str) -> None:
    """In one field or in several."""
    expected = [each for each, _ in offered]

    assert read(*(text for _, text in offered)) == expected
    assert read(space + commas.join(text for _, text in offered) + space) == expected


@given(st.one_of(st.binary(max_size=80), st.text('aB=", \\\t', max_size=40).map(str.encode)))
def test_whatever_is_sent_nothing_is_raised(value: bytes) -> None:
    for each in read(value):
        assert each.scheme == each.scheme.lower()
    parameters(value)


def test_what_registries_and_others_send() -> None:
    assert read(
        'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
        'Digest realm="a \\"b\\"", qop="auth, auth-int", algorithm=SHA-256, nonce="n==", Basic realm="x", Negotiate',
        "NEGOTIATE oWMwYaA=",
    ) == [
        Challenge(
            "bearer",
            {"realm": "https://auth.example/token", "service": "registry.example", "scope": "repository:a/b:pull,push"},
        ),
        Challenge("digest", {"realm": 'a "b"', "qop": "auth, auth-int", "algorithm": "SHA-256", "nonce": "n=="}),
        Challenge("basic", {"realm": "x"}),
        Challenge("negotiate"),
        Challenge("negotiate"),
    ]


@pytest.mark.parametrize("text", ['Bearer realm="a", realm="b"', 'Bearer realm="a",REALM=a'])
def test_a_parameter_that_is_there_twice_spoils_its_challenge(text: str) -> None:
    """Another reader might take the other one."""
    assert read(f"{text}, Basic realm=x") == [Challenge("basic", {"realm": "x"})]


def test_what_cannot_be_read_ends_the_field() -> None:
    assert read('Basic realm="open', "Digest realm=a b=c", "(((", '"Basic" realm=x')[:1] == [Challenge("basic")]


def test_other_fields_are_none_of_it_and_there_are_not_too_many() -> None:
    assert challenges(((b"Proxy-Authenticate", b"Basic"), (b"www-AUTHENTICATE", b"Basic"))) == [Challenge("basic")]
    assert len(read(*["Basic"] * 99)) == len(read("Basic," * 99)) == MOST
    assert read("Basic " + ",".join(f"p{number}=1" for number in range(99))) == []
    assert read(*["Basic a=1,a=2"] * MOST, "Basic") == read("Basic a=1,a=2," * MOST + "Basic") == []


@pytest.mark.parametrize(
    "value", ['A a="' + "\\" * 100_000, "A " * 50_000, "," * 100_000, 'a="' * 30_000, "A a=" * 30_000]
)
def test_it_takes_no_time(value: str) -> None:
    """Linear in what was sent: twice as much takes no more than a few times as long."""
    began = time.process_time()
    read(value)

    assert time.process_time() - began < 1


@pytest.mark.parametrize("piece", ["A ", "A,", "A a=1,a=2,", "A t68=,"])
def test_no_more_is_read_than_is_looked_at(piece: str) -> None:
    """However much there is of it."""
    calls = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read(piece * 10_000)
    finally:
        sys.setprofile(before)

    assert calls < 100 * MOST


def test_the_parameters_of_Authentication_Info() -> None:
    assert parameters(b'nextnonce="a, b", qop=auth') == {"nextnonce": "a, b", "qop": "auth"}
