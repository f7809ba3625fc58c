"""SOCKS 5 (RFC 1928), with user and password (RFC 1929): tunnels, and who looks up the name."""

from __future__ import annotations

from collections.abc import Callable, Generator
from ipaddress import ip_address
from typing import Any, Final

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from ...errors import RedirectRefused
from ...model.auth import Basic
from ..spaces import Space, addresses, refusal, space_at
from .tunnel import Refusal, early

__all__ = ["Resolving", "Socks", "Unreachable"]

_VERSION: Final = 5
_OPEN, _LOGIN, _NONE_OF_THEM = 0, 2, 0xFF
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_LENGTHS: Final = {_IPV4: 4, _IPV6: 16}

_NO_SOCKS: Final = (
    "the proxy does not answer as a SOCKS 5 proxy does; is its URL right, http:// or https:// or socks5://?"
)
_REPLIES: Final = {
    1: "it failed, and does not say why",
    2: "its rules forbid it",
    3: "there is no way to the network of the server",
    4: "there is no way to the server",
    5: "the server refuses the connection",
    6: "the way is too long",
    7: "it makes no tunnels",
    8: "it does not know this kind of address",
}
_FOR_GOOD: Final = {2, 7}
_ELSEWHERE: Final = {1, 3, 4, 5, 6, 8}


class Unreachable(Refusal):
    """The proxy does not come to this address of the server; another one may do."""


class Socks:
    """The request for a tunnel to one host and port, and its answer."""

    def __init__(self, host: str, port: int, login: Basic | None) -> None:
        """
        @param host: a name that the proxy looks up, or an address.
        """
        self._buffer = b""
        self._talk = _talk(_destination(host, port), login)
        self._needed = 0
        self.complete = False

    def begin(self) -> bytes:
        first, self._needed = next(self._talk)
        return first

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        said = b""
        while not self.complete and len(self._buffer) >= self._needed:
            answer, self._buffer = self._buffer[: self._needed], self._buffer[self._needed :]
            try:
                more, self._needed = self._talk.send(answer)
            except StopIteration:
                self.complete = True
            else:
                said += more
        if self.complete and self._buffer:
            self.complete = False
            raise early()
        return said


def _talk(destination: bytes, login: Basic | None) -> Generator[tuple[bytes, int], bytes, None]:
    """Yields what to say next and how many bytes are to come then; is sent these."""
    methods = bytes([_OPEN] if login is None else [_OPEN, _LOGIN])
    version, method = yield bytes([_VERSION, len(methods)]) + methods, 2
    if version != _VERSION:
        raise Refusal(_NO_SOCKS)
    if method == _LOGIN and login is not None:
        user, password = login.user.encode(), login.password.encode()
        _, status = yield bytes([1, len(user)]) + user + bytes([len(password)]) + password, 2
        if status != 0:
            raise Refusal("the proxy does not accept user and password", transient=False, login_refused=True)
    elif method != _OPEN:
        hint = "; give Proxy(auth=Basic(...))" if login is None and method == _NONE_OF_THEM else ""
        words = f"the proxy wants another way to log in than is known here{hint}"
        raise Refusal(words, transient=False, login_refused=True)
    version, reply, _, kind = yield bytes([_VERSION, _CONNECT, 0]) + destination, 4
    if version != _VERSION:
        raise Refusal(_NO_SOCKS)
    if reply != 0:
        words = f"the proxy makes no tunnel: {_REPLIES.get(reply, f'it answers {reply}')}"
        raise (Unreachable if reply in _ELSEWHERE else Refusal)(words, transient=reply not in _FOR_GOOD)
    if kind == _NAME:
        (length,) = yield b"", 1
    elif kind in _LENGTHS:
        length = _LENGTHS[kind]
    else:
        raise Refusal(_NO_SOCKS)
    yield b"", length + 2  # the address that it uses itself


def _destination(host: str, port: int) -> bytes:
    host = host.partition("%")[0]
    end = port.to_bytes(2)
    try:
        address = ip_address(host)
    except ValueError:
        return bytes([_NAME, len(host)]) + host.encode("ascii") + end
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed + end


@implementer(IStreamClientEndpoint)
@frozen
class Resolving:
    """
    Looks up a name here, and connects to each of its addresses in turn, until the proxy comes to one.

    C{connect} fails with C{DNSLookupError} if there is none, or as the last one did; L{RedirectRefused} if that is too
    close.

    @ivar floor: the closest space that may be connected to; None: whatever there is.
    @ivar to: the endpoint for one address.
    """

    reactor: Any
    host: str
    floor: Space | None
    to: Callable[[str], IStreamClientEndpoint] = field(repr=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        last: Exception = DNSLookupError(self.host)
        for address in await addresses(self.reactor, self.host):
            if self.floor is not None and space_at(address) < self.floor:
                last = RedirectRefused(refusal(address, self.floor))
                continue
            try:
                return await self.to(address).connect(factory)
            except Unreachable as unreachable:
                last = unreachable
        raise last
