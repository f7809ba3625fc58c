"""Protocols are plugins: found by name, loaded when they are needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from pulp_dl.engine.schemes import Scheme, find
from pulp_dl.errors import UnsupportedScheme
from pulp_dl.interfaces import IScheme
from pulp_dl.model.remote import Remote


class Toy:
    """What a plugin makes: it only tells how it was made."""

    def __init__(self, reactor: Any, remote: Any, shared: Any) -> None:
        self.made_with = reactor, remote, shared


def test_a_scheme_is_an_IScheme() -> None:
    """C{Scheme} keeps the interface."""
    verifyObject(IScheme, Scheme("toy", "nowhere.Nothing"))


def test_http_https_and_file_are_themselves_plugins(reactor: Any) -> None:
    """What comes with pulp_dl is registered as everybody else's protocol is."""
    assert find("http") is find("https")
    assert find("file") is not find("http")


def test_a_plugin_makes_the_fetcher_it_names() -> None:
    """The dotted name is looked up and called with reactor, remote and shared."""
    remote: Any = Remote()
    made: Any = Scheme("toy", f"{__name__}.Toy").fetcher(1, remote, 3)  # type: ignore[arg-type]  # only passed on

    assert made.made_with == (1, remote, 3)


def test_a_protocol_is_not_imported_before_it_is_used() -> None:
    """Looking for schemes costs no import of their libraries."""
    code = (
        "import sys; from pulp_dl.engine.schemes import find; find('https');"
        "sys.exit(any(name.startswith(('pulp_dl.protocols', 'treq')) for name in sys.modules))"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}

    assert subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", check=False).returncode == 0


def test_names_are_lower_case_whatever_the_plugin_says() -> None:
    """C{parse} gives lower case schemes, so a plugin that writes C{SFTP} is found all the same."""
    plugin = Scheme("SFTP", "nowhere.Nothing")

    assert find("sftp", [plugin]) is plugin


def test_an_unknown_scheme_lists_those_there_are() -> None:
    """The message says what would have worked."""
    with pytest.raises(UnsupportedScheme, match=r"gopher.*there are: file, http, https"):
        find("gopher", [Scheme(("https", "http"), "a.B"), Scheme("file", "c.D")])


def test_with_no_plugins_at_all_the_message_says_none() -> None:
    """An installation without its plugin files is recognised from the message."""
    with pytest.raises(UnsupportedScheme, match="there are: none"):
        find("http", [])


def test_two_plugins_for_one_scheme_are_an_error_that_names_both() -> None:
    """Neither is chosen by accident of order."""
    plugins = [Scheme("toy", "first.Fetcher"), Scheme("toy", "second.Fetcher"), Scheme("file", "c.D")]

    with pytest.raises(UnsupportedScheme, match=r"first\.Fetcher.*second\.Fetcher"):
        find("toy", plugins)
    assert find("file", plugins) is plugins[2]


def test_a_plugin_that_says_one_name_twice_does_not_quarrel_with_itself() -> None:
    """C{Scheme(("ftp", "FTP"), ...)} is one plugin."""
    plugin = Scheme(("ftp", "FTP"), "a.B")

    assert find("ftp", [plugin]) is plugin


def test_a_broken_plugin_is_logged_and_passed_over(logged_errors: Any) -> None:
    """Somebody else's fault does not stop http."""

    class Broken(Scheme):
        def __getattribute__(self, name: str) -> Any:
            if name == "names":
                raise RuntimeError("half installed")
            return super().__getattribute__(name)

    good = Scheme("http", "a.B")

    assert find("http", [Broken("http", "b.C"), good]) is good
    assert len(logged_errors.flush(RuntimeError)) == 1


def test_a_fetcher_that_cannot_be_imported_says_which_and_why() -> None:
    """The plugin is there but its library is not."""
    with pytest.raises(UnsupportedScheme, match=r"toy.*no_such_package_here\.Fetcher") as raised:
        Scheme("toy", "no_such_package_here.Fetcher").fetcher(None, Remote(), None)  # type: ignore[arg-type]  # not reached

    assert raised.value.__cause__ is not None


def test_a_plugin_file_anywhere_on_the_path_is_found(tmp_path: Path) -> None:
    """A plugin writer adds C{twisted/plugins/my_sftp.py} to their distribution; a broken neighbour does no harm."""
    folder = tmp_path / "twisted" / "plugins"
    folder.mkdir(parents=True)
    (folder / "my_sftp.py").write_text("from pulp_dl.engine.schemes import Scheme\nsftp = Scheme('sftp', 'my.SFTP')\n")
    (folder / "my_broken.py").write_text("raise RuntimeError('broken')\n")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}", "PYTHONDONTWRITEBYTECODE": "1"}
    code = "from pulp_dl.engine.schemes import find; print(find('sftp'), find('http'))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", check=False, capture_output=True, text=True
    )

    assert "my.SFTP" in run.stdout
    assert "HTTPFetcher" in run.stdout
