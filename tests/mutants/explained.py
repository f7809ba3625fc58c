"""Faults that no test notices, and why none has to."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["REASONS", "explained", "plain"]

REASONS: Final[dict[str, dict[str, str]]] = {
    "what is there at first is set before anybody reads it": {
        "flow/valve.py": """
            _paused = False → _paused = True
            _streaming = True → _streaming = False
        """,
        "flow/pipe.py": """
            _opened = 0.0 → _opened = 1.0
            _opened = 0.0 → _opened = -1.0
        """,
        "flow/passes.py": """
            _found = Beginning(0) → _found = Beginning( -1)
            _found = Beginning(0) → _found = Beginning( 1)
        """,
        "flow/timers.py": """
            self._due = 0.0 → pass
            self._due = 0.0 → self._due = -1.0
            self._due = 0.0 → self._due = 1.0
        """,
    },
    "sums of floats are rounded by more than that": {
        "protocols/http/pool.py": """
            young = [since for _, since in idle if now - since < IDLE - _ROUNDING] → young = [since for _, since in idle if now - since <= IDLE - _ROUNDING]
            if now - since >= IDLE - _ROUNDING: → if now - since > IDLE - _ROUNDING:
        """,
        "flow/timers.py": """
            for limit in [limit for limit in self._limits if limit.due <= now]: → for limit in [limit for limit in self._limits if limit.due < now]:
        """,
        "flow/watch.py": """
            self._timer = self._clock.callLater(max(0.0, soon), self._check) → self._timer = self._clock.callLater(max( -1.0, soon), self._check)
            if limits.idle is not None and now - self._fed_at >= limits.idle: → if limits.idle is not None and now - self._fed_at > limits.idle:
            if limits.low_speed is not None and now - self._window_at >= limits.low_speed_window: → if limits.low_speed is not None and now - self._window_at > limits.low_speed_window:
        """,
    },
    "it only costs time or memory, and little of it": {
        "protocols/http/pool.py": """
            @frozen(cache_hash=True) → @frozen(cache_hash=False)
        """,
        "protocols/http/gates.py": """
            _make_room(login.refused) → pass
        """,
        "consumers/note.py": """
            @lru_cache(1) → @lru_cache( 0)
        """,
        "flow/passes.py": """
            known = 0 if self._prefix is None else self._prefix.left → known = 1 if self._prefix is None else self._prefix.left
        """,
        "flow/workers.py": """
            del job → pass
            del turn → pass
            keep_some() → pass
        """,
        "flow/checks.py": """
            return piece if self._free else min(piece, max(LEAST, self._seen >> 5)) → return piece if self._free else min(piece, max(LEAST, self._seen >> 4))
            return piece if self._free else min(piece, max(LEAST, self._seen >> 5)) → return piece if self._free else min(piece, max(LEAST, self._seen >> 6))
        """,
        "flow/timers.py": """
            if self._timer is None or due < self._due: → if self._timer is None or due <= self._due:
        """,
        "flow/window.py": """
            if size < SMALL and len(self._pieces) > self._first and len(self._pieces[-1]) < SMALL: → if size < SMALL and len(self._pieces) > self._first and len(self._pieces[-1]) <= SMALL:
            if size < SMALL and len(self._pieces) > self._first and len(self._pieces[-1]) < SMALL: → if size <= SMALL and len(self._pieces) > self._first and len(self._pieces[-1]) < SMALL:
            if index > SLACK and 2 * index > len(self._pieces): → if index > SLACK and 2 * index >= len(self._pieces):
            if index > SLACK and 2 * index > len(self._pieces): → if index > SLACK and 3 * index > len(self._pieces):
            if index > SLACK and 2 * index > len(self._pieces): → if index > SLACK or 2 * index > len(self._pieces):
            if index > SLACK and 2 * index > len(self._pieces): → if index >= SLACK and 2 * index > len(self._pieces):
        """,
    },
    "whoever makes use of it has to have one of its own": {
        "flow/reading.py": """
            raise NotImplementedError → pass
        """,
    },
    "its test looks at a process of its own, which reads the file as it is": {
        "flow/heap.py": """
            bytes(_BLOCK) → pass
        """,
    },
    "it has connections of its own where it might have shared one": {
        "protocols/http/fetcher.py": """
            floor = None → pass
        """,
    },
    "it is a byte more in a first turn, which is paid for like all others": {
        "flow/allowance.py": """
            self._left = 0 → self._left = 1
        """,
    },
    "it is a figure that somebody chose": {
        "flow/checks.py": """
            _seen = 0 → _seen = -1
            _seen = 0 → _seen = 1
        """,
        "protocols/spaces.py": """
            @lru_cache(1024) → @lru_cache( 1023)
            @lru_cache(1024) → @lru_cache( 1025)
            PUBLIC = 2 → PUBLIC = 3
        """,
        "flow/workers.py": """
            def __init__(self, reactor: IReactorFromThreads, threads: int = 4, name: str = "pulp_dl") -> None: → def __init__(self, reactor: IReactorFromThreads, threads: int = 3, name: str = "pulp_dl") -> None:
            def __init__(self, reactor: IReactorFromThreads, threads: int = 4, name: str = "pulp_dl") -> None: → def __init__(self, reactor: IReactorFromThreads, threads: int = 5, name: str = "pulp_dl") -> None:
        """,
        "consumers/part.py": """
            for _ in range(20): → for _ in range( 19):
            for _ in range(20): → for _ in range( 21):
        """,
    },
    "it is only how a text looks": {
        "protocols/http/gates.py": """
            gates: Gates = field(repr=False) → gates: Gates = field(repr=True)
        """,
        "model/expect.py": """
            known: Mapping[str, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=False) → known: Mapping[str, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=True)
            known: Mapping[int, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=False) → known: Mapping[int, str] = field(default=_NOTHING, kw_only=True, eq=False, repr=True)
        """,
        "consumers/note.py": """
            return json.dumps(asdict(self), indent=1).encode("ascii") → return json.dumps(asdict(self), indent= 0).encode("ascii")
            return json.dumps(asdict(self), indent=1).encode("ascii") → return json.dumps(asdict(self), indent= 2).encode("ascii")
        """,
    },
    "it is only said, to the log": {
        "protocols/http/pool.py": """
            noisy = False → noisy = True
        """,
    },
    "it does the same": {
        "protocols/http/fetcher.py": """
            body.abandon() → pass
        """,
        "model/pieces.py": """
            object.__setattr__(self, "algorithm", known[0].algorithm if known else self.algorithm) → object.__setattr__(self, "algorithm", known[ -1].algorithm if known else self.algorithm)
        """,
        "protocols/http/pool.py": """
            self._stop_waiting() → pass
            self.kind.idle.pop(self, None) → pass
        """,
        "protocols/spaces.py": """
            if int(address) > 1 and any(address in network for network in _TRANSLATED): → if int(address) > 0 and any(address in network for network in _TRANSLATED):
            if int(address) > 1 and any(address in network for network in _TRANSLATED): → if int(address) >= 1 and any(address in network for network in _TRANSLATED):
            return (IPv4Address(int(address) & 0xFFFFFFFF),) → return (IPv4Address(int(address) & 4294967294),)
        """,
        "consumers/part.py": """
            if self._fd >= 0: → if self._fd > 0:
            if self._fd >= 0: → if self._fd >= 1:
        """,
        "flow/workers.py": """
            self._drops = 0 → self._drops = -1
            self._drops = 0 → self._drops = 1
            self._drops += 1 → self._drops += 2
            self._drops += 1 → self._drops -= 1
            break → continue
        """,
        "flow/checks.py": """
            continue → break
            self.turned(True) → self.turned(False)
        """,
        "protocols/http/redirect.py": """
            return _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], location).decode("ascii") → return _RAW.sub(lambda raw: b"%%%02X" % raw[0][ -1], location).decode("ascii")
        """,
        "protocols/http/proxy.py": """
            port = place.port or 0 → port = place.port or -1
            port = place.port or 0 → port = place.port or 1
        """,
        "flow/unhurried.py": """
            result = ends[0] → result = ends[ -1]
        """,
        "flow/backlog.py": """
            if self._asked is not None and at <= self._asked[0] <= to: → if self._asked is not None and at < self._asked[0] <= to:
        """,
        "flow/seen.py": """
            continue → break
        """,
        "flow/tail.py": """
            if size <= self._free: → if size < self._free:
            if len(oldest) > surplus: → if len(oldest) >= surplus:
        """,
        "flow/window.py": """
            if index <= self._first: → if index < self._first:
        """,
        "flow/watch.py": """
            soon = window if soon is None or window < soon else soon → soon = window if soon is None or window <= soon else soon
        """,
    },
    "only where OpenSSL forbids md5 and sha1 it would be another": {
        "model/expect.py": """
            _EMPTY: Final[Mapping[str, Any]] = {name: hashlib.new(name, usedforsecurity=False) for name in ALGORITHMS} → _EMPTY: Final[Mapping[str, Any]] = {name: hashlib.new(name, usedforsecurity=True) for name in ALGORITHMS}
        """,
    },
}
"""Reason: file: changes, one a line, as C{python -m tests.mutants} says them."""


def explained(name: str, change: str) -> str | None:
    """Why this change of this file is none, or need not be noticed; None if nobody knows."""
    for reason, files in REASONS.items():
        if change in map(str.strip, files.get(name, "").splitlines()):
            return reason
    return None


def plain(line: str) -> str:
    """A line without what makes no difference: spaces and its comment."""
    return " ".join(re.sub(r"\s+# .*", "", line).split())
