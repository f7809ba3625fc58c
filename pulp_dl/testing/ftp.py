"""An FTP server on loopback sockets: honest, except where a script says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from attrs import frozen
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from .entity import Entity
from .http import FaultServer
from .player import Player
from .script import Act, Close, Request, Script, Send, Step

__all__ = ["AuthTLS", "Data", "FaultFTP", "Port", "reply"]

_LONG_AGO: Final = b"Sun, 09 Sep 2001 01:46:40 GMT"


def reply(code: int, *lines: str) -> Send:
    """A reply as it has to be; several lines, if several are given."""
    *before, last = lines or ("ok",)
    return Send("".join([*(f"{code}-{line}\r\n" for line in before), f"{code} {last}\r\n"]).encode())


class _FTPStep(Step):
    __slots__ = ()

    def acts(self, request: Request) -> Iterator[Act]:
        yield self  # type: ignore[misc]  # only players of FTP are given it


@frozen
class Data(_FTPStep):
    """
    This script on the data connection, as soon as the client has made one.  The next step comes when it is at its end,
    or the data connection is closed.
    """

    script: Script


@frozen
class Port(_FTPStep):
    """
    Listen for a data connection, and say where.

    @ivar text: what is said; C{%(port)d}, C{%(high)d} and C{%(low)d} stand for the port and its two bytes.
    """

    text: bytes


@frozen
class AuthTLS(_FTPStep):
    """From here on the control connection is encrypted."""


class FaultFTP(FaultServer):
    """
    An FTP server that has these files, lets everybody in, and does what a script says where there is one::

        honest = FaultFTP(reactor, {"a": b"hello"})
        FaultFTP(reactor, {"a": b"hello"}, {"PASS": reply(530, "no")})
        FaultFTP(reactor, {"a": b"hello"}, {"RETR": (reply(150), Data((Send(b"hel"), Reset())), reply(226))})

    It listens from its construction on, until C{close}.  A C{Request} is one command: C{method} is its verb, C{target}
    its argument, C{raw} the line.  C{connections} counts control and data connections.

    @ivar files: by their names, as the client has to say them; a test may change it at any time.
    @ivar replies: a script for each verb; one for verb and argument (C{"RETR a"}) is looked for first.
    """

    def __init__(
        self,
        reactor: Any,
        files: Mapping[str, bytes | Entity],
        replies: Mapping[str, Script] | None = None,
        *,
        greeting: Script | None = None,
        tls: IOpenSSLServerConnectionCreator | None = None,
        implicit: bool = False,
        interface: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """
        @param tls: what C{AUTH TLS} begins; data is then encrypted after C{PROT P}.
        @param implicit: TLS comes before the greeting.
        """
        self._implicit = implicit
        greeting = reply(220, "ready") if greeting is None else greeting
        super().__init__(reactor, self._answer, tls=tls, greeting=greeting, interface=interface, port=port)
        self.files = dict(files)
        self.replies = dict(replies or {})
        self.sessions: dict[int, FTPPlayer] = {}
        self.ports: set[Any] = set()

    def url(self, path: str = "/", host: str | None = None) -> str:
        return super().url(path, host).replace("http", "ftp", 1)

    @property
    def commands(self) -> list[str]:
        """What was said so far, by whomever."""
        return [each.raw.decode("latin-1") for each in self.requests]

    def wrapped(self) -> Any:
        return super().wrapped() if self._implicit else self

    def buildProtocol(self, addr: IAddress | None) -> FTPPlayer:
        return FTPPlayer(self)

    def secure(self, factory: Factory) -> Any:
        """The factory of a data connection over TLS."""
        assert self._tls is not None
        wrapped = TLSMemoryBIOFactory(self._tls, isClient=False, wrappedFactory=factory, clock=self.clock)
        wrapped.noisy = False
        return wrapped

    @property
    def tls(self) -> IOpenSSLServerConnectionCreator | None:
        return self._tls

    # what is said

    def _answer(self, request: Request) -> Script:
        for key in (f"{request.method} {request.target}", request.method):
            if key in self.replies:
                return self.replies[key]
        return self.honest(request)

    def honest(self, request: Request) -> Script:
        """What it says if no script says otherwise; scripts may use it, too."""
        session = self.sessions[request.connection]
        match request.method:
            case "USER":
                return reply(331, "and the password?")
            case "PASS":
                return reply(230)
            case "AUTH" if self._tls is not None:
                return (reply(234), AuthTLS())
            case "PROT" if self._tls is not None:
                session.protected = request.target == "P"
                return reply(200)
            case "TYPE" | "PBSZ":
                return reply(200)
            case "EPSV":
                return Port(b"229 Entering Extended Passive Mode (|||%(port)d|)\r\n")
            case "PASV":
                return Port(b"227 Entering Passive Mode (127,0,0,1,%(high)d,%(low)d).\r\n")
            case "REST":
                session.offset = int(request.target)
                return reply(350)
            case "SIZE" | "MDTM" | "RETR":
                return self._of_a_file(request)
        return reply(502, "what?")

    def _of_a_file(self, request: Request) -> Script:
        entity = self._entity(request.target)
        if entity is None:
            return reply(550, "no such file")
        if request.method == "SIZE":
            return reply(213, str(len(entity.data)))
        if request.method == "MDTM":
            moment = parsedate_to_datetime((entity.modified or _LONG_AGO).decode())
            return reply(213, f"{moment:%Y%m%d%H%M%S}")
        return (reply(150), self.rest, self.end)

    def rest(self, request: Request) -> Script:
        """The bytes of a file from where REST said, and the end of the data connection."""
        session, entity = self.sessions[request.connection], self._entity(request.target)
        offset, session.offset = session.offset, 0
        return Data((Send(b"" if entity is None else entity.data[offset:]), Close()))

    def end(self, request: Request) -> Script:
        """The last word on a transfer."""
        return reply(426, "cut") if self.sessions[request.connection].cut else reply(226)

    def _entity(self, name: str) -> Entity | None:
        found = self.files.get(name)
        return Entity(found, modified=_LONG_AGO) if isinstance(found, bytes) else found

    # the end

    async def _close(self) -> None:
        await super()._close()
        for port in list(self.ports):
            await maybeDeferred(port.stopListening)


class FTPPlayer(Player):
    """
    One control connection, and the data connection that belongs to it.

    @ivar offset: what REST said.
    @ivar protected: PROT P was said.
    @ivar cut: the client closed the last data connection before its script was at its end.
    """

    _stage: FaultFTP

    def __init__(self, stage: FaultFTP) -> None:
        super().__init__(stage)
        self.offset = 0
        self.protected = self.cut = False
        self._port: Any = None
        self._data: _DataPlayer | None = None
        self._waiting: tuple[Script, Request] | None = None
        self._command = Request("", "")

    def _greet(self) -> None:
        self._stage.sessions[self.number] = self
        super()._greet()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget_data()
        super().connectionLost(reason)

    # commands

    def _next_request(self) -> None:
        if self._acts is not None or self._over:
            return
        line, found, rest = self._received.partition(b"\n")
        if not found:
            return
        self._received = rest
        raw = line.removesuffix(b"\r")
        verb, _, argument = raw.decode("utf-8", "surrogateescape").partition(" ")
        nth = self._stage.count("", f"{verb} {argument}")
        self._command = Request(verb.upper(), argument, (), b"FTP", self.number, nth, raw)
        self._stage.requests.append(self._command)
        self._play(self._stage.script, self._command)

    def _do(self, act: Any) -> bool:
        match act:
            case Port(text):
                self._listen(text)
            case Data(script):
                self._waiting = script, self._command
                self._begin()
            case AuthTLS():
                self._start_tls()
                return False
            case Close() if self._wire.TLS:
                FileDescriptor.unregisterProducer(self._wire)
                return super()._do(act)
            case _:
                return super()._do(act)
        return True

    def _start_tls(self) -> None:
        # What tells us that all was sent stays below TLS.
        self._wire.unregisterProducer()
        self._wire.startTLS(self._stage.tls)
        FileDescriptor.registerProducer(self._wire, self, False)

    # the data connection

    def _listen(self, text: bytes) -> None:
        self._forget_data()
        factory: Any = Factory.forProtocol(self._accept)
        factory.noisy = False
        if self.protected:
            factory = self._stage.secure(factory)
        port = self._port = self._clock.listenTCP(0, factory, interface=self._stage.host)
        self._stage.ports.add(port)
        number = port.getHost().port
        super()._do(Send(text % {b"port": number, b"high": number // 256, b"low": number % 256}))

    def _accept(self) -> _DataPlayer | None:
        if self._data is not None:
            return None
        self._data = _DataPlayer(self._stage, self)
        return self._data

    def data_connected(self) -> None:
        """The client has made the data connection."""
        self._close_port()
        self._begin()

    def _begin(self) -> None:
        if self._waiting is not None and self._data is not None and self._data.connected_:
            (script, request), self._waiting = self._waiting, None
            self._data.begin(script, request)

    def finished(self, *, cut: bool) -> None:
        """The script of the data connection is at its end."""
        self.cut = cut
        self._next()

    def _close_port(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            self._stage.ports.discard(port)
            port.stopListening()

    def _forget_data(self) -> None:
        self._close_port()
        data, self._data = self._data, None
        if data is not None:
            data.drop()


class _DataPlayer(Player):
    """One data connection."""

    def __init__(self, stage: FaultFTP, session: FTPPlayer) -> None:
        super().__init__(stage)
        self._session: FTPPlayer | None = session
        self._playing = False
        self._ending = False
        self.connected_ = False

    def _greet(self) -> None:
        self.connected_ = True
        if self._session is None:
            self.reset()
        else:
            self._session.data_connected()

    def begin(self, script: Script, request: Request) -> None:
        self._playing = True
        self._play(script, request)

    def drop(self) -> None:
        """The control connection is gone, or wants another one."""
        self._session = None
        if self.connected_ and not self._over:
            self.reset()

    def _do(self, act: Act) -> bool:
        self._ending = self._ending or not isinstance(act, Send)
        return super()._do(act)

    def _next_request(self) -> None:
        self._tell(cut=False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._tell(cut=not self._ending)

    def _tell(self, *, cut: bool) -> None:
        session = self._session
        if self._playing and session is not None:
            self._playing = False
            session.finished(cut=cut)
