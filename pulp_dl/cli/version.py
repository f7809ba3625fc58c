"""C{pulp-dl --version}: what a report of a fault has to say."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from .._version import __version__

__all__ = ["version_option", "version_text"]

F = TypeVar("F", bound=Callable[..., Any])

PARTS: Final = ("Twisted", "treq", "pyOpenSSL", "cryptography", "httptools")


def version_text() -> str:
    """Ours in the first line, then those of what we are built on."""
    from importlib.metadata import PackageNotFoundError, version

    found = [f"Python {platform.python_version()}"]
    for name in PARTS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # a bundle without metadata
            found.append(f"{name} of unknown version")
    return f"pulp-dl, version {__version__}\n{', '.join(found)}, {_openssl()}"


def _openssl() -> str:
    """The library that pyOpenSSL uses, which is not the one that Python's own ssl uses."""
    try:
        # Not OpenSSL.SSL, which takes long to import.
        from cryptography.hazmat.bindings._rust import openssl

        return str(openssl.openssl_version_text())
    except (ImportError, AttributeError):
        from OpenSSL import SSL

        return SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()


def _show(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(version_text())
        ctx.exit()


def version_option(function: F) -> F:
    """C{--version}."""
    option = click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show,
                          help="Show the versions of this and of what it is built on, and exit.")  # fmt: skip
    return option(function)
