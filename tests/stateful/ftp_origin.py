"""A host of a model that speaks FTP: the same files, and what becomes of commands."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from attrs import field, frozen
from hypothesis import strategies as st

from pulp_dl.testing import Close, Data, Entity, FaultFTP, Hold, Request, Reset, Script, Send, reply
from pulp_dl.testing.strategies import passive_replies
from tests.stateful.origins import FILES, body_of

__all__ = ["FTP_FAULTS", "FTPFault", "FTPOrigin", "ftp_cut"]

_BEGIN = 1_000_000_000
"""Seconds since the epoch: when the first versions were made; each later one was made a minute after the one before."""

_ASKING = {"SIZE", "MDTM", "EPSV", "PASV", "REST"}


@frozen
class FTPFault:
    """
    What is said instead of what an honest server says.

    @ivar verb: to which command.
    @ivar script: what; or what makes that of the server.
    """

    name: str
    verb: str
    script: Any = field(repr=False)

    def __repr__(self) -> str:
        return self.name


class FTPOrigin:
    """
    A host.

    @ivar versions: which version of each file it has.
    """

    name = "f.example"

    def __init__(self) -> None:
        self.versions = dict.fromkeys(FILES, 0)
        self.stage: FaultFTP

    def serve(self, network: Any) -> None:
        """On this network from now on."""
        self.stage = FaultFTP(network, {}, interface=self.name, port=21)
        for name in FILES:
            self._publish(name)

    def change(self, name: str, version: int) -> bool:
        """
        From now on this is the version, unless somebody has just been told of the one before.

        There is no asking by FTP for the rest of just this version: whoever asks for the time of a file and then for
        the file is at the mercy of who changes it between the two.
        """
        last = {request.connection: request.method for request in self.stage.requests}
        if any(method in _ASKING for method in last.values()):
            return False
        self.versions[name] = version
        self._publish(name)
        return True

    def _publish(self, name: str) -> None:
        version = self.versions[name]
        modified = formatdate(_BEGIN + 60 * version, usegmt=True).encode()
        self.stage.files[name] = Entity(body_of(name, version), modified=modified)

    def misbehave(self, fault: FTPFault) -> None:
        """From now on."""
        self.stage.replies[fault.verb] = fault.script(self.stage) if callable(fault.script) else fault.script

    def heal(self) -> None:
        self.stage.replies.clear()
        self.stage.release()


def ftp_cut(after: int, end: Script, last: Script) -> FTPFault:
    """A transfer that breaks off behind so many bytes; the server knows it."""

    def script(server: FaultFTP) -> Any:
        def retrieve(request: Request) -> Script:
            session = server.sessions[request.connection]
            entity: Any = server.files.get(request.target)
            if entity is None:
                return reply(550, "no such file")
            offset, session.offset = session.offset, 0
            return reply(150), Data((Send(entity.data[offset : offset + after]), end)), last

        return retrieve

    return FTPFault(f"cut at {after}, {end!r}, {last!r}", "RETR", script)


FTP_FAULTS: st.SearchStrategy[FTPFault] = st.one_of(
    st.builds(
        ftp_cut,
        st.integers(0, 150_000),
        st.sampled_from([Reset(), Close(), Hold()]),
        st.sampled_from([reply(426, "no"), reply(451, "no"), Close(), Hold()]),
    ),
    st.builds(lambda script: FTPFault(f"EPSV {script!r}", "EPSV", script), passive_replies()),
    st.builds(
        lambda verb, code: FTPFault(f"{verb} {code}", verb, reply(code, "no")),
        st.sampled_from(["USER", "PASS", "TYPE", "SIZE", "MDTM", "EPSV", "PASV", "REST", "RETR"]),
        st.sampled_from([421, 425, 450, 502, 530, 550, 553]),
    ),
    st.builds(
        lambda verb, script: FTPFault(f"{verb} {script!r}", verb, script),
        st.sampled_from(["USER", "SIZE", "REST", "RETR"]),
        st.sampled_from([Hold(), Close(), Reset(), Send(b"nonsense\r\n"), Send(b"226-\r\n" * 200)]),
    ),
)
