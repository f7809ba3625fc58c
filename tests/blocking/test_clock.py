"""Limits of time hold whatever becomes of the system's clock, in a process whose reactor is ours."""

from __future__ import annotations

import pytest

from tests.blocking.threads import script

pytestmark = pytest.mark.limit(40)

JUMPING = """
import time
real, ahead = time.time, [0]
time.time = lambda: real() + ahead[0]
from pulp_dl import Remote, Retries, Timeouts, ToMemory
from pulp_dl.blocking import BlockingDownloader, call
from pulp_dl.errors import TimedOut
from pulp_dl.testing import MemoryFetcher, MemoryScheme, Place
memory = MemoryFetcher({"memory://h/stalls": Place(b"abc", stall_at=1)})
remote = Remote(timeouts=Timeouts(idle=IDLE), retries=Retries(count=0))
downloader = BlockingDownloader(remote, schemes=[MemoryScheme(memory)])
import threading
def jump():
    time.sleep(0.3)
    ahead[0] = JUMP
    call(bool)  # the reactor turns
    time.sleep(0.3)
    call(memory.release)
def fetch():
    body = ToMemory()
    downloader.download("memory://h/stalls", body)
    return body.text()
"""


async def test_a_clock_that_is_set_forward_ends_nothing() -> None:
    end = await script(
        JUMPING.replace("IDLE", "20").replace("JUMP", "86400")
        + """
threading.Thread(target=jump).start()
print(fetch())
""",
        preamble="",
    )

    assert (end.returncode, end.stdout) == (0, "abc\n"), end.stderr


async def test_a_clock_that_is_set_back_makes_nothing_wait_longer() -> None:
    end = await script(
        JUMPING.replace("IDLE", "1").replace("JUMP", "-86400").replace("call(memory.release)", "pass")
        + """
threading.Thread(target=jump).start()
try:
    fetch()
except TimedOut as error:
    print(error.phase)
""",
        preamble="",
    )

    assert (end.returncode, end.stdout) == (0, "idle\n"), end.stderr
