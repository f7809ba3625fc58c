"""Mirrors on the command line and in the settings, for the streamer too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from pulp_dl.testing import Cut, Drip, FaultServer, OnPath, Wait, answer
from tests.cli.command import ROOT, refused, run
from tests.plugins import Site
from tests.service.running import ask, streamer

pytestmark = pytest.mark.limit(40)

DATA = bytes(range(250)) * 4000
SHA = hashlib.sha256(DATA).hexdigest()
MANIFEST = f"os/bear.rpm,{SHA},{len(DATA)}\n".encode()


@frozen
class Mirrored:
    """An origin that must not be asked, a mirror that breaks off, and one that is good."""

    origin: FaultServer
    broken: FaultServer
    good: FaultServer

    @property
    def url(self) -> str:
        return self.origin.url("/pub/os/bear.rpm")

    @property
    def listing(self) -> str:
        return self.origin.url("/mirrors.txt")

    def asked(self, server: FaultServer) -> list[str]:
        return [each.target for each in server.requests]


@pytest.fixture
async def mirrored(reactor: Any) -> AsyncIterator[Mirrored]:
    files = {"/m/os/bear.rpm": answer(DATA), "/m/PULP_MANIFEST": answer(MANIFEST)}
    broken = {"/m/os/bear.rpm": Cut(answer(DATA), 500_000), "/m/PULP_MANIFEST": answer(MANIFEST)}
    async with FaultServer(reactor, files) as good, FaultServer(reactor, broken) as bad:
        text = f"# two of them\n{bad.url('/')}$repo\nrsync://elsewhere/\n{good.url('/')}$repo/\n"
        links = "".join(
            f'<url priority="{number}" location="{where}">{server.url("/m/os/bear.rpm")}</url>'
            for number, where, server in ((1, "fr", bad), (2, "de", good))
        )
        metalink = (
            '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="os/bear.rpm">'
            f'<size>{len(DATA)}</size><hash type="sha-256">{SHA}</hash>{links}</file></metalink>'
        )
        places = "".join(
            f'<url preference="{number}" location="{where}">{server.url("/m/PULP_MANIFEST")}</url>'
            for number, where, server in ((100, "FR", bad), (90, "DE", good))
        )
        repository = (
            '<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="PULP_MANIFEST">'
            f"<size>{len(MANIFEST)}</size><verification>"
            f'<hash type="sha256">{hashlib.sha256(MANIFEST).hexdigest()}</hash></verification>'
            f"<resources>{places}</resources></file></files></metalink>"
        )
        lists = {
            "/mirrors.txt": answer(text.encode()),
            "/bear.meta4": answer(metalink.encode()),
            "/metalink": answer(repository.encode()),
        }
        async with FaultServer(reactor, lists) as origin:
            yield Mirrored(origin, bad, good)


def listed(mirrored: Mirrored) -> list[str]:
    return ["--mirrorlist", mirrored.listing, "--mirror-variable", "repo=m"]


async def test_get_asks_the_mirrors_of_a_list_and_keeps_what_came(mirrored: Mirrored, tmp_path: Path) -> None:
    under = mirrored.origin.url("/pub")
    end = await run(
        "get", mirrored.url, *listed(mirrored), "--mirrors-under", under, "--sha256", SHA, "-v", cwd=tmp_path
    )

    assert end.code == 0, end.err
    assert (tmp_path / "bear.rpm").read_bytes() == DATA
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt"]
    assert mirrored.good.requests[0].get(b"range") == b"bytes=500000-"
    assert f"Warning: line 3 of the mirror list {mirrored.listing} is left out: rsync: " in end.err


async def test_a_list_that_cannot_be_had_is_told_once_and_quiet_is_silent(mirrored: Mirrored, tmp_path: Path) -> None:
    urls, gone = [mirrored.good.url(f"/m/{name}") for name in ("PULP_MANIFEST", "os/bear.rpm")], ["--mirrorlist"]
    gone.append(mirrored.origin.url("/none"))

    loud = await run("get", *urls, *gone, "-d", "one", cwd=tmp_path)
    quiet = await run("get", *urls, *gone, "-d", "two", "-q", cwd=tmp_path)

    assert (loud.code, quiet.code) == (0, 0)
    assert loud.err.count("Warning: no mirrors are known") == 1
    assert quiet.err == ""


async def test_sync_does_too_and_the_directory_of_the_manifest_is_what_they_have(
    mirrored: Mirrored, tmp_path: Path
) -> None:
    end = await run("sync", mirrored.origin.url("/pub/PULP_MANIFEST"), *listed(mirrored), "-d", "here", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "here/os/bear.rpm").read_bytes() == DATA
    # Of the second file's places one of which nothing is known is tried first, now and then.
    assert mirrored.asked(mirrored.origin) in (["/mirrors.txt"], ["/mirrors.txt", "/pub/os/bear.rpm"])
    assert mirrored.asked(mirrored.broken)[0] == "/m/PULP_MANIFEST"


async def test_publish_does_too(mirrored: Mirrored, tmp_path: Path) -> None:
    url = mirrored.origin.url("/pub/PULP_MANIFEST")
    end = await run("publish", url, "--at", "/p/", *listed(mirrored), "--catalogue", "c.sqlite", cwd=tmp_path)

    assert end.code == 0, end.err
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt"]


async def test_get_fetches_what_a_metalink_describes(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("get", "--metalink", mirrored.origin.url("/bear.meta4"), "-d", "here", "--json", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "here/bear.rpm").read_bytes() == DATA
    assert end.json["files"][0]["sha256"] == SHA
    assert mirrored.good.requests[0].get(b"range") == b"bytes=500000-"


async def test_get_mends_a_file_by_the_pieces_of_a_metalink(reactor: Any, tmp_path: Path) -> None:
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    length = 100_000
    pieces = "".join(
        f"<hash>{hashlib.sha1(DATA[at:][:length]).hexdigest()}</hash>" for at in range(0, len(DATA), length)
    )
    async with FaultServer(reactor, answer(wrong)) as bad, FaultServer(reactor, answer(DATA)) as good:
        links = "".join(f'<url priority="{n}">{each.url("/f")}</url>' for n, each in enumerate([bad, good]))
        (tmp_path / "m").write_text(
            '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f">'
            f'<size>{len(DATA)}</size><hash type="sha-256">{SHA}</hash>'
            f'<pieces length="{length}" type="sha-1">{pieces}</pieces>{links}</file></metalink>'
        )
        end = await run("get", "--metalink", "m", "-v", cwd=tmp_path)
        asked = [each.get(b"range") for each in good.requests]

    assert end.code == 0, end.err
    assert (tmp_path / "f").read_bytes() == DATA
    start = (len(DATA) - 1) // length * length
    assert asked == [b"bytes=%d-%d" % (start, len(DATA) - 1)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f", "m"]


@pytest.mark.parametrize("segments", [1, 2])
async def test_a_large_file_comes_from_several_places_at_once(reactor: Any, tmp_path: Path, segments: int) -> None:
    data = bytes(range(256)) * 4096 * 64  # 64 MiB
    sha = hashlib.sha256(data).hexdigest()
    slow = Drip(answer(data), 65536, 0.006)  # about 7 seconds
    async with FaultServer(reactor, slow) as a, FaultServer(reactor, slow) as b:
        (tmp_path / "list").write_text(f"{a.url('/f')}\t{b.url('/f')}\n  checksum=sha-256={sha}\n")
        end = await run("get", "-i", "list", "--segments", segments, "--json", cwd=tmp_path)
        asked = [len(a.requests), len(b.requests)]

    assert end.code == 0, end.err
    assert hashlib.sha256((tmp_path / "f").read_bytes()).hexdigest() == sha
    assert sorted(each.name for each in tmp_path.iterdir()) == ["f", "list"]
    assert asked[0] >= 1
    assert (asked[1] > 0) == (segments > 1)


async def test_a_metalink_may_be_a_file_and_the_name_somebody_s_own(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("get", mirrored.origin.url("/bear.meta4"), "-o", "m", cwd=tmp_path)
    assert end.code == 0, end.err

    end = await run("get", "--metalink", "m", "-o", "own.rpm", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "own.rpm").read_bytes() == DATA


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("<html/>", 7, "no metalink"),
        ('<!DOCTYPE m [<!ENTITY x "y">]><metalink/>', 7, "entities"),
        ('<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="../x"/></metalink>', 7, "no name"),
        ('<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="x"/></metalink>', 7, "no place"),
        (None, 8, "No such file"),
    ],
)
async def test_what_is_no_metalink_is_refused(text: str | None, code: int, why: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "m").write_text(text)

    end = await run("get", "--metalink", "m", cwd=tmp_path)

    assert end.code == code
    assert why in end.err
    assert [path.name for path in tmp_path.iterdir()] == ([] if text is None else ["m"])


async def test_what_is_no_URL_of_a_metalink_is_a_usage_error(tmp_path: Path) -> None:
    end = await run("get", "--metalink", "http://", cwd=tmp_path)

    assert end.code == 2
    assert "Traceback" not in end.err
    assert "host" in end.err


async def test_a_digest_that_is_none_is_the_metalink_s_fault(mirrored: Mirrored, tmp_path: Path) -> None:
    file = '<file name="f"><hash type="sha-256">abc</hash></file>'
    (tmp_path / "m").write_text(f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{file}</metalink>')
    for args in (["get", "--metalink", "m"], ["explain", "-n", mirrored.url, "--metalink", "m"]):
        end = await run(*args, cwd=tmp_path)
        assert "the digest of 'f' is none: a sha256 has 64 hexadecimal digits" in end.out + end.err
        assert "--sha256" not in end.out + end.err


KIND = """
from pulp_dl import MirrorsKind
bears = MirrorsKind("bears", "bears.Bears")
"""
BEARS = """
from zope.interface import implementer
from pulp_dl.interfaces import IMirrors
@implementer(IMirrors)
class Bears:
    def __init__(self, settings): pass
    def locate(self, source, direct): return [source]
    def record(self, attempt): pass
