"""User and password, for protocols that know nothing else, of whoever knows them in the words of HTTP."""

from __future__ import annotations

from base64 import b64decode

from ..errors import Refused
from ..interfaces import IAuthenticator, IShared
from ..model.auth import Basic
from ..model.headers import Pairs, find
from ..model.remote import Remote
from ..urls import parse
from .http.login import Login
from .unauthenticated import started

__all__ = ["Credentials"]


class Credentials:
    """What C{Remote.auth} has for a URL."""

    def __init__(self, remote: Remote, shared: IShared) -> None:
        self._remote = remote
        self._shared = shared
        self._authenticator: IAuthenticator | None = None

    async def of(self, url: str) -> Basic | None:
        """
        Returns them, or None if it has none.  Only for a URL within the scope of the Remote.

        @raise Refused: there is something else to be shown, such as a token.
        """
        auth = self._remote.auth
        if auth is None:
            return None
        if self._authenticator is None:
            self._authenticator = started(auth, self._remote, self._shared, url)
        return _read(await Login(self._authenticator, b"GET", url).authorize(), url)


def _read(fields: Pairs, url: str) -> Basic | None:
    if not fields:
        return None
    kind, _, value = (find(fields, b"authorization") or b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            user, _, password = b64decode(value, validate=True).decode().partition(":")
            return Basic(user, password)
        except ValueError:
            pass
    scheme = parse(url).scheme
    raise Refused(f"{scheme}: takes user and password only; give Remote(auth=Basic(user, password))", url)
