"""Which key a server is known by, whatever a file says."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.keys import Key

from pulp_dl.model.ssh import SSH
from pulp_dl.protocols.sftp.hosts import known
from pulp_dl.urls import parse
from tests.sshd import new_key

PLACE = parse("sftp://bear.example.org/")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, openssh: None) -> list[tuple[Key, str]]:
    """Two, with how a file has them."""
    paths = [new_key(tmp_path_factory.mktemp("keys") / "key") for _ in range(2)]
    return [(Key.fromFile(str(path)).public(), path.with_suffix(".pub").read_text().strip()) for path in paths]


@given(lines=st.lists(st.binary(max_size=80), max_size=5), start=st.sampled_from([b"", b"|1|", b"@revoked ", b"bear "]))
def test_nonsense_makes_nobody_known_and_hides_nobody(
    keys: list[tuple[Key, str]], lines: list[bytes], start: bytes
) -> None:
    """Whatever stands between the lines that mean something."""
    (key, text), (other, _) = keys
    nonsense = b"\n".join(start + line.replace(b"\n", b"") for line in lines)
    with tempfile.NamedTemporaryFile() as file:
        file.write(nonsense + b"\n# a comment\n" + f"bear.example.org {text}\n".encode() + nonsense)
        file.flush()
        found = known(SSH(known_hosts=file.name), PLACE)

    assert found.refusal(key) is None
    assert found.refusal(other) is not None


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("bear.example.org", "sftp://BEAR.example.org/"),
        ("[bear.example.org]:2222", "sftp://bear.example.org:2222/"),
        ("other,bear.example.org,192.0.2.1", "sftp://bear.example.org/"),
        ("::1", "sftp://[::1]/"),
        ("[::1]:2222", "sftp://[::1]:2222/"),
    ],
)
@pytest.mark.parametrize("hashed", [False, True])
def test_names_are_those_of_OpenSSH(
    keys: list[tuple[Key, str]], tmp_path: Path, name: str, url: str, hashed: bool
) -> None:
    (key, text), (other, _) = keys
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} {text}\n")
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, stderr=subprocess.DEVNULL)
    found = known(SSH(known_hosts=file), parse(url))

    assert found.refusal(key) is None
    assert "somebody may be in between" in str(found.refusal(other))
    assert "is not known" in str(known(SSH(known_hosts=file), parse("sftp://cub.example.org/")).refusal(key))


@pytest.mark.parametrize(
    ("names", "url", "fits"),
    [
        ("*", "sftp://bear.example.org:2222/", True),
        ("*.example.org", "sftp://bear.example.org/", True),
        ("*.example.org", "sftp://example.org/", False),
        ("b??r.*", "sftp://bear.example.org/", True),
        ("b?r.*", "sftp://bear.example.org/", False),
        ("bear.exampl[e].org", "sftp://bear.example.org/", False),
        ("[*.example.org]:2222", "sftp://bear.example.org:2222/", True),
        ("Bear.Example.ORG", "sftp://bear.example.org/", True),
        ("*.example.org,!bear.*", "sftp://bear.example.org/", False),
        ("!bear.example.org,bear.example.org", "sftp://bear.example.org/", False),
        ("!cub.example.org", "sftp://bear.example.org/", False),
    ],
)
def test_patterns_are_those_of_OpenSSH(
    keys: list[tuple[Key, str]], tmp_path: Path, names: str, url: str, fits: bool
) -> None:
    """Of trust as of its end: C{@revoked *} is how a stolen key is taken out of use everywhere."""
    (key, text), (other, theirs) = keys
    file = tmp_path / "known_hosts"
    file.write_text(f"{names} {text}\n")
    assert (known(SSH(known_hosts=file), parse(url)).refusal(key) is None) is fits

    exact = "[bear.example.org]:2222" if "2222" in url else "bear.example.org,example.org"
    for mark in ("@revoked ", "@revoked\t", " @revoked  "):
        file.write_text(f"{mark}{names} {text}\n{exact} {text}\n{exact} {theirs}\n")
        found = known(SSH(known_hosts=file), parse(url))
        assert ("revoked" in str(found.refusal(key))) is fits
        assert found.refusal(other) is None


def test_another_port_is_another_server(keys: list[tuple[Key, str]], tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(f"bear.example.org {keys[0][1]}\n")
    elsewhere = parse("sftp://bear.example.org:2222/")
    refusal = known(SSH(known_hosts=tmp_path / "known_hosts"), elsewhere).refusal(keys[0][0])

    assert "ssh-keyscan -p 2222 bear.example.org" in str(refusal)


def test_a_key_of_another_kind_is_not_known_either(keys: list[tuple[Key, str]], tmp_path: Path) -> None:
    """Anybody in between may have one of a kind that is not in the file."""
    (tmp_path / "known_hosts").write_text(f"bear.example.org {keys[0][1]}\n")
    other = Key.fromFile(str(new_key(tmp_path / "key", "ecdsa"))).public()

    assert "is not known" in str(known(SSH(known_hosts=tmp_path / "known_hosts"), PLACE).refusal(other))


def test_without_a_home_nobody_is_known(
    keys: list[tuple[Key, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert "is not known" in str(known(SSH(), PLACE).refusal(keys[0][0]))


def test_a_file_in_a_home_is_read(keys: list[tuple[Key, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "known").write_text(f"bear.example.org {keys[0][1]}\n")

    assert known(SSH(known_hosts="~/known"), PLACE).refusal(keys[0][0]) is None
