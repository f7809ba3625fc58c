"""A repository that nginx serves, and the command as a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Nginx


@pytest.fixture
async def nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    server = Nginx.make(reactor, program("nginx"), tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def slow_nginx(reactor: Any, program: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Nginx]:
    """It sends each file with 200 kB a second."""
    server = Nginx.make(reactor, program("nginx"), tmp_path, rate=200_000)
    await server.start()
    yield server
    await server.stop()
