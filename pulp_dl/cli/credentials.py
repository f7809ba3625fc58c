"""Who we are, and by which way: passwords from files, the environment, netrc or a person; proxies; certificates."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from .config import spelled
from .words import blaming

if TYPE_CHECKING:
    from ..interfaces import IAuth, IProxies
    from ..model.auth import Basic
    from ..model.proxy import Proxy
    from ..model.ssh import SSH
    from ..model.tls import TLS

__all__ = ["UNATTENDED", "auth", "credential_options", "proxies", "ssh", "tls"]

LONGEST: Final = 65536
"""Bytes of a file that holds a password."""

UNATTENDED: Final = "pulp_dl.unattended"
"""In the C{meta} of a context: nobody is there to be asked."""

_SOURCES: Final = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)

Options = Mapping[str, Any]


def _not_here(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
        raise click.UsageError(
            f"{option.opts[0]}: anybody on this machine can read a command line; use {_instead(option.name)}", ctx
        )
    return value


def _instead(name: str) -> str:
    return f"--{name.replace('_', '-')}-file or PULP_DL_{name.upper()}"


def _secret(name: str, file_help: str) -> tuple[Callable[[Any], Any], ...]:
    """A file that holds it; and the thing itself, for variables and settings only."""
    return (
        click.option(f"--{name}-file", metavar="FILE", help=file_help),
        click.option(f"--{name}", metavar="SECRET", hidden=True, callback=_not_here),
    )


credential_options = (
    click.option("-u", "--user", metavar="NAME[:PASSWORD]",
                 help="For the host that is asked, and no other.  The password is asked for if it is nowhere."),
    *_secret("password", "Holds the password of --user; - is stdin."),
    click.option("--digest", is_flag=True, help="Prove the password by HTTP Digest, and do not show it."),
    click.option("--token-auth", is_flag=True,
                 help="Fetch tokens where the server says, as a registry of containers does; with --user, if given."),
    click.option("--token-realm", "token_realms", metavar="URL", multiple=True,
                 help="A token server on another host, which may see the password, too.  May be repeated."),
    *_secret("oauth2-bearer", "Holds a token, which is sent in place of a user and password."),
    click.option("--netrc/--no-netrc", default=True, help="Look for users in ~/.netrc, or $NETRC.  [default: yes]"),
    click.option("--netrc-file", metavar="FILE", help="Look for users there instead."),
    click.option("--cacert", metavar="FILE", help="Trust the certificates in this file, too."),
    click.option("--cert", metavar="FILE", help="The client's certificate (PEM), then its intermediates."),
    click.option("--key", metavar="FILE", help="Its private key, if that is not in the same file."),
    *_secret("passphrase", "Holds what opens an encrypted key."),
    click.option("-k", "--insecure", is_flag=True, help="Do not check who the server is."),
    click.option("--pinnedpubkey", metavar="HASHES",
                 help="Talk to no server without one of these public keys: sha256//BASE64, with ; between them."),
    click.option("--tls-min", type=click.Choice(["1.2", "1.3"]), default="1.2", show_default=True,
                 help="The oldest version of TLS to speak."),
    click.option("--ssh-key", metavar="FILE", help="For sftp: the private key to log in with."),
    *_secret("ssh-passphrase", "Holds what opens an encrypted --ssh-key."),
    click.option("--ssh-agent/--no-ssh-agent", default=True,
                 help="Ask the agent of $SSH_AUTH_SOCK for keys.  [default: yes]"),
    click.option("--known-hosts", metavar="FILE", help="Which SSH server has which key, if not ~/.ssh/known_hosts."),
    click.option("--hostpubsha256", metavar="HASH", help="The fingerprint of the key that the SSH server has."),
    click.option("--proxy", metavar="URL",
                 help="http://host:port, in place of what $http_proxy and its kin say; or https://, socks5://, "
                 "socks5h://; '' for none."),
    click.option("--proxy-user", metavar="NAME[:PASSWORD]", help="For the proxy."),
    *_secret("proxy-password", "Holds the password of --proxy-user."),
    click.option("--proxy-cacert", metavar="FILE", help="Trust these certificates of an https:// proxy, too."),
    click.option("--proxy-cert", metavar="FILE", help="The client's certificate for an https:// proxy."),
    click.option("--proxy-key", metavar="FILE", help="Its private key, if that is not in the same file."),
    click.option("--proxy-insecure", is_flag=True, help="Do not check who the proxy is."),
    click.option("--noproxy", metavar="HOSTS", help="Reach these without one, in place of $no_proxy; * for all."),
)  # fmt: skip


def auth(options: Options) -> IAuth | None:
    """Of C{--user} and how it is to be proven, of a token, else of a netrc file, unless it is said by hand."""
    from ..model.netrc import Netrc
    from ..urls import parse

    found = _way(options, _login(options, ""))
    if found is not None or not options["netrc"]:
        return found
    remote = options["remote"]
    if remote is not None and parse(remote).user is not None:
        return None
    if any(name.strip().lower() == "authorization" for name, _ in options["headers"]):
        return None

    path = options["netrc_file"]
    try:
        return Netrc(path) or None
    except ValueError as error:
        if path is None and not os.environ.get("NETRC"):
            # It was not made for us, and may be of no use here.
            click.echo(f"Warning: {error}; it is not used (--no-netrc)", err=True)
            return None
        raise click.UsageError(f"{'NETRC' if path is None else spelled('netrc_file')}: {error}") from error


def _way(options: Options, login: Basic | None) -> IAuth | None:
    """How one proves who one is; there is but one."""
    bearer = _strongest("oauth2_bearer_file", "oauth2_bearer", options=options)
    flags = [name for name in ("digest", "token_auth") if options[name]]
    ways = [*flags, *([] if bearer is None else [bearer]), *(["user"] if bearer and login else [])]
    if len(ways) > 1:
        raise click.UsageError(f"{' and '.join(map(spelled, ways))}: these exclude each other; take one of them out")
    if options["token_realms"] and not options["token_auth"] and _rank("token_realms") != 1:
        raise click.UsageError(f"{spelled('token_realms')}: of no use without {spelled('token_auth')}; give it, too")
    if options["token_auth"]:
        from ..auth.tokens import TokenAuth

        with blaming("token_realms", {"TokenAuth.realms": "token_realms"}):
            return TokenAuth(login, options["token_realms"])
    if bearer is not None:
        from ..auth.bearer import Bearer

        with blaming(bearer, {"Bearer.token": bearer}):
            return Bearer(_reveal(bearer, options))
    if options["digest"] and login is not None:
        from ..auth.digest import DigestAuth

        return DigestAuth(login.user, login.password)
    if options["digest"] and _rank("digest") != 1:  # a variable may be meant for another run
        raise click.UsageError(f"{spelled('digest')}: of no use without {spelled('user')}; give it, too")
    return login


def tls(options: Options) -> TLS:
    """Of C{--cacert}, C{--cert}, C{--key}, C{--insecure}, C{--pinnedpubkey}, C{--tls-min}."""
    from ..model.tls import TLS

    source = _strongest("passphrase_file", "passphrase", options=options)
    if source is not None and options["cert"] is None and _rank(source) == 1:
        source = None  # a variable may be meant for another run
    passphrase = None if source is None else _reveal(source, options)

    for name in ("cert", "key"):
        _check_path(name, options, f"give the passphrase with {_instead('passphrase')}")

    def make(passphrase: str | None) -> TLS:
        names = {name: options[theirs] for name, theirs in (("ca", "cacert"), ("cert", "cert"), ("key", "key"))}
        pins = () if options["pinnedpubkey"] is None else options["pinnedpubkey"]
        return TLS(
            **names, passphrase=passphrase, verify=not options["insecure"], minimum=options["tls_min"], pins=pins
        )

    with blaming("cacert", {"TLS.passphrase": source or "passphrase_file"}):
        try:
            return make(passphrase)
        except ValueError as error:
            if passphrase is not None or not str(error).startswith("TLS.passphrase: missing"):
                raise
        return make(_ask("Passphrase of the private key", _instead("passphrase")))


def ssh(options: Options) -> SSH:
    """Of C{--ssh-key}, C{--ssh-agent}, C{--known-hosts}, C{--hostpubsha256}."""
    from ..model.ssh import SSH

    source = _strongest("ssh_passphrase_file", "ssh_passphrase", options=options)
    if source is not None and options["ssh_key"] is None and _rank(source) == 1:
        source = None  # a variable may be meant for another run
    passphrase = None if source is None else _reveal(source, options)

    _check_path("ssh_key", options, f"give the passphrase with {_instead('ssh_passphrase')}")

    def make(passphrase: str | None) -> SSH:
        names = {"key": "ssh_key", "agent": "ssh_agent", "known_hosts": "known_hosts", "fingerprint": "hostpubsha256"}
        return SSH(passphrase=passphrase, **{name: options[theirs] for name, theirs in names.items()})

    with blaming("ssh_key", {"SSH.passphrase": source or "ssh_passphrase_file"}):
        try:
            return make(passphrase)
        except ValueError as error:
            if passphrase is not None or not str(error).startswith("SSH.passphrase: missing"):
                raise
        return make(_ask("Passphrase of the SSH key", _instead("ssh_passphrase")))


def proxies(options: Options) -> IProxies | None:
    """Of C{--proxy}, else of the environment; with C{--proxy-user}, C{--proxy-cacert} and their kin."""
    from attrs import evolve

    from ..model.proxies import Proxies
    from ..model.remote import Proxy

    url, direct = options["proxy"], options["noproxy"]
    if url == "" or (direct or "").strip() == "*":
        return None
    if url is not None:
        if direct is None:
            direct = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
        with blaming("proxy"):
            one = Proxy(url if "://" in url else f"http://{url}", direct=direct)
        return _known(options)(one)
    try:
        found = Proxies.from_environment()
    except ValueError as error:
        raise click.UsageError(f"{error}; or --noproxy '*'") from error
    if found == Proxies(direct=found.direct):
        return None
    if direct is not None:
        found = evolve(found, direct=direct)
    known = _known(options)
    return evolve(
        found, http=known(found.http), https=known(found.https), ftp=known(found.ftp), other=known(found.other)
    )


def _known(options: Options) -> Callable[[Proxy | None], Proxy | None]:
    """What adds to a proxy, if there is one, its login and whom to take for it."""
    from attrs import evolve

    login, trust = _login(options, "proxy_"), _proxy_tls(options)

    def known(proxy: Proxy | None) -> Proxy | None:
        with blaming("proxy_user"):
            return None if proxy is None else evolve(proxy, auth=login or proxy.auth, tls=trust)

    return known


def _proxy_tls(options: Options) -> TLS:
    from ..model.tls import TLS

    names = {ours: f"proxy_{theirs}" for ours, theirs in (("ca", "cacert"), ("cert", "cert"), ("key", "key"))}
    fields = {f"TLS.{ours}": theirs for ours, theirs in names.items()}
    for name in ("proxy_cert", "proxy_key"):
        _check_path(name, options, "no passphrase can be given, take a --proxy-key that needs none")
    with blaming("proxy_cacert", {**fields, "TLS.passphrase": "proxy_key"}):
        return TLS(
            **{ours: options[theirs] for ours, theirs in names.items()},
            verify=not options["proxy_insecure"],
            minimum=options["tls_min"],
        )


def _check_path(name: str, options: Options, remedy: str) -> None:
    """
    Of a certificate, or of a key.  To curl C{FILE:PASSPHRASE} is one, so what follows a colon is repeated to nobody,
    unless it is the name of a file.

    @raise click.UsageError: it is none.
    """
    from ..model.pem import where

    given: str | None = options[name]
    is_path = given is not None and where(given) == repr(given)
    if given is None or ":" not in given or not is_path or os.path.exists(given):  # noqa: PTH110  # any str is fine
        return
    ends = (number for number, char in enumerate(given) if char == ":")
    file = next((given[:end] for end in ends if os.path.isfile(given[:end])), None)  # noqa: PTH113  # as above
    if file is not None:
        raise click.UsageError(f"{spelled(name)}: {file!r} alone is the path; {remedy}")
    masked = f"{given.partition(':')[0]}:***"
    raise click.UsageError(f"{spelled(name)}: {masked!r}: there is no such file; check the path")


def _login(options: Options, prefix: str) -> Basic | None:
    from ..model.auth import Basic

    user, given = f"{prefix}user", options[f"{prefix}user"]
    source = _strongest(f"{prefix}password_file", f"{prefix}password", options=options)
    if given is None:
        if source is None or _rank(source) == 1:  # a variable may be meant for another run
            return None
        raise click.UsageError(f"{spelled(source)}: of no use without {spelled(user)}; give it, too")
    name, colon, password = given.partition(":")
    if source is not None and (not colon or _rank(source) < _rank(user)):
        password = _reveal(source, options)
    elif not colon:
        password = _ask(f"Password for {name}", _instead(f"{prefix}password"))
    with blaming(user, {"Basic.user": user, "Basic.password": source or user}):
        return Basic(name, password)


def _strongest(*names: str, options: Options) -> str | None:
    """Of several options with the same meaning the one that counts: flags, then the environment, then files."""
    return min((name for name in names if options[name] is not None), key=_rank, default=None)


def _rank(name: str) -> int:
    source = click.get_current_context().get_parameter_source(name)
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def _reveal(name: str, options: Options) -> str:
    """A secret, which is the value of an option or in the file that it names."""
    given: str = options[name]
    if not name.endswith("_file"):
        return given
    try:
        with click.open_file(given, "rb") as file:
            content = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise click.UsageError(f"{spelled(name)}: {given!r} cannot be read: {reason}") from error
    try:
        text: str = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError(f"{spelled(name)}: {given!r} is not UTF-8") from None
    if not text or len(content) > LONGEST:
        raise click.UsageError(f"{spelled(name)}: {given!r} is {'too large' if text else 'empty'}; it holds one secret")
    return text


def _ask(what: str, instead: str) -> str:
    try:
        if click.get_current_context().meta.get(UNATTENDED) or not _terminal():
            raise click.Abort
        return str(click.prompt(what, hide_input=True, err=True, default="", show_default=False))
    except click.Abort:
        raise click.UsageError(f"{what}: there is nobody to ask; use {instead}") from None


def _terminal() -> bool:
    """Is there one?  Else getpass asks on standard input: it would show what is typed, or wait for a pipe."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True
