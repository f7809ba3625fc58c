"""
How a server is reached, over TLS or not, in what time, and what went wrong in words: the same for every protocol.

HTTP had it first, and it lives there; a protocol that needs it comes here, and knows nothing of HTTP.
"""

from __future__ import annotations

from .http.endpoint import Dialled, reach, translate
from .http.tls import creator, explain

__all__ = ["Dialled", "creator", "explain", "reach", "translate"]
