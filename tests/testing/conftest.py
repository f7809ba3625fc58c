"""Everything that both worlds can do is tested in both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.testing.stages import Memory, Sockets, World


@pytest.fixture(params=["sockets", "memory"])
async def world(request: pytest.FixtureRequest, reactor: Any) -> AsyncIterator[World]:
    made = Sockets(reactor) if request.param == "sockets" else Memory()
    yield made
    await made.close()
