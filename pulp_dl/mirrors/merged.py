"""What two processes have learnt of the same mirrors, put together."""

from __future__ import annotations

import json
from typing import Any

from .places import Places
from .remembered import MOST
from .scores import Scores

__all__ = ["merged"]


def merged(ours: dict[str, Any], theirs: Any) -> dict[str, Any]:
    """
    Of each host what was learnt last.

    @param ours: what L{Scores.to_json} has made, read; C{theirs}: the same, or whatever stands in its place.
    """
    now = ours.get("saved")
    try:
        theirs = _aged(theirs, now)
        both: dict[str, Any] = {**theirs["hosts"]}
        for name, host in ours["hosts"].items():
            if name not in both or host["seen"] <= both[name]["seen"]:
                both[name] = host
        hosts = sorted(both.items(), key=lambda each: -float(each[1]["seen"]))
        demerits = {**theirs["demerits"], **ours["demerits"]}
        found = {**ours, "hosts": dict(hosts[-MOST:]), "demerits": dict([*demerits.items()][-MOST:])}
        _aged(found, now)
    except (KeyError, TypeError, AttributeError, ValueError):  # theirs is none
        return ours
    return found


def _aged(state: Any, now: Any) -> dict[str, Any]:
    """
    The same as it is later.  Half of a failure is forgotten in the usual time, as nobody has written down another one.

    @raise ValueError: it is of no use.
    """
    scores = Scores(Places(()), clock=lambda: 0.0, wall=lambda: now)
    scores.from_json(json.dumps(state))
    found: dict[str, Any] = json.loads(scores.to_json())
    return found