"""


async def test_what_a_kind_is_given_may_be_a_secret(mirrored: Mirrored, tmp_path: Path) -> None:
    """Neither what is kept nor what is printed has it; but another one is another list."""
    Site(tmp_path / "site").plugin("my_bears", KIND)
    (tmp_path / "site" / "bears.py").write_text(BEARS)
    there = {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"}
    url = mirrored.good.url("/m/os/bear.rpm")
    for word in ("hunter2", "hunter3", "hunter2"):
        args = ("--mirrors-from", f"bears:{word}", "--mirror-state", "state")
        got = await run("get", url, *args, cwd=tmp_path, **there)
        told = await run("explain", "-n", url, *args, cwd=tmp_path, **there)
        assert (got.code, told.code) == (0, 0), got.err
        assert word not in got.out + got.err + told.out + told.err
        assert told.out.startswith("mirrors: bears\n")

    kept = (tmp_path / "state").read_text()
    assert "hunter" not in kept
    assert len(json.loads(kept)["mirrors"]) == 2


EXITING = """
import sys
from zope.interface import implementer
from pulp_dl.interfaces import IMirrors
@implementer(IMirrors)
class Bears:
    def __init__(self, settings):
        if settings.argument == "make": sys.exit(0)
        self.when = settings.argument
    def locate(self, source, direct):
        if self.when == "locate": sys.exit(0)
        return {"iterate": self.iterate, "wait": self.wait}.get(self.when, lambda source: [source])(source)
    def iterate(self, source):
        yield source.at(source.url + "x")
        sys.exit(0)
    async def wait(self, source): sys.exit(0)
    def record(self, attempt):
        if self.when == "record": sys.exit(0)
