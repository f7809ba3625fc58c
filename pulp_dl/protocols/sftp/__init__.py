"""sftp://: files over SSH, on Twisted's conch.  What Twisted needs for it comes with the extra C{sftp}."""

from __future__ import annotations

from .fetcher import SFTPFetcher

__all__ = ["SFTPFetcher"]
