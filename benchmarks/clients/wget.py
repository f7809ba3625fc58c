"""wget, as many processes as files at once, each with its share of the list; it checks no digest."""

from __future__ import annotations

import subprocess
from pathlib import Path

from job import job

job_ = job()
wanted = list(job_.wanted())
running = []
for number in range(job_.concurrency):
    if share := wanted[number :: job_.concurrency]:
        listing = Path(f"{job_.list}.wget.{number}")
        listing.write_text("".join(f"{each.url}\n" for each in share))
        options = ["--quiet", "--no-config", "--tries=1", f"--directory-prefix={job_.into}", f"--input-file={listing}"]
        running.append(subprocess.Popen(["wget", *options]))
raise SystemExit(max((each.wait() for each in running), default=0))
