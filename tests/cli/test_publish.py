"""C{pulp-dl publish}, C{unpublish} and C{catalogue list}, against nginx."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from pulp_dl import Basic, Remote
from pulp_dl.importers.catalogue import Catalogue
from pulp_dl.importers.publish import kept_by
from pulp_dl.importers.schema import VERSION, opened
from pulp_dl.testing import FaultServer, Hold, Send
from tests.cli.command import Run, fill, refused, run
from tests.importers.repository import get
from tests.servers import Nginx

pytestmark = pytest.mark.limit(60)

FILES = {"a.iso": b"bear" * 1000, "b/c.iso": b"cub", "grüße/50% #1?": b"odd"}


@pytest.fixture
def repository(nginx: Nginx) -> str:
    fill(nginx.root, FILES)
    return f"{nginx.http}PULP_MANIFEST"


async def published(reactor: Any, path: Path, **remotes: Remote) -> dict[str, bytes]:
    """What a service would serve of what is at C{/files/}."""
    catalogue = Catalogue(reactor, path, remotes=remotes)
    try:
        return {name: (await get(catalogue, f"/files/{name}")).data for name in FILES}
    finally:
        await catalogue.close()


async def test_a_repository_is_published_before_any_of_its_files_is_fetched(
    nginx: Nginx, reactor: Any, tmp_path: Path, repository: str
) -> None:
    end = await run("publish", repository, "--at", "/files/", "--catalogue", "c.db", cwd=tmp_path)

    assert (end.code, end.out) == (0, "")
    assert end.err == "published at /files/: 4 files, 4.1 KiB, on_demand\n"
    assert [each.path for each in nginx.served()] == ["/PULP_MANIFEST"]
    assert await published(reactor, tmp_path / "c.db") == FILES


async def test_it_is_listed_until_it_is_unpublished(tmp_path: Path, repository: str, nginx: Nginx) -> None:
    here: dict[str, Any] = {"cwd": tmp_path, "PULP_DL_CATALOGUE": "c.db"}
    mirrors = ("--mirror", "http://a.example/repo", "--mirror", "fast=http://b.example/r=1/")
    await run("publish", repository, "--at", "files", *mirrors, **here)  # which is no path
    await run("publish", repository, "--at", "/files", *mirrors, "--policy", "streamed", **here)
    await run("publish", repository, "--at", "/", **here)  # which is around another one
    listed = await run("catalogue", "list", "--json", **here)

    (found,) = listed.json
    assert found.pop("published") > 1e9
    assert found.pop("size") == sum(map(len, FILES.values())) + (nginx.root / "PULP_MANIFEST").stat().st_size
    assert found == {
        "at": "/files/",
        "policy": "streamed",
        "files": 4,
        "places": [
            {"url": nginx.http, "remote": None},
            {"url": "http://a.example/repo/", "remote": None},
            {"url": "http://b.example/r=1/", "remote": "fast"},
        ],
    }
    text = (await run("catalogue", "list", **here)).out
    assert text.startswith("/files/  4 files, ")
    assert text.endswith(f"from {nginx.http}, http://a.example/repo/, fast=http://b.example/r=1/\n")

    assert (await run("unpublish", "/files/", **here)).code == 0
    again = await run("unpublish", "/files/", **here)
    assert (again.code, again.err) == (2, "Error: c.db: nothing is published at /files/\n")
    assert (await run("catalogue", "list", **here)).out == ""


async def test_the_catalogue_may_stand_in_the_settings_and_has_the_remotes_name(
    nginx: Nginx, reactor: Any, tmp_path: Path, repository: str
) -> None:
    """And nothing of what the name means."""
    settings = f"""
        catalogue = "c.db"
        [remotes.den]
        url = "{nginx.http}private/"
        user = "elmer:wabbit"
    """
    (tmp_path / "s.toml").write_text(settings)
    (tmp_path / "s.toml").chmod(0o600)
    here: dict[str, Any] = {"cwd": tmp_path, "PULP_DL_CONFIG": "s.toml"}
    end = await run("publish", "PULP_MANIFEST", "--remote", "den", "--at", "/files/", "--json", **here)

    assert end.json["published"]["places"] == [{"url": f"{nginx.http}private/", "remote": "den"}], end.err
    assert len((await run("catalogue", "list", "--json", **here)).json) == 1
    for file in tmp_path.glob("c.db*"):
        assert file.is_dir() or b"wabbit" not in file.read_bytes()
    assert await published(reactor, tmp_path / "c.db", den=Remote(auth=Basic("elmer", "wabbit"))) == FILES
    assert (await run("unpublish", "/files", **here)).code == 0


async def test_immediate_fetches_first_and_publishes_then(nginx: Nginx, tmp_path: Path, repository: str) -> None:
    args = ("publish", repository, "--at", "/files/", "--policy", "immediate", "--catalogue", "c.db", "--json")
    bad = nginx.root / "b" / "c.iso"
    bad.write_bytes(b"CUB")
    failed = await run(*args, cwd=tmp_path)

    assert (failed.code, failed.json["fetched"], failed.json["failed"]) == (7, 2, 1)
    assert "nothing was published" in failed.err
    bad.write_bytes(b"cub")
    end = await run(*args, cwd=tmp_path)

    assert (end.code, end.json["fetched"], end.json["present"]) == (0, 1, 2)
    store = kept_by(tmp_path / "c.db")
    for data in FILES.values():
        assert store.use(sha256(data).hexdigest(), len(data)) is not None


@pytest.mark.parametrize(
    ("line", "reason"), [("../x,0,0", "three|sha256|a path with"), ("a.iso,x,y", "is no size"), ("x", "three fields")]
)
async def test_a_bad_line_publishes_nothing(
    nginx: Nginx, reactor: Any, tmp_path: Path, repository: str, line: str, reason: str
) -> None:
    """What was there stays."""
    args = ("publish", repository, "--at", "/files/", "--catalogue", "c.db")
    await run(*args, cwd=tmp_path)
    with (nginx.root / "PULP_MANIFEST").open("a") as manifest:
        manifest.write(line + "\n")
    end = await run(*args, cwd=tmp_path)

    assert end.code == 7
    assert "nothing was published" in end.err
    assert "line 4" in end.err
    assert await published(reactor, tmp_path / "c.db") == FILES


async def test_what_cannot_be_fetched_publishes_nothing(nginx: Nginx, tmp_path: Path) -> None:
    end = await run("publish", f"{nginx.http}none", "--at", "/files/", "--catalogue", "c.db", "--json", cwd=tmp_path)

    assert (end.code, "published" in end.json) == (3, False)


async def test_a_catalogue_that_cannot_be_used_is_told_of_in_words(tmp_path: Path, repository: str) -> None:
    with opened(tmp_path / "new.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    (tmp_path / "text").write_text("bears " * 1000)

    for name, code, reason in (
        ("new.db", 2, "a newer pulp_dl made it"),
        ("text", 8, "this file is no catalogue"),
        ("none/c.db", 8, "unable to open"),
    ):
        end = await run("publish", repository, "--at", "/files/", "--catalogue", name, cwd=tmp_path)
        assert end.code == code, end.err
        assert f"{name}: " in end.err
        assert reason in end.err
    end = await run("catalogue", "list", "--catalogue", "none.db", cwd=tmp_path)
    assert (end.code, end.err) == (2, "Error: none.db: there is no catalogue; pulp-dl publish makes one\n")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("http://elmer:wabbit@h/M", "--at", "/f/"), "keeps no password of a URL"),
        (("http://h/M", "--at", "/f/", "--mirror", "http://elmer:wabbit@h/"), "--mirror: a directory"),
        (("http://h/M", "--at", "/f/", "--mirror", "http://h/?token=wabbit"), "--mirror: a directory"),
        (("http://h/M", "--at", "f"), "begins with a slash"),
        (("http://h/M",), "Missing option '--at'"),
    ],
)
def test_what_makes_no_sense_is_refused_without_a_word_of_secrets(args: tuple[str, ...], reason: str) -> None:
    end = refused("publish", *args, "--catalogue", "/nowhere/c.db")

    assert end.code == 2
    assert reason in end.err
    assert "wabbit" not in end.err


async def test_a_publication_that_is_interrupted_or_killed_leaves_the_one_before(
    reactor: Any, tmp_path: Path, nginx: Nginx, repository: str
) -> None:
    await run("publish", repository, "--at", "/files/", "--catalogue", "c.db", cwd=tmp_path)
    files = {f"/f{number}": Hold("for ever") for number in range(3)}
    listing = "".join(f"f{number},{'0' * 64},3\n" for number in range(3)).encode()
    script: Any = {"/M": Send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(listing), listing)), **files}
    async with FaultServer(reactor, script) as server:
        args = ("publish", server.url("/M"), "--at", "/files/", "--policy", "immediate", "--catalogue", "c.db")
        running = Run(*args, cwd=tmp_path)
        while len(server.requests) < 2:
            await deferLater(reactor, 0.01)
        running.kill()
        assert (await running.ended()).code == -9

    assert await published(reactor, tmp_path / "c.db") == FILES
