"""Options that several subcommands have, and what they mean.  Where curl has the same, it has curl's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..model.auth import Basic
    from ..model.remote import Remote
    from ..model.source import Source

__all__ = ["Bytes", "make_remote", "make_source", "output_options", "remote_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Bytes(click.ParamType[int]):
    """A number of bytes: 1000, 64k, 1.5G; the letters stand for powers of 1024, as in curl."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.strip().lower().removesuffix("b").removesuffix("i")
        scale = {"k": 1, "m": 2, "g": 3, "t": 4}.get(text[-1:], 0)
        try:
            size = float(text[:-1]) * 1024**scale if scale else int(text)
            if not 0 <= size < 2**63:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no number of bytes; give one, such as 1000, 64k or 1.5G", param, ctx)
        return int(size)


class _Speed(Bytes):
    """Bytes a second."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        speed = super().convert(value, param, ctx)
        if not speed:
            self.fail("at 0 nothing would ever come; leave it out for no limit", param, ctx)
        return speed


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


_SECONDS = click.FloatRange(min=0, min_open=True, max=1e8)

remote_options = _together(
    click.option("-j", "--concurrency", type=click.IntRange(1), default=10, show_default=True, metavar="N",
                 help="Files, and connections, at once."),
    click.option("--per-host", type=click.IntRange(1), metavar="N", help="Connections to one host.  [default: as -j]"),
    click.option("--retries", type=click.IntRange(0, 1000), default=4, show_default=True, metavar="N",
                 help="Tries after the first, with growing waits between them."),
    click.option("--max-size", type=Bytes(), metavar="BYTES", help="Refuse what is larger: 1000, 64k, 1.5G."),
    click.option("--limit-rate", type=_Speed(), metavar="BYTES",
                 help="Bytes a second for all files together: 500k, 2M."),
    click.option("--limit-requests", type=click.FloatRange(min=0, min_open=True, max=1e8), metavar="N",
                 help="HTTP requests a second, redirects and retries among them; 0.5 is one in two seconds."),
    click.option("--cacert", metavar="FILE", help="Trust the certificates in this file, too."),
    click.option("--cert", metavar="FILE", help="The client's certificate (PEM), then its intermediates."),
    click.option("--key", metavar="FILE", help="Its private key, if that is not in the same file."),
    click.option("-k", "--insecure", is_flag=True, help="Do not check who the server is."),
    click.option("--proxy", metavar="URL", help="http://[user:password@]host:port"),
    click.option("-u", "--user", metavar="NAME[:PASSWORD]",
                 help="For the host that is asked, and no other.  The password is asked for if it is left out."),
    click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'",
                 help="Send this field to the host that is asked, and no other.  May be repeated."),
    click.option("--connect-timeout", type=_SECONDS, metavar="SECONDS", help="For DNS, TCP and TLS together."),
    click.option("--idle-timeout", type=_SECONDS, metavar="SECONDS", help="Without one byte of the body."),
    click.option("--max-time", type=_SECONDS, metavar="SECONDS", help="For one file, with all its tries."),
)  # fmt: skip

output_options = _together(
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but what went wrong."),
    click.option("-v", "--verbose", is_flag=True, help="Say what happens to each file."),
    click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object on stdout."),
)


def make_remote(options: dict[str, Any]) -> Remote:
    """
    What C{remote_options} say.

    @raise click.UsageError: a file cannot be used, or a value makes no sense; it names the option, and no secret.
    """
    from ..model.remote import Limits, Proxy, Remote, Retries, Timeouts
    from ..model.tls import TLS

    concurrency = options["concurrency"]
    limits: dict[str, Any] = {"connections": concurrency, "per_host": options["per_host"] or concurrency}
    if options["max_size"] is not None:
        limits["max_size"] = options["max_size"]
    limits["bytes_per_second"] = options["limit_rate"]
    limits["requests_per_second"] = options["limit_requests"]
    names = {"connect": "connect_timeout", "idle": "idle_timeout", "total": "max_time"}
    timeouts = {ours: options[theirs] for ours, theirs in names.items() if options[theirs] is not None}
    with _blaming("--cacert, --cert, --key"):
        verify = not options["insecure"]
        tls = TLS(ca=options["cacert"], cert=options["cert"], key=options["key"], verify=verify)
    with _blaming("--proxy"):
        proxy = _proxy(options["proxy"], Proxy)
    with _blaming("--user"):
        auth = _basic(options["user"])
    with _blaming("--connect-timeout, --idle-timeout, --max-time"):
        times = Timeouts(**timeouts)
    with _blaming("--limit-requests"):
        at_once = Limits(**limits)
    with _blaming("--header"):
        headers = [_field(each) for each in options["headers"]]
        return Remote(
            tls=tls,
            auth=auth,
            proxy=proxy,
            headers=headers,
            timeouts=times,
            limits=at_once,
            retries=Retries(count=options["retries"]),
        )


def make_source(url: str, **facts: Any) -> Source:
    """
    A Source, or a usage error.

    @raise click.UsageError: this is no URL.
    """
    from ..model.source import Source

    with _blaming("URL"):
        return Source(url, **facts)


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"{what}: {error}") from error


def _proxy(url: str | None, proxy: Any) -> Any:
    if url is None:
        return None
    return proxy(url if "://" in url else f"http://{url}")


def _basic(user: str | None) -> Basic | None:
    from ..model.auth import Basic

    if user is None:
        return None
    name, colon, password = user.partition(":")
    if not colon:
        password = click.prompt(f"Password for {name}", hide_input=True, err=True, default="", show_default=False)
    return Basic(name, password)


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("a header is NAME: VALUE")
    return name, value
