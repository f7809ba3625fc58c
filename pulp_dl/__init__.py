"""Bring files from anywhere to a consumer, whole and proven, or not at all."""

from __future__ import annotations

from ._version import __version__
from .model.auth import Basic
from .model.expect import Digest, Measure, Size
from .model.remote import Limits, Proxy, Remote, Retries, Timeouts
from .model.report import Attempt, Outcome, Report
from .model.source import Head, Kept, Source, Span, Validators
from .model.tls import TLS

__all__ = [
    "TLS",
    "Attempt",
    "Basic",
    "Digest",
    "Head",
    "Kept",
    "Limits",
    "Measure",
    "Outcome",
    "Proxy",
    "Remote",
    "Report",
    "Retries",
    "Size",
    "Source",
    "Span",
    "Timeouts",
    "Validators",
    "__version__",
]
