"""The commands of benchmarks/ run, with next to nothing to do; what they measure is not looked at."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from twisted.internet.threads import deferToThread

ROOT = Path(__file__).parent.parent
DOCUMENTED = sorted((ROOT / "docs" / "performance").glob("*.json"))

COMMANDS = {
    "run": "--rounds 1 --scale 0.001 --only 'KiB, http, 10' --clients pulp_dl,curl",
    "run-streamer": "--rounds 1 --scale 0.001 --only '50 clients' --contenders pulp_dl,nginx",
    "ftp": "--rounds 1 --scale 0.001 --only KiB --clients pulp_dl,curl",
    "growth": "counts connections sizes --scale 0.001",
    "faults": "--only 'one place: drop' --clients pulp_dl",
    "segments": "--size 1 --at-once 3 --clients pulp-dl",
    "handshakes.py": "",
    "stress": "big --scale 0.001",
}
LONG = {"soak"}
"""It is about what takes minutes to show."""

SERVERS = {"ftp": "vsftpd", **dict.fromkeys(["run", "run-streamer", "growth", "segments", "stress"], "nginx")}
MEASURED = {"run", "run-streamer", "ftp"}
"""What keeps figures."""


async def said(name: str, *arguments: object, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    environment = {**os.environ, "PATH": path}
    return await deferToThread(subprocess.run, command, capture_output=True, text=True, env=environment)


def test_all_commands_are_tried() -> None:
    here = {path.name for path in (ROOT / "benchmarks").iterdir() if os.access(path, os.X_OK) and path.is_file()}
    assert here == COMMANDS.keys() - {"handshakes.py"} | {"report"} | LONG


@pytest.mark.limit(60)
@pytest.mark.parametrize("name", COMMANDS)
async def test_a_benchmark_runs(name: str, program: Callable[[str], str], tmp_path: Path) -> None:
    if name in SERVERS:
        program(SERVERS[name])
    kept = tmp_path / "figures.json"
    found = await said(name, *shlex.split(COMMANDS[name]), *(["--json", kept] if name in MEASURED else []))
    # So little does not always stay within the limits of a great deal.
    assert "Traceback" not in found.stderr
    assert found.returncode in ({0, 1} if name in {"growth", "stress"} else {0}), found.stderr
    assert found.stdout
    if name in MEASURED:
        # In the file figures have five digits, so there may be another one behind the point.
        shown = (await said("report", kept)).stdout
        assert re.sub(r"[\d.,-]+", "", shown) == re.sub(r"[\d.,-]+", "", found.stdout)


@pytest.mark.limit(60)
async def test_clients_stall_before_whoever_can_ask_the_origin_that_way(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    for name in ("nginx", "varnishd"):
        program(name)
    kept = tmp_path / "figures.json"
    options = "--rounds 1 --scale 0.001 --only 'a file each' --contenders pulp_dl,varnish"
    found = await said("run-streamer", *shlex.split(options), "--json", kept)
    assert found.returncode == 0, found.stderr
    http, https = json.loads(kept.read_text())["rows"]
    assert list(http["costs"]) == ["pulp_dl", "varnish"]
    assert list(https["costs"]) == ["pulp_dl"]


@pytest.mark.limit(30)
async def test_who_is_not_installed_is_named_and_left_out(program: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "nginx").symlink_to(program("nginx"))
    found = await said("run", *shlex.split(COMMANDS["run"]), path=str(tmp_path))
    assert "curl is not installed, and does not take part" in found.stderr
    assert found.returncode == 0
    assert "pulp_dl" in found.stdout
    assert "curl" not in found.stdout


@pytest.mark.limit(30)
async def test_start_up_is_a_file_over_the_same_scheme_with_the_same_trust(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    program("nginx")
    told, curl = tmp_path / "told", tmp_path / "curl"
    curl.write_text(
        f'#!/bin/sh\nfor config; do :; done\ntest -f "$config" && {{ echo "$@"; grep ^url "$config"; }} >> {told}\n'
        f'exec {program("curl")} "$@"\n'
    )
    curl.chmod(0o755)
    kept = tmp_path / "figures.json"
    options = "--rounds 1 --scale 0.001 --only '10 KiB' --clients curl"
    found = await said("run", *shlex.split(options), "--json", kept, path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert found.returncode == 0, found.stderr
    runs = told.read_text().split("--no-progress-meter")[1:]
    for scheme, start, more in (("http", runs[0], runs[1]), ("https", runs[2], runs[3])):
        (line, url), (row, *urls) = start.splitlines(), more.splitlines()
        assert url.startswith(f'url = "{scheme}://')
        assert urls[0].startswith(f'url = "{scheme}://')
        assert url not in urls
        assert line == row
        assert ("--cacert" in line) == (scheme == "https")
    figures = json.loads(kept.read_text())
    assert {scheme: list(costs) for scheme, costs in figures["starts"].items()} == {"http": ["curl"], "https": ["curl"]}
    assert [row["start"] for row in figures["rows"]] == ["http", "https"] * 2


FIGURES: dict[str, Any] = {
    "machine": "A machine",
    "versions": {"pulp_dl": "1.0", "aiohttp": "3.14"},
    "starts": {
        "http": {"pulp_dl": [[0.5, 0.5, 1024]], "aiohttp": [[0.25, 0.25, 1024]]},
        "https": {"pulp_dl": [[0.75, 1.0, 1024]]},
    },
    "rows": [
        {
            "name": "1 GiB, http",
            "units": [["cpu", "CPU s", 1], ["wall", "wall ms", 1000], ["memory", "RSS MiB", 1 / 1024]],
            "targets": [
                ["cpu", 1.1, "aiohttp"],
                ["wall", 0.5, "aiohttp", 0.3],
                ["memory", 2],
                ["cpu", None, "aiohttp", 3],
            ],
            "beside": "aiohttp",
            "plot": ["cpu", "wall"],
            "costs": {
                "pulp_dl": [[1.5, 2.5, 2048], [9.5, 1.5, 3072], [1.5, 9.5, 2048]],
                "aiohttp": [[2.25, 1.25, 2048], [2.25, 2.25, 2048], [2.25, 1.25, 2048]],
            },
            "start": "http",
        }
    ],
}
"""Medians without start-up: pulp_dl 1 s and 2 s of CPU, aiohttp 2 s and 1 s."""


async def test_tables_have_medians_without_start_up_and_ratios_and_say_what_is_missed(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    kept.write_text(json.dumps(FIGURES))
    text = (await said("report", kept)).stdout
    assert "| pulp_dl | 2.00 | 1,000 |" in text
    assert "| aiohttp | 1.00 (2.00) | 2,000 (0.50) |" in text
    assert "| start-up | http: CPU s | http: wall s | https: CPU s | https: wall s | peak RSS MiB of all |" in text
    assert "| pulp_dl | 0.50 | 0.50 | 1.00 | 0.75 | 3 |" in text
    assert "| aiohttp | 0.25 | 0.25 | – | – | 2 |" in text
    assert "| 1 GiB, http: CPU of aiohttp's | 2.00 | 1.1 |  | missed |" in text
    assert "| 1 GiB, http: wall of aiohttp's | 0.50 | 0.5 | 0.3 | met |" in text
    assert "| 1 GiB, http: CPU of aiohttp's | 2.00 |  | 3 | met |" in text
    assert "| 1 GiB, http: RSS MiB | 3.00 | 2 |  | missed |" in text


async def test_a_caption_says_how_many_rounds_there_were_and_of_what_fewer(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    kept.write_text(json.dumps(FIGURES))
    assert (await said("report", kept)).stdout.startswith("A machine; 3 rounds; pulp_dl 1.0, aiohttp 3.14\n")
    (row,) = FIGURES["rows"]
    less = {**row, "name": "9 files, https", "costs": {"pulp_dl": [[1.5, 2.5, 2048]]}}
    kept.write_text(json.dumps({**FIGURES, "rows": [row, less]}))
    assert (await said("report", kept)).stdout.startswith("A machine; 3 rounds, 1 of '9 files'; pulp_dl 1.0,")
    kept.write_text(json.dumps({**FIGURES, "rows": [less]}))
    assert (await said("report", kept)).stdout.startswith("A machine; 1 round; pulp_dl 1.0,")


async def test_a_plot_has_a_bar_for_each_that_is_as_long_as_its_figure(tmp_path: Path) -> None:
    kept = tmp_path / "a & b.json"
    kept.write_text(json.dumps(FIGURES))
    await said("report", "--write", kept)
    drawn = ET.fromstring(kept.with_suffix(".svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert drawn.findtext(f"{space}title") == "pulp_dl beside its peers: a & b"
    bars = {kind: [float(each.attrib["width"]) for each in drawn.iter(f"{space}rect") if each.get("class") == kind]
            for kind in ("ours", "theirs")}  # fmt: skip
    cpu, wall = bars["theirs"]
    assert cpu == wall
    assert bars["ours"][:2] == pytest.approx([2 * cpu, wall / 2], abs=0.1)


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: path.stem)
async def test_tables_and_plots_of_the_documentation_are_of_the_figures_beside_them(path: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(path, tmp_path))
    await said("report", "--write", copied)
    for suffix in (".inc", ".svg"):
        assert path.with_suffix(suffix).read_text() == copied.with_suffix(suffix).read_text()
