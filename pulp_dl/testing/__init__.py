"""
What tests of pulp_dl, and of plugins for it, are made of.

Nothing here imports the reactor.  The checks are imported when they are first asked for, because they need hypothesis
(C{pip install pulp_dl[test]}); so do the L{strategies<pulp_dl.testing.strategies>}, which have a name of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .answer import Framing, Respond, answer, redirect, response_head
from .consumers import Misuse, Recorder, RewindableRecorder, Sink
from .disk import DiskFault, FaultDisk
from .entity import Entity, History, Reply
from .ftp import AuthTLS, Data, FaultFTP, Port, reply
from .http import FaultServer
from .memory import MemoryFetcher, MemoryScheme
from .network import MemoryNetwork
from .places import Asked, Place, Verbatim
from .script import (
    ESTABLISHED,
    FOREVER,
    Alert,
    Chunk,
    Close,
    Cut,
    CutTLS,
    Drip,
    Forward,
    Hold,
    Nth,
    OnConnect,
    OnPath,
    OnRange,
    Repeat,
    Request,
    Reset,
    Script,
    Send,
    StartTLS,
    Step,
    Tunnel,
    Wait,
)
from .shared import sharing
from .stage import Connections, Stage
from .tls import ServerTLS

if TYPE_CHECKING:
    from .checks import ConsumerCase, FetcherCase, MirrorsCase, check_consumer, check_fetcher, check_mirrors

__all__ = [
    "ESTABLISHED",
    "FOREVER",
    "Alert",
    "Asked",
    "AuthTLS",
    "Chunk",
    "Close",
    "Connections",
    "ConsumerCase",
    "Cut",
    "CutTLS",
    "Data",
    "DiskFault",
    "Drip",
    "Entity",
    "FaultDisk",
    "FaultFTP",
    "FaultServer",
    "FetcherCase",
    "Forward",
    "Framing",
    "History",
    "Hold",
    "MemoryFetcher",
    "MemoryNetwork",
    "MemoryScheme",
    "MirrorsCase",
    "Misuse",
    "Nth",
    "OnConnect",
    "OnPath",
    "OnRange",
    "Place",
    "Port",
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
    "StartTLS",
    "Step",
    "Tunnel",
    "Verbatim",
    "Wait",
    "answer",
    "check_consumer",
    "check_fetcher",
    "check_mirrors",
    "redirect",
    "reply",
    "response_head",
    "sharing",
]

_CHECKS = {"ConsumerCase", "FetcherCase", "MirrorsCase", "check_consumer", "check_fetcher", "check_mirrors"}


def __getattr__(name: str) -> Any:
    if name not in _CHECKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import checks

    return getattr(checks, name)
