"""Hosts that are reached without a proxy, as C{no_proxy} has them."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from attrs import field, frozen

from ..urls import URL, InvalidURL, address_of, parse

__all__ = ["Direct"]

_OF_A_URL: Final = re.compile(r"[/?#@\\]")
"""What ends a host, or stands before it: a wrong network, or a URL, names no host, and nobody is to guess one."""


@frozen
class _Rule:
    """One entry of C{no_proxy}: an address or a range of them, a name and all below it, or everything."""

    network: IPv4Network | IPv6Network | None = None
    name: str = ""
    port: int | None = None

    def covers(self, place: URL) -> bool:
        if self.port is not None and self.port != place.port:
            return False
        address = address_of(place.host)
        if self.network is not None:
            return address is not None and address in self.network
        # An address has no domain: what it ends with is nobody's name.
        return not self.name or (address is None and f".{place.host.removesuffix('.')}".endswith(self.name))


def _rule(entry: str) -> _Rule | None:
    """What an entry means; None if it means nothing, as for curl."""
    if entry == "*":
        return _Rule()
    try:
        return _Rule(ip_network(entry, strict=False))
    except ValueError:
        pass
    if _OF_A_URL.search(entry):
        return None
    try:
        place = parse(f"any://{entry.removeprefix('*').lstrip('.')}/")
    except InvalidURL:
        return None
    host = place.host.removesuffix(".")
    try:
        return _Rule(ip_network(host), port=place.port)
    except ValueError:
        return _Rule(name=f".{host}", port=place.port)


@frozen
class Direct:
    """
    What the text of C{no_proxy} means.

    @ivar text: C{example.org} (and all below it), C{example.org:8080}, an address, a network (C{10.0.0.0/8},
        C{fd00::/8}), or C{*} for all; with commas or spaces between them.  A name is never looked up to find its
        address.
    """

    text: str = ""
    _rules: tuple[_Rule, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"direct: hosts in one str are needed, not {type(self.text).__name__}")
        found = (_rule(entry) for entry in self.text.replace(",", " ").split())
        object.__setattr__(self, "_rules", tuple(rule for rule in found if rule is not None))

    def covers(self, place: URL) -> bool:
        """Is it reached without a proxy?"""
        return any(rule.covers(place) for rule in self._rules)
