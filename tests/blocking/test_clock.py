"""Limits of time hold whatever becomes of the system's clock, in a process whose reactor is ours."""

from __future__ import annotations

from email.utils import formatdate
from time import time
from typing import Any

import pytest

from pulp_dl.testing import FaultServer, Nth, Script, Send, answer
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


async def test_a_server_may_say_by_the_clock_on_the_wall_how_long_it_wants_to_be_left_alone(reactor: Any) -> None:
    def busy() -> Script:
        later = formatdate(time() + 3, usegmt=True).encode()
        return Send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n" % later)  # and no Date

    async with FaultServer(reactor, {"/f": Nth([busy(), answer(b"bear")])}) as server:
        end = await script(
            f"""
import time
from pulp_dl import ToMemory
from pulp_dl.blocking import BlockingDownloader
began, body = time.monotonic(), ToMemory()
with BlockingDownloader() as downloader:
    downloader.download("{server.url("/f")}", body)
print(body.text(), time.monotonic() - began < 10)
""",
            preamble="",
        )

    assert (end.returncode, end.stdout) == (0, "bear True\n"), end.stderr
