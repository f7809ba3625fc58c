"""lftp, several files of one directory at once; it checks no digest."""

from __future__ import annotations

import os
from pathlib import Path

from job import job

job_ = job()
wanted = list(job_.wanted())
if wanted:
    base = wanted[0].url.rpartition("/")[0]
    names = " ".join(each.url.rpartition("/")[2] for each in wanted)
    script = Path(f"{job_.list}.lftp")
    script.write_text(f"open {base}\nmget -P {job_.concurrency} -O {job_.into} {names}\n")
    os.execvp("lftp", ["lftp", "--norc", "-f", str(script)])
