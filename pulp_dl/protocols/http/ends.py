"""What the end of a connection means to whoever waits, in the words of the tree."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from ...errors import ConnectFailed, DownloadError, TLSFailed, Truncated
from .framing import Framing
from .tls import explain

__all__ = ["before_the_head", "within_the_body"]


def before_the_head(cause: BaseException | None, url: str, *, silent: bool) -> DownloadError:
    """
    The head of an answer had not come.

    @param cause: what the transport gave as the reason.
    @param silent: nor had one byte of it.
    """
    # In TLS 1.3 a server judges our certificate after our side of the handshake is done.
    refused = explain(cause) if silent else None
    error: DownloadError
    if refused is not None:
        error = TLSFailed(refused, url)
    else:
        closed = isinstance(cause, ConnectionDone)
        how = "the server closed the connection" if closed else "the connection to the server broke"
        error = ConnectFailed(f"{how} {'before' if silent else 'within'} the head of its answer", url)
    error.__cause__ = cause
    return error


def within_the_body(cause: BaseException | None, framing: Framing, url: str, *, unclean: bool) -> DownloadError | None:
    """
    Its body was not complete, unless just this is the end of it: then None.

    @param unclean: TCP ended in good order; TLS did not say that this is the end.
    """
    if framing.until_close and isinstance(cause, ConnectionDone):
        return None  # over TLS this is a close_notify; a cut without one is a ConnectionLost
    error = Truncated(framing.received, framing.length, url, unproven=framing.until_close and unclean)
    error.__cause__ = cause
    return error
