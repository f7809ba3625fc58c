"""What tests of consumers share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pulp_dl.flow.workers import Workers


@pytest.fixture
async def workers(reactor: Any) -> AsyncIterator[Workers]:
    """Real threads; closed at the end."""
    workers = Workers(reactor)
    yield workers
    await workers.close()
