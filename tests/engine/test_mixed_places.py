"""Places of two protocols for one file: by HTTP and by FTP, for a file and for a client."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest

from pulp_dl import Digest, Downloader, Duplicates, Metalink, Places, Remote, Retries, Scores, Size, Source
from pulp_dl.errors import DownloadError
from pulp_dl.testing import (
    Cut,
    Data,
    Entity,
    FaultFTP,
    FaultServer,
    Nth,
    Recorder,
    Reset,
    RewindableRecorder,
    Send,
    answer,
    reply,
)

DATA = random.Random(5).randbytes(400_000)
BAD = DATA[:-1] + bytes([DATA[-1] ^ 1])
EXPECT = [Digest("sha256", hashlib.sha256(DATA).hexdigest()), Size(len(DATA))]
HALF = len(DATA) // 2
consumers = pytest.mark.parametrize("make", [Recorder, RewindableRecorder])


def breaking(reactor: Any) -> FaultFTP:
    """Half of the file, and then the data connection is reset, each time."""
    half = (reply(150), Data((Send(DATA[:HALF]), Reset())), reply(426))
    return FaultFTP(reactor, {"f": DATA}, {"RETR": half})


async def fetch(reactor: Any, mirrors: Any, own: str, consumer: Any) -> Any:
    async with Downloader(reactor, Remote(retries=Retries(count=0)), mirrors=mirrors) as downloader:
        return await downloader.download(Source(own, EXPECT), consumer)


@consumers
async def test_what_broke_off_by_ftp_goes_on_by_http(reactor: Any, make: Any) -> None:
    consumer = make()
    async with breaking(reactor) as ftp, FaultServer(reactor, {"/f": answer(DATA)}) as http:
        mirrors = Scores(Places([ftp.url(""), http.url("")], original=False), explore=0)
        report = await fetch(reactor, mirrors, ftp.url("/f"), consumer)
        asked = http.requests[0].get(b"range")

    assert consumer.data == DATA
    assert asked == b"bytes=%d-" % report.attempts[0].received
    assert sum(each.received for each in report.attempts) == len(DATA)


@consumers
async def test_what_broke_off_by_http_goes_on_by_ftp(reactor: Any, make: Any) -> None:
    consumer = make()
    script = {"/f": Cut(answer(Entity(DATA)), HALF)}
    async with FaultServer(reactor, script) as http, FaultFTP(reactor, {"f": DATA}) as ftp:
        mirrors = Scores(Places([http.url(""), ftp.url("")], original=False), explore=0)
        report = await fetch(reactor, mirrors, http.url("/f"), consumer)
        commands = ftp.commands

    assert consumer.data == DATA
    assert f"REST {HALF}" in commands
    assert sum(each.received for each in report.attempts) == len(DATA)


@consumers
async def test_wrong_bytes_by_ftp_are_repaired_by_http_before_the_end_is_shown(reactor: Any, make: Any) -> None:
    consumer = make()
    async with FaultFTP(reactor, {"f": BAD}) as ftp, FaultServer(reactor, {"/f": answer(DATA)}) as http:
        mirrors = Scores(Places([ftp.url(""), http.url("")], original=False), explore=0)
        report = await fetch(reactor, mirrors, ftp.url("/f"), consumer)

    assert consumer.data == DATA
    assert consumer.finished
    assert sum(each.received for each in report.attempts) == 2 * len(DATA)


async def test_a_metalink_and_a_list_of_links_may_lead_to_ftp(reactor: Any) -> None:
    async with FaultFTP(reactor, {"f": DATA}) as ftp:
        links = ((b"Link", f"<{ftp.url('/f')}>; rel=duplicate".encode()),)
        metalink = (
            '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f">'
            f"<url>{ftp.url('/f')}</url></file></metalink>"
        )
        scripts = {
            "/f": Nth([Cut(answer(DATA, headers=links), 1000), answer(b"", 404)]),
            "/f.meta4": answer(metalink.encode()),
        }
        async with FaultServer(reactor, scripts) as http:
            for mirrors in (Duplicates(), Metalink(http.url("/f.meta4"))):
                consumer = RewindableRecorder()
                await fetch(reactor, mirrors, http.url("/f"), consumer)
                assert consumer.data == DATA


async def test_if_none_of_them_has_it_each_is_named(reactor: Any) -> None:
    async with FaultFTP(reactor, {}) as ftp, FaultServer(reactor, answer(b"no", 500)) as http:
        mirrors = Scores(Places([ftp.url(""), http.url("")], original=False), explore=0)
        with pytest.raises(DownloadError) as caught:
            await fetch(reactor, mirrors, ftp.url("/f"), Recorder())
        urls = [ftp.url("/f"), http.url("/f")]

    assert [each.url for each in caught.value.attempts] == urls
