"""C{pulp-dl demo}."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import run


@pytest.mark.limit(40)
async def test_it_shows_what_it_does_and_cleans_up(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    end = await run("demo", cwd=tmp_path, TMPDIR=str(temporary))

    assert end.code == 0, end.out + end.err
    assert "Mirrored: 22 files" in end.out
    assert "Again: 22 files are there already, 0 were fetched." in end.out
    assert "docs/den.txt: " in end.out
    assert end.err == ""
    assert [*temporary.iterdir()] == []
