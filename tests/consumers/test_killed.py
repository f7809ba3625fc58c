"""C{kill -9} at every moment: the file is there whole or as it was, and what else is left can be told by its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.consumers.atomic import TEMPORARY, temporary_name
from pulp_dl.consumers.file import ToFile
from pulp_dl.consumers.strays import strays
from pulp_dl.errors import Refused
from tests.consumers.disks import KIB, MIB

HERE = Path(__file__)

WHOLE = [(size, old, unnamed, {}) for size in (10, 600 * KIB) for old in (True, False) for unnamed in (True, False)]
PARTS = [
    (MIB, True, True, {"part": True}),
    (MIB, False, True, {"part": True}),
    (MIB, True, False, {"part": True}),
    (MIB, False, True, {"part": True, "durable": False}),
]
SCATTERED = [
    (3 * MIB, True, True, {"part": True, "scattered": True}),
    (3 * MIB, False, False, {"part": True, "scattered": True, "durable": False}),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What was there after each kill, and after the download was done again; for WHOLE + PARTS + SCATTERED."""
    directory = tmp_path_factory.mktemp("killed")
    said = subprocess.run(
        [sys.executable, str(HERE.with_name("killed.py")), str(directory), json.dumps(WHOLE + PARTS + SCATTERED)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=HERE.parents[2],
        env={"PYTHONPATH": "."},
    )
    found: list[list[dict[str, Any]]] = json.loads(said.stdout)
    return found


@pytest.mark.parametrize("case", range(len(WHOLE)), ids=map(str, WHOLE))
def test_a_killed_download_leaves_the_file_whole_or_as_it_was(found: list[list[dict[str, Any]]], case: int) -> None:
    _, old, unnamed, _ = WHOLE[case]
    moments = found[case]

    assert len(moments) > 6
    assert [each["killed"] for each in moments] == [True] * (len(moments) - 1) + [False]
    strays = []
    for each in moments:
        others = [name for name in each["names"] if name != "file"]
        assert each["new"] is not (each["old"] if old else "file" not in each["names"])
        assert all(TEMPORARY.fullmatch(name) for name in others)
        assert each["whole"]
        assert each["left"] == sorted(["file", *others])
        strays += others
    if unnamed:
        # Where nothing is in the way, it never has another name than its own.  Else it has, for one moment.
        assert len(strays) == int(old)


@pytest.mark.parametrize("case", range(len(PARTS)), ids=map(str, PARTS))
def test_a_killed_download_with_a_part_goes_on_where_it_was(found: list[list[dict[str, Any]]], case: int) -> None:
    _, old, _, _ = PARTS[case]
    moments = found[len(WHOLE) + case]

    resumed = [each["resumed"] for each in moments]
    assert sorted({*resumed}) == [0, 256 * KIB, 512 * KIB, 768 * KIB, MIB], "what was written is not fetched again"
    until_whole = resumed[: len(resumed) - resumed[::-1].index(MIB)]
    assert until_whole == sorted(until_whole)
    for each in moments:
        assert each["new"] is not (each["old"] if old else "file" not in each["names"])
        assert each["whole"]
        assert {name for name in each["left"] if not TEMPORARY.fullmatch(name)} <= {"file", "file.part.json"}


@pytest.mark.parametrize("case", range(len(SCATTERED)), ids=map(str, SCATTERED))
def test_a_hole_is_never_taken_for_bytes_that_are_there(found: list[list[dict[str, Any]]], case: int) -> None:
    _, old, _, _ = SCATTERED[case]
    moments = found[len(WHOLE) + len(PARTS) + case]

    # What was found was compared with what was written.  The beginning without a hole counts.
    resumed = {each["resumed"] for each in moments}
    assert resumed == {0, 64 * KIB, 3 * MIB}
    for each in moments:
        assert each["new"] is not (each["old"] if old else "file" not in each["names"])
        assert each["whole"]
        assert {name for name in each["left"] if not TEMPORARY.fullmatch(name)} <= {"file", "file.part.json"}


# ---- and what becomes of it


def test_strays_are_found_by_their_names_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    ours = [tmp_path / temporary_name("file"), tmp_path / "a/b" / temporary_name("\n" + "x" * 255)]
    others = ["file", ".file.0123.pulp-dl", "a/.hidden", "x.part", "somebody.part.json"]
    for each in (*ours, *(tmp_path / other for other in others)):
        each.write_bytes(b"{}")
    (tmp_path / "a" / temporary_name("link")).symlink_to(tmp_path / "file")
    (tmp_path / temporary_name("directory")).mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)

    assert sorted(strays(tmp_path)) == sorted(ours)


def test_the_names_of_strays_cannot_be_asked_for(tmp_path: Path) -> None:
    told: list[Exception] = []
    ToFile(temporary_name("file"), root=tmp_path).gone().addCallback(told.append)

    assert [type(each) for each in told] == [Refused]
