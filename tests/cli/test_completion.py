"""Tab, in a shell that has read what C{pulp-dl completion} prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command import refused
from tests.terminal import ROOT, Terminal

PROMPT = "ready> "


@pytest.fixture
def bash(program: Callable[[str], str], tmp_path: Path) -> Iterator[Terminal]:
    """A shell of somebody who did as the help says."""
    script = tmp_path / "bin" / "pulp-dl"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom pulp_dl.cli import main\nmain()\n")
    script.chmod(0o755)
    (tmp_path / "bearers.pem").touch()
    (tmp_path / "mirror").mkdir()
    (tmp_path / "zoo.toml").write_text('[remotes.grizzly]\nurl = "http://h/"\npassword = "p"\n')
    (tmp_path / "bad.toml").write_text("nonsense")
    environment = {"PATH": f"{script.parent}:{os.environ['PATH']}", "PS1": PROMPT, "PYTHONPATH": str(ROOT)}
    with Terminal([program("bash"), "--norc", "--noprofile", "-i"], tmp_path, environment) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press('eval "$(pulp-dl completion bash)"; echo d""one\r')
        terminal.wait_for("done")
        terminal.wait_for(PROMPT)
        yield terminal


@pytest.mark.limit(40)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pulp-dl sy", "pulp-dl sync "),
        ("pulp-dl completion f", "completion fish "),
        ("pulp-dl sync --dry", "sync --dry-run "),
        ("pulp-dl get --log-format j", "--log-format json "),
        ("pulp-dl get --cacert bear", "--cacert bearers.pem "),
        ("pulp-dl get -o bear", "-o bearers.pem "),
        ("pulp-dl sync http://h/PULP_MANIFEST -d mirr", "-d mirror/"),
        ("pulp-dl --config zoo.toml get --remote gri", "--remote grizzly "),
    ],
)
def test_tab_completes_subcommands_options_and_names_of_files(bash: Terminal, typed: str, completed: str) -> None:
    bash.press(f"{typed}\t")
    bash.wait_for(completed)


@pytest.mark.limit(40)
def test_settings_that_cannot_be_read_complete_nothing_and_say_nothing(bash: Terminal) -> None:
    bash.press("pulp-dl --config bad.toml get --remote g\t")
    bash.press('\x15echo d""one\r')
    bash.wait_for("done")

    assert "not TOML" not in bash.screen


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_of_its_own(shell: str) -> None:
    end = refused("completion", shell)

    assert (end.code, end.err) == (0, "")
    assert f"_PULP_DL_COMPLETE={shell}_complete" in end.out


def test_another_shell_is_refused_with_those_there_are() -> None:
    end = refused("completion", "csh")

    assert end.code == 2
    assert all(shell in end.err for shell in ("bash", "zsh", "fish"))
