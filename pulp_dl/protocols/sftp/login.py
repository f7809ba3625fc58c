"""Who we are to a server: a key, what an agent holds, a password."""

from __future__ import annotations

import os
import struct
from typing import Any, Final

from attrs import field, frozen
from twisted.conch.ssh.agent import AGENT_SIGN_RESPONSE, AGENTC_SIGN_REQUEST, SSHAgentClient
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.service import SSHService
from twisted.conch.ssh.userauth import MSG_USERAUTH_REQUEST, SSHUserAuthClient
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from ...model.ssh import SSH
from ..said import printable
from .broken import no_login

__all__ = ["Identity", "Login"]

ROUNDS: Final = 20
"""Answers of one server to our tries, after which it is left alone."""

_AGENT_PATIENCE: Final = 10.0
_RSA_SHA2_512: Final = 4  # a flag of the agent's protocol; without it, it would sign with SHA-1


@frozen
class Identity:
    """
    Who logs in.

    @ivar user: the name; C{password}: the password, or None.
    @ivar ssh: the key and the agent.
    """

    user: str
    password: str | None = field(repr=False)
    ssh: SSH


class _OwnKey:
    """A key that we hold."""

    def __init__(self, key: Any) -> None:
        self._key = Key(key)
        self.algorithm = _algorithm(self._key.sshType())
        self.blob = self._key.blob()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, self.algorithm)


class _AgentKey:
    """A key that an agent holds."""

    def __init__(self, agent: Any, blob: bytes) -> None:
        self._agent = agent
        self.algorithm = _algorithm(getNS(blob)[0])
        self.blob = blob

    def sign(self, data: bytes) -> Deferred[bytes]:
        flags = _RSA_SHA2_512 if self.algorithm == b"rsa-sha2-512" else 0
        asked: Deferred[bytes] = self._agent.sendRequest(
            AGENTC_SIGN_REQUEST, NS(self.blob) + NS(data) + struct.pack("!L", flags)
        )
        return asked.addCallback(_signature)


def _algorithm(kind: bytes) -> bytes:
    """What to sign with: nobody takes SHA-1 any more, which is what the kind alone would mean for RSA (RFC 8332)."""
    return b"rsa-sha2-512" if kind == b"ssh-rsa" else kind


def _signature(answer: bytes) -> bytes:
    if answer[:1] != bytes((AGENT_SIGN_RESPONSE,)):
        raise ValueError("the agent does not sign")
    signature: bytes = getNS(answer[1:])[0]
    return signature


