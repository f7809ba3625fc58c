"""How an SSH server is known and how we log in, as a value: refused where it is made, or right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
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


UNKNOWN: dict[str, Any] = {
    "x25519": x25519.X25519PrivateKey.generate(),
    "x448": x448.X448PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "brainpool": ec.generate_private_key(ec.BrainpoolP256R1()),
    "dsa": dsa.generate_private_key(1024),
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_key_of_a_kind_that_SSH_does_not_know_is_refused(tmp_path: Path, kind: str, passphrase: bytes | None) -> None:
    """Where it is given, and not as if a server did not take it."""
    how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    (tmp_path / "key").write_bytes(UNKNOWN[kind].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    words = r"SSH\.key: '.*/key': the private key in it is of a kind that SSH does not know; make one with ssh-keygen$"
    with pytest.raises(ValueError, match=words):
        SSH(key=tmp_path / "key", passphrase=passphrase)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_every_curve_of_SSH_is_one(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    assert SSH(key=text).private_key.public_key() == key.public_key()


def test_known_hosts_may_be_in_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever reads it, each time, has it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"SSH\.known_hosts: '.*known_hosts': there is no such file; check the path"):
        SSH(known_hosts="~/known_hosts")
    (tmp_path / "known_hosts").touch()

    assert SSH(known_hosts="~/known_hosts").known_hosts == "~/known_hosts"
    assert SSH(known_hosts=Path("~/known_hosts")).known_hosts == Path("~/known_hosts")


def test_a_home_that_is_not_there_has_no_known_hosts() -> None:
    with pytest.raises(ValueError, match=r"SSH\.known_hosts: '~no-such-bear/known': there is no such file; check"):
        SSH(known_hosts="~no-such-bear/known")
