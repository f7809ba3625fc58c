"""Files for HTTP clients, while they are still on their way."""

from __future__ import annotations

from ..consumers.answers import Answers, etag_of
from ..consumers.response import ToResponse
from ..model.entry import Entry
from .content import Content
from .exchange import Exchange

__all__ = ["Answers", "Content", "Entry", "Exchange", "ToResponse", "etag_of"]
