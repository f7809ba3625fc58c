"""Bodies in memory, with an end to it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from pulp_dl.consumers.memory import LIMIT, Discard, ToMemory
from pulp_dl.errors import TooLarge
from tests.consumers.disks import Feed, head_of


async def test_the_body_is_there_as_bytes_and_as_text(reactor: Any) -> None:
    consumer = ToMemory()
    await Feed(reactor, consumer).all(["caf\u00e9".encode()[:4], "caf\u00e9".encode()[4:]])

    assert consumer.data == "caf\u00e9".encode()
    assert consumer.data is consumer.data
    assert consumer.text() == "caf\u00e9"
    assert consumer.text("latin-1") == "caf\u00c3\u00a9"
    assert consumer.text("ascii", "replace") == "caf\ufffd\ufffd"
    assert consumer.head == head_of(5)


async def test_there_is_no_body_before_its_end_nor_after_a_failure(reactor: Any) -> None:
    consumer = ToMemory()
    feed = Feed(reactor, consumer)
    feed.begin(head_of(None))
    await feed.write([b"data"])
    with pytest.raises(RuntimeError, match="not ended well"):
        consumer.text()

    consumer.fail(Failure(CancelledError()))

    with pytest.raises(RuntimeError, match="not ended well"):
        assert consumer.data
    assert consumer.head is None


async def test_a_body_of_exactly_the_limit_is_taken_and_a_byte_more_is_too_large(reactor: Any) -> None:
    consumer = ToMemory(limit=10)
    await Feed(reactor, consumer).all([b"12345", b"67890"])
    assert consumer.data == b"1234567890"

    feed = Feed(reactor, ToMemory(limit=10))
    feed.begin(head_of(None))
    await feed.write([b"12345", b"67890"])
    with pytest.raises(TooLarge, match="larger than the 10 bytes"):
        feed.consumer.write(b"1")


@pytest.mark.parametrize("limit", [-1, 1.5, "5", None, True])
def test_a_limit_is_a_number_of_bytes(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"^limit: .* is no number of bytes; give one, 0 or more"):
        ToMemory(limit)


async def test_what_tells_that_it_is_too_large_is_not_even_begun(reactor: Any) -> None:
    for size in (11, 2**60):
        with pytest.raises(TooLarge):
            ToMemory(limit=10).begin(head_of(size))
    with pytest.raises(TooLarge):
        ToMemory().begin(head_of(LIMIT + 1))
    ToMemory().begin(head_of(LIMIT))


async def test_a_rewind_frees_the_limit(reactor: Any) -> None:
    consumer = ToMemory(limit=10)
    feed = Feed(reactor, consumer)
    feed.begin(head_of(None))
    await feed.write([b"1234567890"])
    consumer.rewind(head_of(2))
    await feed.rest([b"0987654321"])

    assert consumer.data == b"0987654321"
    assert consumer.head == head_of(2)


async def test_what_is_discarded_is_counted(reactor: Any) -> None:
    consumer = Discard()
    feed = Feed(reactor, consumer)
    feed.begin(head_of(None))
    await feed.write([b"12345"])
    consumer.rewind(head_of(3))
    await feed.rest([b"1", b"23"])

    assert consumer.size == 3
    assert consumer.head == head_of(3)
    assert feed.gone == []
