"""
Bring files from anywhere to a consumer, whole and proven, or not at all.

The public names, and nothing else.  A name is imported when it is first asked for, so that C{pulp-dl --version} need
not wait for TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .auth.bearer import Bearer
    from .auth.digest import DigestAuth
    from .auth.tokens import TokenAuth
    from .blocking import BlockingDownloader
    from .consumers.around import Counted, Progress, Tee
    from .consumers.file import ToFile
    from .consumers.memory import ToMemory
    from .engine.downloader import Downloader
    from .engine.kinds import MirrorsKind
    from .engine.schemes import Scheme
    from .engine.sharing import Sharing
    from .mirrors.links import Duplicates
    from .mirrors.list import MirrorList
    from .mirrors.metalink import Metalink
    from .mirrors.places import Places
    from .mirrors.scores import Scores
    from .model.auth import Basic
    from .model.expect import Digest, Measure, Size
    from .model.mirrors import MirrorsSettings
    from .model.netrc import Netrc
    from .model.pieces import Pieces
    from .model.proxies import Proxies
    from .model.rate import Rate
    from .model.remote import Limits, Proxy, Remote, Retries, Segments, Timeouts
    from .model.report import Attempt, Outcome, Report
    from .model.source import Head, Kept, Source, Span, Validators
    from .model.ssh import SSH
    from .model.tls import TLS

_HOMES = {
    ".auth.bearer": ("Bearer",),
    ".auth.digest": ("DigestAuth",),
    ".auth.tokens": ("TokenAuth",),
    ".blocking": ("BlockingDownloader",),
    ".consumers.around": ("Counted", "Progress", "Tee"),
    ".consumers.file": ("ToFile",),
    ".consumers.memory": ("ToMemory",),
    ".engine.downloader": ("Downloader",),
    ".engine.kinds": ("MirrorsKind",),
    ".engine.schemes": ("Scheme",),
    ".engine.sharing": ("Sharing",),
    ".mirrors.links": ("Duplicates",),
    ".mirrors.list": ("MirrorList",),
    ".mirrors.metalink": ("Metalink",),
    ".mirrors.places": ("Places",),
    ".mirrors.scores": ("Scores",),
    ".model.auth": ("Basic",),
    ".model.expect": ("Digest", "Measure", "Size"),
    ".model.mirrors": ("MirrorsSettings",),
    ".model.netrc": ("Netrc",),
    ".model.pieces": ("Pieces",),
    ".model.proxies": ("Proxies",),
    ".model.rate": ("Rate",),
    ".model.remote": ("Limits", "Proxy", "Remote", "Retries", "Segments", "Timeouts"),
    ".model.report": ("Attempt", "Outcome", "Report"),
    ".model.source": ("Head", "Kept", "Source", "Span", "Validators"),
    ".model.ssh": ("SSH",),
    ".model.tls": ("TLS",),
}

__all__ = [
    "SSH",
    "TLS",
    "Attempt",
    "Basic",
    "Bearer",
    "BlockingDownloader",
    "Counted",
    "Digest",
    "DigestAuth",
    "Downloader",
    "Duplicates",
    "Head",
    "Kept",
    "Limits",
    "Measure",
    "Metalink",
    "MirrorList",
    "MirrorsKind",
    "MirrorsSettings",
    "Netrc",
    "Outcome",
    "Pieces",
    "Places",
    "Progress",
    "Proxies",
    "Proxy",
    "Rate",
    "Remote",
    "Report",
    "Retries",
    "Scheme",
    "Scores",
    "Segments",
    "Sharing",
    "Size",
    "Source",
    "Span",
    "Tee",
    "Timeouts",
    "ToFile",
    "ToMemory",
    "TokenAuth",
    "Validators",
    "__version__",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            found: object = getattr(import_module(home, __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
