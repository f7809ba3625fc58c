"""
Everything that can go wrong with a download, in one tree.

Two facts of an error decide all that follows from it: C{transient} (is the same place worth another try?)
and C{answer} (what does a gateway tell its client?).  A protocol translates what its library raises once, at
its own edge, with C{raise ... from} the cause.

Cancelling is not in the tree: it stays L{twisted.internet.defer.CancelledError}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .urls import shown

if TYPE_CHECKING:
    from .model.headers import Pairs
    from .model.report import Attempt

__all__ = [
    "AuthFailed",
    "BadStatus",
    "CircuitOpen",
    "ConnectFailed",
    "ConsumerFailed",
    "ConsumerGone",
    "DigestMismatch",
    "DownloadError",
    "HostKeyFailed",
    "NoPlace",
    "NotFound",
    "NotResumable",
    "ProtocolError",
    "ProxyFailed",
    "RedirectRefused",
    "Refused",
    "SizeMismatch",
    "TLSFailed",
    "TimedOut",
    "TooLarge",
    "Truncated",
    "Unavailable",
    "UnsupportedScheme",
    "ValidationError",
]


class DownloadError(Exception):
    """
    A download did not happen.  The consumer was told (C{fail}) and nothing half-made is left.

    @ivar url: where, fit to be printed: without userinfo, with the values of signatures and tokens masked.
    @ivar attempts: every attempt that was made for this download, in order; empty on the cause of one attempt.
    @ivar hints: fields of the redirects that led here, if they tell of other places or of a digest.
    """

    transient: bool = False
    answer: ClassVar[int] = 502
    url: str | None
    attempts: tuple[Attempt, ...] = ()
    hints: Pairs = ()

    def __init__(self, message: str, url: str | None = None) -> None:
        """
        @param message: what went wrong and, if there is something to be done, what; never with a secret in it.
        @param url: where; it is masked here, so any URL may be given.
        """
        self.message = message
        self.url = None if url is None else shown(url)
        super().__init__(message if self.url is None else f"{self.url}: {message}")

    def found_at(self, url: str) -> None:
        """It was there, which whoever raised it did not know."""
        if self.url is None:
            self.url = shown(url)
            self.args = (f"{self.url}: {self.message}",)

    def __reduce__(self) -> tuple[Any, ...]:
        # The classes are made of different things; what they were made into is copied, not their making.
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[DownloadError], arguments: tuple[object, ...]) -> DownloadError:
    return kind.__new__(kind, *arguments)


class ConnectFailed(DownloadError):
    """No connection: the name does not resolve, the port refuses, the network is away, or it broke before an answer."""

    transient = True


class TLSFailed(ConnectFailed):
    """The connection is not to be trusted, or the server does not trust ours.  Another try gives the same answer."""

    transient = False


class HostKeyFailed(ConnectFailed):
    """The host key of an SSH server is not known, or is another one.  Another try gives the same answer."""

    transient = False


class ProxyFailed(ConnectFailed):
    """
    The proxy, not the origin, refused or failed.

    @ivar status: what it answered, or None if it was not reached or does not speak HTTP.  If it does not know us (407,
        511), forbids it (403, or a page of its own in place of the file) or does not do such things (501, 505), another
        try gives the same answer, and might lock an account.
    @ivar retry_after: seconds that it asks to be left alone; None if it does not, or refuses a tunnel.
    @ivar gate: which proxy: its URL, fit to be printed; None if the protocol does not say.
    @ivar login_refused: it does not take our user and password (401, 407, what SOCKS has for it), or wants some.  Where
        a proxy answers for a server (C{http:}), that server may have written it, too.
    """

    def __init__(
        self,
        message: str,
        url: str | None = None,
        status: int | None = None,
        *,
        transient: bool | None = None,
        retry_after: float | None = None,
        gate: str | None = None,
        login_refused: bool | None = None,
    ) -> None:
        """
        @param transient: None if the status tells; so for C{login_refused}.
        @param gate: it is masked here, as C{url} is.
        """
        super().__init__(message, url)
        self.gate = None if gate is None else shown(gate)
        self.login_refused = status in {401, 407} if login_refused is None else login_refused
        self.status = status
        self.retry_after = retry_after
        if transient is None:
            transient = status is None or status in {408, 425, 429} or (status >= 500 and status not in {501, 505, 511})
        self.transient = transient


class TimedOut(DownloadError):
    """
    A limit of L{pulp_dl.Timeouts} ran out.

    @ivar phase: C{"connect"}, C{"head"}, C{"idle"}, C{"low_speed"} or C{"total"}.
    """

    transient = True
    answer = 504

    def __init__(self, phase: str, seconds: float, url: str | None = None) -> None:
        how = "in" if phase == "total" else "for"
        super().__init__(f"timed out: {_PHASES.get(phase, phase)} {how} {seconds:g} s", url)
        self.phase = phase
        self.seconds = seconds


_PHASES = {
    "connect": "no connection",
    "head": "no answer",
    "idle": "no byte of the body",
    "low_speed": "the body came too slowly",
    "total": "the download was not done",
}


class BadStatus(DownloadError):
    """
    The server answered, but not with the file.

    @ivar status: what it answered; of a protocol that has no such numbers, what HTTP would have.
    """

    def __init__(self, status: int, reason: str = "", url: str | None = None, *, words: str | None = None) -> None:
        """
        @param reason: what it said beside the status.
        @param words: what happened; None if it answered this very status.
        """
        super().__init__(f"the server answered {status} {reason}".rstrip() if words is None else words, url)
        self.status = status


class NotFound(BadStatus):
    """There is no such file here (404, 410, FTP's 550, ENOENT)."""

    answer = 404


class NoPlace(NotFound):
    """There is no place where it might be: nobody was asked."""

    def __init__(self, message: str, url: str | None = None) -> None:
        DownloadError.__init__(self, message, url)
        self.status = 404


class AuthFailed(BadStatus):
    """The credentials are missing, wrong, or not enough (401, 403, 407, FTP's 530, EACCES)."""


class Unavailable(BadStatus):
    """
    Not now (408, 425, 429, 500, 502, 503, 504 and other 5xx).

    @ivar retry_after: seconds that the server asks to be left alone, or None.
    """

    transient = True
    answer = 503

    def __init__(
        self,
        status: int,
        reason: str = "",
        url: str | None = None,
        retry_after: float | None = None,
        *,
        words: str | None = None,
    ) -> None:
        super().__init__(status, reason, url, words=words)
        self.retry_after = retry_after


class ProtocolError(DownloadError):
    """The server broke the rules of its protocol, or one of our limits on them (header size, redirects)."""

    transient = True


class Truncated(DownloadError):
    """
    The body ended before its end.

    @ivar received: bytes of it that came.
    @ivar expected: how many there should have been; None if nobody has told.
    @ivar unproven: it may have been its end, for the connection was closed in good order (FIN); but only that told so,
        beneath TLS, where anybody could have said it.  A size or a digest can tell.
    """

    transient = True

    def __init__(
        self, received: int, expected: int | None = None, url: str | None = None, *, unproven: bool = False
    ) -> None:
        of = "" if expected is None else f" of {expected}"
        why = ", and TLS did not say that this is its end" if unproven else ""
        super().__init__(f"the body ended after {received}{of} bytes{why}", url)
        self.received = received
        self.expected = expected
        self.unproven = unproven


class TooLarge(DownloadError):
    """More bytes came, or were announced, than were expected or allowed."""

    def __init__(self, limit: int, url: str | None = None) -> None:
        super().__init__(f"the body is larger than the {limit} bytes that are allowed", url)
        self.limit = limit


class NotResumable(DownloadError):
    """What came first and what would come now are not proven to be one file."""

    transient = True


class ValidationError(DownloadError):
    """
    The bytes came but they are not the ones that were expected.

    @ivar known: what has the value that was found, if that is known: C{"an earlier version, of 2023-07-22 04:26 UTC"}.
    """

    transient = True

    def __init__(
        self, what: str, expected: object, found: object, url: str | None = None, *, known: str | None = None
    ) -> None:
        of = "" if known is None else f": that of {known}"
        super().__init__(f"{what} is {found}, expected {expected}{of}", url)
        self.known = known
        self.what = what
        self.expected = expected
        self.found = found


class DigestMismatch(ValidationError):
    """A digest differs."""


class SizeMismatch(ValidationError):
    """The size differs."""


class Refused(DownloadError):
    """Our own policy says no: a redirect to a lesser scheme, an address, a path outside the root."""


class RedirectRefused(Refused):
    """
    The server, or a list of mirrors, sends us where we do not go: from https: to http:, to another protocol, nearer
    than it is itself.
    """


class CircuitOpen(DownloadError):
    """The host failed so often that it is left alone for a while."""

    transient = True
    answer = 503

    def __init__(self, message: str, url: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, url)
        self.retry_after = retry_after


class ConsumerFailed(DownloadError):
    """The consumer cannot keep what it is given: the disk is full, the path is not ours, its own code raised."""

    answer = 500


class ConsumerGone(DownloadError):
    """The consumer wants no more: the client left."""


class UnsupportedScheme(DownloadError):
    """No protocol is installed for the scheme of this URL."""