class Login(SSHUserAuthClient):
    """
    The client's side of RFC 4252: the key first, then those of the agent, then the password, in either of its forms.
    """

    transport: Any

    def __init__(self, reactor: Any, identity: Identity, then: SSHService) -> None:
        super().__init__(identity.user.encode(), then)
        self._reactor = reactor
        self._identity = identity
        own = identity.ssh.private_key
        self._keys: list[_OwnKey | _AgentKey] = [] if own is None else [_OwnKey(own)]
        self._agent: Any = None
        self._gathering: Deferred[Any] | None = None
        self._passwords = [] if identity.password is None else [identity.password.encode()]
        self._answers = list(self._passwords)
        self._tried: list[str] = []
        self._rounds = 0

    def serviceStopped(self) -> None:
        """We are in, or the connection is gone."""
        if self._gathering is not None:
            self._gathering.cancel()
        if self._agent is not None:
            self._agent.transport.abortConnection()

    def ssh_USERAUTH_FAILURE(self, packet: bytes) -> Any:
        self._rounds += 1
        methods, _ = getNS(packet)
        if self._rounds > ROUNDS:
            self.refused(methods)
            return None
        tries = [name for name in methods.split(b",") if name in self.preferredOrder]
        tries.sort(key=self.preferredOrder.index)
        return self._next(tries, methods)

    def _next(self, tries: list[bytes], methods: bytes) -> None:
        """Begin with the first of them that there is something for."""
        if not tries:
            self.refused(methods)
            return
        trying = maybeDeferred(self.tryAuth, tries[0])
        trying.addCallback(lambda begun: None if begun else self._next(tries[1:], methods))
        trying.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.transport.fail(no_login(f"logging in failed: {failure.getErrorMessage()}"))

    def refused(self, methods: bytes) -> None:
        """Nothing is left to try."""
        user, tried = self._identity.user, ", ".join(self._tried) or "nothing: no key, no agent, no password"
        takes = ", ".join(each for each in printable(methods).split(",") if each) or "nothing"
        self.transport.fail(no_login(f"no login as {user!r}; tried: {tried}; the server takes: {takes}"))

    # keys

    def auth_publickey(self) -> Any:
        if not self._keys and self._gathering is None:
            # Not before our own key was refused: an agent may be slow, or ask somebody.
            self._gathering = Deferred.fromCoroutine(self._gather())
            return self._gathering.addCallback(lambda _: self._offer())
        return self._offer()

    def _offer(self) -> bool:
        """Ask whether the next key would do, so that no agent has to sign in vain."""
        if not self._keys:
            return False
        key = self._keys[0]
        self._tried.append("the key" if isinstance(key, _OwnKey) else "a key of the agent")
        self.askForAuth(b"publickey", b"\0" + NS(key.algorithm) + NS(key.blob))
        self._offered = self._keys.pop(0)
        return True

    def ssh_USERAUTH_PK_OK_publickey(self, packet: bytes) -> None:
        key = self._offered
        asked = b"\1" + NS(key.algorithm) + NS(key.blob)
        request = NS(self.user) + NS(self.instance.name) + NS(b"publickey") + asked
        signing = maybeDeferred(key.sign, NS(self.transport.sessionID) + bytes((MSG_USERAUTH_REQUEST,)) + request)
        # An agent may refuse, too: the next one, then.
        signing.addCallbacks(
            lambda signature: self.askForAuth(b"publickey", asked + NS(signature)),
            lambda _: self.askForAuth(b"none", b""),
        )
        signing.addErrback(self._failed)

    async def _gather(self) -> None:
        path = os.environ.get("SSH_AUTH_SOCK")
        if not self._identity.ssh.agent or not path:
            return
        try:
            connecting = UNIXClientEndpoint(self._reactor, path, timeout=_AGENT_PATIENCE).connect(
                Factory.forProtocol(_Agent)
            )
            self._agent = await connecting
            found = await self._agent.requestIdentities().addTimeout(_AGENT_PATIENCE, self._reactor)
            self._keys += [_AgentKey(self._agent, blob) for blob, _ in found]
        except Exception as error:
            self._tried.append(f"no agent ({type(error).__name__})")

    # passwords

    def getPassword(self, prompt: bytes | None = None) -> Any:
        if not self._passwords:
            return None
        self._tried.append("the password")
        return succeed(self._passwords.pop())

    def ssh_USERAUTH_PK_OK_password(self, packet: bytes) -> None:
        self.transport.fail(no_login("the password has expired; set a new one with ssh"))

    def auth_keyboard_interactive(self) -> bool:
        if not self._answers:
            return False
        self._tried.append("the password, as an answer")
        return super().auth_keyboard_interactive()

    def getGenericAnswers(self, name: bytes, instruction: bytes, prompts: list[tuple[bytes, bool]]) -> Deferred[Any]:
        """The password for the one question that is not to be seen; what else is asked is not known here."""
        if not prompts:
            return succeed([])
        if len(prompts) > 1 or prompts[0][1] or not self._answers:
            self._answers.clear()
            return fail(ValueError("the server asks for more than a password"))
        return succeed([self._answers.pop().decode()])


class _Agent(SSHAgentClient):
    """An agent that goes away answers what it was asked with an error."""

    deferreds: list[Deferred[Any]]

    def connectionLost(self, reason: Any = None) -> None:
        waiting, self.deferreds = self.deferreds, []
        for each in waiting:
            each.errback(reason)
