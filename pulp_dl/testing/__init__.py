"""What tests of pulp_dl, and of plugins for it, are made of."""

from __future__ import annotations

from .memory import MemoryFetcher, MemoryScheme
from .places import Answer, Asked, Place

__all__ = ["Answer", "Asked", "MemoryFetcher", "MemoryScheme", "Place"]
