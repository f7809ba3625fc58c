"""Where faults are put, and who has to notice: first who knows the file best, then who may notice as well."""

from __future__ import annotations

from typing import Final

__all__ = ["AREAS"]

PIPE: Final = (
    "tests/engine/test_joins.py tests/flow/test_scattered.py tests/engine/test_download.py",
    "tests/engine/test_resume.py tests/engine/test_interrupted.py tests/engine/test_properties.py"
    " tests/engine/test_bounds.py tests/engine/test_yielding.py tests/engine/test_segments.py tests/stateful",
)
REDIRECT: Final = (
    "tests/http/test_redirect.py",
    "tests/http/test_spaces.py tests/http/test_cookies.py tests/advisories",
)
WAY: Final = (
    "tests/http/test_secrets.py tests/http/test_proxy.py tests/http/test_redirect.py",
    "tests/http/test_tunnel.py tests/http/test_socks.py tests/http/test_spaces.py tests/http/test_fetcher.py"
    " tests/http/test_agent.py tests/http/test_sockets.py",
)

AREAS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "flow": {
        "flow/allowance.py": ("tests/flow/test_allowance.py", "tests/engine/test_rates.py"),
        "flow/checks.py": ("tests/flow/test_checks.py tests/engine/test_download.py", *PIPE),
        "flow/deadline.py": ("tests/flow/test_deadline.py", "tests/http/test_agent.py"),
        "flow/demands.py": PIPE,
        "flow/outlet.py": PIPE,
        "flow/pipe.py": PIPE,
        "flow/reading.py": ("tests/test_file_fetcher.py", "tests/engine/test_sharing.py"),
        "flow/running.py": ("tests/engine/test_downloader.py", "tests/http/test_fetcher.py tests/engine/test_many.py"),
        "flow/scattered.py": ("tests/flow/test_scattered.py", "tests/engine/test_segments.py"),
        "flow/seen.py": ("tests/engine/test_sharing.py", "tests/engine/test_sharing_properties.py"),
        "flow/steady.py": ("tests/flow/test_steady.py",),
        "flow/tail.py": ("tests/flow/test_tail.py", "tests/engine/test_properties.py"),
        "flow/timers.py": ("tests/flow/test_timers.py",),
        "flow/unhurried.py": ("tests/engine/test_interrupted.py tests/engine/test_download.py",),
        "flow/valve.py": ("tests/flow/test_valve.py", *PIPE),
        "flow/watch.py": ("tests/flow/test_watch.py", *PIPE),
        "flow/window.py": ("tests/flow/test_window.py", "tests/engine/test_sharing.py"),
        "flow/workers.py": ("tests/flow/test_workers.py",),
    },
    "expectations": {
        "model/expect.py": ("tests/model/test_expect.py", "tests/engine/test_sharing.py tests/engine/test_download.py"),
        "model/pieces.py": ("tests/model/test_pieces.py", "tests/engine/test_repair.py tests/engine/test_segments.py"),
    },
    "resume": {
        "flow/joins.py": PIPE,
        "flow/prefix.py": PIPE,
        "consumers/part.py": (
            "tests/consumers/test_part.py tests/consumers/test_part_others.py",
            "tests/consumers/test_crash.py tests/consumers/test_file_disk.py tests/engine/test_resume.py",
        ),
    },
    "redirects": {
        "protocols/http/redirect.py": REDIRECT,
        "protocols/spaces.py": ("tests/http/test_spaces.py", "tests/http/test_homes.py tests/engine/test_places_properties.py"),
    },
    "keys": {
        "protocols/http/pool.py": ("tests/http/test_pool.py", "tests/http/test_fetcher.py tests/http/test_sockets.py"),
        "protocols/http/proxy.py": WAY,
        "protocols/http/fetcher.py": WAY,
    },
}
"""Area: file of pulp_dl: tests, in the order in which they are run until some notice."""
