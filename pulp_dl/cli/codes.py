"""What the process ends with."""

from __future__ import annotations

from typing import Final

__all__ = ["AUTH", "DISK", "INTERRUPTED", "INVALID", "NETWORK", "NOT_FOUND", "SOME", "TLS", "UNFORESEEN", "USAGE"]

SOME: Final = 1
UNFORESEEN: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NETWORK: Final = 4
TLS: Final = 5
AUTH: Final = 6
INVALID: Final = 7
DISK: Final = 8
INTERRUPTED: Final = 128
"""And above."""
