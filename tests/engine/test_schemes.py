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
from tests.plugins import Site


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


# ---- what is installed


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


SCHEME = "from pulp_dl.engine.schemes import Scheme\n{0} = Scheme({0!r}, {1!r})\n"


def test_a_plugin_file_anywhere_on_the_path_is_found(site: Site) -> None:
    """A plugin writer adds C{twisted/plugins/my_gopher.py} to their distribution; a broken neighbour does no harm."""
    site.plugin("my_gopher", SCHEME.format("gopher", "my.Gopher"))
    site.plugin("my_broken", "raise RuntimeError('broken')\n")
    run = site.find("gopher", "http")

    assert "my.Gopher" in run.stdout
    assert "HTTPFetcher" in run.stdout


def test_what_is_broken_is_logged_once_with_its_file_and_its_reason(site: Site) -> None:
    file = site.plugin("my_broken", "raise RuntimeError('half installed')\n")
    nameless = site.plugin("my_nameless", SCHEME.format("toy", "a.B") + "toy.names = None\n")
    code = """
import sys
from twisted.logger import globalLogBeginner, eventAsText
def tell(event): print(eventAsText(event, includeTimestamp=False))
globalLogBeginner.beginLoggingTo([tell], redirectStandardIO=False)
from pulp_dl.engine.schemes import find
for _ in range(3): find("http")
"""
    lines = [line for line in site.run("-c", code).stdout.splitlines() if "passed over" in line]

    assert len(lines) == 2
    assert all(str(file) in line for line in lines if "half installed" in line)
    assert any(str(nameless) in line and "TypeError" in line for line in lines)


def test_two_that_claim_one_name_are_refused_with_where_each_comes_from(site: Site) -> None:
    one = site.plugin("one", SCHEME.format("toy", "one.Fetcher"), "toys-inc")
    two = site.plugin("two", SCHEME.format("toy", "two.Fetcher"))
    said = site.find("toy").stdout

    assert "two protocols are installed for toy: URLs" in said
    assert f"one.Fetcher) of toys-inc 1.0 in {one} (pip uninstall toys-inc)" in said
    assert f"two.Fetcher) of no distribution in {two} (delete it)" in said


def test_pulp_dl_schemes_tells_of_each_where_it_comes_from_and_what_is_missing(site: Site) -> None:
    gopher = site.plugin("my_gopher", SCHEME.format("gopher", "collections.OrderedDict"), "gophers")
    site.plugin("my_toy", SCHEME.format("toy", "no_such_package_here.Toy"))
    site.plugin("my_other", SCHEME.format("other", "one.Fetcher"))
    site.plugin("my_third", SCHEME.format("other", "two.Fetcher"))
    broken = site.plugin("my_broken", "raise RuntimeError('half installed')\n")
    found, not_loaded = site.schemes()

    assert {"http", "https", "file", "sftp", "gopher", "toy", "other"} <= {*found}
    assert found["gopher"] == [
        {
            "scheme": "gopher",
            "class": "collections.OrderedDict",
            "distribution": "gophers 1.0",
            "file": str(gopher),
            "usable": True,
            "problem": None,
        }
    ]
    assert found["http"][0]["distribution"].startswith("pulp_dl ")
    assert found["sftp"][0]["usable"]
    assert not found["toy"][0]["usable"]
    assert "no_such_package_here" in found["toy"][0]["problem"]
    assert ["two protocols are installed" in each["problem"] for each in found["other"]] == [True, True]
    assert not_loaded == [{"file": str(broken), "error": "RuntimeError: half installed"}]


def test_pulp_dl_schemes_is_for_people_too(site: Site) -> None:
    gopher = site.plugin("my_gopher", SCHEME.format("gopher", "collections.OrderedDict"), "gophers")
    broken = site.plugin("my_broken", "raise RuntimeError('half installed')\n")
    run = site.run("-m", "pulp_dl", "schemes")

    assert f"gopher  collections.OrderedDict  (gophers 1.0: {gopher})\n" in run.stdout
    assert run.stderr == f"Warning: {broken} is broken and passed over: RuntimeError: half installed\n"
    assert run.returncode == 0


OWN = """
from zope.interface import implementer
from pulp_dl.interfaces import IScheme
@implementer(IScheme)
class Own:
    names = {}
    path = 1
    def problem(self): return {}
    def fetcher(self, reactor, remote, shared): pass
own = Own()
"""


def test_somebody_elses_class_may_be_a_scheme(site: Site) -> None:
    """It need not be a L{Scheme}."""
    site.plugin("my_own", OWN.format("('own',)", None))
    found, _ = site.schemes()

    assert (found["own"][0]["class"], found["own"][0]["usable"]) == ("twisted.plugins.my_own.Own", True)


@pytest.mark.parametrize("names", ["'gopher'", "(1, None)", "('Gopher',)", "('go pher',)", "None"])
def test_names_that_are_none_are_told_of_and_hide_nobody(site: Site, names: str) -> None:
    file = site.plugin("my_own", OWN.format(names, "None"))
    found, broken = site.schemes()

    assert "http" in found
    assert [each["file"] for each in broken] == [str(file)]
    assert "there are: file, ftp" in site.find("nope").stdout


def test_a_scheme_that_cannot_even_say_what_is_wrong_is_told_of(site: Site) -> None:
    site.plugin("my_own", OWN.format("('own',)", "1 / 0"))
    found, _ = site.schemes()

    assert not found["own"][0]["usable"]
    assert "ZeroDivisionError" in found["own"][0]["problem"]
    assert found["http"][0]["usable"]


def test_what_is_missing_is_said_in_words_that_can_be_typed(site: Site) -> None:
    """The plugin is there, and its distribution says what else to install."""
    (site.folder / "toys.py").write_text("import no_such_package_here\nFetcher = dict\n")
    text = SCHEME.format("toy", "toys.Fetcher").replace("'toys.Fetcher'", "'toys.Fetcher', extra='toys[all]'")
    site.plugin("my_toy", text)
    found, _ = site.schemes()
    assert "toy: needs more: pip install 'toys[all]'" in found["toy"][0]["problem"]
    assert not found["toy"][0]["usable"]

    for number, path in enumerate(["no_such_package_here.Fetcher", "json.no_such_module.Fetcher"]):
        text = SCHEME.format(f"toy{number}", path).replace(f"'{path}'", f"'{path}', extra='toys[all]'")
        site.plugin(f"my_toy{number}", text)
        assert f"toy{number}: needs more: pip install 'toys[all]'" in site.schemes()[0][f"toy{number}"][0]["problem"]

    without = "import sys; sys.modules['twisted.conch'] = None; from pulp_dl.cli import main; main()"
    run = site.run("-c", without, "get", "sftp://127.0.0.1/a")
    assert "sftp: needs more: pip install 'pulp_dl[sftp]'" in run.stderr
    assert run.returncode == 2
