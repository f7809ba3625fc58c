"""What pydoctor has to know beside our source: which names of others are interfaces, and where they are documented."""

from __future__ import annotations

import re
import sys

from pydoctor import model
from pydoctor.extensions import zopeinterface
from pydoctor.sphinx import SphinxInventory

# A class is an interface if its base is one; pydoctor reads no source but ours, so it cannot know about these.
zopeinterface.interface_prog = re.compile(
    zopeinterface.interface_prog.pattern + r"|twisted\.internet\.interfaces\.I[A-Z]|twisted\.plugin\.IPlugin"
)


class Inventory(SphinxInventory):
    """Links to others' documentation by rule, so that building ours needs no network."""

    def getLink(self, name: str) -> str | None:
        package = name.partition(".")[0]
        if package == "twisted":
            return f"https://docs.twisted.org/en/stable/api/{name}.html"
        if package == "OpenSSL":
            return f"https://www.pyopenssl.org/en/latest/api/ssl.html#{name}"
        if package in sys.stdlib_module_names:
            module = name if name.islower() and "." not in name else name.rpartition(".")[0]
            return f"https://docs.python.org/3/library/{module}.html#{name}"
        return super().getLink(name)


class System(model.System):
    """pydoctor's own, with these links."""

    def __init__(self, options: model.Options | None = None) -> None:
        super().__init__(options)
        self.intersphinx = Inventory(logger=self.msg)
