"""Which key a server is known by: OpenSSH's known_hosts, or one fingerprint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.conch.client.knownhosts import HashedEntry, PlainEntry
from twisted.conch.ssh.keys import FingerprintFormats, Key

from ...model.ssh import SSH
from ...urls import URL

__all__ = ["Known", "known"]

FILES: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_REVOKED: Final = re.compile(rb"@revoked[ \t]+")


@frozen
class Known:
    """
    What is known of one server.

    @ivar name: as known_hosts has it.
    @ivar file: where it would be looked for first.
    @ivar keys: those that are known, each with where that stands; C{revoked}: those that may not be used.
    @ivar fingerprint: of the only key that it may have.
    """

    place: URL
    file: str
    keys: tuple[tuple[Key, str], ...] = ()
    revoked: tuple[Key, ...] = ()
    fingerprint: str | None = None

    @property
    def name(self) -> str:
        return _name(self.place)

    @property
    def types(self) -> tuple[bytes, ...]:
        """Kinds of keys to ask the server for first: another one would not be known."""
        return tuple(key.sshType() for key, _ in self.keys)

    def refusal(self, key: Key) -> str | None:
        """Why a server with this key is not to be trusted; None if it is."""
        found = f"{_kind(key)} key {_print(key)}"
        if self.fingerprint is not None:
            if _print(key) == self.fingerprint:
                return None
            return f"the server has the {found}, not {self.fingerprint}: somebody may be in between"
        if key in self.revoked:
            return f"the server has the {found}, which is marked as revoked"
        if any(key == each for each, _ in self.keys):
            return None
        for each, where in self.keys:
            if each.sshType() == key.sshType():
                return (
                    f"the server has the {found}, not the one in {where}: somebody may be in between; if it is known"
                    f" to have a new key, remove the old one: ssh-keygen -R '{self.name}' -f {self.file}"
                )
        port = "" if self.place.port == 22 else f"-p {self.place.port} "
        return (
            f"the server is not known; it has the {found}; if that is the right one, make it known:"
            f" ssh-keyscan {port}{self.place.host} >> {self.file}"
        )


def known(ssh: SSH, place: URL) -> Known:
    """
    Look it up.  Reads files: for a worker thread.
    """
    paths = FILES if ssh.known_hosts is None else (str(ssh.known_hosts),)
    if ssh.fingerprint is not None:
        return Known(place, paths[0], fingerprint=ssh.fingerprint)
    keys: list[tuple[Key, str]] = []
    revoked: list[Key] = []
    for path in paths:
        for key, where, is_revoked in _entries(path, _name(place).encode()):
            if is_revoked:
                revoked.append(key)
            else:
                keys.append((key, where))
    return Known(place, paths[0], tuple(keys), tuple(revoked))


def _name(place: URL) -> str:
    return place.host if place.port == 22 else f"[{place.host}]:{place.port}"


def _entries(path: str, name: bytes) -> Iterator[tuple[Key, str, bool]]:
    """The keys that a file has for a name, where each stands, and whether it is marked as revoked."""
    try:
        lines = Path(path).expanduser().read_bytes().splitlines()
    except (OSError, RuntimeError):  # nothing is known, then; there may be no home
        return
    for number, line in enumerate(lines, 1):
        line = line.strip()  # noqa: PLW2901
        rest = _REVOKED.sub(b"", line, count=1) if _REVOKED.match(line) else line  # of the marks, Twisted knows none
        kind = HashedEntry if rest.startswith(HashedEntry.MAGIC) else PlainEntry
        try:
            entry = kind.fromString(rest)
        except Exception:  # noqa: S112  # a comment, another mark, a kind of key that is not known here, or nonsense
            continue
        # Of patterns, Twisted knows none, either.
        if entry.matchesHost(name) if kind is HashedEntry else _names(rest.split(None, 1)[0], name):
            yield entry.publicKey, f"{path}:{number}", rest is not line


def _names(patterns: bytes, name: bytes) -> bool:
    """Is it one of these, and none of those with a C{!}?  (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)"""
    fits = [pattern for pattern in patterns.lower().split(b",") if _fits(pattern.removeprefix(b"!"), name)]
    return bool(fits) and not any(pattern.startswith(b"!") for pattern in fits)


def _fits(pattern: bytes, name: bytes) -> bool:
    text = re.sub(rb"\*+", b"*", pattern)
    return re.fullmatch(re.escape(text).replace(rb"\*", b".*").replace(rb"\?", b"."), name, re.DOTALL) is not None


def _kind(key: Key) -> str:
    return {"EC": "ECDSA", "Ed25519": "ED25519"}.get(key.type(), key.type())


def _print(key: Key) -> str:
    return f"SHA256:{key.fingerprint(format=FingerprintFormats.SHA256_BASE64).rstrip('=')}"
