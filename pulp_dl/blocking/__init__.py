"""
Downloads for code that waits: an importer in a worker thread, a script, the command.

The only folder that knows threads of callers.
"""

from __future__ import annotations

from .downloader import BlockingDownloader
from .home import ReactorStopped, call
from .outcomes import Outcomes

__all__ = ["BlockingDownloader", "Outcomes", "ReactorStopped", "call"]
