"""What is made when a wheel is built: the manual page, from the command's own help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPage(BuildHookInterface[Any]):
    """pulp-dl(1), in share/man/man1."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)
        try:
            from pulp_dl._version import __version__
            from pulp_dl.cli.main import main
            from pulp_dl.cli.man import man_page
        finally:
            sys.path.remove(self.root)
        page = Path(self.directory, "pulp-dl.1")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(man_page(main, "pulp-dl", __version__))
        build_data["shared_data"][str(page)] = "share/man/man1/pulp-dl.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        Path(self.directory, "pulp-dl.1").unlink()
