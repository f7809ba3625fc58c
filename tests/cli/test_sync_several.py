"""C{pulp-dl sync} with several manifests, and what it writes beside the files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from tests.cli.command import files, fill, refused, run
from tests.servers import Nginx

pytestmark = pytest.mark.limit(60)

ONE = {"a": b"a", "shared": b"in both", "deep/b": b"b"}
TWO = {"c": b"c", "shared": b"in both"}


@pytest.fixture
def urls(nginx: Nginx) -> list[str]:
    """Of two manifests with the same name."""
    fill(nginx.root / "one", ONE)
    fill(nginx.root / "two", TWO)
    return [f"{nginx.http}one/PULP_MANIFEST", f"{nginx.http}two/PULP_MANIFEST"]


def but_manifest(directory: Path) -> dict[str, bytes]:
    return {path: data for path, data in files(directory).items() if path != "PULP_MANIFEST"}


async def test_they_make_one_mirror_that_can_be_mirrored(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    # The last line of the first has no end, and the second begins with a byte order mark.
    one, two = nginx.root / "one" / "PULP_MANIFEST", nginx.root / "two" / "PULP_MANIFEST"
    one.write_bytes(one.read_bytes().rstrip(b"\n"))
    two.write_bytes(b"\xef\xbb\xbf" + two.read_bytes())
    first = await run("sync", *urls, "-d", "mirror", "--json", cwd=tmp_path)

    assert first.code == 0, first.err
    assert (first.json["fetched"], first.json["present"]) == (4, 0)
    assert but_manifest(tmp_path / "mirror") == ONE | TWO

    second = await run("sync", *urls, "-d", "mirror", "--json", cwd=tmp_path)

    assert (second.code, second.json["fetched"], second.json["present"]) == (0, 0, 4)

    (nginx.root / "again").symlink_to(tmp_path / "mirror")
    again = await run("sync", f"{nginx.http}again/PULP_MANIFEST", "-d", "again", cwd=tmp_path)

    assert again.code == 0, again.err
    assert files(tmp_path / "again") == files(tmp_path / "mirror")


async def test_manifests_of_other_names_are_saved_each_as_it_is(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    (nginx.root / "two" / "PULP_MANIFEST").rename(nginx.root / "two" / "LIST")
    end = await run("sync", urls[0], f"{nginx.http}two/LIST", "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    saved = files(tmp_path / "mirror")
    assert saved["PULP_MANIFEST"] == (nginx.root / "one" / "PULP_MANIFEST").read_bytes()
    assert saved["LIST"] == (nginx.root / "two" / "LIST").read_bytes()


async def test_one_that_is_given_twice_is_one(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    end = await run("sync", urls[0], urls[0], "-d", "mirror", cwd=tmp_path)

    assert end.code == 0, end.err
    assert files(tmp_path / "mirror") == files(nginx.root / "one")


async def test_two_files_of_one_path_are_an_error_that_names_both(
    nginx: Nginx, tmp_path: Path, urls: list[str]
) -> None:
    fill(nginx.root / "two", TWO | {"shared": b"other"})
    end = await run("sync", *urls, "-d", "mirror", "--delete", "--json", cwd=tmp_path)

    assert end.code == 7
    assert f"{urls[1]}: line 2 of the manifest: the same path as in line 2 of {urls[0]}, but another file" in end.err
    assert end.json["failures"][0]["path"] == urls[1]
    # The first of them is there, like all others; no manifest is.
    assert files(tmp_path / "mirror") == ONE | {"c": b"c"}


async def test_one_that_fails_does_not_stop_the_others_and_nothing_is_deleted(
    nginx: Nginx, tmp_path: Path, urls: list[str]
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "old").write_bytes(b"old")
    missing = f"{nginx.http}three/PULP_MANIFEST"
    end = await run("sync", missing, *urls, "-d", "mirror", "--delete", "--force", "--json", cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["failed"]) == (3, 4, 1)
    assert missing in end.err
    assert files(tmp_path / "mirror") == ONE | TWO | {"old": b"old"}

    fast = await run("sync", missing, *urls, "-d", "fast", "--fail-fast", "--json", cwd=tmp_path)

    assert (fast.code, fast.json["fetched"]) == (3, 0)


async def test_delete_looks_at_what_any_of_them_lists(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    await run("sync", *urls, "-d", "mirror", cwd=tmp_path)
    (tmp_path / "mirror" / "old").write_bytes(b"old")
    end = await run("sync", *urls, "-d", "mirror", "--delete", cwd=tmp_path)

    assert end.code == 0, end.err
    assert but_manifest(tmp_path / "mirror") == ONE | TWO

    # And one of them that is empty is refused, though the other is not.
    (nginx.root / "two" / "PULP_MANIFEST").write_text("")
    empty = await run("sync", *urls, "-d", "mirror", "--delete", cwd=tmp_path)

    assert empty.code == 1
    assert f"{urls[1]}: it lists nothing" in empty.err
    assert but_manifest(tmp_path / "mirror") == ONE | TWO


async def test_never_are_there_more_connections_than_for_one(nginx: Nginx, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(nginx.root / name, {f"{name}/{number}": b"x" * number for number in range(100)})
    urls = [f"{nginx.http}{name}/PULP_MANIFEST" for name in ("one", "two")]
    end = await run("sync", *urls, "-d", "mirror", "-j", 3, cwd=tmp_path)
    served = nginx.served()

    assert end.code == 0, end.err
    assert len({each.connection for each in served}) <= 3


# ---- what is there


async def test_what_is_behind_a_symlink_is_not_in_the_mirror(nginx: Nginx, tmp_path: Path) -> None:
    """However right it is: it could be anybody's, and gone tomorrow."""
    fill(nginx.root, {"out/file": b"data"})
    (tmp_path / "mirror").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"data")
    (tmp_path / "mirror" / "out").symlink_to(tmp_path / "elsewhere")
    end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--json", cwd=tmp_path)

    assert (end.code, end.json["present"], end.json["failed"]) == (2, 0, 1), end.err
    assert "'out' is a symlink" in end.err


