"""Where a chain of redirects may lead, and what it may take along."""

from __future__ import annotations

import re
from typing import Final

from ...errors import ProtocolError, RedirectRefused
from ...model.auth import Basic
from ...model.headers import Pairs, find
from ...model.remote import Remote
from ...model.source import Source
from ...urls import URL, InvalidURL, join
from ..spaces import Space, found_here, home, inside, named, scope
from .cookies import Cookies

__all__ = ["REDIRECTS", "Trail"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RAW: Final = re.compile(rb"[\x80-\xff]")


class Trail:
    """
    The chain of one request.

    Secrets are for an origin, and only as long as the chain has never been anywhere else: whoever redirects back to the
    origin does not get them restored (CVE-2024-45336 of Go), and a mirror that redirects to it does not obtain them.

    A host that the caller named may be anywhere: that of the source, unless the source was C{found}; that of its scope;
    and that of C{Remote.url}.  But once it has answered, it may not lead us to itself at a closer address (DNS
    rebinding).  All others have been named by some server, and may not be closer to us than the farthest one of the
    chain so far (L{pulp_dl.protocols.spaces}).  The chain of a source that was found begins with its scope,
    since that is where it was found; without one it begins in the public network.

    @ivar place: where to ask now.
    @ivar inside: may it have the secrets of the Remote (and the client certificate)?
    @ivar own: may it have the user and password that stood in the URL?
    @ivar floor: the closest space that it may be in; None for any.
    @ivar named: the caller has named it: connections that the caller has there may be used, and the floor is for new
        ones.
    @ivar home: whose space has to be found out, and told to C{begin_at}, before it may be asked; None if nobody's.
    @ivar cookies: what is sent there of those that were set.
    """

    # For most of them that is all; so they have nothing of their own.
    own = True
    floor: Space | None = None
    named = True
    home: URL | None = None
    cookies: Pairs = ()
    _farthest = Space.MACHINE
    _met: dict[str, Space] | None = None
    _seen: set[tuple[str, bool, Basic | None, Pairs]] | None = None

    def __init__(self, remote: Remote, source: Source) -> None:
        self.place = source.place
        self._remote = remote
        self._source = source
        self.inside = inside(remote, source)
        if source.found and not remote.allow_private:
            self._begin()

    def _begin(self) -> None:
        place = home(self._remote, self._source)
        if place is None:
            self.begin_at(Space.PUBLIC)
        elif place.scheme != "file" and (place.host == self.place.host or not self._named()):
            self.home = place

    @property
    def auth(self) -> Basic | None:
        """User and password that stood in the URL, while it may have them."""
        return self._source.auth if self.own else None

    @property
    def who(self) -> tuple[Basic | None, bytes | None] | None:
        """Who the source makes us there, beside its Remote: the user of its URL, an Authorization of its own."""
        headers = self._source.headers
        own = find(headers, b"authorization") if headers and self.inside else None
        return None if own is None and self.auth is None else (self.auth, own)

    def begin_at(self, space: Space) -> None:
        """The chain begins in this space."""
        if self.home is not None:
            self._meet(self.home, space)
        self.home, self._farthest = None, space
        self._look()

    def _named(self) -> bool:
        """Does the caller, and no server, say where this is?"""
        return named(self._remote, self._source, self.place.host)

    def _meet(self, place: URL, space: Space) -> None:
        if found_here(self._remote, place):
            met = self._met or {}
            self._met = {**met, place.host: max(space, met.get(place.host, space))}

    def _look(self) -> None:
        if self._remote.allow_private or self._farthest is Space.MACHINE:
            return
        floor: Space = self._farthest
        self.named = self._named()
        if self.named:
            floor = min(floor, (self._met or {}).get(self.place.host, Space.MACHINE))
        self.floor = floor or None  # nothing is closer than this machine

    def follow(self, pairs: Pairs, space: Space, jar: Cookies | None = None) -> None:
        """
        Go where a redirect leads.

        Userinfo in a Location is not looked at: it is no secret of ours, and no server needs to be told its own.

        @param pairs: the fields of its answer; C{space}: where that came from; C{jar}: what has set its cookies.
        @raise ProtocolError: it leads nowhere, or round in circles.
        @raise RedirectRefused: it leads where we do not go.
        """
        here = self.place
        if self._seen is None:
            self._seen = {self._state()}
        if len(self._seen) > self._remote.limits.redirects:
            raise ProtocolError(f"more than {self._remote.limits.redirects} redirects (Limits.redirects)", str(here))
        try:
            place = join(here, self._location(pairs))
        except InvalidURL as error:
            raise ProtocolError(f"a redirect that leads nowhere: {error}", str(here)) from error
        if place.scheme not in {"http", "https"}:
            raise RedirectRefused(f"a redirect to {place.scheme}: is not followed", str(here))
        if here.scheme == "https" and place.scheme == "http" and not self._remote.allow_downgrade:
            raise RedirectRefused(
                "a redirect from https: to http: is not followed; Remote(allow_downgrade=True) permits it", str(here)
            )
        self.place = place
        self._farthest = max(self._farthest, space)
        self._meet(here, space)
        self._look()
        self.inside = self.inside and place.origin == scope(self._remote, self._source)
        self.own = self.own and place.origin == self._source.place.origin
        self.cookies = jar.fields(place) if jar is not None and self.inside else ()
        state = self._state()
        if state in self._seen:
            raise ProtocolError("redirects that lead round in circles", str(place))
        self._seen.add(state)

    def _state(self) -> tuple[str, bool, Basic | None, Pairs]:
        # All that a request is made of: the same one again would get the same answer.
        return str(self.place), self.inside, self.auth, self.cookies

    @staticmethod
    def _location(pairs: Pairs) -> str:
        values = {value for name, value in pairs if name.lower() == b"location"}
        if len(values) > 1:
            raise InvalidURL("it has several Location fields")
        location = values.pop() if values else b""
        if not location:
            raise InvalidURL("it has no Location")
        try:
            return location.decode("utf-8")
        except UnicodeDecodeError:
            # Bytes of some other encoding: as they are, which is what the server will look for.
            return _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], location).decode("ascii")
