"""What a test needs of its machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """
    Skip the test, for a machine that has no such thing; where everything has to be there (C{PULP_DL_REQUIRE_SERVERS},
    as in CI), fail it.
    """
    (pytest.fail if os.environ.get("PULP_DL_REQUIRE_SERVERS") else pytest.skip)(what)
    raise AssertionError(what)
