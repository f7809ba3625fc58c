"""The control connection by itself: questions, answers, and an end that everybody hears of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.protocols.ftp import FTPClient
from twisted.python.failure import Failure

from pulp_dl.errors import ConnectFailed, ProtocolError, Refused
from pulp_dl.protocols.ftp.client import Client
from pulp_dl.protocols.ftp.data import _extended, _passive
from pulp_dl.protocols.ftp.replies import LINES, SIZE, Reply, ReplyReader, is_crowded, refusal


class Wire(StringTransport):
    """It closes when it is told to."""

    def abortConnection(self) -> None:
        self.disconnected = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Any:
    made: Any = Client("ftp://host/a")
    made.makeConnection(wire)
    return made


def test_it_is_twisteds(client: Any) -> None:
    assert isinstance(client, FTPClient)


async def test_questions_are_answered_one_after_the_other(client: Any, wire: Wire) -> None:
    """Nothing is sent before the greeting, nor before the answer to what was asked before."""
    first, second = client.ask(b"USER a"), client.ask(b"PASS b")
    assert wire.value() == b""
    client.dataReceived(b"220 hello\r\n")
    assert (await client.greeted()).code == 220
    assert wire.value() == b"USER a\r\n"
    client.dataReceived(b"33")
    client.dataReceived(b"1 go on\r\n")
    assert (await first).code == 331
    assert wire.value() == b"USER a\r\nPASS b\r\n"
    client.dataReceived(b"530-no\r\n530 way\r\n")
    assert (await second).said() == "way"


@pytest.mark.parametrize("command", [b"RETR a\r\nDELE b", b"RETR a\n", b"RETR \0", b"\x1b"])
async def test_no_command_is_two(client: Any, wire: Wire, command: bytes) -> None:
    client.dataReceived(b"220 hello\r\n")
    with pytest.raises(Refused):
        await client.ask(command)
    assert wire.value() == b""


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
async def test_all_who_ask_hear_that_it_is_lost_also_those_who_come_late(client: Any, reason: Exception) -> None:
    """Twisted's client never answers those."""
    client.dataReceived(b"220 hello\r\n")
    asked = [client.ask(b"SIZE a"), client.ask(b"MDTM a")]
    client.connectionLost(Failure(reason))
    for each in (*asked, client.ask(b"RETR a"), client.ask(b"PASV")):
        with pytest.raises(ConnectFailed, match="control connection"):
            await each
    assert not client.usable


async def test_what_was_not_asked_is_no_answer_to_what_is_asked_next(client: Any, wire: Wire) -> None:
    client.dataReceived(b"220 hello\r\n")
    client.dataReceived(b"421 Timeout.\r\n230 You are root\r\n")
    assert wire.disconnected
    assert not client.usable
    asked = client.ask(b"USER a")
    client.connectionLost(Failure(ConnectionLost()))
    with pytest.raises(ProtocolError, match="421 although nothing was asked"):
        await asked


class TestReplies:
    @given(
        code=st.integers(200, 599), lines=st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"])))
    )
    def test_whatever_stands_between_a_reply_ends_with_its_code_and_a_space(self, code: int, lines: list[str]) -> None:
        reader = ReplyReader()
        middle = [line for line in lines if not line.startswith(str(code))]
        for line in (f"{code}-first", *middle):
            assert reader.feed(line.encode()) is None
        found = reader.feed(f"{code} last".encode())
        assert found is not None
        assert (found.code, found.said(), len(found.lines)) == (code, "last", len(middle) + 2)
        assert not reader.within

    @given(lines=st.lists(st.binary(max_size=100).map(lambda line: line.replace(b"\n", b"")), max_size=300))
    def test_whatever_comes_a_reply_is_within_its_limits_or_refused(self, lines: list[bytes]) -> None:
        reader = ReplyReader()
        try:
            for line in lines:
                found = reader.feed(line)
                if found is not None:
                    assert 100 <= found.code < 600
                    assert len(found.lines) <= LINES
                    assert sum(map(len, found.lines)) <= SIZE
        except ProtocolError:
            pass

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("550 no\x1b[2J such\x07 file", "no?[2J such? file"),
            ("550 grüße".encode().decode("latin-1"), "grüße"),
            ("550 gr\xfc\xdfe", "gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e"),
            ("550", ""),
            ("550 " + "x" * 1000, "x" * 200 + "…"),
        ],
    )
    def test_what_is_said_is_fit_to_be_printed(self, text: str, said: str) -> None:
        assert Reply(550, (text,)).said() == said

    def test_neither_a_repr_nor_an_error_holds_a_secret(self) -> None:
        reply = Reply(530, ("530 wabbit is wrong",), "wabbit")
        assert "wabbit" not in repr(reply) + str(refusal(reply, "ftp://host/a"))

    @pytest.mark.parametrize(
        ("text", "crowded"),
        [
            ("421 Service not available", True),
            ("530 Sorry, the maximum number of clients (3) from your host are already connected.", True),
            ("530 Too many users", True),
            ("530 Connection limit of 10 reached", True),
            ("530 Login incorrect.", False),
            ("530 Please use your full address", False),
            ("550 too many", False),
        ],
    )
    def test_who_says_that_there_are_too_many(self, text: str, *, crowded: bool) -> None:
        assert is_crowded(Reply(int(text[:3]), (text,))) is crowded


class Saying:
    """A session with a server that answers with this."""

    def __init__(self, text: str) -> None:
        self.client = Client("ftp://host/a")
        self.lacks: set[bytes] = set()
        self.reply = Reply(int(text[:3]), (text.encode("utf-8", "surrogatepass").decode("latin-1"),))

    async def tell(self, command: bytes) -> Reply:
        return self.reply


NUMBERS = st.lists(st.integers(0, 400), min_size=4, max_size=8).map(lambda numbers: ",".join(map(str, numbers)))


@given(before=st.text(max_size=10), numbers=NUMBERS | st.text(max_size=30), after=st.text(max_size=10))
async def test_whatever_PASV_is_answered_with_there_is_a_port_or_an_error(
    before: str, numbers: str, after: str
) -> None:
    session: Any = Saying(f"227 {before}{numbers}{after}")
    try:
        port = await _passive(session)
    except ProtocolError:
        return
    assert 0 <= port < 65536


@given(text=st.text(max_size=20) | st.from_regex(r"[a-z ]*\((.)\1\1[0-9]{1,6}\1\)", fullmatch=True))
async def test_whatever_EPSV_is_answered_with_there_is_a_port_or_an_error(text: str) -> None:
    session: Any = Saying(f"229 {text}")
    try:
        port = await _extended(session)
    except ProtocolError:
        return
    assert port is not None
    assert 0 < port < 65536
