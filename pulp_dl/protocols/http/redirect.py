"""Where a chain of redirects may lead, and what it may take along."""

from __future__ import annotations

import re
from typing import Final

from ...errors import ProtocolError, RedirectRefused
from ...model.headers import Pairs
from ...model.remote import Remote
from ...model.source import Source
from ...urls import InvalidURL, join

__all__ = ["REDIRECTS", "Trail"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RAW: Final = re.compile(rb"[\x80-\xff]")


class Trail:
    """
    The chain of one request.

    Secrets are for an origin, and only as long as the chain has never been anywhere else: whoever redirects back to the
    origin does not get them restored (CVE-2024-45336 of Go), and a mirror that redirects to it does not obtain them.

    @ivar place: where to ask now.
    @ivar inside: may it have the secrets of the Remote (and the client certificate)?
    @ivar own: may it have the user and password that stood in the URL?
    """

    own = True
    _seen: set[tuple[str, bool, bool]] | None = None

    def __init__(self, remote: Remote, source: Source) -> None:
        self.place = source.place
        # The usual case without reading a URL again.
        bound = remote.url is not None or source.scope is not None
        self._scope = remote.scope(source.url, source.scope) if bound else source.place.origin
        self._remote = remote
        self._source = source
        self.inside = self.place.origin == self._scope and not source.public

    def follow(self, pairs: Pairs) -> None:
        """
        Go where a redirect leads.

        Userinfo in a Location is not looked at: it is no secret of ours, and no server needs to be told its own.

        @param pairs: the fields of its answer.
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
        self.inside = self.inside and place.origin == self._scope
        self.own = self.own and place.origin == self._source.place.origin
        state = self._state()
        if state in self._seen:
            raise ProtocolError("redirects that lead round in circles", str(place))
        self._seen.add(state)

    def _state(self) -> tuple[str, bool, bool]:
        # All that a request is made of: the same one again would get the same answer.
        return str(self.place), self.inside, self.own

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
