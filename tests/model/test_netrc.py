"""User and password from a netrc file, each for its own host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Basic, Netrc, Remote
from pulp_dl.interfaces import IAuth, IAuthenticator
from pulp_dl.urls import parse

TEXT = """
# a comment
machine Zero.example login zero password 0

# Another one: 'quotes" and so on
machine One.example login elmer password wabbit
machine one.example:8080
  login daffy
  password "duck season"
machine 127.0.0.1 login loop password back
"""
DEFAULT = "default login anybody password any\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text(TEXT)
    return path


def test_each_host_has_its_own(file: Path) -> None:
    known = Netrc(file)

    assert known.login(parse("http://one.EXAMPLE/a")) == Basic("elmer", "wabbit")
    assert known.login(parse("https://one.example:81/a")) == Basic("elmer", "wabbit")
    assert known.login(parse("http://one.example:8080/a")) == Basic("daffy", "duck season")
    assert known.login(parse("http://two.example/a")) is None
    assert known.login(parse("http://sub.one.example/a")) is None


def test_the_default_is_for_all_others(file: Path) -> None:
    file.write_text(TEXT + DEFAULT)
    known = Netrc(file)

    assert known.login(parse("http://two.example/a")) == Basic("anybody", "any")
    assert known.login(parse("http://one.example/a")) == Basic("elmer", "wabbit")


def test_it_is_a_value_and_shows_no_password(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text(TEXT)
    one, other = Netrc(file), Netrc(tmp_path / "copy")

    assert (one, hash(one), hash(Remote(auth=one))) == (other, hash(other), hash(Remote(auth=other)))
    assert "wabbit" not in repr(one) + repr(Remote(auth=one))
    assert IAuth.providedBy(one)
    assert IAuthenticator.providedBy(one)
    assert one


# ---- where it is


def test_the_variable_names_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(file))

    assert Netrc() == Netrc(file)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_else_it_is_at_home(home: Path) -> None:
    (home / ".netrc").write_text(TEXT)
    (home / ".netrc").chmod(0o600)

    assert Netrc().login(parse("http://one.example/")) == Basic("elmer", "wabbit")


def test_at_home_it_need_not_be(home: Path) -> None:
    assert not Netrc()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_at_home_it_is_for_nobody_elses_eyes(home: Path, mode: int) -> None:
    (home / ".netrc").write_text(TEXT)
    (home / ".netrc").chmod(mode)

    with pytest.raises(ValueError, match=r"^~/\.netrc: it has to be yours, and for you alone: chmod 600 ~/\.netrc$"):
        Netrc()


def test_one_that_was_named_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="there is no such netrc file"):
        Netrc(tmp_path / "missing")
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="there is no such netrc file"):
        Netrc()
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        Netrc(tmp_path)
    with pytest.raises(ValueError, match="an empty path"):
        Netrc("")  # a variable of a shell that is not set, perhaps; not the one at home


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("machine h login elmer password hunter2 hunter3", "near line 1: this is not understood"),
        ("\nhunter2\n", "near line 3: this is not understood"),
        ("machine h login el:mer password hunter2", "machine 'h': user: a colon"),
        ("machine h login elmer password hunter2\x01", "machine 'h': password: a control character"),
    ],
)
def test_what_is_not_understood_is_told_without_repeating_it(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "netrc").write_text(text)

    with pytest.raises(ValueError, match=what) as raised:
        Netrc(tmp_path / "netrc")
    assert "hunter" not in str(raised.value)
    assert str(raised.value).startswith(os.fspath(tmp_path / "netrc"))


@given(st.binary() | st.text("machine login password default\n\"'#\\ \x00é").map(str.encode))
def test_whatever_stands_in_it_there_is_an_answer(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "netrc-of-any-kind"
    path.write_bytes(content)
    try:
        found = Netrc(path).login(parse("http://h/"))
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert found is None or isinstance(found, Basic)
