"""
C{kill -9} at random moments, again and again over one directory, while the repository changes: no file is ever wrong,
and the last run, which nobody kills, leaves nothing but the mirror.

C{nox -s kills} does it two hundred times.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from pulp_dl.consumers.strays import strays
from tests.cli.command import Run, files, fill, run
from tests.servers import Nginx

TIMES = int(os.environ.get("PULP_DL_KILLS", "10"))
LAST = 1.5
"""Seconds after which a run is killed, at most; half of one until the first file comes, two for the large one."""

OURS = (".part", ".part.json", ".pulp-dl")


def version(number: int) -> dict[str, bytes]:
    """Every file has another size in each version, so each has to be fetched again."""
    chance = random.Random(number)
    small = {f"small/{name}": chance.randbytes(10_000 + number) for name in range(60)}
    return {**small, "large": chance.randbytes(8_000_000 + number), "empty": b"", "same": b"always"}


@pytest.mark.limit(30 + 3 * TIMES)
async def test_killed_again_and_again_no_file_is_wrong_and_none_is_a_stray(
    steady_nginx: Nginx, reactor: Any, tmp_path: Path
) -> None:
    nginx = steady_nginx
    mirror, url = tmp_path / "mirror", f"{nginx.http}PULP_MANIFEST"
    right: dict[str, set[bytes]] = {}
    chance = random.Random(TIMES)
    moments = [chance.uniform(0.2, LAST) for _ in range(TIMES)]
    killed = 0
    for number, moment in enumerate(moments):
        wanted = version(number // 2)  # every second run goes on with what the one before has left
        for path, data in wanted.items():
            right.setdefault(path, set()).add(data)
        fill(nginx.root, wanted)
        running = Run("sync", url, "-d", "mirror", cwd=tmp_path)
        await deferLater(reactor, moment)
        running.kill()
        killed += (await running.ended()).code == -9

        for path, data in files(mirror).items() if mirror.exists() else ():
            if path in right:
                assert data in right[path], (moment, path)
            else:
                assert path.endswith((*OURS, "PULP_MANIFEST")) or "pulp-dl" in path, path

    end = await run("sync", url, "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(mirror) == files(nginx.root)
    assert [*strays(mirror)] == []
    assert killed > TIMES / 2  # some go on with what is nearly whole
