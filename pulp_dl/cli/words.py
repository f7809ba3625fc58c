"""What the library says, in the words of the command: options instead of attributes, and no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import click
from click.core import ParameterSource

from .config import spelled

__all__ = ["blaming", "explain", "in_options", "without_secrets"]

# What has no option of its own is said in another way.
_PHRASES: Final = {
    "TLS.verify is off": "certificates are not checked",
    "give Proxy(auth=Basic(...))": "give --proxy-user",
    "give it as Proxy(auth=...)": "give --proxy-user",
    "leave Remote.proxy out": "give its host as --noproxy",
    "give Proxies that leave it out": "give its host as --noproxy",
    "give it as Source.span": "a file is fetched as a whole",
    "give it as Source.conditions": "a file is fetched in any case",
    " (Limits.redirects)": "",
    "Remote(allow_downgrade=True) permits it": "give the http: URL itself if you want that",
    "Remote(allow_private=True) permits it": "--allow-private permits it",
    ", or None for no limit": "",
    ", or None": "",
}
_FIELDS: Final = {
    "TLS.ca": "cacert",
    "TLS.cert": "cert",
    "TLS.key": "key",
    "TLS.passphrase": "passphrase_file",
    "TLS.minimum": "tls_min",
    "TLS.pins": "pinnedpubkey",
    "SSH.key": "ssh_key",
    "SSH.passphrase": "ssh_passphrase_file",
    "SSH.known_hosts": "known_hosts",
    "SSH.fingerprint": "hostpubsha256",
    "Proxy.url": "proxy",
    "Proxy.auth": "proxy_user",
    "Proxy.tls.ca": "proxy_cacert",
    "Proxy.tls.cert": "proxy_cert",
    "Proxy.tls.key": "proxy_key",
    "Proxy.tls.minimum": "tls_min",
    "Basic.user": "user",
    "DigestAuth.user": "user",
    "TokenAuth.realms": "token_realms",
    "Remote.cookies": "cookies",
    "Remote.headers": "headers",
    "Digest.value": "sha256",
    "Size.value": "size",
    "headers": "headers",
    "Limits.max_size": "max_size",
    "Limits.bytes_per_second": "limit_rate",
    "Limits.requests_per_second": "limit_requests",
    "Timeouts.connect": "connect_timeout",
    "Timeouts.idle": "idle_timeout",
    "Timeouts.total": "max_time",
}
_FIELD: Final = re.compile(r"\b[A-Z][A-Za-z]+(?:\.[a-z_]+)+\b|^headers(?=:)")
_USERINFO: Final = re.compile(r"//.*@", re.DOTALL)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[\w\[*][^\s'\"]*")


def in_options(message: str, fields: Mapping[str, str] = {}) -> str:
    """
    A message of the library for people who never saw its attributes.

    @param fields: options that stand for some attributes here, in place of the usual ones.
    """
    for theirs, ours in _PHRASES.items():
        message = message.replace(theirs, ours)
    known = {**_FIELDS, **fields}
    return _FIELD.sub(lambda found: spelled(known[found[0]]) if found[0] in known else found[0], message)


@contextmanager
def blaming(option: str, fields: Mapping[str, str] = {}) -> Iterator[None]:
    """
    Whatever the library refuses in the block is the fault of an option.

    @raise click.UsageError: it refused something; the message begins with the option to blame.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        message = in_options(str(error), fields)
        names = (spelled(name) for name in {**_FIELDS, **fields}.values())
        known = any(message.startswith(f"{name}:") for name in names)
        raise click.UsageError(message if known else f"{spelled(option)}: {message}") from error


def explain(error: click.ClickException) -> None:
    """Names the variable that a value came from, and takes out of click's message what may be a secret."""
    if isinstance(error, click.BadParameter) and error.ctx and error.param and (name := error.param.name):
        given_by_variable = error.ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT
        error.param_hint = spelled(name, error.ctx) if given_by_variable else error.param_hint
    vars(error)["message"] = without_secrets(error.message)  # which is Final to mypy, and what show() prints


def without_secrets(message: str) -> str:
    """A text that may have any URL in it: an argument in the wrong place, for instance."""
    if "//" not in message:
        return message
    from ..urls import shown

    # Where a password in it ends, nobody knows.
    return _URL.sub(lambda found: shown(found[0]), _USERINFO.sub("//***@", message))
