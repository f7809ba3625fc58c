"""C{python -m pulp_dl} is C{pulp-dl}."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="pulp-dl")
