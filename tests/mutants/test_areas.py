"""What the run over faults is told is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from .areas import AREAS
from .explained import REASONS, plain

ROOT = Path(__file__).parents[2]
FILES = {name: tests for files in AREAS.values() for name, tests in files.items()}


@pytest.mark.parametrize("name", FILES)
def test_the_file_and_all_that_have_to_notice_are_there(name: str) -> None:
    assert (ROOT / "pulp_dl" / name).is_file()
    assert [test for tests in FILES[name] for test in tests if not (ROOT / test).is_file()] == []


def test_nothing_of_flow_is_left_out() -> None:
    there = {f"flow/{path.name}" for path in (ROOT / "pulp_dl" / "flow").glob("*.py")}
    assert there - FILES.keys() == {"flow/__init__.py"}


def test_what_is_explained_stands_there() -> None:
    """What has been changed since has to be explained anew."""
    for files in REASONS.values():
        for name, changes in files.items():
            lines = [plain(line) for line in (ROOT / "pulp_dl" / name).read_text().splitlines()]
            for change in filter(None, map(str.strip, changes.splitlines())):
                assert change.partition(" → ")[0] in lines, f"{name}: {change}"
