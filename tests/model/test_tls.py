"""TLS as a value: read and checked when it is made, compared by what it holds, silent about its secrets."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl.model.tls import TLS, pin_of

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
PASSPHRASE = "open sesame, grün"
PIN = "sha256//" + b64encode(bytes(32)).decode()
OTHER_PIN = "sha256//" + b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(ca: trustme.CA) -> trustme.LeafCert:
    return ca.create_child_ca().issue_cert("alice@example.org")


@pytest.fixture(scope="module")
def bob(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("bob@example.org")


def certificate(leaf: trustme.LeafCert) -> bytes:
    return leaf.cert_chain_pems[0].bytes()


def chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(each.bytes() for each in leaf.cert_chain_pems)


def key(leaf: trustme.LeafCert) -> bytes:
    return leaf.private_key_pem.bytes()


def loaded(text: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(text)


def locked(leaf: trustme.LeafCert, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return load_pem_private_key(key(leaf), None).private_bytes(
        Encoding.PEM, form, BestAvailableEncryption(PASSPHRASE.encode())
    )


def refused(**values: Any) -> str:
    with pytest.raises(ValueError, match=r"^TLS\.") as caught:
        TLS(**values)
    return str(caught.value)


# ---- what is read


def test_by_default_the_system_is_trusted_and_nothing_shown() -> None:
    tls = TLS()

    assert (tls.verify, tls.system) == (True, True)
    assert (tls.ca_certificates, tls.certificate, tls.chain, tls.private_key) == ((), None, (), None)


@pytest.mark.parametrize("form", ["str path", "path", "str", "bytes"])
def test_each_of_them_is_a_path_or_pem_text(tmp_path: Path, ca: trustme.CA, leaf: trustme.LeafCert, form: str) -> None:
    def given_as(name: str, text: bytes) -> Any:
        path = tmp_path / name
        path.write_bytes(text)
        return {"str path": str(path), "path": path, "str": text.decode(), "bytes": text}[form]

    tls = TLS(
        ca=given_as("ca", ca.cert_pem.bytes()), cert=given_as("cert", chain(leaf)), key=given_as("key", key(leaf))
    )

    assert list(tls.ca_certificates) == loaded(ca.cert_pem.bytes())
    assert [tls.certificate, *tls.chain] == loaded(chain(leaf))
    assert len(tls.chain) == 1
    assert tls.private_key.public_key() == loaded(chain(leaf))[0].public_key()


def test_a_bundle_is_read_whole_and_its_comments_are_passed_over(ca: trustme.CA, other: trustme.CA) -> None:
    """As the bundles of distributions have them; also with the line ends of Windows."""
    text = b"# first\n" + ca.cert_pem.bytes() + b"\nIssuer: second\n\n" + other.cert_pem.bytes() + b"-- the end\n"
    certificates = loaded(ca.cert_pem.bytes()) + loaded(other.cert_pem.bytes())

    assert list(TLS(ca=text).ca_certificates) == certificates
    assert list(TLS(ca=text.replace(b"\n", b"\r\n")).ca_certificates) == certificates
    assert list(TLS(ca=b"\xef\xbb\xbf" + text).ca_certificates) == certificates


@pytest.mark.parametrize("order", [lambda key, chain: key + chain, lambda key, chain: chain + key])
def test_the_key_may_stand_in_the_file_of_the_certificate(
    leaf: trustme.LeafCert, order: Callable[[bytes, bytes], bytes]
) -> None:
    tls = TLS(cert=order(key(leaf), chain(leaf)))

    assert tls == TLS(cert=chain(leaf), key=key(leaf))
    assert tls.private_key is not None


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("passphrase", [PASSPHRASE, PASSPHRASE.encode()], ids=["str", "bytes"])
def test_an_encrypted_key_is_opened(leaf: trustme.LeafCert, form: PrivateFormat, passphrase: str | bytes) -> None:
    tls = TLS(cert=chain(leaf), key=locked(leaf, form), passphrase=passphrase)

    assert tls == TLS(cert=chain(leaf), key=key(leaf))
    assert tls == TLS(cert=chain(leaf) + locked(leaf, form), passphrase=passphrase)


def test_a_passphrase_that_is_not_needed_does_no_harm(leaf: trustme.LeafCert) -> None:
    assert TLS(cert=chain(leaf), key=key(leaf), passphrase="x") == TLS(cert=chain(leaf), key=key(leaf))


def test_parameters_of_a_curve_before_the_key_are_passed_over(leaf: trustme.LeafCert) -> None:
    """As C{openssl ecparam -genkey} writes them."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert TLS(cert=chain(leaf), key=parameters + key(leaf)) == TLS(cert=chain(leaf), key=key(leaf))


