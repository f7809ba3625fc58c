"""
What tests of pulp_dl, and of plugins for it, are made of.

Nothing here imports the reactor.  The L{checks<pulp_dl.testing.checks>} and L{strategies<pulp_dl.testing.strategies>}
need hypothesis (C{pip install pulp_dl[test]}) and are imported by those names when they are wanted.
"""

from __future__ import annotations

from .answer import Respond, answer, redirect, response_head
from .consumers import Misuse, Recorder, RewindableRecorder, Sink
from .entity import Entity, History, Reply
from .http import FaultServer
from .memory import MemoryFetcher, MemoryScheme
from .network import MemoryNetwork
from .places import Asked, Place, Verbatim
from .script import (
    FOREVER,
    Chunk,
    Close,
    Cut,
    CutTLS,
    Drip,
    Hold,
    Nth,
    OnPath,
    OnRange,
    Repeat,
    Request,
    Reset,
    Script,
    Send,
    Step,
    Wait,
)
from .stage import Connections, Stage
from .tls import ServerTLS

__all__ = [
    "FOREVER",
    "Asked",
    "Chunk",
    "Close",
    "Connections",
    "Cut",
    "CutTLS",
    "Drip",
    "Entity",
    "FaultServer",
    "History",
    "Hold",
    "MemoryFetcher",
    "MemoryNetwork",
    "MemoryScheme",
    "Misuse",
    "Nth",
    "OnPath",
    "OnRange",
    "Place",
    "Recorder",
    "Repeat",
    "Reply",
    "Request",
    "Reset",
    "Respond",
    "RewindableRecorder",
    "Script",
    "Send",
    "ServerTLS",
    "Sink",
    "Stage",
    "Step",
    "Verbatim",
    "Wait",
    "answer",
    "redirect",
    "response_head",
]
