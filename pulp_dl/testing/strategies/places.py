"""Where files may be said to be: URLs, redirects, mirrors; and who asks there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen
from hypothesis import strategies as st

from ...errors import AuthFailed, ConnectFailed, NotFound, TLSFailed, Unavailable
from ...model.auth import Basic
from ...model.tls import TLS
from ..answer import redirect
from ..places import Place
from ..script import Script

__all__ = ["Mirror", "Redirects", "identities", "mirror_sets", "redirect_graphs", "urls"]


def urls(scheme: str = "http", *, odd: bool = False) -> st.SearchStrategy[str]:
    """
    Absolute URLs that are right: names, addresses, ports, userinfo, escapes, raw UTF-8, queries, fragments.

    @param odd: also such that two readers may read in two ways, or nobody can.
    """
    hosts = [
        "example.org",
        "EXAMPLE.org",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "a_b.example",
        "x.y.",
        "b\u00fccher.example",
    ]
    ports = ["", ":80", ":8080", ":"]
    users = ["", "", "elmer@", "elmer:secret@", "e%40b:p%3Aq@"]
    segments = ["", "a", "b.rpm", "%2F", "%e4", "\u00e4", "..", ".", "a b", "+", "a;b=c", "~"]
    queries = ["", "?", "?a=b", "?Signature=a%2Fb%3D&Expires=1", "?a?b/c", "?\u00e4=\u00f6"]
    fragments = ["", "", "#", "#part"]
    if odd:
        hosts += [
            "",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "2130706433",
            "[::1",
            "::1",
            "a..b",
            "ex\u3002org",
            "a%2eb",
            "a b",
            "[v1.x]",
        ]
        hosts += [
            "h\\@evil.example",
            "h#@evil.example",
            "h?@evil.example",
            "h;@evil.example",
            "h\t",
            "h\x00",
            "\uff21.example",
        ]
        ports += [":0", ":65536", ":-1", ":8_0", ":\u0661", ":80:80", ":80\\"]
        users += ["@", ":@", "a@b@", "a:b:c@", "a\\@", "%00@", "\r\n@"]
        segments += ["\\", "\\..\\", "%", "%zz", "\x00", "\r\nX: y", "\x7f", "\ud800"]
        fragments += ["#@evil.example", "#\n"]
    paths = st.lists(st.sampled_from(segments), max_size=4).map(lambda found: "".join("/" + each for each in found))
    parts = (users, hosts, ports)
    return st.builds(
        lambda *found: f"{scheme}://" + "".join(found),
        *map(st.sampled_from, parts),
        paths,
        st.sampled_from(queries),
        st.sampled_from(fragments),
    )


# ---- redirects

_NOWHERE: Final = (
    "",
    "ftp://a.example/",
    "file:///etc/passwd",
    "ws://a.example/",
    "http://[",
    "javascript:0",
    "http://",
)


@frozen
class Redirects:
    """
    Places, each of which has the file, or nothing, or sends elsewhere.

    @ivar places: their URLs; the first one is asked first.
    @ivar hops: for each of them the status and Location of its redirect; True: the file is there; False: nothing is.
    @ivar leads: for each redirect, the number of the place that it leads to; None: to nowhere.
    """

    places: tuple[str, ...]
    hops: tuple[tuple[int, str] | bool, ...]
    leads: tuple[int | None, ...] = field(repr=False)

    def trail(self) -> tuple[list[str], bool]:
        """
        The places that are asked, each once, and whether the file is at the last one.  Nobody follows from https to
        http.
        """
        found: list[int] = []
        at: int | None = 0
        while at is not None and at not in found:
            found.append(at)
            hop, to = self.hops[at], self.leads[at]
            if isinstance(hop, bool):
                return [self.places[each] for each in found], hop
            down = to is not None and self.places[at].startswith("https:") and self.places[to].startswith("http:")
            at = None if down else to
        return [self.places[each] for each in found], False

    def scripts(self, origin: str, file: Script) -> dict[str, Script]:
        """What the server at this origin says, by path; C{file} where the file is."""
        said: dict[str, Script] = {}
        for place, hop in zip(self.places, self.hops, strict=True):
            if place.rpartition("/")[0] == origin and hop is not False:
                said[f"/{place.rpartition('/')[2]}"] = file if hop is True else redirect(hop[1], hop[0])
        return said


@st.composite
def redirect_graphs(draw: st.DrawFn, origins: Sequence[str], most: int = 14) -> Redirects:
    """Chains, circles and dead ends between these origins; a chain may be longer than anybody follows."""
    count = draw(st.integers(1, most))
    places = tuple(f"{draw(st.sampled_from(origins))}/{number}" for number in range(count))
    hops: list[tuple[int, str] | bool] = []
    leads: list[int | None] = []
    forward = draw(st.booleans())  # a chain to the last place, else whatever it may be
    for number, here in enumerate(places):
        if (forward and number == count - 1) or (not forward and draw(st.integers(0, 4)) == 0):
            hops.append(draw(st.sampled_from([True, True, False])))
            leads.append(None)
            continue
        to = number + 1 if forward else draw(st.integers(0, count - 1))
        nowhere = not forward and draw(st.integers(0, 9)) == 0
        location = draw(st.sampled_from(_NOWHERE)) if nowhere else draw(_locations(here, places[to]))
        hops.append((draw(st.sampled_from([301, 302, 303, 307, 308])), location))
        leads.append(None if nowhere else to)
    return Redirects(places, tuple(hops), tuple(leads))


def _locations(here: str, there: str) -> st.SearchStrategy[str]:
    """Ways to say this."""
    origin, _, name = there.rpartition("/")
    scheme, _, host = origin.partition("://")
    forms = [
        f"{origin}/{name}",
        f"{origin}/{name}#part",
        f"{scheme.upper()}://{host}/{name}",
        f"{scheme}://u:pw@{host}/{name}",
    ]
    if here.startswith(f"{scheme}:"):
        forms.append(f"//{host}/{name}")
    if here.rpartition("/")[0] == origin:
        forms += [f"/{name}", name, f"./{name}", f"../{name}", f"/a/../{name}"]
    return st.sampled_from(forms)


# ---- mirrors


@frozen
class Mirror:
    """
    One of several.

    @ivar base: its URL, as a list may spell it: with or without the last slash, in any case.
    @ivar places: what each request for the file gets there; the last one stays.
    """

    base: str
    places: tuple[Place, ...]

    @property
    def url(self) -> str:
        """Of its file C{f}."""
        return f"{self.base.lower().rstrip('/')}/f"


def mirror_sets(right: bytes, hosts: Sequence[str] = "abcd", scheme: str = "memory") -> st.SearchStrategy[list[Mirror]]:
    """
    Up to five mirrors, some of them named twice: with the right file or another one, that break off, stall, refuse, or
    lie about what they have.
    """
    wrong = [b"!" + right[1:], right[:-1] + b"!", right + b"more", right[:-1], b""]
    breaks = st.none() | st.integers(0, len(right)) | st.sampled_from([0, 1, max(0, len(right) - 1)])
    refusals = [
        lambda: ConnectFailed("no"),
        lambda: NotFound(404),
        lambda: Unavailable(503, "", None, 7),
        lambda: TLSFailed("no"),
        lambda: AuthFailed(403),
    ]
    bodies = st.builds(
        Place,
        data=st.sampled_from([right, right, *wrong]),
        etag=st.sampled_from([b'"1"', b'"2"', b'W/"1"', None]),
        ranges=st.booleans(),
        trusting=st.booleans(),
        length=st.booleans(),
        total=st.sampled_from([None, None, "*", 0, len(right) + 1]),
        drop_at=breaks,
        stall_at=st.none() | breaks,
        chunk=st.sampled_from([977, 16_384, 200_000]),
    )
    places = st.one_of(bodies, bodies, st.sampled_from(refusals).map(lambda make: Place(error=make)))
    script = st.lists(places, min_size=1, max_size=3).map(tuple)

    def spelled(base: str) -> st.SearchStrategy[str]:
        return st.sampled_from([base, base, f"{base}/", base.upper(), base.replace(scheme, scheme.upper())])

    bases = st.lists(st.sampled_from([f"{scheme}://{host}" for host in hosts]).flatmap(spelled), max_size=5)
    return bases.flatmap(
        lambda found: st.fixed_dictionaries({base.lower().rstrip("/"): script for base in found}).map(
            lambda scripts: [Mirror(base, scripts[base.lower().rstrip("/")]) for base in found]
        )
    )


# ---- who asks


def identities(tls: Sequence[TLS | None] = (None,)) -> st.SearchStrategy[Mapping[str, Any]]:
    """
    Settings of a C{Remote} that say who it is: a user, a secret field, a certificate, or nobody.

    @param tls: the certificates and the trust that there are.
    """
    users = st.sampled_from([None, Basic("alice", "one"), Basic("alice", "two"), Basic("bob", "one")])
    fields = st.sampled_from([{}, {"X-Auth-Token": "one"}, {"X-Auth-Token": "two"}])
    return st.fixed_dictionaries({"auth": users, "headers": fields, "tls": st.sampled_from([*tls])}).map(
        lambda found: {name: value for name, value in found.items() if value is not None}
    )
