"""What a bad world may cost: requests, time, CPU; and what has to hold all at once."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pulp_dl import TLS, Digest, Limits, Places, Remote, Retries, Scores, Size, Source, Timeouts, ToMemory
from pulp_dl.engine.downloader import Downloader
from pulp_dl.errors import DigestMismatch, DownloadError, TimedOut
from pulp_dl.testing import Chunk, MemoryNetwork, Reset, Send, Wait, answer, redirect, response_head
from tests.memory import CA, ONCE, client, identity, world

BODY = b"body"


def digest(algorithm: str, data: bytes = BODY) -> Digest:
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())


# ---- requests


@pytest.mark.parametrize("learning", [False, True])
def test_a_dead_host_is_asked_no_more_often_than_retries_allow(learning: bool) -> None:
    """And hardly at all by who learns: the circuit is open after three failures in a row."""
    count, retries = 50, 3
    network = MemoryNetwork()
    dead = network.serve("dead.example", Reset())
    good = network.serve("good.example", answer(BODY))
    mirrors: Any = Places(["http://dead.example/", "http://good.example/"], under="http://dead.example/")
    if learning:
        mirrors = Scores(mirrors, clock=network.seconds, explore=0)
    remote = Remote(retries=Retries(count=retries), limits=Limits(connections=4))
    downloader = Downloader(network, remote, mirrors=mirrors if learning else None)
    wanted = ((f"http://dead.example/{number}", ToMemory()) for number in range(count))

    async def bring() -> list[bool]:
        async with downloader.download_many(wanted) as outcomes:
            return [outcome.ok async for outcome in outcomes]

    ended = network.result(Deferred.fromCoroutine(bring()))

    assert ended == [learning] * count
    if learning:
        assert len(dead.requests) <= 3 + 3  # one for each that ran when the circuit opened
        assert len(good.requests) == count
    else:
        assert len(dead.requests) == (1 + retries) * count
    network.result(downloader.close())
    network.result(dead.abort())
    network.result(good.abort())
    assert network.getDelayedCalls() == []


# ---- time


def test_one_limit_of_time_holds_over_a_chain_of_redirects() -> None:
    with world(timeouts=Timeouts(head=60, total=100)) as here:
        server = here.serve("a.example", lambda request: [Wait(50), redirect(f"/{int(request.path[1:] or 0) + 1}")])
        error = here.error(TimedOut, "http://a.example/")

        assert (error.phase, round(here.network.seconds(), 3)) == ("total", 100)
        assert len(server.requests) == 2


# ---- CPU


def test_tiny_chunks_cost_little_each() -> None:
    """Measured in CPU, beside the price of reading as many bytes one by one in Python; the machine may be slow."""
    count = 100_000
    head = response_head(200, ((b"Transfer-Encoding", b"chunked"),))
    wire = Chunk(b"x").wire * count + Chunk(b"").wire
    began = time.process_time()
    total = 0
    for byte in wire:
        total += byte
    plain = (time.process_time() - began) / count
    with world() as here:
        here.serve("a.example", [Send(head), Send(wire)])
        began = time.process_time()
        assert here.get("http://a.example/") == b"x" * count
        each = (time.process_time() - began) / count

    assert each < max(40e-6, 40 * plain)


# ---- checks


@pytest.mark.parametrize("wrong", ["md5", "sha1", "sha256", "sha512"])
def test_every_digest_that_is_given_has_to_match(wrong: str) -> None:
    """A strong one that matches does not make up for a weak one that does not, nor the other way round."""
    names = ("md5", "sha1", "sha256", "sha512")
    with world() as here:
        here.serve("a.example", answer(BODY))
        right = tuple(digest(name) for name in names)
        _, report = here.fetch(Source("http://a.example/", (*right, Size(len(BODY)))))
        assert {*report.facts} == {*names, "size"}
        mixed = tuple(digest(name, b"other" if name == wrong else BODY) for name in names)
        error = here.error(DigestMismatch, Source("http://a.example/", mixed))

        assert error.what == wrong


# ---- files


def test_keys_and_certificates_come_to_no_file() -> None:
    """Other clients write them to temporary files, because OpenSSL reads files."""
    written: list[object] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        flags = arguments[2] if event == "open" else None
        if listening and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(arguments)

    listening = True
    sys.addaudithook(hear)  # for as long as the process lives, so it has to be deaf afterwards
    try:
        remote = Remote(tls=client("alice"), retries=ONCE)
        with world(remote) as here:
            server = here.serve("a.example", answer(BODY), tls=identity("a.example"))
            assert here.get("https://a.example/") == BODY
            assert len(server.requests) == 1
        trust = Remote(tls=TLS(ca=CA.cert_pem.bytes().decode()), retries=ONCE)
        with world(trust) as here, pytest.raises(DownloadError):
            here.get("https://nobody.example/")
    finally:
        listening = False

    assert written == []
