"""A list of mirrors: the beginning of a URL in each line."""

from zope.interface import implementer

from pulp_dl import Source, ToMemory
from pulp_dl.interfaces import IMirrors


@implementer(IMirrors)
class BearMirrors:
    def __init__(self, settings):
        self.url = settings.url()

    async def locate(self, source, direct):
        listing = ToMemory()
        await direct.download(Source(self.url, scope=source.scope or source.url), listing)
        return [source.at(base + source.path) for base in listing.text().split()]

    def record(self, attempt): ...
