"""From a fresh control connection to one that is logged in and binary, or the server's own words why not."""

from __future__ import annotations

from ...errors import DownloadError, ProtocolError, TLSFailed
from ...model.auth import Basic
from .client import Client
from .replies import Reply, is_crowded, refusal
from .tls import Protection

__all__ = ["ANONYMOUS", "Crowded", "log_in"]


ANONYMOUS = Basic("anonymous", "pulp_dl@")


class Crowded(Exception):
    """
    The server takes no more connections for now.

    @ivar error: the same for whoever has none.
    """

    def __init__(self, error: DownloadError) -> None:
        super().__init__(error.message)
        self.error = error


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
