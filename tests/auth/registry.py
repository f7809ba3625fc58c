"""A registry that wants tokens, and whoever gives them out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs

from pulp_dl.testing import FaultServer, Hold, Request, answer


class Registry:
    """
    A registry and its token server, in two places or in one.

    @ivar issued: what was asked for each token: its query, and who asked.
    @ivar good: the tokens that are accepted.
    @ivar hold: give no token before C{tokens.release("token")}.
    @ivar give: makes the body of the answer out of the token's number.
    """

    def __init__(self, reactor: Any, *, together: bool = False, lifetime: float | None = 300) -> None:
        self.files = FaultServer(reactor, self.file)
        self.tokens = self.files if together else FaultServer(reactor, self.token)
        self.issued: list[tuple[dict[str, list[str]], bytes | None]] = []
        self.good: set[bytes] = set()
        self.lifetime = lifetime
        self.hold = False
        self.give: Callable[[int], Any] = lambda number: {"token": f"token-{number}", "expires_in": self.lifetime}
        self.scope: Callable[[str], str] = lambda path: f"repository:{path.split('/')[2]}:pull"

    def file(self, request: Request) -> Any:
        if request.path == "/token":
            return self.token(request)
        if (request.get(b"authorization") or b"").removeprefix(b"Bearer ") in self.good:
            return answer(request.path.encode())
        return self.refusal(request)

    def refusal(self, request: Request) -> Any:
        realm, scope = self.tokens.url("/token"), self.scope(request.path)
        value = f'Bearer realm="{realm}",service="files",scope="{scope}"'.encode()
        return answer(b"who?", 401, ((b"WWW-Authenticate", value),))

    def token(self, request: Request) -> Any:
        self.issued.append((parse_qs(request.target.partition("?")[2]), request.get(b"authorization")))
        number = len(self.issued)
        self.good.add(b"token-%d" % number)
        given = self.give(number)
        body = answer(given if isinstance(given, bytes) else json.dumps(given).encode())
        return (Hold("token"), body) if self.hold else body

    def authorizations(self) -> list[bytes | None]:
        """What the registry was shown."""
        return [request.get(b"authorization") for request in self.files.requests if request.path != "/token"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.files.close()
        await self.tokens.close()
