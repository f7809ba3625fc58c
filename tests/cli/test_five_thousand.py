"""
A repository of five thousand files behind nginx, and C{kill -9} half-way: the next run brings what is missing and
nothing else, leaves nothing of its own, and at no time has the server seen more connections than it was to see.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pulp_dl.consumers.strays import strays
from tests.cli.command import Run, files, fill, run
from tests.servers import Nginx
from tests.sinks import until

COUNT = 5000
CONNECTIONS = 10

PATHS = [f"{number % 50:02}/{number}.rpm" for number in range(COUNT)]
WANTED = {path: path.encode().rjust(16) * 640 for path in PATHS}  # 10 KiB each


def whole(mirror: Path) -> set[str]:
    """Files that are at their paths."""
    found = set()
    for folder, _, names in os.walk(mirror):
        found |= {str(Path(folder, name).relative_to(mirror)) for name in names if name.endswith(".rpm")}
    return found


@pytest.mark.limit(120)
async def test_killed_half_way_through_five_thousand_files(nginx: Nginx, reactor: Any, tmp_path: Path) -> None:
    fill(nginx.root, WANTED)
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "-j", CONNECTIONS, "--json"]
    mirror = tmp_path / "mirror"
    running = Run(*command, cwd=tmp_path)
    await until(reactor, (mirror / PATHS[COUNT // 2]).exists)  # they are brought in this order
    running.kill()
    killed = await running.ended()
    there, before = whole(mirror), nginx.served()

    assert killed.code == -9
    assert 0.4 * COUNT < len(there) < 0.9 * COUNT
    assert all((mirror / path).read_bytes() == WANTED[path] for path in there)

    second = await run(*command, cwd=tmp_path)
    after = nginx.served()

    assert second.code == 0, second.err
    assert (second.json["present"], second.json["fetched"]) == (len(there), COUNT - len(there))
    assert sorted(each.path[1:] for each in after) == sorted({*WANTED, "PULP_MANIFEST"} - there)
    assert files(mirror) == files(nginx.root)
    assert [*strays(mirror)] == []
    assert max(each.connections for each in before + after) <= CONNECTIONS
    assert len({each.connection for each in before}) <= CONNECTIONS
    assert len({each.connection for each in after}) <= CONNECTIONS

    third = await run(*command, cwd=tmp_path)

    assert (third.code, third.json["present"], third.json["fetched"]) == (0, COUNT, 0)
    assert [each.path for each in nginx.served()] == ["/PULP_MANIFEST"]
