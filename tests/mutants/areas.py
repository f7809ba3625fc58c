"""Where faults are put, and who has to notice: first who knows the file best, then who may notice as well."""

from __future__ import annotations

from typing import Final

__all__ = ["AREAS", "Tests"]

Tests = list[str]


def of(**folders: str) -> Tests:
    """The test files of these names in these folders."""
    return [f"tests/{folder}/test_{name}.py" for folder, names in folders.items() for name in names.split()]


PIPE: Final = (
    of(engine="joins download", flow="scattered"),
    of(engine="resume interrupted properties bounds yielding segments", stateful="model"),
)
WAY: Final = (
    of(http="keys"),
    of(http="proxy redirect fetcher"),
    of(http="tunnel socks cookies"),
    of(http="secrets spaces agent sockets"),
)

AREAS: Final[dict[str, dict[str, tuple[Tests, ...]]]] = {
    "flow": {
        "flow/allowance.py": (of(flow="allowance"), of(engine="rates")),
        "flow/claims.py": (of(engine="one_consumer"), of(flow="outlet")),
        "flow/checks.py": (of(flow="checks", engine="download"), *PIPE),
        "flow/deadline.py": (of(flow="deadline"), of(http="agent")),
        "flow/demands.py": (of(flow="proofs"), *PIPE),
        "flow/earlier.py": (of(flow="pipe"), *PIPE),
        "flow/heap.py": (of(flow="heap"),),
        "flow/outlet.py": (of(flow="outlet"), *PIPE),
        "flow/passes.py": (of(flow="pipe"), *PIPE),
        "flow/pipe.py": (of(flow="pipe"), *PIPE),
        "flow/reading.py": (of(flow="reading"), ["tests/test_file_fetcher.py"], of(engine="sharing")),
        "flow/running.py": (of(flow="running"), of(engine="downloader"), of(http="fetcher", engine="many")),
        "flow/scattered.py": (of(flow="scattered"), of(engine="segments")),
        "flow/seen.py": (of(flow="seen"), of(engine="sharing"), of(engine="sharing_properties")),
        "flow/steady.py": (of(flow="steady"),),
        "flow/backlog.py": (of(flow="backlog"), of(engine="sharing")),
        "flow/tail.py": (of(flow="tail"), of(engine="properties")),
        "flow/timers.py": (of(flow="timers"),),
        "flow/unhurried.py": (of(flow="running"), of(engine="interrupted download")),
        "flow/valve.py": (of(flow="valve"), of(flow="allowance"), *PIPE),
        "flow/watch.py": (of(flow="watch"), of(engine="garbage"), *PIPE),
        "flow/window.py": (of(flow="window"), of(engine="sharing")),
        "flow/workers.py": (of(flow="workers"),),
    },
    "expectations": {
        "model/expect.py": (of(model="expect"), of(engine="sharing download")),
        "model/pieces.py": (of(model="pieces"), of(engine="repair segments")),
    },
    "resume": {
        "flow/joins.py": (of(flow="proofs pipe"), *PIPE),
        "flow/prefix.py": (of(flow="proofs"), *PIPE),
        "consumers/note.py": (of(consumers="part part_others"),),
        "consumers/part.py": (
            of(consumers="part part_others part_together"),
            of(consumers="crash file_disk", engine="resume"),
        ),
    },
    "redirects": {
        "protocols/http/redirect.py": (
            of(http="trail"),
            of(http="redirect"),
            of(http="spaces cookies", advisories="redirects names"),
        ),
        "protocols/spaces.py": (
            of(http="scopes homes"),
            of(http="spaces"),
            of(http="environment socks", ftp="spaces"),
        ),
    },
    "keys": {
        "protocols/http/pool.py": (of(http="pool"), of(http="fetcher sockets")),
        "protocols/http/proxy.py": WAY,
        "protocols/http/fetcher.py": WAY,
        "protocols/http/gates.py": (of(http="gates"),),
    },
}
"""Area: file of pulp_dl: tests, in the order in which they are run until some notice."""
