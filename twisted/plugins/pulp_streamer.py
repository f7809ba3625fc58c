"""C{twistd pulp-streamer} and C{twist pulp-streamer}."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

streamer = ServiceMaker(
    "pulp-streamer", "pulp_dl.cli.tap", "Serves files over HTTP while they are being fetched.", "pulp-streamer"
)
