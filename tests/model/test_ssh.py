"""How an SSH server is known and how we log in, as a value: refused where it is made, or right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pulp_dl import SSH, Remote

KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
FORMS = {"openssh": PrivateFormat.OpenSSH, "pkcs8": PrivateFormat.PKCS8}


def pem(kind: str = "ed25519", form: str = "openssh", passphrase: bytes | None = None) -> str:
    how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    text: bytes = KEYS[kind].private_bytes(Encoding.PEM, FORMS[form], how)
    return text.decode()


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_key_is_read_in_every_form(tmp_path: Path, kind: str, form: str, passphrase: bytes | None) -> None:
    """From a path or as text; the same key is the same value."""
    text = pem(kind, form, passphrase)
    (tmp_path / "key").write_text(text)
    values = [SSH(key=each, passphrase=passphrase) for each in (text, text.encode(), tmp_path / "key")]

    assert all(each.private_key.public_key() == KEYS[kind].public_key() for each in values)
    assert len({*values}) == 1
    assert values[0] == SSH(key=pem(kind))
    assert values[0] != SSH(key=pem("rsa" if kind != "rsa" else "ecdsa"))


def test_no_secret_is_shown() -> None:
    text = pem(passphrase=b"open sesame")
    value = SSH(key=text, passphrase="open sesame")

    for shown in (repr(value), repr(Remote(ssh=value))):
        assert "sesame" not in shown
        assert text.splitlines()[2] not in shown


def test_another_origin_gets_the_trust_alone(tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    value = SSH(key=pem(), known_hosts=tmp_path / "known")
    public = value.public()

    assert (public.private_key, public.key, public.passphrase, public.agent) == (None, None, None, False)
    assert public.known_hosts == value.known_hosts
    assert public == SSH(agent=False, known_hosts=tmp_path / "known")
    assert value.private_key is not None


@pytest.mark.parametrize("given", ["A" * 43, f"SHA256:{'A' * 43}", f"{'A' * 43}="])
def test_a_fingerprint_is_as_OpenSSH_and_curl_have_it(given: str) -> None:
    assert SSH(fingerprint=given).fingerprint == f"SHA256:{'A' * 43}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": "/nowhere/key"}, "SSH.key: '/nowhere/key': there is no such file"),
        ({"key": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "SSH.key: .*no private key in it"),
        ({"key": "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"}, "damaged"),
        ({"passphrase": "x"}, "SSH.passphrase: of no use without SSH.key"),
        ({"key": pem(passphrase=b"x")}, "SSH.passphrase: missing"),
        ({"key": pem(passphrase=b"x"), "passphrase": "y"}, "SSH.passphrase: wrong"),
        ({"key": pem(form="pkcs8", passphrase=b"x"), "passphrase": "y"}, "SSH.passphrase: wrong"),
        ({"known_hosts": "/nowhere/known"}, "SSH.known_hosts: '/nowhere/known': there is no such file"),
        ({"fingerprint": "MD5:aa:bb"}, "SSH.fingerprint: SHA256: and 43 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSH(**settings)


@pytest.mark.parametrize("settings", [{"agent": "no"}, {"known_hosts": 3}, {"key": 3}, {"key": pem(), "passphrase": 3}])
def test_what_is_of_another_type_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"SSH\."):
        SSH(**settings)


def test_a_remote_takes_nothing_else() -> None:
    with pytest.raises(TypeError, match=r"Remote\.ssh: str is no SSH"):
        Remote(ssh="key")  # type: ignore[arg-type]  # on purpose
