"""
C{ftp:} and C{ftps:} (RFC 959, 2228, 2389, 2428, 3659, 4217, 1738), on Twisted's L{FTPClient<twisted.protocols.ftp>}.

C{twisted.protocols.ftp} imports the reactor when it is imported, so this is imported when somebody downloads by FTP,
and not before.
"""

from __future__ import annotations

from .fetcher import FTPFetcher

__all__ = ["FTPFetcher"]
