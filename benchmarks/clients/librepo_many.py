"""librepo, sha256 checked.  For the system's Python, which has it; it has no more than 20 connections."""

from __future__ import annotations

import librepo
from job import job

job_ = job()
handle = librepo.Handle()
handle.repotype = librepo.YUMREPO
handle.maxparalleldownloads = handle.maxdownloadspermirror = min(job_.concurrency, 20)
if job_.ca:
    handle.sslcacert = job_.ca
targets = [
    librepo.PackageTarget(
        wanted.url.rpartition("/")[2],
        handle=handle,
        base_url=wanted.url.rpartition("/")[0],
        dest=wanted.path,
        checksum_type=librepo.SHA256,
        checksum=wanted.sha256,
        expectedsize=wanted.size,
    )
    for wanted in job_.wanted()
]
librepo.download_packages(targets)
for target in targets:
    if target.err is not None:
        raise SystemExit(f"{target.relative_url}: {target.err}")
