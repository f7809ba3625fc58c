"""Each check of fetchers catches a fetcher that breaks the promise: no check is one that cannot fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve

from pulp_dl.errors import Truncated
from pulp_dl.model.source import Head
from pulp_dl.testing import FetcherCase, Place, Verbatim, check_fetcher
from tests.testing import bent_fetchers  # noqa: F401  # it fills the list
from tests.testing.bent import BENT, Between, Fetcher

PATIENCE = 0.1


async def verdict(bent: type[Fetcher], reactor: Any, check: str, *arguments: Any) -> BaseException | None:
    """What a check says of a fetcher, or None if it is content."""
    made: list[Fetcher] = []

    @asynccontextmanager
    async def make(reactor: Any) -> AsyncIterator[FetcherCase]:
        fetcher = bent(reactor)
        made.append(fetcher)

        def serve(name: str, data: bytes) -> str:
            url = f"memory://host/{name.replace(' ', '-')}"
            etag = b'"%s"' % sha256(data).hexdigest().encode()
            fetcher.memory.places[url] = evolve(Place(data, etag, chunk=65536), **fetcher.place)
            return url

        def lying(name: str, data: bytes, size: int) -> str:
            url = f"memory://host/{name}"
            short = Truncated(len(data), size, url) if size > len(data) else None
            pieces = tuple(data[at : min(size, at + 65536)] for at in range(0, min(size, len(data)), 65536))
            fetcher.memory.places[url] = Verbatim(Head(url, 200, length=size, total=size), pieces, short)
            return url

        yield FetcherCase(fetcher, serve, "memory://host/missing", lying=lying)

    checks = check_fetcher(make, patience=PATIENCE)()
    try:
        await getattr(checks, check)(*arguments)
    except (Exception, pytest.fail.Exception) as error:
        return error
    finally:
        for fetcher in made:
            for undo in fetcher.undo:
                undo()
            fetcher.memory.close()
    return None


@pytest.mark.parametrize("name", BENT)
async def test_a_check_catches_what_it_is_for(name: str, reactor: Any, logged_errors: Any) -> None:
    cls, check, arguments = BENT[name]
    found = await verdict(cls, reactor, check, *arguments)
    assert found is not None, f"{check} found nothing to say of {name}"
    found.__traceback__ = None
    logged_errors.flush(Exception)  # a check that fails need not wait for what it has begun


@pytest.mark.parametrize("check", sorted({(check, arguments) for _, check, arguments in BENT.values()}, key=repr))
async def test_a_check_is_content_with_what_is_right(check: tuple[str, tuple[Any, ...]], reactor: Any) -> None:
    """Also with what stands between: so the one before fails for the reason that its name tells."""

    class Right(Fetcher):
        body = Between

    assert await verdict(Right, reactor, check[0], *check[1]) is None


def test_every_check_has_something_that_it_catches() -> None:
    checks = check_fetcher(lambda _: None)  # type: ignore[arg-type, return-value]  # it is not run
    names = {name for name in dir(checks) if name.startswith("test_")}
    behind = {
        "_uneven": "test_the_same_bytes_come_whatever_the_pauses",
        "_whatever_the_offset": "test_whatever_the_offset_those_bytes_come",
    }
    assert names == {behind.get(check, check) for _, check, _ in BENT.values()}
