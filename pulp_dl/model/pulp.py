"""A remote as Pulp has it: its own names and what they mean, in terms of a L{Remote}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final

from .auth import Basic
from .headers import Pairs, find, header_pairs
from .remote import Limits, Proxy, Remote, Retries, Timeouts
from .tls import TLS

__all__ = ["remote_from_pulp"]

OPTIONS: Final = (
    "url",
    "ca_cert",
    "client_cert",
    "client_key",
    "tls_validation",
    "username",
    "password",
    "proxy_url",
    "proxy_username",
    "proxy_password",
    "total_timeout",
    "connect_timeout",
    "sock_connect_timeout",
    "sock_read_timeout",
    "headers",
    "download_concurrency",
    "max_retries",
    "rate_limit",
)

_OTHERS: Final = frozenset(
    {"name", "policy", "prn", "pulp_created", "pulp_domain", "pulp_href", "pulp_id", "pulp_labels", "pulp_last_updated"}
    | {"hidden_fields"}
)
"""What Pulp's remotes have besides."""

RETRIES: Final = 3
CONCURRENCY: Final = 10
"""Where Pulp has a default of its own, it is this."""

_NOTHING: Final = (None, 0)  # to Pulp they are the same, for limits of time and of requests


def remote_from_pulp(options: Mapping[str, Any]) -> Remote:
    """The contract is C{Remote.from_pulp}'s."""
    if not isinstance(options, Mapping):
        raise TypeError(f"Remote.from_pulp: a mapping of Pulp's options is needed, not {type(options).__name__}")
    _check_names(options)
    # Pulp takes an empty text for nothing, too.
    given = {name: value for name, value in options.items() if value is not None and value != ""}
    with _blaming({"Remote.url": "url", "Basic.user": "url", "Basic.password": "url"}):
        remote = Remote(url=given.get("url"))
    auth = _credentials(given, "", remote.auth) or remote.auth
    headers = _headers(given.get("headers", ()))
    if auth is not None and find(headers, b"authorization") is not None:
        raise ValueError("headers: there is an Authorization in them, and a username, too; take one of them out")
    tls = _tls(given)
    return Remote(
        url=remote.url,
        tls=tls,
        auth=auth,
        proxy=_proxy(given, tls),
        headers=headers,
        timeouts=_timeouts(given),
        limits=_limits(given),
        retries=_retries(given),
    )


def _check_names(options: Mapping[str, Any]) -> None:
    for name in options:
        if name in OPTIONS:
            continue
        if name in _OTHERS:
            raise ValueError(f"{name}: says nothing about how to download; leave it out")
        near = get_close_matches(str(name), OPTIONS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(OPTIONS)}"
        raise ValueError(f"{name!r} is no option of a remote of Pulp; {hint}")


def _tls(given: dict[str, Any]) -> TLS:
    names = {"TLS.ca": "ca_cert", "TLS.cert": "client_cert", "TLS.key": "client_key", "TLS.verify": "tls_validation"}
    # Pulp has no passphrases.
    names["TLS.passphrase: missing;"] = "client_key: give it without a passphrase;"
    with _blaming(names):
        return TLS(
            ca=given.get("ca_cert"),
            cert=given.get("client_cert"),
            key=given.get("client_key"),
            verify=given.get("tls_validation", True),
        )


def _credentials(given: dict[str, Any], prefix: str, known: object) -> Basic | None:
    """
    User and password.

    @param known: those that stand in the URL, or None.
    """
    url, user, password = f"{prefix}url", f"{prefix}username", f"{prefix}password"
    if user not in given:
        if password in given:
            raise ValueError(f"{password}: of no use without {user}; give that too")
        return None
    if known is not None:
        raise ValueError(f"{user}: there is a user in {url}, too; take one of them out")
    with _blaming({"Basic.user": user, "Basic.password": password}):
        return Basic(given[user], given.get(password, ""))


def _proxy(given: dict[str, Any], tls: TLS) -> Proxy | None:
    """
    @param tls: of the remote; for Pulp its trust is that of the proxy, too.
    """
    if "proxy_url" not in given:
        for name in ("proxy_username", "proxy_password"):
            if name in given:
                raise ValueError(f"{name}: of no use without proxy_url; give that too")
        return None
    names = {"Proxy.url": "proxy_url", "Basic.user": "proxy_url", "Basic.password": "proxy_url"}
    with _blaming({**names, "Proxy.auth": "proxy_url"}):
        proxy = Proxy(given["proxy_url"])
    auth = _credentials(given, "proxy_", proxy.auth) or proxy.auth
    if "proxy_username" in given and "proxy_password" not in given:
        raise ValueError("proxy_username: of no use without proxy_password; give that too")
    with _blaming({"Proxy.auth": "proxy_username"}):
        return Proxy(proxy.url, auth, tls=tls.public() if proxy.place.scheme == "https" else TLS())


def _headers(value: Any) -> Pairs:
    if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
        raise TypeError('headers: Pulp has a list of objects here, such as [{"X-Name": "value"}]')
    pairs = header_pairs([pair for each in value for pair in each.items()])
    with _blaming({"Remote.headers": "headers"}):
        return Remote(headers=pairs).headers


def _timeouts(given: dict[str, Any]) -> Timeouts:
    seconds: dict[str, float] = {}
    for name in OPTIONS:
        if name.endswith("_timeout") and given.get(name) not in _NOTHING:
            with _blaming({"Timeouts.total": name}):
                seconds[name] = Timeouts(total=given[name]).total or 0
    found: dict[str, float] = {}
    if "total_timeout" in seconds:
        found["total"] = seconds["total_timeout"]
    connecting = [seconds[name] for name in ("connect_timeout", "sock_connect_timeout") if name in seconds]
    if connecting:
        found["connect"] = min(connecting)
    if "sock_read_timeout" in seconds:
        silence = seconds["sock_read_timeout"]
        # The lowest speed is measured over no less, or it would end what may be silent for so long.
        window = max(Timeouts().low_speed_window, silence)
        found.update(head=silence, idle=silence, low_speed_window=window)
    return Timeouts(**found)


def _limits(given: dict[str, Any]) -> Limits:
    count, rate = given.get("download_concurrency", CONCURRENCY), given.get("rate_limit")
    names = {"Limits.connections": "download_concurrency", "Limits.requests_per_second": "rate_limit"}
    with _blaming(names):
        return Limits(connections=count, per_host=count, requests_per_second=None if rate in _NOTHING else rate)


def _retries(given: dict[str, Any]) -> Retries:
    with _blaming({"Retries.count": "max_retries"}):
        return Retries(count=given.get("max_retries", RETRIES))


@contextmanager
def _blaming(names: Mapping[str, str]) -> Iterator[None]:
    """A value is refused by Pulp's name for it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        text = str(error)
        for ours, theirs in names.items():
            text = text.replace(ours, theirs)
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text) from error.__cause__
