"""What a person sees who types the command."""

from __future__ import annotations

from pathlib import Path

from tests.terminal import Terminal


def test_help_fits_the_screen_and_names_the_subcommands(tmp_path: Path) -> None:
    with Terminal.pulp_dl(["--help"], tmp_path, rows=60) as terminal:
        assert terminal.exit_code() == 0
    assert "sync" in terminal.screen
    assert "Exit codes" in terminal.screen
