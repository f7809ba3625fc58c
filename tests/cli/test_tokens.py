"""Who we are, where a password in a field is not enough: digests, tokens, cookies; and how far a server may lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulp_dl import Basic
from pulp_dl.testing import FaultServer, Request, answer, redirect
from tests.auth.registry import Registry
from tests.auth.test_digest import PASSWORD, Guard
from tests.cli.command import refused, run

pytestmark = pytest.mark.limit(40)

ELMER = Basic("elmer", "wabbit").header
BLOB = "/v2/bear/blobs/1"


# ---- digest


async def test_a_password_may_be_proven(reactor: Any, tmp_path: Path) -> None:
    guard = Guard(("SHA-256",))
    async with FaultServer(reactor, guard) as server:
        end = await run("get", "--digest", "-u", f"Mufasa:{PASSWORD}", server.url("/f"), cwd=tmp_path)

    assert end.code == 0, end.err
    assert guard.seen == [("SHA-256", "n1", "00000001")]
    assert not any(b"Basic" in request.raw for request in server.requests)


def test_there_has_to_be_a_password(tmp_path: Path) -> None:
    end = refused("get", "--digest", "http://h/x")

    assert (end.code, "Error: --digest: of no use without --user; give it, too" in end.err) == (2, True)


# ---- tokens


async def test_a_token_from_a_file(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3same\n")
    async with FaultServer(reactor, answer(b"x")) as server:
        end = await run("get", "--oauth2-bearer-file", "token", server.url("/f"), cwd=tmp_path)

    assert (end.code, server.requests[0].get(b"authorization")) == (0, b"Bearer s3same"), end.err


async def test_a_token_from_a_variable_or_from_the_settings(reactor: Any, tmp_path: Path) -> None:
    """A secret in a file is for oneself alone."""
    (tmp_path / "settings.toml").write_text('oauth2-bearer = "written"\n')
    (tmp_path / "settings.toml").chmod(0o644)
    async with FaultServer(reactor, answer(b"x")) as server:
        await run("get", server.url("/f"), cwd=tmp_path, PULP_DL_OAUTH2_BEARER="s3same")
        end = await run("--config", "settings.toml", "get", server.url("/g"), cwd=tmp_path)

    assert [request.get(b"authorization") for request in server.requests] == [b"Bearer s3same", b"Bearer written"]
    assert "settings.toml: oauth2-bearer is a secret, and others can read that file; chmod 600 it" in end.err


def test_a_token_on_the_command_line_is_refused_and_not_repeated() -> None:
    end = refused("get", "--oauth2-bearer", "s3same", "http://h/x")

    assert end.code == 2
    assert "use --oauth2-bearer-file or PULP_DL_OAUTH2_BEARER" in end.err
    assert "s3same" not in end.err


def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3same two\n")
    end = refused("get", "--oauth2-bearer-file", tmp_path / "token", "http://h/x")

    assert (end.code, "--oauth2-bearer-file: visible ASCII is needed" in end.err) == (2, True), end.err
    assert "s3same" not in end.err


async def test_a_registry_is_answered(reactor: Any, tmp_path: Path) -> None:
    """Without a user; and with one, whose password its token server gets only if it is named."""
    async with Registry(reactor) as registry:
        (tmp_path / "settings.toml").write_text(
            f'[remotes.bears]\nurl = "{registry.files.url("/v2/")}"\nuser = "elmer:wabbit"\ntoken-auth = true\n'
            f'token-realm = ["{registry.tokens.url("/")}"]\n'
        )
        (tmp_path / "settings.toml").chmod(0o600)
        anybody = await run("get", "--token-auth", registry.files.url(BLOB), cwd=tmp_path)
        user = await run("get", "--token-auth", "-u", "elmer:wabbit", registry.files.url(BLOB), cwd=tmp_path)
        named = await run("--config", "settings.toml", "get", "--remote", "bears", "bear/blobs/2", cwd=tmp_path)

    assert (anybody.code, named.code) == (0, 0), anybody.err + named.err
    assert user.code != 0
    assert "the user and password go there only if --token-realm names it" in user.err
    assert [who for _, who in registry.issued] == [None, ELMER]
    assert (tmp_path / "2").read_bytes() == b"/v2/bear/blobs/2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--token-auth", "--digest", "-u", "a:b"], "--digest and --token-auth: these exclude each other"),
        (["--token-auth", "--oauth2-bearer-file", "x"], "--token-auth and --oauth2-bearer-file: these exclude"),
        (["-u", "a:b", "--oauth2-bearer-file", "x"], "--oauth2-bearer-file and --user: these exclude each other"),
        (["--token-realm", "http://h/"], "--token-realm: of no use without --token-auth; give it, too"),
        (["--token-auth", "--token-realm", "h"], "--token-realm: not an absolute URL"),
        (
            ["--cookies", "-H", "Cookie: a=s3same"],
            "--cookies: there is a Cookie in --header, too",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str) -> None:
    end = refused("get", *arguments, "http://h/x")

    assert (end.code, said in end.err) == (2, True), end.err
    assert "s3same" not in end.err


# ---- cookies


@pytest.mark.parametrize(("flags", "cookie"), [([], None), (["--cookies"], b"a=1")])
async def test_cookies_are_for_those_who_ask(reactor: Any, tmp_path: Path, flags: list[str], cookie: Any) -> None:
    def script(request: Request) -> Any:
        fields = ((b"Location", b"/file"), (b"Set-Cookie", b"a=1"))
        return answer(b"x") if request.path == "/file" else answer(b"", 302, fields)

    async with FaultServer(reactor, script) as server:
        end = await run("get", *flags, server.url("/f"), cwd=tmp_path)

    assert (end.code, server.requests[-1].get(b"cookie")) == (0, cookie), end.err


# ---- how far a server may lead


async def test_a_private_place_is_for_those_who_permit_it(reactor: Any, tmp_path: Path) -> None:
    """A public host is seen through a proxy here; what it leads to is not."""
    async with FaultServer(reactor, answer(b"x")) as inside, FaultServer(reactor, redirect(inside.url("/f"))) as proxy:
        arguments = ["--proxy", proxy.url("/"), "--noproxy", "127.0.0.1", "http://public.example/f"]
        end = await run("get", "--retries", "0", *arguments, cwd=tmp_path)
        assert inside.requests == []
        permitted = await run("get", "--allow-private", *arguments, cwd=tmp_path)

    assert end.code == 4
    assert "127.0.0.1 is not for a public server to lead us to; --allow-private permits it" in end.err
    assert (permitted.code, len(inside.requests)) == (0, 1), permitted.err
