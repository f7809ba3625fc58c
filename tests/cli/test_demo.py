"""C{pulp-dl demo}."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from tests.cli.command import files, run
from tests.terminal import Terminal


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


@pytest.mark.limit(60)
async def test_its_repository_can_be_kept_to_try_the_other_commands_on_it(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    terminal = Terminal.pulp_dl(["demo", "--keep"], tmp_path, env={"TMPDIR": str(temporary)}, columns=120)
    with terminal:
        await deferToThread(terminal.wait_for, "until you press Ctrl-C")
        await deferToThread(terminal.wait_for, r"pulp-dl sync \S+ -d mirror\r\n")
        commands = re.findall(r"^  pulp-dl (.*)$", terminal.screen, re.MULTILINE)
        ended = [await run(*command.split(), cwd=tmp_path) for command in commands]
        terminal.press("\x03")
        code = await deferToThread(terminal.exit_code)

    assert [each.code for each in ended] == [0, 0], ended
    assert (tmp_path / "bear.iso").exists()
    assert len(files(tmp_path / "mirror")) == 23
    assert code == 0, terminal.screen
    assert [*temporary.iterdir()] == []
