"""Plugins that somebody has installed, and what comes of them in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Site:
    """A directory on the path, with plugins in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "twisted" / "plugins"
        self.plugins.mkdir(parents=True)

    def plugin(self, name: str, text: str, distribution: str | None = None) -> Path:
        """One that says this; of a distribution, or of none."""
        path = self.plugins / f"{name}.py"
        path.write_text(text)
        if distribution is not None:
            info = self.folder / f"{distribution}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
            (info / "RECORD").write_text(f"twisted/plugins/{name}.py,,\n")
        return path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[1]
        environment = {
            **os.environ, "PYTHONPATH": f"{self.folder}:{root}", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, *words], env=environment, cwd="/", check=False, capture_output=True, text=True
        )

    def find(self, *names: str) -> subprocess.CompletedProcess[str]:
        code = """
from pulp_dl.engine.schemes import find
for name in {}:
    try: print(find(name))
    except Exception as error: print(error)
"""
        return self.run("-c", code.format(names))

    def schemes(self) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
        """What C{pulp-dl schemes} says: what there is by scheme, and what is broken."""
        return self.listed("schemes", "scheme")

    def kinds(self) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
        """The same of mirrors."""
        return self.listed("mirrors", "name")

    def listed(self, what: str, key: str) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
        found = json.loads(self.run("-m", "pulp_dl", "schemes", "--json").stdout)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for each in found[what]:
            by_name.setdefault(each[key], []).append(each)
        return by_name, found["broken"]
