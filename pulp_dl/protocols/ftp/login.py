"""From a fresh control connection to one that is logged in and binary, or the server's own words why not."""

from __future__ import annotations

from base64 import b64decode

from twisted.internet.defer import Deferred

from ...errors import DownloadError, ProtocolError, Refused, TLSFailed
from ...interfaces import IAuthenticator
from ...model.auth import Basic
from .client import Client
from .replies import Reply, is_crowded, refusal
from .tls import Protection

__all__ = ["ANONYMOUS", "Crowded", "credentials", "log_in"]


ANONYMOUS = Basic("anonymous", "pulp_dl@")


class Crowded(Exception):
    """
    The server takes no more connections for now.

    @ivar error: the same for whoever has none.
    """

    def __init__(self, error: DownloadError) -> None:
        super().__init__(error.message)
        self.error = error


async def credentials(authenticator: IAuthenticator, url: str) -> Basic:
    """
    User and password, of whoever knows them in the words of HTTP; nobody's are L{ANONYMOUS}.

    @raise Refused: there is something else to be shown, such as a token.
    """
    if isinstance(authenticator, Basic):
        return authenticator
    fields: dict[bytes, bytes] = {}
    try:
        sent = authenticator.authorize(b"GET", url, fields)
        if isinstance(sent, Deferred):
            await sent
    except DownloadError:
        raise
    except Exception as error:
        # Its text may hold what it tried to send.
        raise Refused(f"Remote.auth raised {type(error).__name__}", url) from error
    if not fields:
        return ANONYMOUS
    kind, _, value = fields.get(b"Authorization", b"").partition(b" ")
    if kind.lower() == b"basic":
        try:
            user, _, password = b64decode(value, validate=True).decode().partition(":")
            return Basic(user, password)
        except ValueError:
            pass
    raise Refused("FTP knows user and password only; give Remote(auth=Basic(user, password))", url)


async def log_in(client: Client, login: Basic, protection: Protection | None, *, implicit: bool) -> None:
    """
    @param protection: TLS, or None for none.  What the server cannot protect is not sent.
    @raise Crowded: there are too many connections.
    @raise DownloadError: it did not work; another code of the server is in its words.
    """
    url = client.url
    client.secret = login.password

    async def ask(command: bytes) -> Reply:
        return _let_in(await client.ask(command), url)

    def accept(reply: Reply, *fine: int) -> Reply:
        if reply.code not in fine:
            raise refusal(reply, url)
        return reply

    accept(_let_in(await client.greeted(), url), 220)
    if protection is not None and not implicit:
        _protected(await ask(b"AUTH TLS"), 234, url)
        client.start_tls(protection.control())
    reply = accept(await ask(f"USER {login.user}".encode()), 230, 232, 331)
    if reply.code == 331:
        accept(await ask(f"PASS {login.password}".encode()), 230, 202)
    if protection is not None:
        _protected(await ask(b"PBSZ 0"), 200, url)
        _protected(await ask(b"PROT P"), 200, url)
    reply = await ask(b"TYPE I")
    if not reply.good:
        raise ProtocolError(f"the server has no binary transfers: {reply.code} {reply.said()}", url)


def _let_in(reply: Reply, url: str) -> Reply:
    if is_crowded(reply):
        raise Crowded(refusal(reply, url))
    return reply


def _protected(reply: Reply, fine: int, url: str) -> None:
    if reply.code != fine:
        raise TLSFailed(
            f"the server does not protect this with TLS ({reply.code} {reply.said()}); without it nothing is sent", url
        )
