"""The protocols that come with pulp_dl."""

from __future__ import annotations

from pulp_dl.engine.schemes import Scheme

http = Scheme(("http", "https"), "pulp_dl.protocols.http.HTTPFetcher")
ftp = Scheme(("ftp", "ftps"), "pulp_dl.protocols.ftp.FTPFetcher")
file = Scheme("file", "pulp_dl.protocols.file.FileFetcher")
sftp = Scheme("sftp", "pulp_dl.protocols.sftp.SFTPFetcher", extra="pulp_dl[sftp]")
