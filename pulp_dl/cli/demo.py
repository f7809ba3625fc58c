"""C{pulp-dl demo}: see it work, without a network."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .outcome import SOME, Summary, size_text
from .signals import Interrupted

if TYPE_CHECKING:
    from ..model.remote import Remote

__all__ = ["demo"]

SIZES = {"bear.iso": 3_000_000, "docs/den.txt": 12, **{f"cubs/{number}.iso": 10_240 for number in range(20)}}
QUIET = {"as_json": False, "verbose": False, "quiet": True}


@click.command(short_help="See it work, on a small repository made up for it.")
@click.option("--keep", is_flag=True, help="Then go on serving it until Ctrl-C, to try the other commands on it.")
@click.pass_context
def demo(ctx: click.Context, /, keep: bool) -> None:
    """
    Make a small repository, serve it on the loopback interface, and mirror it.

    It needs no network, takes a few seconds, and cleans up.
    """
    from ..blocking import call

    with tempfile.TemporaryDirectory(prefix="pulp-dl-demo-") as folder:
        repository = Path(folder, "repository")
        _fill(repository)
        port = call(_serve, repository)
        try:
            well = _show(repository, Path(folder, "mirror"), port)
            if keep:
                _fill(repository)
                _keep(port)
        finally:
            call(port.stopListening)
    ctx.exit(0 if well else SOME)


def _keep(port: Any) -> None:
    url = f"http://127.0.0.1:{port.getHost().port}"
    _say("\nThe repository is served until you press Ctrl-C.  In another terminal, try:\n")
    for command in (f"get {url}/bear.iso", f"sync {url}/PULP_MANIFEST -d mirror"):
        _say(f"  pulp-dl {command}")
    # That is how it ends, and no failure.
    with suppress(Interrupted):
        while True:
            time.sleep(3600)


def _show(repository: Path, mirror: Path, port: Any) -> bool:
    from ..model.remote import Remote, Retries

    total = sum(SIZES.values())
    _say(f"A repository of {len(SIZES)} files, {size_text(total)}, is served on the loopback interface.")
    url = f"http://127.0.0.1:{port.getHost().port}/PULP_MANIFEST"
    first = _sync(url, mirror, Remote(retries=Retries(base=0.1)))
    _say(f"Mirrored: {first.fetched} files, {size_text(first.received)}, each checked against its sha256 as it came.")
    _say("The server broke off in the middle of bear.iso; it went on from there.")

    second = _sync(url, mirror, Remote())
    _say(f"Again: {second.present} files are there already, {second.fetched} were fetched.")

    den = Path("docs/den.txt")
    (repository / den).write_bytes(bytes(SIZES[str(den)]))
    (mirror / den).unlink()
    third = _sync(url, mirror, Remote(retries=Retries(count=1, base=0.1)))
    _say("Now the server has something else than the manifest says:")
    for each in third.failures:
        _say(f"  {each['path']}: {each['message']}")
    _say("So there is nothing at its path.")
    counts = first.fetched, second.present, second.fetched, third.failed
    return counts == (len(SIZES), len(SIZES), 0, 1) and not (mirror / den).exists()


def _say(text: str) -> None:
    click.echo(text)


def _fill(repository: Path) -> None:
    chance = random.Random(1)  # noqa: S311  # bytes that look like something, the same each time
    lines = ["# path,sha256,size\n"]
    for name, size in SIZES.items():
        data = chance.randbytes(size)
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # A date is a strong validator only if it is older than a minute.
        os.utime(path, (time.time() - 3600,) * 2)
        lines.append(f"{name},{hashlib.sha256(data).hexdigest()},{size}\n")
    (repository / "PULP_MANIFEST").write_text("".join(lines))


def _sync(url: str, directory: Path, remote: Remote) -> Summary:
    from ..model.source import Source
    from .mirror import Mirror
    from .sync import synchronize

    summary = Summary(QUIET)
    mirror = Mirror(str(directory))
    with mirror.lock():
        synchronize([Source(url)], remote, mirror, summary)
    return summary


def _serve(repository: Path) -> Any:
    """In the reactor thread: a server that breaks off once."""
    from twisted.internet import reactor as installed
    from twisted.web.server import NOT_DONE_YET, Site
    from twisted.web.static import File

    reactor: Any = installed

    broken: list[str] = []

    class Flaky(File):
        def render_GET(self, request: Any) -> Any:
            if self.basename() == "bear.iso" and not broken:
                broken.append(self.path)
                request.setLastModified(self.getModificationTime())
                request.setHeader(b"content-length", b"%d" % self.getsize())
                request.write(self.getContent()[:1_000_000])
                request.loseConnection()
                return NOT_DONE_YET
            return File.render_GET(self, request)

    site = Site(Flaky(str(repository)))
    site.noisy = False
    return reactor.listenTCP(0, site, interface="127.0.0.1")