def test_files_are_read_once(tmp_path: Path, ca: trustme.CA, leaf: trustme.LeafCert) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(ca.cert_pem.bytes())
    tls = TLS(ca=path, cert=chain(leaf), key=key(leaf))
    path.unlink()

    assert tls.public().ca_certificates == tls.ca_certificates


# ---- what is refused


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_what_cannot_be_read_is_named_with_its_path(tmp_path: Path, leaf: trustme.LeafCert, name: str) -> None:
    others: dict[str, Any] = {"key": {"cert": chain(leaf)}, "cert": {"key": key(leaf)}}.get(name, {})
    (tmp_path / "empty").write_bytes(b" \n")
    (tmp_path / "text").write_bytes(b"no certificate, but some text\n")
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 17 << 20)
    (tmp_path / "der").write_bytes(loaded(certificate(leaf))[0].public_bytes(Encoding.DER))
    for entry, words in (
        ("missing", "there is no such file; check the path"),
        (".", "it is a directory; give a file"),
        ("empty", "it is empty"),
        ("text", "it is not PEM"),
        ("der", "it is not PEM (no -----BEGIN line); convert DER"),
        ("large", "larger than 16 MiB"),
    ):
        said = refused(**{name: tmp_path / entry}, **others)
        assert said.startswith(f"TLS.{name}: '{tmp_path / entry}'")
        assert words in said


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A loop of links, which not even root may read."""
    path = tmp_path / "loop"
    path.symlink_to(path)

    assert "it cannot be read: " in refused(ca=path)
    assert "check its permissions" in refused(ca=path)


@pytest.mark.parametrize("value", ["", b"", " \n", b"no PEM"])
def test_a_text_without_pem_is_refused(value: str | bytes) -> None:
    assert refused(ca=value).startswith("TLS.ca: ")


@pytest.mark.parametrize("value", [1, True, ["ca.pem"], object()])
def test_what_is_neither_path_nor_text_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"TLS\.ca: a path or PEM text is needed, not \w+"):
        TLS(ca=value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: pem.replace(b"-----END CERTIFICATE-----", b"", 1),
        lambda pem: pem.replace(b"-----BEGIN CERTIFICATE-----", b"", 1),
        lambda pem: pem[: len(pem) * 3 // 4],
        lambda pem: pem.replace(b"\n", b"\\n"),
        lambda pem: pem.replace(b"\n", b" "),
        lambda pem: pem.replace(b"MII", b"M\xff", 1),
        lambda pem: pem.replace(b"MII", b"garbage, and more of it", 1),
        lambda pem: pem.replace(b"\nMII", b"\nAAAAMII", 1),
    ],
    ids=["no end", "no beginning", "cut", "escaped", "one line", "no base64", "garbage", "no ASN.1"],
)
def test_a_damaged_bundle_is_refused_as_a_whole(
    ca: trustme.CA, other: trustme.CA, damage: Callable[[bytes], bytes]
) -> None:
    """One certificate of several that is passed over would be missed at the first connection, and not before."""
    assert "get the file again" in refused(ca=damage(ca.cert_pem.bytes() + other.cert_pem.bytes()))


def test_what_holds_something_else_is_refused(leaf: trustme.LeafCert, ca: trustme.CA) -> None:
    assert "no certificate in it, only EC PRIVATE KEY" in refused(ca=key(leaf))
    assert "no certificate in it, only EC PRIVATE KEY" in refused(cert=key(leaf))
    assert refused(cert=chain(leaf), key=ca.cert_pem.bytes()).startswith(
        "TLS.key: PEM text: there is no private key in it"
    )


def test_a_certificate_in_openssls_own_form_is_not_passed_over(ca: trustme.CA, other: trustme.CA) -> None:
    own = other.cert_pem.bytes().replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE")

    assert "block 2 is in a form of OpenSSL's own" in refused(ca=ca.cert_pem.bytes() + own)


def test_certificate_and_key_come_together(leaf: trustme.LeafCert) -> None:
    assert refused(cert=chain(leaf)).startswith("TLS.key: missing")
    assert refused(key=key(leaf)).startswith("TLS.key: of no use without TLS.cert")
    assert refused(passphrase="x").startswith("TLS.passphrase: of no use without TLS.cert")


def test_the_key_has_to_fit_the_certificate(tmp_path: Path, leaf: trustme.LeafCert, bob: trustme.LeafCert) -> None:
    path = tmp_path / "bob.key"
    path.write_bytes(key(bob))

    assert refused(cert=chain(leaf), key=path).startswith(f"TLS.key: '{path}': the key does not fit the certificate")
    assert "does not fit" in refused(cert=chain(leaf) + key(bob))


def test_the_certificate_of_the_key_comes_first(leaf: trustme.LeafCert) -> None:
    upside_down = b"".join(each.bytes() for each in reversed(leaf.cert_chain_pems))

    assert "has to come first, before its intermediates" in refused(cert=upside_down, key=key(leaf))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_passphrase_that_is_missing_or_wrong_is_told_apart(
    tmp_path: Path, leaf: trustme.LeafCert, form: PrivateFormat
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(locked(leaf, form))

    assert refused(cert=chain(leaf), key=path) == f"TLS.passphrase: missing; the key in '{path}' is encrypted"
    for wrong in ("open sesame", b"", "x" * 2000):
        said = refused(cert=chain(leaf), key=path, passphrase=wrong)
        assert said == f"TLS.passphrase: wrong; it does not open the key in '{path}'"


def test_a_passphrase_is_text(leaf: trustme.LeafCert) -> None:
    with pytest.raises(TypeError, match=r"TLS\.passphrase: str or bytes are needed, not int"):
        TLS(cert=chain(leaf), key=locked(leaf), passphrase=1234)  # type: ignore[arg-type]  # which is what is tested


def test_a_damaged_key_is_refused(leaf: trustme.LeafCert) -> None:
    lines = key(leaf).splitlines(keepends=True)

    assert "damaged or of an unknown kind" in refused(cert=chain(leaf), key=b"".join([lines[0], *lines[2:]]))


@pytest.mark.parametrize(("begin", "end", "words"), [(-2, -1, "has expired on "), (1, 2, "is valid from ")])
def test_a_certificate_that_is_not_valid_now_is_refused(ca: trustme.CA, begin: int, end: int, words: str) -> None:
    leaf = ca.issue_cert("alice@example.org", not_before=NOW + begin * DAY, not_after=NOW + end * DAY)

    said = refused(cert=certificate(leaf), key=key(leaf))
    assert said.startswith("TLS.cert: PEM text: the certificate ")
    assert words in said


def old(ca: trustme.CA, begin: int = -2, end: int = -1) -> bytes:
    return certificate(ca.issue_cert("ca.example", not_before=NOW + begin * DAY, not_after=NOW + end * DAY))


def test_a_bundle_in_which_nothing_is_valid_is_refused(ca: trustme.CA) -> None:
    """It would fail at every connection.  One that is valid is enough: old ones stay in bundles for a while."""
    assert "no certificate in it is valid now (the last ended on " in refused(ca=old(ca) + old(ca, -4, -3))
    assert "no certificate in it is valid now (they begin later)" in refused(ca=old(ca, 1, 2))
    assert len(TLS(ca=old(ca) + ca.cert_pem.bytes()).ca_certificates) == 2
    assert len(TLS(ca=old(ca), verify=False).ca_certificates) == 1


def test_nobody_can_trust_nobody() -> None:
    assert refused(system=False) == "TLS.system: False without TLS.ca trusts nobody; give the CA"
    assert not TLS(system=False, verify=False).system


def test_a_key_that_openssl_will_not_use_is_refused(ca: trustme.CA) -> None:
    """Now, and not at the first connection."""
    short = rsa.generate_private_key(65537, 1024)
    issuer = loaded(ca.cert_pem.bytes())[0]
    weak = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(short.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(short, hashes.SHA256())
    )
    text = short.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + weak.public_bytes(Encoding.PEM)

    assert "OpenSSL does not accept it (ee key too small)" in refused(cert=text)


@pytest.mark.parametrize("name", ["verify", "system"])
@pytest.mark.parametrize("value", ["false", 0, None, 1])
def test_a_switch_is_true_or_false(name: str, value: Any) -> None:
    """The text "false" would switch verification on, and 0 off, each to somebody's surprise."""
    with pytest.raises(TypeError, match=rf"TLS\.{name}: True or False is needed"):
        TLS(**{name: value})


