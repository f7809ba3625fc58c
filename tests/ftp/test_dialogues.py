"""
Whatever an FTP server says and does, on both of its connections: a download ends with the right bytes or a
DownloadError, in bounded time and memory, and leaves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pulp_dl import Digest, Downloader, Limits, Remote, Retries, Size, Source, Timeouts
from pulp_dl.errors import DownloadError
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.testing import Data, FaultFTP, MemoryNetwork, Recorder, RewindableRecorder, Script, Send, reply
from pulp_dl.testing.pipe import HIGH_WATER, RECEIVE, WINDOW
from pulp_dl.testing.strategies import Numbered, ftp_dialogues, segmentations

SIZES = st.sampled_from([0, 1, 1000, 65_535, 65_536, 65_537, 150_000])
MOST = 1_000_000
"""Bytes of a file that are taken."""
# A failure is worth a long report.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


def server(reactor: Any, data: bytes, dialogue: Mapping[str, Script], **where: Any) -> FaultFTP:
    said = dict(dialogue)
    return FaultFTP(reactor, {"f": data}, said, greeting=said.pop("", None), **where)


def expectations(data: bytes) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.sampled_from([(), (Size(len(data)),), (Digest("sha256", hashlib.sha256(data).hexdigest()),)])


def bring(network: MemoryNetwork, server: FaultFTP, consumer: Any, expect: Any = (), retries: int = 1) -> Any:
    """The report, or the error; nothing is left of it."""
    remote = Remote(retries=Retries(count=retries), limits=Limits(max_size=MOST))
    downloader = Downloader(network, remote)
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time
    try:
        return network.result(downloader.download(Source(server.url("/f"), expect), consumer), 1000)
    except DownloadError as error:
        return error
    finally:
        network.result(downloader.close())
        assert server.connections.open == 0
        network.result(server.close())
        network.run()
        assert network.connections == 0
        assert network.getDelayedCalls() == []


def knows(dialogue: Mapping[str, Script]) -> bool:
    """Does the server tell how large the file is, and the truth?"""
    return "SIZE" not in dialogue


@given(data=st.data(), size=SIZES, rewindable=st.booleans())
def test_whatever_a_server_says_there_are_the_right_bytes_or_an_error(
    data: st.DataObject, size: int, rewindable: bool
) -> None:
    body = Numbered(0, size)
    dialogue = data.draw(ftp_dialogues(body), "dialogue")
    expect = data.draw(expectations(body), "expected")
    network = MemoryNetwork(data.draw(segmentations(), "segments"))
    consumer = (RewindableRecorder if rewindable else Recorder)()

    end = bring(network, server(network, body, dialogue, interface="ftp.example", port=21), consumer, expect)

    assert consumer.finished is not isinstance(end, Exception)
    if not isinstance(end, Exception):
        event("came")
        # Nobody can tell a short file from a whole one if neither the server nor the caller says how long it is.
        assert consumer.data == body or (not expect and not knows(dialogue) and body.startswith(consumer.data))
    else:
        event(type(end).__name__)
        assert isinstance(end, DownloadError)
        assert end.attempts
        if expect and body and not rewindable:
            assert consumer.data != body


@given(data=st.data(), size=SIZES)
def test_and_the_next_one_who_asks_is_not_taken_for_the_one_before(data: st.DataObject, size: int) -> None:
    """A session that is used again has nothing to say to a question that was put before."""
    body, other = Numbered(0, size), Numbered(1, size)
    dialogue = dict(data.draw(ftp_dialogues(body, most=2), "dialogue"))
    greeting = dialogue.pop("", None)
    network = MemoryNetwork(data.draw(segmentations(), "segments"))
    once = {f"{verb} f" if verb in {"SIZE", "MDTM", "RETR"} else verb: script for verb, script in dialogue.items()}
    ftp = FaultFTP(network, {"f": body, "g": other}, once, greeting=greeting, interface="ftp.example", port=21)
    downloader = Downloader(network, Remote(retries=Retries(count=0), limits=Limits(connections=2, per_host=2)))
    for name, right in (("f", body), ("g", other)) * 2:
        consumer = Recorder()
        try:
            network.result(downloader.download(Source(ftp.url(f"/{name}"), Size(size)), consumer), 1000)
        except DownloadError:
            continue
        assert consumer.data == right
    network.result(downloader.close())
    network.result(ftp.close())
    network.run()
    assert network.getDelayedCalls() == []


@pytest.mark.parametrize(
    "dialogue",
    [
        {"": [Send(b"220-" + b"x" * 100 + b"\r\n")] * 100_000},
        {"SIZE": [Send(b"2" * 65_536)] * 400},
        {"SIZE": [Send(b"213-1\r\n")] * 100_000},
        {"RETR": [reply(150), Data([Send(bytes(65_536))] * 400)]},
        {"RETR": [reply(150)] * 100_000},
        {"SIZE": reply(502), "RETR": [reply(150), Data([Send(bytes(65_536))] * 400)]},
    ],
    ids=["greeting", "line", "reply", "more than SIZE", "marks", "more than allowed"],
)
def test_promise_6_of_what_is_said_without_an_end_no_more_is_taken_than_buffers_hold(dialogue: Any) -> None:
    network = MemoryNetwork()
    ftp = server(network, b"small", dialogue, interface="ftp.example", port=21)

    end = bring(network, ftp, Recorder(), retries=0)

    assert isinstance(end, DownloadError)
    assert ftp.bytes_sent <= MOST + WINDOW + HIGH_WATER + 4 * RECEIVE


@pytest.mark.limit(60)
@settings(max_examples=20)
@given(data=st.data(), size=SIZES)
async def test_and_it_is_the_same_over_sockets(reactor: Any, data: st.DataObject, size: int) -> None:
    body = Numbered(0, size)
    dialogue = data.draw(ftp_dialogues(body, most=2), "dialogue")
    limits = Timeouts(connect=0.3, head=0.3, idle=0.3)
    consumer = Recorder()
    async with server(reactor, body, dialogue) as ftp:
        async with Downloader(reactor, Remote(retries=Retries(count=0), timeouts=limits)) as downloader:
            try:
                await downloader.download(Source(ftp.url("/f"), Size(size)), consumer)
            except DownloadError as error:
                event(type(error).__name__)
                assert not consumer.finished
            else:
                assert consumer.data == body
