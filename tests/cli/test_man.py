"""pulp-dl(1), made from the command's own help."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.cli import main
from pulp_dl.cli.man import man_page


@pytest.fixture
def read(program: Callable[[str], str], tmp_path: Path) -> Callable[[str], str]:
    """What a page looks like on a terminal; whatever groff warns of fails."""
    groff = program("groff")

    def read(page: str) -> str:
        (tmp_path / "page.1").write_text(page)
        options = ["-man", "-Tascii", "-P-cbou", "-rLL=100n", "-ww"]
        ran = subprocess.run([groff, *options, tmp_path / "page.1"], capture_output=True, text=True, check=True)
        assert ran.stderr == ""
        return ran.stdout

    return read


def test_every_subcommand_option_and_exit_code_is_on_it(read: Callable[[str], str]) -> None:
    text = read(man_page(main, "pulp-dl", "1.2"))
    words = text.split()

    assert "pulp-dl - bring files from anywhere" in text
    assert "pulp-dl 1.2" in text
    assert "8 the disk: full" in " ".join(words)
    for name, command in main.commands.items():
        assert f"pulp-dl {name} [OPTIONS]" in text
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert {*param.opts} <= {word.rstrip(",") for word in words}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30).map(str.split))
def test_whatever_a_help_says_is_text_and_no_request(words: list[str]) -> None:
    if not words:
        return
    command = click.Command("go", help=" ".join(words), params=[click.Option(["--it"], help=" ".join(words))])
    page = man_page(click.Group("me", commands={"go": command}, help="Do it."), "me", "1")
    plain = page.replace("\\&", "").replace("\\-", "-").replace("\\(dq", '"').replace("\\e", "\\")

    assert plain.count(" ".join(words)) >= 2
    known = (".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi")
    assert all(line.startswith(known) for line in page.splitlines() if line.startswith((".", "'")))
