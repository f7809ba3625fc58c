"""A repository that nginx serves, and the command as a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Nginx


@pytest.fixture
async def nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    async with serving(Nginx.make(reactor, program("nginx"), tmp_path)) as server:
        yield server


@pytest.fixture
async def slow_nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    """It sends each file with 200 kB a second."""
    async with serving(Nginx.make(reactor, program("nginx"), tmp_path, rate=200_000)) as server:
        yield server


@pytest.fixture
async def steady_nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    """It lets nobody be done with 8 MB in less than two seconds."""
    async with serving(Nginx.make(reactor, program("nginx"), tmp_path, rate=4_000_000)) as server:
        yield server


@asynccontextmanager
async def serving(server: Nginx) -> AsyncIterator[Nginx]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
