"""
A streaming handler of aiohttp as one would write it in an afternoon: one session, the answer's fields, piece by piece.

With a list of digests it hashes what it passes on, and breaks the connection if that was wrong; its client has all by
then.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

PASSED_ON = ("Content-Type", "Content-Length", "ETag", "Last-Modified")


def application(origin: str, ca: str | None, digests: dict[str, str] | None) -> web.Application:
    app = web.Application()

    async def sessions(app: web.Application) -> AsyncIterator[None]:
        connector = TCPConnector(limit=100, ssl=ssl.create_default_context(cafile=ca) if ca else True)
        async with ClientSession(connector=connector, auto_decompress=False, timeout=ClientTimeout()) as session:
            app["session"] = session
            yield

    async def handle(request: web.Request) -> web.StreamResponse:
        async with app["session"].get(origin + request.path) as found:
            headers = {name: found.headers[name] for name in PASSED_ON if name in found.headers}
            response = web.StreamResponse(status=found.status, headers=headers)
            await response.prepare(request)
            digest = None if digests is None else hashlib.sha256()
            async for piece in found.content.iter_any():
                if digest is not None:
                    digest.update(piece)
                await response.write(piece)
            if digest is not None and digests is not None and digest.hexdigest() != digests[request.path.lstrip("/")]:
                assert request.transport is not None
                request.transport.abort()
            await response.write_eof()
            return response

    app.cleanup_ctx.append(sessions)
    app.router.add_get("/{path:.*}", handle)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("origin")
    parser.add_argument("--ca", help="whom to trust at an https origin")
    parser.add_argument("--digests", type=Path, help="a PULP_MANIFEST")
    options = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients that leave are no news
    digests = None
    if options.digests:
        lines = options.digests.read_text().splitlines()
        digests = {name: sha256 for name, sha256, _ in (line.split(",") for line in lines)}
    web.run_app(
        application(options.origin, options.ca, digests),
        host="127.0.0.1",
        port=options.port,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
