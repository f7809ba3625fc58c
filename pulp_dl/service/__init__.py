"""The streamer as a service: a configuration in, importers, listeners and an orderly end out."""

from __future__ import annotations

from .configuration import Configuration, Prefix
from .service import StreamerService

__all__ = ["Configuration", "Prefix", "StreamerService"]
