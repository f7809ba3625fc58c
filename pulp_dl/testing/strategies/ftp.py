"""What FTP servers may say on the control connection, and do on the data connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import strategies as st

from ..ftp import Data, Port, reply
from ..script import Close, Drip, Hold, Repeat, Reset, Script, Send, Wait

__all__ = ["ftp_dialogues", "passive_replies"]

_CODES: Final = [110, 120, 150, 200, 202, 213, 220, 226, 227, 229, 230, 331, 332, 350, 421, 425, 426, 450, 451]
_MORE_CODES: Final = [500, 501, 502, 504, 530, 550, 553, 100, 199, 599, 600, 0]
_NEVER: Final = [Hold(), Wait(10_000), Close(), Reset()]
_NOISE: Final = [
    Send(b"\r\n"),
    Send(b"220\r\n"),
    Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    Send(b"SSH-2.0-OpenSSH_9.2\r\n"),
    Send(b"\xff\xf4\xff\xf2\x00\r\n"),
    Send(b"22"),
    Send(b"226 a\r\n226 b\r\n226 c\r\n"),
    Repeat(Send(b"150 and again\r\n"), 30),
    Repeat(Send(b"220-more\r\n" * 50)),
    Repeat(Send(b"2" * 4096)),
]


def passive_replies() -> st.SearchStrategy[Script]:
    """Answers to EPSV and PASV: where the port is, where it is not, somebody else's, and what is no place at all."""
    true = [
        b"229 Extended (|||%(port)d|)\r\n",
        b"227 (127,0,0,1,%(high)d,%(low)d)\r\n",
        b"227 =10,0,0,1,%(high)d,%(low)d\r\n",
        b"227-see below\r\n227 (1,1,1,1,%(high)d,%(low)d)\r\n",
        b"229 (!!!%(port)d!)\r\n",
    ]
    false = [b"229 (|||22|)", b"229 (|||0|)", b"229 (|||70000|)", b"229 (||||)", b"229 (|1|10.0.0.1|%(port)d|)"]
    false += [
        b"227 (127,0,0,1,0,25)",
        b"227 (127,0,0,1,400,1)",
        b"227 (127,0,0,1)",
        b"227 ",
        b"229 \xff",
        b"200 (|||2000|)",
    ]
    return st.sampled_from(true).map(Port) | st.sampled_from(false).map(lambda text: Port(text + b"\r\n"))


@st.composite
def _replies(draw: st.DrawFn, fine: int, text: str) -> Script:
    """A reply to a command that this code would be a good answer to."""
    kind = draw(st.sampled_from(["good", "good", "several", "another", "noise", "never", "slow"]))
    if kind == "several":
        between = draw(st.lists(st.sampled_from(["", "226 no", f"{fine}", f"{fine}-", "  x", "\xe9"]), max_size=3))
        lines = "".join(f"{line}\r\n" for line in between)
        return Send(f"{fine}-first\r\n{lines}{fine} {text}\r\n".encode("latin-1"))
    if kind == "another":
        return reply(draw(st.sampled_from(_CODES + _MORE_CODES)), text)
    if kind == "noise":
        return draw(st.sampled_from(_NOISE))
    if kind == "never":
        return draw(st.sampled_from(_NEVER))
    return Drip(reply(fine, text), 3, 0.1) if kind == "slow" else reply(fine, text)


@st.composite
def _transfers(draw: st.DrawFn, data: bytes) -> Script:
    """A RETR, with its data connection."""
    sent = draw(st.sampled_from([data, data, data + b"more", data[:-1], b""]))
    whole: Script = (Send(sent), Close())
    after = draw(st.integers(0, len(data)))
    broken = [(Send(sent[:after]), end) for end in (Close(), Reset(), Hold())]
    bytes_ = Data(draw(st.sampled_from([whole, whole, whole, *broken, Drip(whole, 3000, 1)])))
    first = draw(st.one_of(st.just(reply(150)), _replies(150, "here it comes")))
    last = draw(st.one_of(st.just(reply(226)), _replies(226, "done")))
    return draw(st.sampled_from([(first, bytes_, last), (first, last, bytes_), (bytes_, last), (first, bytes_), last]))


@st.composite
def ftp_dialogues(draw: st.DrawFn, data: bytes, most: int = 3) -> Mapping[str, Script]:
    """
    What a C{FaultFTP} says to some commands, about a file with these bytes; the greeting is under C{""}.

    @param most: of how many commands it does not say what an honest server would.
    """
    size = str(len(data))
    known: dict[str, st.SearchStrategy[Script]] = {
        "": _replies(220, "hello"),
        "USER": _replies(331, "and?"),
        "PASS": _replies(230, "welcome"),
        "TYPE": _replies(200, "binary"),
        "SIZE": _replies(213, size)
        | st.sampled_from(["-1", "0", "x", f" {size}", f"{size} bytes", "9" * 19, "1" * 18]).map(
            lambda text: reply(213, text)
        ),
        "MDTM": _replies(213, "20260105100000") | st.just(reply(213, "20269999999999")),
        "EPSV": passive_replies() | _replies(229, "(|||2|)") | st.just(reply(502)),
        "PASV": passive_replies() | _replies(227, "(127,0,0,1,0,0)"),
        "REST": _replies(350, "go on"),
        "RETR": _transfers(data),
    }
    found = draw(st.lists(st.sampled_from([*known, "RETR", "SIZE"]), max_size=most, unique=True))
    dialogue = {verb: draw(known[verb]) for verb in found}
    if "PASV" in dialogue and "EPSV" not in dialogue:
        dialogue["EPSV"] = reply(502)
    return dialogue
