"""One file from several places by librepo: ``path sha256 url...``.  For the system's Python, which has it."""

import sys

import librepo

path, sha256, *urls = sys.argv[1:]
handle = librepo.Handle()
handle.urls = [url.rpartition("/")[0] for url in urls]
handle.repotype = librepo.YUMREPO
target = librepo.PackageTarget(
    "f", handle=handle, dest=path, checksum_type=librepo.SHA256, checksum=sha256, resume=True
)
librepo.download_packages([target], failfast=False)
sys.exit(0 if target.err is None else 1)
