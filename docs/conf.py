"""Sphinx: pages by hand, the API by pydoctor (which shows zope interfaces), the command by sphinx-click."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # the pages describe this checkout, whatever is installed

from pulp_dl import __version__  # noqa: E402  # see above
from pulp_dl.cli import main  # noqa: E402

# howto/configuration says it once; sphinx-click would say it of each option again, also of those that are not shown.
for command in main.commands.values():
    for param in command.params:
        param.envvar = None

project = "pulp_dl"
author = "the pulp_dl developers"
copyright = "2026, the pulp_dl developers"
version = release = __version__

extensions = ["sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs", "sphinx_click"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "python"
html_theme = "furo"
html_title = f"pulp_dl {release}"

pydoctor_args = [
    "--project-name=pulp_dl",
    f"--project-version={version}",
    f"--project-base-dir={ROOT}",
    f"--config={ROOT / 'pyproject.toml'}",
    "--system-class=apidocs.System",
    "--docformat=epytext",
    "--theme=readthedocs",
    "--privacy=HIDDEN:pulp_dl._version",
    "--html-output={outdir}/reference/api",
    str(ROOT / "pulp_dl"),
]
pydoctor_url_path = "/reference/api/"
