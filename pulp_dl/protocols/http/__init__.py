"""HTTP/1.1 over treq and connections of our own."""

from __future__ import annotations

from .fetcher import HTTPFetcher

__all__ = ["HTTPFetcher"]
