"""The tree of errors: what follows from each class, and that an error survives being moved about."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from pulp_dl import errors
from pulp_dl.errors import (
    AuthFailed,
    BadStatus,
    CircuitOpen,
    ConnectFailed,
    ConsumerFailed,
    ConsumerGone,
    DigestMismatch,
    DownloadError,
    HostKeyFailed,
    NoPlace,
    NotFound,
    NotResumable,
    ProtocolError,
    ProxyFailed,
    RedirectRefused,
    Refused,
    SizeMismatch,
    TimedOut,
    TLSFailed,
    TooLarge,
    Truncated,
    Unavailable,
    UnsupportedScheme,
    ValidationError,
)
from pulp_dl.model.auth import Basic
from pulp_dl.model.remote import Remote
from pulp_dl.model.report import Attempt
from pulp_dl.model.source import Source

URL = "https://files.example/a"

# class, parent, transient, answer, one of it, what it says
TREE: list[tuple[type[DownloadError], type[Exception], bool, int, DownloadError, str]] = [
    (DownloadError, Exception, False, 502, DownloadError("gone wrong", URL), f"{URL}: gone wrong"),
    (ConnectFailed, DownloadError, True, 502, ConnectFailed("refused", URL), f"{URL}: refused"),
    (TLSFailed, ConnectFailed, False, 502, TLSFailed("not trusted", URL), f"{URL}: not trusted"),
    (HostKeyFailed, ConnectFailed, False, 502, HostKeyFailed("not known", URL), f"{URL}: not known"),
    (ProxyFailed, ConnectFailed, False, 502, ProxyFailed("no", URL, status=407), f"{URL}: no"),
    (TimedOut, DownloadError, True, 504, TimedOut("head", 1.5, URL), f"{URL}: timed out: no answer for 1.5 s"),
    (BadStatus, DownloadError, False, 502, BadStatus(418, "Teapot", URL), f"{URL}: the server answered 418 Teapot"),
    (NotFound, BadStatus, False, 404, NotFound(410, url=URL), f"{URL}: the server answered 410"),
    (NoPlace, NotFound, False, 404, NoPlace("nobody has it", URL), f"{URL}: nobody has it"),
    (AuthFailed, BadStatus, False, 502, AuthFailed(401, "Who?", URL), f"{URL}: the server answered 401 Who?"),
    (Unavailable, BadStatus, True, 503, Unavailable(429, "", URL, 7.0), f"{URL}: the server answered 429"),
    (ProtocolError, DownloadError, True, 502, ProtocolError("no head", URL), f"{URL}: no head"),
    (Truncated, DownloadError, True, 502, Truncated(3, 5, URL), f"{URL}: the body ended after 3 of 5 bytes"),
    (TooLarge, DownloadError, False, 502, TooLarge(5, URL), f"{URL}: the body is larger than the 5 bytes"),
    (NotResumable, DownloadError, True, 502, NotResumable("other ETag", URL), f"{URL}: other ETag"),
    (ValidationError, DownloadError, True, 502, ValidationError("x", 1, 2, URL), f"{URL}: x is 2, expected 1"),
    (DigestMismatch, ValidationError, True, 502, DigestMismatch("md5", "a", "b", URL), f"{URL}: md5 is b, expected a"),
    (SizeMismatch, ValidationError, True, 502, SizeMismatch("size", 1, 2, URL), f"{URL}: size is 2, expected 1"),
    (Refused, DownloadError, False, 502, Refused("https to http", URL), f"{URL}: https to http"),
    (RedirectRefused, Refused, False, 502, RedirectRefused("to file:", URL), f"{URL}: to file:"),
    (CircuitOpen, DownloadError, True, 503, CircuitOpen("left alone", URL, 9.0), f"{URL}: left alone"),
    (ConsumerFailed, DownloadError, False, 500, ConsumerFailed("disk full", URL), f"{URL}: disk full"),
    (ConsumerGone, DownloadError, False, 502, ConsumerGone("left", URL), f"{URL}: left"),
    (UnsupportedScheme, DownloadError, False, 502, UnsupportedScheme("gopher", URL), f"{URL}: gopher"),
]
EVERY = pytest.mark.parametrize("error", [row[4] for row in TREE], ids=lambda error: type(error).__name__)


@pytest.mark.parametrize(
    ("kind", "parent", "transient", "answer", "error", "words"), TREE, ids=[row[0].__name__ for row in TREE]
)
def test_what_follows_from_an_error(
    kind: type[DownloadError],
    parent: type[Exception],
    transient: bool,
    answer: int,
    error: DownloadError,
    words: str,
) -> None:
    """Is the same place worth another try, and what does a gateway tell its client?"""
    assert type(error) is kind
    assert kind.__bases__ == (parent,)
    assert (error.transient, error.answer) == (transient, answer)
    assert str(error).startswith(words)
    assert (error.url, error.attempts) == (URL, ())


def test_a_proxy_that_was_not_reached_or_could_not_may_be_asked_again() -> None:
    assert ProxyFailed("no route", URL).transient
    assert ProxyFailed("its origin is away", URL, 502).transient
    assert not ProxyFailed("forbidden", URL, 403).transient
    assert not any(ProxyFailed("it does not do such things", URL, status).transient for status in (501, 505))
    assert not ProxyFailed("it wants to see us first", URL, 511).transient


def test_the_table_has_the_whole_tree() -> None:
    assert {row[0].__name__ for row in TREE} == set(errors.__all__)


def test_cancelling_is_no_failure_of_a_download() -> None:
    assert not issubclass(CancelledError, DownloadError)
    assert not issubclass(DownloadError, CancelledError)


def test_what_a_caller_can_ask_of_an_error() -> None:
    assert Unavailable(503, retry_after=4).retry_after == 4
    assert Unavailable(503).retry_after is None
    assert CircuitOpen("x", retry_after=4).retry_after == 4
    assert ProxyFailed("x", status=407).status == 407
    assert NotFound(404).status == 404
    assert (TimedOut("total", 9).phase, TimedOut("total", 9).seconds) == ("total", 9)
    assert (Truncated(3).received, Truncated(3).expected, Truncated(3).unproven) == (3, None, False)
    unproven = Truncated(3, url=URL, unproven=True)
    assert unproven.unproven
    assert str(unproven) == f"{URL}: the body ended after 3 bytes, and TLS did not say that this is its end"
    assert TooLarge(5).limit == 5
    mismatch = DigestMismatch("sha256", "a", "b")
    assert (mismatch.what, mismatch.expected, mismatch.found) == ("sha256", "a", "b")


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("connect", "no connection for 30 s"),
        ("head", "no answer for 30 s"),
        ("idle", "no byte of the body for 30 s"),
        ("low_speed", "the body came too slowly for 30 s"),
        ("total", "the download was not done in 30 s"),
    ],
)
def test_every_phase_has_words(phase: str, words: str) -> None:
    assert str(TimedOut(phase, 30)) == f"timed out: {words}"


# ---- secrets

SECRET = "Sesame77"


@pytest.mark.parametrize(
    "make",
    [
        lambda url: DownloadError("x", url),
        lambda url: TimedOut("head", 1, url),
        lambda url: BadStatus(404, "x", url),
        lambda url: Unavailable(503, "x", url, 1),
        lambda url: Truncated(1, 2, url),
        lambda url: TooLarge(1, url),
        lambda url: DigestMismatch("md5", 1, 2, url),
        lambda url: CircuitOpen("x", url, 1),
        lambda url: ProxyFailed("x", url, 407, gate=url),
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        f"https://elmer:{SECRET}@files.example/a",
        f"https://files.example/a?X-Amz-Signature={SECRET}",
        f"https://files.example/a#token={SECRET}",
        f"elmer:{SECRET}@files.example",
        f"https://elmer:/{SECRET}@files.example/",
    ],
)
def test_no_error_holds_a_secret_of_its_url(make: Callable[[str], DownloadError], url: str) -> None:
    """Not in what it says, and not in what it is made of."""
    error = make(url)

    for found in (str(error), repr(error), error.url, Failure(error).getTraceback(), repr(vars(error))):
        assert SECRET not in str(found)


@given(st.text(max_size=40))
def test_whatever_the_url_is_an_error_can_be_made_of_it(url: str) -> None:
    assert str(DownloadError("x", url)).endswith("x")


# ---- moved about


def everything(error: DownloadError) -> Any:
    return type(error), str(error), error.args, {key: value for key, value in vars(error).items() if key != "attempts"}


@EVERY
@pytest.mark.parametrize("move", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_of_an_error_is_the_same_error(
    error: DownloadError, move: Callable[[DownloadError], DownloadError]
) -> None:
    error = copy.copy(error)
    error.add_note("seen in a test")
    moved = move(error)

    assert moved is not error
    assert everything(moved) == everything(error)
    assert moved.__notes__ == error.__notes__


def tried(error: DownloadError | None) -> Attempt:
    source = Source(
        f"https://elmer:{SECRET}@files.example/a?token={SECRET}",
        headers={"X-Key": SECRET},
        remote=Remote(auth=Basic("elmer", SECRET), headers={"X-Key": SECRET}),
        tag=threading.Lock(),
    )
    return Attempt(source=source, offset=1, received=2, seconds=3.0, open_seconds=2.5, status=503, error=error)


@EVERY
def test_the_attempts_go_along(error: DownloadError) -> None:
    """Also to another process; the secrets that reach what was tried stay here."""
    moved = copy.copy(error)
    moved.attempts = (tried(None), tried(error))
    text = pickle.dumps(moved)
    arrived = pickle.loads(text)

    assert copy.copy(moved).attempts is moved.attempts
    assert everything(arrived) == everything(moved)
    assert [str(attempt) for attempt in arrived.attempts] == [str(attempt) for attempt in moved.attempts]
    assert arrived.attempts[1].source.url == "https://files.example/a?token=***"
    assert arrived.attempts[1].offset == 1
    assert SECRET.encode() not in text


@EVERY
def test_an_error_can_be_raised_in_another_thread(error: DownloadError) -> None:
    """As C{blockingCallFromThread} does it: with the traceback of where it was, and its cause."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            Failure(error).raiseException()
        except DownloadError as found:
            caught.append(found)

    error = copy.copy(error)
    error.__cause__ = OSError("the cause")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert caught == [error]
    assert isinstance(caught[0].__cause__, OSError)


@EVERY
async def test_an_error_passes_through_a_deferred(error: DownloadError) -> None:
    waiting: Deferred[None] = fail(error)

    with pytest.raises(type(error)) as caught:
        await waiting
    assert caught.value is error