# ---- versions and pins


@pytest.mark.parametrize("value", ["1.1", "1.4", "", None, 1.2, "TLSv1.2"])
def test_the_least_version_is_one_that_is_safe(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^TLS\.minimum: .* is none; there are '1\.2' and '1\.3'$"):
        TLS(minimum=value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "sha256//",
        PIN[:-2],
        f"{PIN};",
        f"sha1//{PIN[8:]}",
        PIN[8:],
        [b"x"],
        [PIN, "x"],
        "key.pem",
        [PIN + "\n=="],
    ],
)
def test_what_is_no_pin_is_refused(value: Any) -> None:
    """None that could not be read is passed over: there would be less to check than was asked for."""
    with pytest.raises(ValueError, match=r"^TLS\.pins: .* is no digest of a public key; write sha256//BASE64=$"):
        TLS(pins=value)


@pytest.mark.parametrize("value", [None, 5, PIN.encode()])
def test_pins_are_text(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^TLS\.pins: texts like sha256//BASE64= are needed"):
        TLS(pins=value)


def test_pins_are_curls(leaf: trustme.LeafCert, tmp_path: Path, program: Callable[[str], str]) -> None:
    """The digest of the SubjectPublicKeyInfo, as the recipe in curl's manual makes it with openssl."""
    path = tmp_path / "cert.pem"
    path.write_bytes(certificate(leaf))
    program("openssl")
    recipe = f"openssl x509 -in {path} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary"
    digest = subprocess.run(["sh", "-c", recipe], capture_output=True, check=True).stdout
    pin = pin_of(x509.load_pem_x509_certificate(certificate(leaf)))

    assert pin == f"sha256//{b64encode(digest).decode()}"
    assert TLS(pins=pin).pinned == {pin}
    assert TLS(pins=(each for each in [pin, PIN])).public().pinned == {pin, PIN}


# ---- what is equal


def test_what_is_loaded_decides_what_is_equal(
    tmp_path: Path, ca: trustme.CA, other: trustme.CA, leaf: trustme.LeafCert, bob: trustme.LeafCert
) -> None:
    """A TLS is part of the key under which connections are kept: what differs must never share one."""
    path = tmp_path / "ca"
    path.write_bytes(ca.cert_pem.bytes())
    both = ca.cert_pem.bytes() + other.cert_pem.bytes()
    mine: dict[str, Any] = {"cert": chain(leaf), "key": key(leaf)}
    different = [
        TLS(),
        TLS(verify=False),
        TLS(minimum="1.3"),
        TLS(pins=PIN),
        TLS(pins=[PIN, OTHER_PIN]),
        TLS(ca=path),
        TLS(ca=path, system=False),
        TLS(ca=path, verify=False),
        TLS(ca=other.cert_pem.bytes()),
        TLS(ca=both),
        TLS(**mine),
        TLS(**mine, ca=path),
        TLS(**mine, verify=False),
        TLS(cert=certificate(leaf), key=key(leaf)),
        TLS(cert=chain(bob), key=key(bob)),
    ]
    for one in different:
        assert [one == each for each in different].count(True) == 1
    assert len(set(different)) == len(different)
    for one, same in (
        (TLS(ca=path), TLS(ca=str(path))),
        (TLS(ca=path), TLS(ca=ca.cert_pem.bytes() * 2)),
        (TLS(ca=both), TLS(ca=other.cert_pem.bytes() + ca.cert_pem.bytes())),
        (TLS(**mine), TLS(cert=key(leaf) + chain(leaf))),
        (TLS(**mine), TLS(cert=chain(leaf), key=locked(leaf), passphrase=PASSPHRASE)),
        (TLS(**mine), evolve(TLS(), **mine)),
        (TLS(pins=f"{OTHER_PIN};{PIN}"), TLS(pins=(PIN, OTHER_PIN, PIN))),
        (TLS(pins=PIN), evolve(TLS(pins=PIN), system=True)),
    ):
        assert one == same
        assert hash(one) == hash(same)


def test_the_public_half_has_the_trust_and_not_the_identity(ca: trustme.CA, leaf: trustme.LeafCert) -> None:
    trust = TLS(ca=ca.cert_pem.bytes(), system=False)
    tls = TLS(ca=ca.cert_pem.bytes(), system=False, cert=chain(leaf), key=locked(leaf), passphrase=PASSPHRASE)
    public = tls.public()

    assert public == trust
    assert hash(public) == hash(trust)
    assert public != tls
    assert (public.certificate, public.chain, public.private_key) == (None, (), None)
    assert (public.cert, public.key, public.passphrase) == (None, None, None)
    assert tls.certificate is not None
    assert trust.public() is trust
    assert public.public() is public


def test_a_value_does_not_change() -> None:
    with pytest.raises(AttributeError):
        TLS().verify = False  # type: ignore[misc]  # which is what is tested


# ---- what is said


def test_nothing_of_a_key_or_a_passphrase_is_shown(tmp_path: Path, ca: trustme.CA, leaf: trustme.LeafCert) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(chain(leaf))
    secrets = [line.decode() for line in key(leaf).splitlines() + locked(leaf).splitlines() if b"-----" not in line]
    for tls in (
        TLS(ca=ca.cert_pem.bytes(), cert=path, key=key(leaf)),
        TLS(cert=(key(leaf) + chain(leaf)).decode()),
        TLS(cert=path, key=locked(leaf).decode(), passphrase=PASSPHRASE),
    ):
        assert not [each for each in [*secrets, PASSPHRASE] if each in repr(tls)]
    assert repr(TLS(ca=ca.cert_pem.bytes(), cert=path, key=key(leaf))) == (
        f"TLS(ca=PEM text, cert='{path}', verify=True, system=True, minimum='1.2', pins=())"
    )


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_key_that_was_taken_for_a_path_is_not_repeated(leaf: trustme.LeafCert, name: str) -> None:
    """The inside of a key, without the lines round it, is no path, and an error is no place for it."""
    inside = [line for line in key(leaf).decode().splitlines() if "-----" not in line]
    for text in ("\n".join(inside), "".join(inside), inside[0], key(leaf).decode().replace("BEGIN", "BEGINN")):
        values: dict[str, Any] = {name: text, **({"cert": chain(leaf)} if name == "key" else {})}
        said = refused(**values)
        assert said.startswith(f"TLS.{name}: ")
        assert not [line for line in inside if line in said]
        # Nor by what caused it.
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # the same one again
            TLS(**values)
        assert not [line for line in inside if line in f"{caught.value.__cause__} {caught.value.__context__}"]


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_whatever_is_given_is_loaded_or_refused_by_name(value: str | bytes) -> None:
    for name in ("ca", "cert", "key"):
        values: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=rf"^TLS\.{name}: "):
            TLS(**values)


@given(
    st.lists(
        st.sampled_from(
            [
                b"-----BEGIN CERTIFICATE-----",
                b"-----END CERTIFICATE-----",
                b"-----BEGIN PRIVATE KEY-----",
                b"-----END PRIVATE KEY-----",
                b"\n",
                b"MIIB",
                b"text",
                b"-----",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_whatever_marks_are_given_nothing_is_passed_over(value: bytes) -> None:
    """None of these is a certificate, so none of them may be loaded as no certificate at all."""
    with pytest.raises(ValueError, match=r"^TLS\.ca: "):
        TLS(ca=value)
