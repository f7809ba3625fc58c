"""aria2c, one connection for each file, sha256 checked."""

from __future__ import annotations

import os
from pathlib import Path

from job import job

job_ = job()
lines = [
    f"{wanted.url}\n dir={job_.into}\n out={wanted.path.rpartition('/')[2]}\n checksum=sha-256={wanted.sha256}\n"
    for wanted in job_.wanted()
]
config = Path(job_.list).with_suffix(".aria2")
config.write_text("".join(lines))
if lines:
    options = ["--quiet", "--no-conf", "--file-allocation=none", "--split=1", "--max-connection-per-server=1"]
    options += [f"--max-concurrent-downloads={job_.concurrency}", "--console-log-level=error", "--auto-save-interval=0"]
    options += [f"--ca-certificate={job_.ca}"] if job_.ca else []
    os.execvp("aria2c", ["aria2c", *options, f"--input-file={config}"])
