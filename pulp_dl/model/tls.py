"""Trust and identity for TLS."""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class TLS:
    """Filled in by its own change."""

    ca: str | None = None
    cert: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    verify: bool = True
    system: bool = True
