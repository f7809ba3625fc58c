"""What was learnt of mirrors outlives a process."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulp_dl import Attempt, Head, Places, Scores, Source
from pulp_dl.engine.learnt import KeepingError, Learnt
from pulp_dl.errors import ConnectFailed, NotFound

MIRRORS = Places(["http://a", "http://b"], original=False)
A, B = Source("http://a/repo/file"), Source("http://b/repo/file")


def teach(scores: Scores, place: Source, seconds: float, error: Any = None) -> None:
    if error is None:
        scores.answered(place, Head(place.url, 200), seconds)
    scores.record(Attempt(place, 0, 0, seconds, 0.0, None if error else 200, error, seconds))


def order(scores: Scores) -> str:
    return "".join(each.place.host for each in scores.order([A, B]))


def learnt(path: Path) -> Learnt:
    """As another process has it."""
    found = Learnt(path)
    found.load()
    return found


def test_another_process_begins_with_what_was_learnt(tmp_path: Path) -> None:
    path = tmp_path / "made" / "mirrors.json"
    first = learnt(path)
    scores = first.scores("list", MIRRORS, explore=0)
    teach(scores, A, 0.5)
    teach(scores, B, 0.1)
    first.save()

    assert order(learnt(path).scores("list", MIRRORS, explore=0)) == "ba"
    assert order(learnt(path).scores("another list", MIRRORS, explore=0)) == "ab"


def test_nobody_else_may_read_it_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "mirrors.json"
    first = learnt(path)
    for _ in range(2):
        teach(first.scores("list", MIRRORS), A, 0.5)
        first.save()

    assert [(each.name, stat.S_IMODE(each.stat().st_mode)) for each in path.parent.iterdir()] == [
        ("mirrors.json", 0o600)
    ]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_symlink_to_it_stays_one(tmp_path: Path) -> None:
    there, link = tmp_path / "elsewhere" / "mirrors.json", tmp_path / "link"
    link.symlink_to(there)
    first = learnt(link)
    teach(first.scores("list", MIRRORS), A, 0.5)
    first.save()
    assert link.is_symlink()
    assert json.loads(there.read_bytes())["version"] == 1


def test_who_learnt_nothing_writes_nothing(tmp_path: Path) -> None:
    first = learnt(tmp_path / "made" / "mirrors.json")
    first.scores("list", MIRRORS)
    first.save()

    assert list(tmp_path.iterdir()) == []


def test_nowhere_is_a_place_too(tmp_path: Path) -> None:
    first = Learnt()
    first.load()
    teach(first.scores("list", MIRRORS), A, 0.5)
    first.save()

    assert order(first.scores("list", MIRRORS, explore=0)) == "ab"


def test_what_others_have_learnt_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    one, two = learnt(path), learnt(path)
    for each, name in ((one, "one"), (two, "two")):
        scores = each.scores(name, MIRRORS, explore=0)
        teach(scores, A, 0.5)
        teach(scores, B, 0.1)
        each.save()

    assert [order(learnt(path).scores(name, MIRRORS, explore=0)) for name in ("one", "two")] == ["ba", "ba"]


def test_of_one_list_each_knows_what_others_have_learnt_of_other_hosts(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    one, two = learnt(path), learnt(path)
    teach(one.scores("list", MIRRORS, wall=lambda: 1000.0), A, 0.5)
    teach(two.scores("list", MIRRORS, wall=lambda: 1010.0), B, 0.1)
    one.save()
    two.save()

    now = learnt(path).scores("list", MIRRORS, explore=0, wall=lambda: 1010.0)
    assert [(each.host, each.latency) for each in now.hosts] == [("http://a", 0.5), ("http://b", 0.1)]


def test_of_one_host_the_newest_counts_whoever_writes_last(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    first = learnt(path)
    teach(first.scores("list", MIRRORS, wall=lambda: 1000.0), A, 0.5)
    first.save()
    late = learnt(path)
    teach(late.scores("list", MIRRORS, wall=lambda: 2000.0), B, 0.3)  # of A it knows what was kept
    other = learnt(path)
    slower = other.scores("list", MIRRORS, wall=lambda: 1900.0)
    for _ in range(50):
        teach(slower, A, 4.0)
    other.save()
    late.save()

    found = {each.host: each.latency for each in learnt(path).scores("list", MIRRORS, wall=lambda: 2000.0).hosts}
    assert found == {"http://a": pytest.approx(4.0, abs=0.01), "http://b": 0.3}


def test_what_is_learnt_at_the_same_time_is_all_there(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"

    def work(number: int) -> None:
        for turn in range(20):
            now = learnt(path)
            teach(now.scores(f"list {number} {turn % 10}", MIRRORS), A, 0.5)
            teach(now.scores("one", MIRRORS), Source(f"http://host-{number}-{turn}/"), 0.5)
            now.save()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(work, number) for number in range(4)]:
            each.result()

    found = json.loads(path.read_text())["mirrors"]
    assert len(found) == 41
    assert len(found["one"]["hosts"]) == 80


def test_who_holds_the_directory_for_long_keeps_nobody(tmp_path: Path) -> None:
    """That it is not kept is told; a service has other things to do than to wait for somebody who was stopped."""
    now = learnt(tmp_path / "mirrors.json")
    teach(now.scores("list", MIRRORS), A, 0.5)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(KeepingError, match="is not kept"):
            now.save()
    finally:
        os.close(fd)
    now.save()
    assert order(learnt(tmp_path / "mirrors.json").scores("list", MIRRORS, explore=0)) == "ab"


def test_the_file_stays_one_that_can_be_read(tmp_path: Path) -> None:
    """What was not used for the longest makes room, by its bytes too."""
    path = tmp_path / "mirrors.json"
    now = learnt(path)
    for number in range(20):
        hosts = {"http://a": {"padding": "x" * 1024 * 1024}}
        now.save({f"list {number}": {"version": 1, "saved": float(number), "hosts": hosts}})

    found = learnt(path)
    teach(found.scores("another", MIRRORS), A, 0.5)
    found.save()
    assert list(json.loads(path.read_text())["mirrors"]) == [*(f"list {number}" for number in range(5, 20)), "another"]


def test_a_list_that_is_too_large_is_left_out_and_no_other_list(tmp_path: Path) -> None:
    """It is the newest, and what there was of others before and since fits."""
    path = tmp_path / "mirrors.json"
    for number, megabytes in enumerate((1, 15, 17)):
        hosts = {"http://a": {"padding": "x" * megabytes * 1024 * 1024}}
        learnt(path).save({f"list {number}": {"version": 1, "saved": 9e9 + number, "hosts": hosts}})
    found = learnt(path)
    teach(found.scores("good", MIRRORS, explore=0), A, 0.5)
    teach(found.scores("good", MIRRORS, explore=0), B, 0.1)
    found.save()

    assert list(json.loads(path.read_text())["mirrors"]) == ["good", "list 1"]
    assert order(learnt(path).scores("good", MIRRORS, explore=0)) == "ba"


def test_of_many_lists_those_are_kept_that_were_used_last(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    for number in range(105):
        now = learnt(path)
        teach(now.scores(f"list {number}", MIRRORS, wall=lambda number=number: float(number)), A, 0.5)
        now.save()

    assert list(json.loads(path.read_text())["mirrors"]) == [f"list {number}" for number in range(5, 105)]


def test_in_one_process_the_next_order_goes_on_with_the_last_one() -> None:
    """That of settings which were read again."""
    here = Learnt()
    before = here.scores("list", MIRRORS, explore=0)
    teach(before, A, 0.5)
    teach(before, B, 0.1)
    for _ in range(3):
        teach(before, A, 0, ConnectFailed("no"))

    after = here.scores("list", MIRRORS, explore=0)

    assert order(after) == "ba"
    assert after.refused(A) is not None


def test_a_process_that_begins_leaves_nobody_alone(tmp_path: Path) -> None:
    """The network may be back, and who has typed the command again does not want to wait for that."""
    path = tmp_path / "mirrors.json"
    first = learnt(path)
    scores = first.scores("list", MIRRORS)
    for _ in range(3):
        teach(scores, A, 0, ConnectFailed("no"))
    assert scores.refused(A) is not None
    first.save()

    again = learnt(path).scores("list", MIRRORS, explore=0)

    assert again.refused(A) is None
    assert again.refused(A) is None
    assert order(again) == "ba"  # though what it did is not forgotten


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    first = learnt(path)
    scores = first.scores("list", MIRRORS)
    place = Source("http://elmer:wabbit@a/repo/sig=deadbeef/file?token=hunter2")
    teach(scores, place, 0.5, NotFound(404))
    first.save()

    text = path.read_text()
    assert "http://a" in text
    assert not any(word in text for word in ("elmer", "wabbit", "hunter2", "deadbeef"))


THEIRS = [b"", b"{", b"[]", b"null", b"\xff", b'{"version": 2, "mirrors": {}}', b'{"version": 1}', b"[" * 100_000]


@pytest.mark.parametrize("text", THEIRS)
def test_a_file_that_is_not_ours_is_told_of_and_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "mirrors.json"
    path.write_bytes(text)
    now = Learnt(path)

    with pytest.raises(KeepingError, match=r"mirrors\.json: this is not what was learnt.*delete it"):
        now.load()
    teach(now.scores("list", MIRRORS), A, 0.5)
    with pytest.raises(KeepingError, match="not what was learnt"):
        now.save()
    assert path.read_bytes() == text


def test_what_is_no_file_is_told_of(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "directory", "file/below", "loop", "n" * 300):
        with pytest.raises(KeepingError, match=name):
            Learnt(tmp_path / name).load()


def test_one_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    now = Learnt(tmp_path / "directory" / "." / "x.pulp-dl")
    teach(now.scores("list", MIRRORS), A, 0.5)

    with pytest.raises(KeepingError, match="is not kept"):
        now.save()


states = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "saved", "size", "hosts", "demerits", "http://a", "latency", "breaker"]), inner
        )
    ),
    max_leaves=15,
)


@given(states, states)
def test_whatever_is_in_it_a_list_is_put_in_order(tmp_path_factory: Any, state: Any, other: Any) -> None:
    path = tmp_path_factory.mktemp("state") / "mirrors.json"
    path.write_text(json.dumps({"version": 1, "mirrors": {"list": state, "other": other}}))
    now = learnt(path)
    scores = now.scores("list", MIRRORS, explore=0)

    assert sorted(order(scores)) == ["a", "b"]
    teach(scores, A, 0.5)
    now.save()
    assert json.loads(path.read_text())["mirrors"]["list"]["hosts"]