"""


async def test_explain_tells_which_places_would_not_be_asked(mirrored: Mirrored, tmp_path: Path) -> None:
    own = "https://127.0.0.1:1/pub/os/bear.rpm"
    args = ("explain", "-n", own, *listed(mirrored), "--mirrors-under", "https://127.0.0.1:1/pub")
    plain, known = await run(*args, cwd=tmp_path), await run(*args, "--sha256", SHA, cwd=tmp_path)
    told = await run(*args, "--json", cwd=tmp_path)

    assert plain.out.count(": never asked, for it is not protected as the URL is") == 2
    assert f"{own}: not tried yet" in plain.out
    assert "never asked" not in known.out
    assert [each["left_out"] for each in told.json["places"]] == [True, True, False]


async def test_mirrors_that_would_end_the_process_have_failed_as_any_others(mirrored: Mirrored, tmp_path: Path) -> None:
    site = tmp_path / "site"
    Site(site).plugin("my_bears", KIND)
    there = {"PYTHONPATH": f"{site}:{ROOT}"}
    url = mirrored.good.url("/m/os/bear.rpm")

    (site / "bears.py").write_text("raise SystemExit(0)\n")
    end = await run("get", url, "--mirrors-from", "bears", cwd=tmp_path, **there)
    assert (end.code, "is installed but cannot be loaded" in end.err) == (2, True), end.err

    (site / "bears.py").write_text(EXITING)
    for when in ("make", "locate", "iterate", "wait"):
        end = await run("get", url, "--mirrors-from", f"bears:{when}", "--mirror-state", "", cwd=tmp_path, **there)
        assert (end.code, "raised SystemExit" in end.err) == (2 if when == "make" else 4, True), end.err
        assert not (tmp_path / "bear.rpm").exists()
    end = await run("get", url, "--mirrors-from", "bears:record", "--mirror-state", "", cwd=tmp_path, **there)
    assert (end.code, "a mirror list raised in record()" in end.err) == (0, True), end.err

    (site / "twisted/plugins/my_bears.py").write_text("raise SystemExit(0)\n")
    end = await run("get", url, "-o", "again", cwd=tmp_path, **there)
    assert end.code == 0


async def test_a_metalink_that_is_not_there_is_not_found(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("get", "--metalink", mirrored.origin.url("/nothing"), cwd=tmp_path)

    assert end.code == 3
    assert "/nothing" in end.err


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["get", "http://h/f", "--metalink", "m", "--mirrorlist", "http://m/"], "--mirrorlist and --metalink exclude"),
        (["get", "http://h/f", "--metalink", "m", "--mirrors-from", "metalink:m"], "--metalink and --mirrors-from"),
        (["get", "--metalink", "m", "--sha256", SHA], "exclude each other"),
        (["get", "http://h/f", "--metalink", "http://"], "--metalink: "),
        (["get", "http://h/f", "--metalink", "http://m/?repo=$repo"], "$repo"),
        (["get", "http://h/f", "--mirrors-from", "nobody:x"], "no kind of mirrors is called 'nobody'; there are: meta"),
        (["get", "http://h/f", "--mirrors-from", "mirrorlist"], "--mirrors-from: the URL of the list is needed"),
        (["get", "http://h/f", "--mirrors-from", "mirrorlist:"], "KIND:WHERE"),
        (["get", "http://h/f", "--mirrors-from", "http://h/"], "no kind of mirrors is called 'http'"),
        (["get", "http://h/f", "--mirrorlist", "nowhere"], "--mirrorlist: "),
        (["get", "http://h/f", "--mirrorlist", "http://m/$repo"], "$repo"),
        (["get", "http://h/f", "--mirrors-under", "http://m/"], "there is no --mirrorlist"),
        (["get", "http://h/f", "--mirrorlist", "http://m/", "--mirror-variable", "x"], "NAME=VALUE"),
        (["get", "http://h/f", "--country", "Germany"], "--country': 'Germany' is no country; give its two letters"),
    ],
)
def test_what_makes_no_sense_is_refused(args: list[str], why: str) -> None:
    end = refused(*args)

    assert end.code == 2
    assert why in end.err


def settings(mirrored: Mirrored, path: Path, *lines: str) -> Path:
    file = path / "settings.toml"
    lines = lines or (f'mirrorlist = "{mirrored.listing}"', 'mirror-variable = ["repo=m"]')
    file.write_text("\n".join([f'[remotes.pub]\nurl = "{mirrored.origin.url("/pub")}"', *lines, ""]))
    return file


async def test_a_remote_in_the_settings_has_its_mirrors(mirrored: Mirrored, tmp_path: Path) -> None:
    file = settings(mirrored, tmp_path)
    end = await run("--config", file, "get", "--remote", "pub", "os/bear.rpm", "--sha256", SHA, cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "bear.rpm").read_bytes() == DATA
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt"]


async def test_a_mirror_of_two_remotes_is_shown_once(reactor: Any, mirrored: Mirrored, tmp_path: Path) -> None:
    """A metric that is there twice is none: a scrape is refused that has one."""
    file = settings(mirrored, tmp_path)
    file.write_text(file.read_text() + file.read_text().replace("[remotes.pub]", "[remotes.again]"))
    prefixes = ("--passthrough", "/p=pub", "--passthrough", "/q=again")
    async with streamer(reactor, "--config", file, *prefixes, cwd=tmp_path) as running:
        for path in ("/p/PULP_MANIFEST", "/q/PULP_MANIFEST"):
            assert (await ask(running.url, path)).body == MANIFEST
        status = json.loads((await ask(running.admin, "/status?format=json")).body)
        metrics = (await ask(running.admin, "/metrics")).body.decode()

    hosts = [each["host"] for each in status["mirrors"]]
    series = [line.rpartition(" ")[0] for line in metrics.splitlines() if not line.startswith("#")]
    assert hosts == [mirrored.broken.url("").rstrip("/")]
    assert len(series) == len(set(series))
    assert any("mirror_circuit" in line for line in series)


async def test_the_streamer_has_the_same(reactor: Any, mirrored: Mirrored, tmp_path: Path) -> None:
    file = settings(mirrored, tmp_path)
    async with streamer(reactor, "--config", file, "--passthrough", "/p=pub", cwd=tmp_path) as running:
        manifest = await ask(running.url, "/p/PULP_MANIFEST")
        status = json.loads((await ask(running.admin, "/status?format=json")).body)
        page = (await ask(running.admin, "/status?format=html")).body.decode()
        metrics = (await ask(running.admin, "/metrics")).body.decode()

    assert manifest.body == MANIFEST
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt"]
    assert mirrored.asked(mirrored.broken) == ["/m/PULP_MANIFEST"]
    host = mirrored.broken.url("").rstrip("/")
    assert [(each["host"], each["circuit"]) for each in status["mirrors"]] == [(host, "closed")]
    assert f"<td>{host}</td><td>closed</td>" in page
    assert f'pulp_streamer_mirror_circuit{{mirror="{host}",state="closed"}} 1.0' in metrics
    assert f'pulp_streamer_mirror_latency_seconds{{mirror="{host}"}}' in metrics


async def test_a_client_of_the_streamer_does_not_wait_for_a_mirror_that_is_late(
    reactor: Any, mirrored: Mirrored, tmp_path: Path
) -> None:
    mirrored.broken.script = (Wait(10), answer(MANIFEST))
    file = settings(mirrored, tmp_path)
    async with streamer(reactor, "--config", file, "--passthrough", "/p=pub", cwd=tmp_path) as running:
        manifest = await ask(running.url, "/p/PULP_MANIFEST")
        metrics = (await ask(running.admin, "/metrics")).body.decode()

    assert manifest.body == MANIFEST
    assert mirrored.asked(mirrored.good) == ["/m/PULP_MANIFEST"]
    assert 'pulp_streamer_attempts_total{result="outrun"} 1.0' in metrics
    assert 'pulp_streamer_attempts_total{result="ok"} 1.0' in metrics


async def test_a_catalogue_has_the_same_and_a_client_does_not_notice_that_a_mirror_breaks_off(
    reactor: Any, mirrored: Mirrored, tmp_path: Path
) -> None:
    file = settings(mirrored, tmp_path)
    catalogue = ("--catalogue", tmp_path / "c.sqlite")
    end = await run(
        "--config", file, "publish", "--remote", "pub", "PULP_MANIFEST", "--at", "/p/", *catalogue, cwd=tmp_path
    )
    assert end.code == 0, end.err

    async with streamer(reactor, "--config", file, *catalogue, cwd=tmp_path) as running:
        bear = await ask(running.url, "/p/os/bear.rpm")

    assert bear.body == DATA
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt", "/mirrors.txt"]
    assert mirrored.good.requests[-1].get(b"range") == b"bytes=500000-"


# ---- the metalink of a repository


def of_repository(mirrored: Mirrored) -> str:
    return mirrored.origin.url("/metalink?repo=pub")


async def test_sync_has_a_repository_s_metalink(mirrored: Mirrored, tmp_path: Path) -> None:
    url = mirrored.origin.url("/pub/PULP_MANIFEST")
    end = await run("sync", url, "--metalink", of_repository(mirrored), "-d", "here", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "here/os/bear.rpm").read_bytes() == DATA
    assert mirrored.asked(mirrored.origin)[0] == "/metalink?repo=pub"
    assert mirrored.asked(mirrored.broken)[0] == "/m/PULP_MANIFEST"


async def test_a_mirror_that_is_behind_is_left_for_another(mirrored: Mirrored, tmp_path: Path) -> None:
    """What the metalink is about is what it says, though nothing else is known of it."""
    mirrored.broken.script = answer(b"old.rpm," + SHA.encode() + b",3\n")
    file = settings(mirrored, tmp_path, f'metalink = "{of_repository(mirrored)}"')

    end = await run("--config", file, "get", "--remote", "pub", "PULP_MANIFEST", "-o", "m", "--json", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "m").read_bytes() == MANIFEST
    assert len(mirrored.broken.requests) == 1
    assert mirrored.asked(mirrored.origin) == ["/metalink?repo=pub"]


async def test_a_metalink_may_be_a_file_beside_the_settings(mirrored: Mirrored, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    end = await run("get", mirrored.origin.url("/metalink"), "-d", there, cwd=tmp_path)
    assert end.code == 0, end.err
    file = settings(mirrored, there, 'metalink = "metalink"')

    end = await run("--config", file, "get", "--remote", "pub", "os/bear.rpm", "--sha256", SHA, cwd=tmp_path)

    assert end.code == 0, end.err
    assert mirrored.asked(mirrored.origin) == ["/metalink"]


async def test_the_metalink_of_one_file_names_its_mirrors_and_what_it_has_to_be(
    mirrored: Mirrored, tmp_path: Path
) -> None:
    wrong = mirrored.broken.url("/elsewhere/bear.rpm")
    mirrored.broken.script = answer(b"x" * len(DATA))
    end = await run("get", wrong, "--metalink", mirrored.origin.url("/bear.meta4"), "-v", cwd=tmp_path)

    assert end.code == 0, end.err
    assert (tmp_path / "bear.rpm").read_bytes() == DATA
    assert "DigestMismatch" in end.err


async def test_a_metalink_in_the_settings_is_never_what_is_to_be_fetched(mirrored: Mirrored, tmp_path: Path) -> None:
    file = settings(mirrored, tmp_path, f'metalink = "{of_repository(mirrored)}"')
    end = await run("--config", file, "get", "--remote", "pub", cwd=tmp_path)

    assert end.code == 2
    assert "Missing argument" in end.err


async def test_what_is_typed_counts_more_than_another_way_in_the_settings(mirrored: Mirrored, tmp_path: Path) -> None:
    file = settings(mirrored, tmp_path, 'mirrorlist = "http://127.0.0.1:1/"')
    metalink = ("--metalink", of_repository(mirrored))
    end = await run("--config", file, "get", "--remote", "pub", "os/bear.rpm", *metalink, cwd=tmp_path)
    assert end.code == 0, end.err
    assert mirrored.asked(mirrored.origin) == ["/metalink?repo=pub"]

    # That of one file is fetched, from the places that it names.
    end = await run(
        "--config", file, "get", "--remote", "pub", "--metalink", mirrored.origin.url("/bear.meta4"), "-o", "b",
        cwd=tmp_path,
    )  # fmt: skip
    assert end.code == 0, end.err


async def test_the_streamer_has_a_repository_s_metalink_and_gives_no_client_what_is_old(
    reactor: Any, mirrored: Mirrored, tmp_path: Path
) -> None:
    old = MANIFEST.replace(b"bear", b"cubs")
    mirrored.broken.script = OnPath({"/m/PULP_MANIFEST": answer(old), "/m/os/bear.rpm": answer(DATA)})
    file = settings(mirrored, tmp_path, f'metalink = "{of_repository(mirrored)}"')
    async with streamer(reactor, "--config", file, "--passthrough", "/p=pub", cwd=tmp_path) as running:
        bear = await ask(running.url, "/p/os/bear.rpm")
        manifest = await ask(running.url, "/p/PULP_MANIFEST")

    assert (bear.body, manifest.body) == (DATA, MANIFEST)
    # One of which nothing is known is tried first, now and then.
    assert mirrored.asked(mirrored.origin) in (["/metalink?repo=pub"], ["/metalink?repo=pub", "/pub/PULP_MANIFEST"])
    assert mirrored.asked(mirrored.broken) == ["/m/os/bear.rpm", "/m/PULP_MANIFEST"]


# ---- the country we are in


def told_of(*places: tuple[str, str, FaultServer]) -> tuple[bytes, bytes]:
    links = (
        f"<{server.url('/m/os/bear.rpm')}>; rel=duplicate; pri={priority}; geo={where}"
        for priority, where, server in places
    )
    return b"Link", ", ".join(links).encode()


@pytest.mark.parametrize("country", [None, "DE"])
async def test_get_asks_places_of_our_country_first(mirrored: Mirrored, tmp_path: Path, country: str | None) -> None:
    option = () if country is None else ("--country", country)
    metalink = mirrored.origin.url("/bear.meta4")
    for args in (["--metalink", metalink], [mirrored.url, "--metalink", metalink]):
        end = await run("get", *args, *option, "--mirror-state", "", "-d", "here", cwd=tmp_path)

        assert end.code == 0, end.err
        assert len(mirrored.broken.requests) == (0 if country else 1)
        mirrored.broken.requests.clear()
        (tmp_path / "here/bear.rpm").unlink()


async def test_so_it_does_of_those_that_an_answer_has_told_of(reactor: Any, mirrored: Mirrored, tmp_path: Path) -> None:
    link = told_of(("1", "fr", mirrored.broken), ("2", "de", mirrored.good))
    (tmp_path / "m").write_text(
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="another"><url>http://h/another</url></file>'
        "</metalink>"
    )
    none = ("--metalink", "m")
    async with FaultServer(reactor, Cut(answer(DATA, 200, (link,)), 500_000)) as own:
        for command, *args in (("get",), ("get", *none), ("explain",), ("explain", *none)):
            url, more = own.url("/bear.rpm"), ("--country", "de", "--sha256", SHA, "--mirror-state", "")
            end = await run(command, url, *args, *more, cwd=tmp_path)

            assert end.code == 0, end.err
            assert (len(mirrored.good.requests), len(mirrored.broken.requests)) == (1, 0), (command, args)
            mirrored.good.requests.clear()


async def test_sync_and_publish_do_too(mirrored: Mirrored, tmp_path: Path) -> None:
    url, more = mirrored.origin.url("/pub/PULP_MANIFEST"), ("--metalink", mirrored.origin.url("/metalink"))
    for args in (["sync", url, "-d", "here"], ["publish", url, "--at", "/p/", "--catalogue", "c.sqlite"]):
        end = await run(*args, *more, "--country", "de", "--mirror-state", "", cwd=tmp_path)

        assert end.code == 0, end.err
        assert mirrored.asked(mirrored.good)[0] == "/m/PULP_MANIFEST"
        assert "/m/PULP_MANIFEST" not in mirrored.asked(mirrored.broken)
        mirrored.good.requests.clear()


async def test_explain_says_where_places_are_and_which_are_first_for_that(mirrored: Mirrored, tmp_path: Path) -> None:
    args = ("explain", "-n", mirrored.url, "--metalink", mirrored.origin.url("/bear.meta4"))
    plain, here = await run(*args, cwd=tmp_path), await run(*args, "--country", "de", cwd=tmp_path)
    facts = json.loads((await run(*args, "--country", "de", "--json", cwd=tmp_path)).out)

    bad, good = mirrored.broken.url("/m/os/bear.rpm"), mirrored.good.url("/m/os/bear.rpm")
    assert plain.out.splitlines()[2:] == [
        f"  1. {bad}: in fr, not tried yet",
        f"  2. {good}: in de, not tried yet",
        f"  3. {mirrored.url}: not tried yet",
    ]
    assert here.out.splitlines()[2:] == [
        f"  1. {good}: in de (--country), not tried yet",
        f"  2. {bad}: in fr, not tried yet",
        f"  3. {mirrored.url}: not tried yet",
    ]
    assert [each["country"] for each in facts["places"]] == ["de", "fr", None]


async def test_a_remote_of_the_streamer_says_it_too(reactor: Any, mirrored: Mirrored, tmp_path: Path) -> None:
    metalink = f'metalink = "{mirrored.origin.url("/metalink")}"'
    file = settings(mirrored, tmp_path, metalink, 'country = "de"')
    async with streamer(reactor, "--config", file, "--passthrough", "/p=pub", cwd=tmp_path) as running:
        assert (await ask(running.url, "/p/PULP_MANIFEST")).body == MANIFEST

    assert mirrored.asked(mirrored.good) == ["/m/PULP_MANIFEST"]
    assert mirrored.asked(mirrored.broken) == []


@pytest.mark.parametrize("value", ['"Germany"', '"d3"', '""', "49"])
def test_what_is_no_country_in_a_file_is_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[remotes.pub]\nurl = "http://h/"\ncountry = {value}\n')
    end = refused("--config", str(file), "get", "--remote", "pub", "f")

    assert end.code == 2
    assert f"{file}: remotes.pub.country: " in end.err
    assert "give its two letters of ISO 3166-1, such as de" in end.err


# ---- explain


async def test_explain_says_where_a_file_comes_from_and_why(mirrored: Mirrored, tmp_path: Path) -> None:
    under = mirrored.origin.url("/pub")
    args = (mirrored.url, *listed(mirrored), "--mirrors-under", under, "--sha256", SHA)
    end = await run("explain", *args, cwd=tmp_path)

    assert end.code == 0, end.err
    bad, good = mirrored.broken.url("/m/os/bear.rpm"), mirrored.good.url("/m/os/bear.rpm")
    lines = end.out.splitlines()
    assert lines[:6] == [
        f"mirrors: {mirrored.listing}",
        "  line 3 is left out: rsync: is none of the protocols that are allowed here",
        "places, the best first:",
        f"  1. {bad}: not tried yet",
        f"  2. {good}: not tried yet",
        f"  3. {mirrored.url}: not tried yet",
    ]
    assert lines[7].startswith(f"  1. {bad}: 500000 bytes from 0 in ")
    assert lines[8].startswith(f"  2. {good}: 500000 bytes from 500000 in ")
    assert lines[9] == "976.6 KiB came, 0 bytes of it for nothing"
    assert "1.0 recent failures" in lines[11]
    assert lines[13] == f"as expected: sha256 {SHA}"
    assert list(tmp_path.iterdir()) == []


async def test_explain_has_an_object_for_programs(mirrored: Mirrored, tmp_path: Path) -> None:
    under = mirrored.origin.url("/pub")
    end = await run(
        "explain", mirrored.url, *listed(mirrored), "--mirrors-under", under, "--size", "5", "--retries", "0", "--json",
        cwd=tmp_path,
    )  # fmt: skip

    assert end.code == 7
    facts = json.loads(end.out)
    assert not facts["ok"]
    assert [each["phase"] for each in facts["attempts"]] == ["check", "check", "head"]
    assert len(facts["places"]) == 3
    assert facts["wasted"] == facts["received"]


async def test_explain_says_that_a_place_was_outrun(mirrored: Mirrored, tmp_path: Path) -> None:
    mirrored.broken.script = (Wait(10), answer(DATA))
    args = (mirrored.url, *listed(mirrored), "--mirrors-under", mirrored.origin.url("/pub"), "--sha256", SHA)
    end = await run("explain", *args, cwd=tmp_path)
    facts = json.loads((await run("explain", *args, "--json", cwd=tmp_path)).out)
    told = await run("get", *args, "-vv", cwd=tmp_path)

    assert end.code == told.code == 0
    slow, good = mirrored.broken.url("/m/os/bear.rpm"), mirrored.good.url("/m/os/bear.rpm")
    lines = end.out.splitlines()
    assert lines[7].startswith(f"  1. {slow}: 0 bytes from 0 in 1.")
    assert lines[7].endswith(" s: outrun: another place was first to answer")
    assert lines[8].startswith(f"  2. {good}: 1000000 bytes from 0 in ")
    assert lines[11].startswith(f"  {slow}: answers in 1")
    assert [(each["phase"], each["error"]) for each in facts["attempts"]] == [("outrun", None), ("done", None)]
    assert f" s: {slow}: another place was first to answer" in told.err


async def test_a_dry_run_of_it_asks_for_the_list_alone(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("explain", "-n", mirrored.url, *listed(mirrored), cwd=tmp_path)

    assert end.code == 0, end.err
    assert "attempts" not in end.out
    assert mirrored.asked(mirrored.origin) == ["/mirrors.txt"]
    assert mirrored.asked(mirrored.good) == []


async def test_explain_without_mirrors_has_one_place(mirrored: Mirrored, tmp_path: Path) -> None:
    end = await run("explain", mirrored.good.url("/m/os/bear.rpm"), cwd=tmp_path)

    assert end.code == 0, end.err
    assert end.out.splitlines()[-1] == f"nothing was expected: sha256 {SHA}"


async def test_explain_says_that_a_list_cannot_be_had(mirrored: Mirrored, tmp_path: Path) -> None:
    url = mirrored.good.url("/m/os/bear.rpm")
    end = await run("explain", url, "--mirrorlist", mirrored.origin.url("/none"), cwd=tmp_path)

    assert end.code == 0, end.err
    assert "  not to be had: " in end.out
    assert "404" in end.out


async def test_explain_tells_what_a_metalink_has_that_is_no_place(mirrored: Mirrored, tmp_path: Path) -> None:
    text = (
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="bear.rpm"><url>rsync://h/bear.rpm</url>'
        f"<url>{mirrored.good.url('/m/os/bear.rpm')}</url></file></metalink>"
    )
    (tmp_path / "m").write_text(text)
    end = await run("explain", "-n", mirrored.url, "--metalink", "m", cwd=tmp_path)

    assert end.code == 0, end.err
    assert end.out.splitlines()[:3] == [
        f"mirrors: {(tmp_path / 'm').as_uri()}",
        "  URL 1 is left out: rsync: is none of the protocols that are allowed here",
        "places, the best first:",
    ]
