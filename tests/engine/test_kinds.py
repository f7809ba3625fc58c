"""Kinds of mirrors are plugins, too: found by name, loaded when they are needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from pulp_dl import Metalink, MirrorList, MirrorsKind, MirrorsSettings
from pulp_dl.engine.kinds import find_kind, mirrors_of
from pulp_dl.interfaces import IMirrors
from pulp_dl.mirrors.interfaces import IMirrorsKind
from tests.plugins import Site

KIND = "from pulp_dl import MirrorsKind\n{0} = MirrorsKind({0!r}, {1!r})\n"
MADE = """
from zope.interface import implementer
from pulp_dl.interfaces import IMirrors
@implementer(IMirrors)
class Bears:
    def __init__(self, settings): self.settings = settings
    def locate(self, source, direct): return [source.at(self.settings.argument + source.path)]
    def record(self, attempt): pass
def refusing(settings): raise ValueError("bears are asleep")
def raising(settings): raise RuntimeError(settings.argument)
def other(settings): return 3
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "bears.py").write_text(MADE)
    return Site(tmp_path)


def made(site: Site, *kinds: str) -> str:
    """What comes of each, in another process: a line."""
    code = """
import sys
from pulp_dl import MirrorsSettings
from pulp_dl.engine.kinds import mirrors_of
for kind in sys.argv[1:]:
    try: print(mirrors_of(kind, MirrorsSettings("http://elmer:wabbit@b")))
    except ValueError as error: print(error)
"""
    ran: subprocess.CompletedProcess[str] = site.run("-c", code, *kinds)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_kind_is_an_IMirrorsKind() -> None:
    verifyObject(IMirrorsKind, MirrorsKind("toy", "nowhere.Nothing"))


def test_what_comes_with_pulp_dl_is_registered_as_everybody_else_s_is() -> None:
    settings = MirrorsSettings("http://m/$repo", "http://origin/", {"repo": "pub"})
    for name, kind in (("mirrorlist", MirrorList), ("metalink", Metalink)):
        made = mirrors_of(name, settings)
        assert isinstance(made, kind)
        assert made.url == "http://m/pub"
        assert verifyObject(IMirrors, made)
        assert find_kind(name).name == name


def test_the_country_of_the_settings_is_that_of_each_kind() -> None:
    settings = MirrorsSettings("http://m/?country=$country", country="de")
    for name in ("mirrorlist", "metalink"):
        assert mirrors_of(name, settings).url == "http://m/?country=DE"  # type: ignore[attr-defined]
    assert MirrorsSettings(country="DE").country == "de"
    assert MirrorsSettings().country is None


def test_settings_show_no_argument_as_it_may_be_a_secret() -> None:
    assert "wabbit" not in repr(MirrorsSettings("http://elmer:wabbit@b"))


def test_a_plugin_anywhere_on_the_path_is_found_and_a_broken_neighbour_does_no_harm(site: Site) -> None:
    file = site.plugin("my_bears", KIND.format("bears", "bears.Bears"), "bears-inc")
    broken = site.plugin("my_broken", "raise RuntimeError('half installed')\n")

    assert "bears.Bears object" in made(site, "bears")
    found, not_loaded = site.kinds()
    assert {*found} == {"bears", "metalink", "mirrorlist"}
    assert found["bears"] == [
        {
            "name": "bears",
            "class": "bears.Bears",
            "distribution": "bears-inc 1.0",
            "file": str(file),
            "usable": True,
            "problem": None,
        }
    ]
    assert not_loaded == [{"file": str(broken), "error": "RuntimeError: half installed"}]


def test_the_list_is_for_people_too(site: Site) -> None:
    file = site.plugin("my_bears", KIND.format("bears", "bears.Bears"))
    printed = site.run("-m", "pulp_dl", "schemes").stdout

    assert f"\nMirrors:\nbears       bears.Bears  (no distribution: {file})\n" in printed


def test_two_of_one_name_are_refused_with_where_each_comes_from(site: Site) -> None:
    one = site.plugin("one", KIND.format("bears", "one.Bears"), "bears-inc")
    two = site.plugin("two", KIND.format("bears", "two.Bears"))
    said = made(site, "bears", "mirrorlist")

    assert "two kinds of mirrors are called bears; remove one of" in said
    assert f"one.Bears) of bears-inc 1.0 in {one} (pip uninstall bears-inc)" in said
    assert f"two.Bears) of no distribution in {two} (delete it)" in said
    found, _ = site.kinds()
    assert all("two kinds of mirrors" in each["problem"] for each in found["bears"])
    assert "MirrorList object" in said


def test_one_that_nobody_knows_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="no kind of mirrors is called 'toy'; there are: metalink, mirrorlist"):
        find_kind("toy")


def test_what_a_broken_one_is_wrong_about_is_said_without_a_secret(site: Site) -> None:
    (site.folder / "without.py").write_text("import no_such_package_here\nBears = dict\n")
    broken = {
        "bears.refusing": "bears are asleep",
        "bears.raising": "MirrorsKind(b1: bears.raising) raised RuntimeError; that is a fault of the plugin",
        "bears.other": "has made a int, which is no IMirrors",
        "bears.none": "is installed but cannot be loaded",
        "without.Bears', 'bears[all]": "b4 needs more: pip install 'bears[all]' (No module named",
    }
    for number, path in enumerate(broken):
        site.plugin(f"my_bears{number}", KIND.format(f"b{number}", "PATH").replace("PATH", path))
    said = made(site, *(f"b{number}" for number in range(len(broken)))).splitlines()

    assert ["wabbit" in line for line in said] == [False] * len(broken)
    assert [why for why, line in zip(broken.values(), said, strict=True) if why not in line] == []
    found, _ = site.kinds()
    assert "b4 needs more: pip install 'bears[all]'" in found["b4"][0]["problem"]


def test_a_name_that_is_none_is_told_of_and_hides_nobody(site: Site) -> None:
    names = ["'Bears'", "''", "3", "'b ears'", "None", "('bears',)"]
    files = [
        str(site.plugin(f"my_bears{number}", KIND.format("bears", "bears.Bears") + f"bears.name = {name}\n"))
        for number, name in enumerate(names)
    ]
    found, broken = site.kinds()

    assert {*found} == {"metalink", "mirrorlist"}
    assert sorted(each["file"] for each in broken) == files