async def test_verify_tells_what_was_wrong(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"right", "b": b"right", "c": b"right"})
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--verify"]
    await run(*command, cwd=tmp_path)
    (tmp_path / "mirror" / "b").write_bytes(b"wrong")
    looked = await run(*command, "-n", "--json", cwd=tmp_path)

    assert (looked.code, looked.json["wanted"], looked.json["replaced"]) == (0, 1, 1)

    mended = await run(*command, "-v", cwd=tmp_path)

    assert mended.code == 0
    assert "there but wrong: b\n" in mended.err
    assert "1 fetched, 2 already there, 1 there but wrong; " in mended.err
    assert files(tmp_path / "mirror") == files(nginx.root)


async def test_what_is_wrong_stays_while_nothing_better_comes(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"right"})
    command = ["sync", f"{nginx.http}PULP_MANIFEST", "-d", "mirror", "--verify", "--retries", "0"]
    await run(*command, cwd=tmp_path)
    (tmp_path / "mirror" / "a").write_bytes(b"wrong")
    (nginx.root / "a").write_bytes(b"WRONG")
    end = await run(*command, cwd=tmp_path)

    assert end.code == 7
    assert (tmp_path / "mirror" / "a").read_bytes() == b"wrong"


async def test_mtime_is_the_servers(nginx: Nginx, tmp_path: Path) -> None:
    fill(nginx.root, {"a": b"a"})
    os.utime(nginx.root / "a", (1e9, 1e9))
    for option in ("--mtime", "--remote-time", "-R"):
        end = await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", option[-1], option, cwd=tmp_path)

        assert end.code == 0, end.err
        assert (tmp_path / option[-1] / "a").stat().st_mtime == 1e9
    await run("sync", f"{nginx.http}PULP_MANIFEST", "-d", "plain", cwd=tmp_path)

    assert (tmp_path / "plain" / "a").stat().st_mtime > 1.5e9


