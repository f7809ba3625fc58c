from contextlib import asynccontextmanager

from bear_mirrors import BearMirrors

from pulp_dl import MirrorsSettings
from pulp_dl.testing.checks import MirrorsCase, check_mirrors


@asynccontextmanager
async def make(reactor):
    lists = {"http://lists.example.org/bears": b"http://a.example.org\nhttp://b.example.org\n"}
    places = ["http://a.example.org/file", "http://b.example.org/file"]
    mirrors = BearMirrors(MirrorsSettings("http://lists.example.org/bears"))
    yield MirrorsCase(mirrors, "http://repo.example.org/file", places, lists)


class TestBearMirrors(check_mirrors(make)):
    """They keep every promise of IMirrors."""
