"""User and password."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pulp_dl.interfaces import IAuth, IAuthenticator
from pulp_dl.model.auth import Basic
from pulp_dl.model.source import Head

PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
SECRET = "Sesame77"


def test_it_is_its_own_authenticator() -> None:
    basic = Basic("elmer", SECRET)
    direct: Any = None

    assert verifyObject(IAuth, basic)
    assert verifyObject(IAuthenticator, basic)
    assert basic.start(direct) is basic


@given(PLAIN.filter(lambda user: ":" not in user), PLAIN)
def test_whatever_they_are_they_go_out_as_utf_8(user: str, password: str) -> None:
    """RFC 7617 section 2; a password may hold colons."""
    kind, _, text = Basic(user, password).header.partition(b" ")

    assert kind == b"Basic"
    assert b64decode(text, validate=True).decode() == f"{user}:{password}"


def test_the_example_of_rfc_7617() -> None:
    assert Basic("Aladdin", "open sesame").header == b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert Basic("test", "123£").header == b"Basic dGVzdDoxMjPCow=="


def test_it_is_sent_at_once_and_a_challenge_changes_nothing() -> None:
    basic = Basic("elmer", SECRET)
    headers: dict[bytes, bytes] = {}

    sent = basic.authorize(b"GET", "https://files.example/", headers)
    again: list[bool] = []
    basic.challenged(b"GET", "https://files.example/", Head("https://files.example/", 401), sent).addCallback(
        again.append
    )

    assert headers == {b"Authorization": basic.header}
    assert again == [False]


@pytest.mark.parametrize("field", ["user", "password"])
@pytest.mark.parametrize("bad", ["\n", "\r\n", "\0", "\x7f", "\t"])
def test_a_control_character_is_refused_and_not_repeated(field: str, bad: str) -> None:
    """The line end of the file it was read from, usually."""
    values = {"user": "elmer", "password": "word"} | {field: SECRET + bad}

    with pytest.raises(ValueError, match=rf"^Basic\.{field}: a control character; remove it") as caught:
        Basic(**values)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("field", ["user", "password"])
def test_what_cannot_be_sent_is_refused_and_not_repeated(field: str) -> None:
    values = {"user": "elmer", "password": "word"} | {field: f"{SECRET}\udce9"}

    with pytest.raises(ValueError, match=rf"^Basic\.{field}: a character that is no UTF-8") as caught:
        Basic(**values)
    assert SECRET not in str(caught.value)


def test_a_colon_would_move_the_border_between_user_and_password() -> None:
    with pytest.raises(ValueError, match=r"^Basic\.user: a colon cannot be part of a user name"):
        Basic("elmer:fudd", "word")


@pytest.mark.parametrize("value", [None, b"word", 1234])
def test_both_are_text(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Basic\.user: a str is needed"):
        Basic(value, "word")
    with pytest.raises(TypeError, match=r"^Basic\.password: a str is needed"):
        Basic("elmer", value)


def test_a_password_is_not_shown() -> None:
    assert repr(Basic("elmer", SECRET)) == "Basic(user='elmer')"


def test_equal_credentials_are_equal() -> None:
    """They are part of the key under which a proxy's connections are kept."""
    assert Basic("elmer", "a") == Basic("elmer", "a")
    assert len({Basic("elmer", "a"), Basic("elmer", "a"), Basic("elmer", "b"), Basic("bugs", "a")}) == 3
