"""C{--limit-rate} and C{--limit-requests}."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from tests.cli.command import files, fill, refused, run
from tests.servers import Nginx
from tests.terminal import Terminal

pytestmark = pytest.mark.limit(40)

SIZE = 300_000
TRIES = 4
DATA = bytes(range(250)) * (SIZE // 250)


async def timed(least: float, most: float, *args: object, cwd: Path) -> Path:
    """
    Where it did it, within these seconds.  Whoever keeps the machine busy makes a run longer: then it is done again,
    somewhere else.  Too quick it may never be, and too slow not each time.
    """
    for number in range(TRIES):
        place = cwd / f"try{number}"
        place.mkdir()
        end = await run(*args, "--json", cwd=place)
        assert end.code == 0, end.err
        assert end.json["seconds"] >= least
        if end.json["seconds"] <= most:
            return place
    raise AssertionError(f"{end.json['seconds']} s, and {most} at most")


async def test_a_file_takes_as_long_as_its_limit_says(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.root / "bear.iso").write_bytes(DATA)
    right = SIZE / 153_600
    command = ("get", f"{nginx.http}bear.iso", "-o", "x", "--limit-rate", "150k")
    place = await timed(right - 0.2, right * 1.05 + 0.2, *command, cwd=tmp_path)

    assert (place / "x").read_bytes() == DATA
    assert {(each.status, each.size) for each in nginx.served()} == {(200, SIZE)}


async def test_all_files_together_keep_to_the_limit_also_over_tls(nginx: Nginx, tmp_path: Path) -> None:
    repository = {f"{number}.iso": DATA[: SIZE // 6] for number in range(6)}
    fill(nginx.root, repository)
    command = ("sync", f"{nginx.https}PULP_MANIFEST", "-d", "mirror", "--cacert", nginx.ca, "--limit-rate", "146.5k")
    place = await timed(1.7, 2.5, *command, cwd=tmp_path)

    assert files(place / "mirror").keys() >= repository.keys()


async def test_requests_keep_to_their_limit(nginx: Nginx, tmp_path: Path) -> None:
    for number in range(8):
        (nginx.root / str(number)).write_bytes(b"x")
    urls = [f"{nginx.http}{number}" for number in range(8)]
    place = await timed(1.2, 2, "get", *urls, "-d", "here", "--limit-requests", "5", cwd=tmp_path)

    assert len(files(place / "here")) == 8


async def test_a_limit_that_nobody_reaches_takes_no_time(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.root / "bear.iso").write_bytes(DATA * 30)
    begin = time.monotonic()
    end = await run(
        "get", f"{nginx.http}bear.iso", "-o", "x", "--limit-rate", "1T", "--limit-requests", "1e6", cwd=tmp_path
    )

    assert end.code == 0, end.err
    assert (tmp_path / "x").stat().st_size == 30 * SIZE
    assert time.monotonic() - begin < 10


async def test_a_person_can_stop_a_slow_one_and_let_it_go_on_without_a_limit(nginx: Nginx, tmp_path: Path) -> None:
    (nginx.root / "bear.iso").write_bytes(DATA)
    url = f"{nginx.http}bear.iso"

    def person() -> tuple[int, int]:
        with Terminal.pulp_dl(["get", url, "-o", "x", "--limit-rate", "30k"], tmp_path) as terminal:
            terminal.wait_for(r"[1-9]\d?%")
            terminal.press("\x03")
            stopped = terminal.exit_code()
        with Terminal.pulp_dl(["get", url, "-o", "x"], tmp_path) as terminal:
            return stopped, terminal.exit_code()

    stopped, went_on = await deferToThread(person)

    assert (stopped, went_on) == (130, 0)
    assert (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--limit-rate", "0"], "'--limit-rate': at 0 nothing would ever come; leave it out for no limit"),
        (["--limit-rate", "fast"], "'--limit-rate': 'fast' is no number of bytes"),
        (["--limit-rate", "-1"], "'--limit-rate': '-1' is no number of bytes"),
        (["--limit-requests", "0"], "'--limit-requests': 0.0 is not in the range"),
        (["--limit-requests", "nan"], "--limit-requests: "),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(args: list[str], text: str) -> None:
    end = refused("get", "http://h/bear.iso", *args)

    assert end.code == 2
    assert text in " ".join(end.err.split())
