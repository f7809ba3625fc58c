"""User and password, for protocols that know nothing else, of whoever knows them in the words of HTTP."""

from __future__ import annotations

from base64 import b64decode

from twisted.internet.defer import CancelledError, Deferred

from ..errors import DownloadError, Refused
from ..interfaces import IAuthenticator, IShared
from ..model.auth import Basic
from ..model.remote import Remote
from ..urls import parse
from .unauthenticated import Unauthenticated

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
        fields: dict[bytes, bytes] = {}
        try:
            if self._authenticator is None:
                self._authenticator = auth.start(Unauthenticated(self._shared.direct, self._remote))
            sent = self._authenticator.authorize(b"GET", url, fields)
            if isinstance(sent, Deferred):
                await sent
        except (DownloadError, CancelledError):
            raise
        except Exception as error:
            # Its text may hold what it tried to send.
            raise Refused(f"Remote.auth raised {type(error).__name__}", url) from error
        return _read(fields, url)


def _read(fields: dict[bytes, bytes], url: str) -> Basic | None:
    if not fields:
        return None
    shown = {name.lower(): value for name, value in fields.items()}
    kind, _, value = shown.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            user, _, password = b64decode(value, validate=True).decode().partition(":")
            return Basic(user, password)
        except ValueError:
            pass
    scheme = parse(url).scheme
    raise Refused(f"{scheme}: takes user and password only; give Remote(auth=Basic(user, password))", url)
