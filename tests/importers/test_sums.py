"""SHA256SUMS: written for C{sha256sum}, and read as it reads."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulp_dl import Digest
from pulp_dl.importers.paths import Paths
from pulp_dl.importers.sums import Sums, sum_line

SHA = hashlib.sha256(b"abc").hexdigest()
OTHER = hashlib.sha256(b"abd").hexdigest()

# What can be the name of a file, with the characters that sha256sum escapes, and bytes that are not UTF-8.
NAMES = st.text(st.sampled_from("a \\\n\r*#é\udcff-.()="), min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."}
)


def lookup(text: str | bytes, *names: str) -> Digest | None:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    with Sums(data.splitlines(keepends=True)) as sums:
        return sums.find(*names)


@given(st.dictionaries(NAMES, st.binary(max_size=4), min_size=1, max_size=5))
@example({"a\\n\nb": b"", " a": b"x", "*a": b"y"})
def test_whatever_a_file_is_called_sha256sum_accepts_what_we_write(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("files")
    lines = []
    for name, data in contents.items():
        (root / name).write_bytes(data)
        lines.append(sum_line(name, hashlib.sha256(data).hexdigest()))
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict"], cwd=root, input=b"".join(lines), capture_output=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("program", "algorithm"),
    [("sha256sum", "sha256"), ("sha512sum", "sha512"), ("sha1sum", "sha1"), ("md5sum", "md5"), ("sha384sum", "sha384")],
)
@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"]], ids=str)
def test_what_sha256sum_and_its_kin_write_is_read(
    tmp_path: Path, program: str, algorithm: str, options: list[str]
) -> None:
    names = ["a", "b c", "d\\e", "new\nline", "grüße", "sub/f", "(g) = h"]
    (tmp_path / "sub").mkdir()
    for name in names:
        (tmp_path / name).write_text(name)
    written = subprocess.run([program, *options, *names], cwd=tmp_path, capture_output=True, check=True).stdout

    for name in names:
        digest = hashlib.new(algorithm, name.encode()).hexdigest()
        assert lookup(written, name) == Digest(algorithm, digest)
    assert lookup(written, "z") is None


@given(NAMES)
def test_whatever_is_written_is_read_again(name: str) -> None:
    with Sums([sum_line(name, SHA)]) as sums:
        assert sums.find(name) == Digest("sha256", SHA)


def test_comments_signatures_and_line_ends_are_no_digests() -> None:
    signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
    text = f"{signed}# bear.iso: 3 bytes\r\n{SHA}  ./bear.iso\r\nSHA256 (x) = 12\n"

    assert lookup(text, "bear.iso") == Digest("sha256", SHA)
    assert lookup(text, "x", "bear.iso") == Digest("sha256", SHA)
    assert lookup(text, "x") is None


def test_the_same_twice_is_once_and_two_digests_for_one_name_are_an_error() -> None:
    assert lookup(f"{SHA}  a\n{SHA.upper()} *a\n", "a") == Digest("sha256", SHA)
    with pytest.raises(ValueError, match="line 2: another digest of 'a' than in line 1"):
        lookup(f"{SHA}  a\n{OTHER}  a\n", "a")


@given(st.lists(st.binary(max_size=80)))
def test_whatever_is_in_it_it_is_read_or_refused(lines: list[bytes]) -> None:
    try:
        Sums(lines).close()
    except ValueError as error:
        assert str(error)


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=2))))
def test_whatever_paths_are_noted_the_first_of_each_stays(pairs: list[tuple[str, str]]) -> None:
    first: dict[str, tuple[str, int]] = {}
    with Paths() as paths:
        for number, (path, what) in enumerate(pairs):
            before = paths.add(path, what, number, f"{number % 2}")
            assert (before is None) is (path not in first)
            first.setdefault(path, (what, number))
            if before is not None:
                assert before == (*first[path], f"{first[path][1] % 2}")

        assert dict(paths) == {path: what for path, (what, _) in first.items()}
        assert [path for path, _ in paths] == sorted(first, key=lambda path: path.encode("utf-8", "surrogatepass"))
        assert all(path in paths for path in first)
        assert "xxxx" not in paths
        assert paths.get("xxxx") is None


@given(st.lists(st.text("ab/.0", max_size=5)), st.text("ab/.0", min_size=1, max_size=3))
def test_a_path_is_occupied_by_what_is_there_and_by_what_is_in_a_folder_of_its_name(
    there: list[str], path: str
) -> None:
    with Paths() as paths:
        for each in there:
            paths.add(each, "")

        assert paths.occupies(path) is any(
            each == path or (each.startswith(f"{path}/") and each != f"{path}/") for each in there
        )


def test_names_on_a_disk_need_not_be_utf8() -> None:
    with Paths() as paths:
        paths.add(os.fsdecode(b"\xff"), "what")

        assert "\udcff" in paths
