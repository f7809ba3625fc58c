"""A streamer in a process of its own, so that its memory can be measured: C{python in_a_process.py URL SHA256}."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as installed

from pulp_dl import Digest, Downloader, Limits, Remote, Source
from pulp_dl.streamer import Content
from tests.streamer.importers import ByHeart

if __name__ == "__main__":
    reactor: Any = installed
    _, url, digest = sys.argv
    # A client that takes nothing holds its connection to the origin.
    many = Remote(limits=Limits(connections=100, per_host=100))
    importer = ByHeart(Downloader(reactor, many), {"/f": Source(url, Digest("sha256", digest))})
    port = reactor.listenTCP(0, Content(reactor, importer), interface="127.0.0.1")
    sys.stdout.write(f"{port.getHost().port}\n")
    sys.stdout.flush()
    reactor.run()
