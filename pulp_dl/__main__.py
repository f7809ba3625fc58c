"""C{pulp-dl}, and C{python -m pulp_dl}: a process of its own."""

from __future__ import annotations

import signal

__all__ = ["run"]


def run() -> None:
    """Ends the process."""
    # Until there is somebody to hear them: a twentieth of a second is long enough for Ctrl-C.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    from .cli import main

    main(prog_name="pulp-dl")


if __name__ == "__main__":
    run()
