"""What a service is told to do."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from attrs.validators import ge

from ..engine.schemes import find
from ..engine.sharing import KEEP_SHARE, WINDOW
from ..errors import UnsupportedScheme
from ..interfaces import IMirrors
from ..model.remote import Remote
from ..streamer import Answers
from ..streamer.entrance import ConnectionLimits
from ..urls import parse, shown

__all__ = ["ADMIN", "LISTEN", "Configuration", "Prefix"]

LISTEN = "tcp:8751:interface=127.0.0.1"
ADMIN = "tcp:8752:interface=127.0.0.1"


@frozen
class Prefix:
    """
    What is below a path is what is below a URL.

    @ivar remote: how that is reached.
    @ivar mirrors: where else it is.
    """

    path: str
    url: str = field(repr=shown)
    remote: Remote
    mirrors: IMirrors | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        names = self.path.strip("/").split("/") if self.path.strip("/") else []
        if not self.path.startswith("/") or {"", ".", ".."} & {*names}:
            raise ValueError(f"{self.path!r} is no prefix of a path; it begins with a slash, and its names are plain")
        place = parse(self.url)
        try:
            find(place.scheme)
        except UnsupportedScheme as error:  # nobody would get anything but a 502
            raise ValueError(f"{shown(self.url)!r}: {error}") from error
        if "?" in place.target:
            raise ValueError(f"{shown(self.url)!r} has a query; what is below it cannot be told")

    def __str__(self) -> str:
        return f"{self.path} from {shown(self.url)}"


@frozen(kw_only=True)
class Configuration:
    """
    All of it.

    @ivar listen: endpoints, as Twisted's C{serverFromString} takes them; C{admin}: those of the administrator.
    @ivar catalogue: the path of one, or None.
    @ivar store: the directory for what is stored on demand, or None; C{store_size}: bytes that it may hold.
    @ivar keep_share: of a file that all clients have left, what has to have come of it that the rest is stored, too.
    @ivar window: bytes by which a client may be behind the fastest one that has the same transfer.
    @ivar remotes: what the catalogue's remotes are, by their names.
    @ivar anonymous: and for what was published without a name.
    @ivar mirrors: where else the files of remotes are, by the names of these; None for those without a name.
    @ivar mirror_state: the file for what is learnt of them, or None.
    @ivar grace: seconds that answers have to end in when the service does; those that take longer are cut.
    @ivar log_requests: a line in the log for each.
    """

    listen: tuple[str, ...] = (LISTEN,)
    admin: tuple[str, ...] = (ADMIN,)
    passthrough: tuple[Prefix, ...] = ()
    catalogue: str | None = None
    store: str | None = None
    store_size: int | None = None
    keep_share: float = KEEP_SHARE
    window: int = WINDOW
    remotes: Mapping[str, Remote] = field(factory=dict, repr=False)
    anonymous: Remote = field(factory=Remote, repr=False)
    mirrors: Mapping[str | None, IMirrors] = field(factory=dict, repr=False)
    mirror_state: str | None = None
    answers: Answers = field(factory=Answers)
    connections: ConnectionLimits = field(factory=ConnectionLimits)
    grace: float = field(default=60.0, validator=ge(0))
    log_requests: bool = False

    @property
    def serves(self) -> tuple[str, ...]:
        """What it serves, for people."""
        catalogue = () if self.catalogue is None else (f"the catalogue {self.catalogue}",)
        return (*catalogue, *map(str, self.passthrough))
