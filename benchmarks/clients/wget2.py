"""wget2; it checks no digest."""

from __future__ import annotations

import os
from pathlib import Path

from job import job

job_ = job()
urls = [wanted.url for wanted in job_.wanted()]
listing = Path(job_.list).with_suffix(".wget2")
listing.write_text("\n".join(urls))
if urls:
    options = ["--no-config", "--quiet", "--no-robots", f"--max-threads={job_.concurrency}", "-P", job_.into]
    options += ["--no-http2", *([f"--ca-certificate={job_.ca}"] if job_.ca else [])]
    os.execvp("wget2", ["wget2", *options, f"--input-file={listing}"])