# ---- --digest-file


def check(directory: Path, sums: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "--check", "--strict", sums], cwd=directory, capture_output=True, text=True, check=False
    )


async def test_sha256sum_accepts_the_digest_file(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    fill(nginx.root / "two", {"-": b"dash", " a": b"blank", "grüße 50%#?": b"odd", "*x": b"star"})
    first = await run("sync", *urls, "-d", "mirror", "--digest-file", "SUMS", cwd=tmp_path)
    checked = await deferToThread(check, tmp_path / "mirror", "../SUMS")

    assert first.code == 0, first.err
    assert (checked.returncode, len(checked.stdout.splitlines())) == (0, 7), checked.stderr
    assert "SUMS" not in files(tmp_path / "mirror")

    # Again, with nothing to fetch: all files are listed, not only those that came.
    before = (tmp_path / "SUMS").read_bytes()
    await run("sync", *urls, "-d", "mirror", "--digest-file", "SUMS", cwd=tmp_path)

    assert (tmp_path / "SUMS").read_bytes() == before

    (tmp_path / "mirror" / "a").write_bytes(b"x")
    checked = await deferToThread(check, tmp_path / "mirror", "../SUMS")

    assert (checked.returncode, "a: FAILED" in checked.stdout) == (1, True)


async def test_a_digest_file_in_the_mirror_is_not_deleted(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    command = ["sync", *urls, "-d", "mirror", "--digest-file", "mirror/SHA256SUMS", "--delete"]
    for _ in range(2):
        end = await run(*command, cwd=tmp_path)

        assert end.code == 0, end.err
    checked = await deferToThread(check, tmp_path / "mirror", "SHA256SUMS")

    assert checked.returncode == 0
    assert {*files(tmp_path / "mirror")} == {*ONE, *TWO, "PULP_MANIFEST", "SHA256SUMS"}


async def test_a_digest_file_takes_no_place_of_another_file(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    listed = await run("sync", *urls, "-d", "mirror", "--digest-file", "mirror/deep/../a", cwd=tmp_path)
    (tmp_path / "null").symlink_to("/dev/null")
    device = await run("sync", *urls, "-d", "mirror", "--digest-file", "null", cwd=tmp_path)
    nowhere = await run("sync", *urls, "-d", "mirror", "--digest-file", "no/where", cwd=tmp_path)

    assert listed.code == 2
    assert "the manifest lists a file of this name" in listed.err
    assert but_manifest(tmp_path / "mirror") == ONE | TWO
    assert (device.code, "a device" in device.err) == (8, True)
    assert (tmp_path / "null").is_symlink()
    assert (nowhere.code, "its directory does not exist; make it" in nowhere.err) == (8, True)


async def test_after_a_failure_there_is_no_new_digest_file(nginx: Nginx, tmp_path: Path, urls: list[str]) -> None:
    (nginx.root / "one" / "a").unlink()
    (tmp_path / "SUMS").write_text("old")
    end = await run("sync", *urls, "-d", "mirror", "--digest-file", "SUMS", cwd=tmp_path)
    dry = await run("sync", *urls, "-d", "mirror", "--digest-file", "SUMS", "-n", cwd=tmp_path)

    assert (end.code, dry.code) == (3, 0)
    assert (tmp_path / "SUMS").read_text() == "old"


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_stdout_takes_no_digest_file(name: str) -> None:
    end = refused("sync", "http://127.0.0.1:1/PULP_MANIFEST", "-d", "mirror", "--digest-file", name)

    assert (end.code, "--digest-file needs a file" in end.err) == (2, True)


def test_the_place_of_the_manifest_is_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "mirror" / "PULP_MANIFEST")
    end = refused("sync", "http://127.0.0.1:1/PULP_MANIFEST", "-d", str(tmp_path / "mirror"), "--digest-file", path)

    assert (end.code, "the manifest is saved there" in end.err) == (2, True)
