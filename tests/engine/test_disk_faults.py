"""
Whatever a disk does and whatever a path is called: a file is whole or what was there before stays, an error says that
it was the disk, and nothing outside of its directory changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from pulp_dl import Downloader, Remote, Retries
from pulp_dl.consumers.strays import strays
from pulp_dl.errors import ConsumerFailed, DownloadError, Refused
from pulp_dl.flow.workers import InlineWorkers
from pulp_dl.testing import DiskFault, FaultDisk, MemoryNetwork, answer
from pulp_dl.testing.content import alike
from pulp_dl.testing.strategies import Numbered, disk_faults, filenames
from tests.stateful.wants import FileHere

OLD = b"what was there before"
SIZES = st.sampled_from([0, 1, 65_536, 65_537, 300_000])


@contextmanager
def downloads(body: bytes) -> Iterator[Any]:
    """Brings it to a consumer: returns what was raised, or None.  Nothing is left at the server."""
    network = MemoryNetwork(10_000)
    server = network.serve("a.example", answer(body))
    downloader = Downloader(network, Remote(retries=Retries(count=1)))
    downloader._shared.workers = InlineWorkers()  # type: ignore[assignment]  # threads would have their own time

    def bring(consumer: Any) -> DownloadError | None:
        try:
            network.result(downloader.download(server.url("/f"), consumer))
        except DownloadError as error:
            return error
        return None

    yield bring
    network.result(downloader.close())
    network.result(server.abort())
    network.run()
    assert network.connections == 0
    assert network.getDelayedCalls() == []


@given(
    faults=st.lists(disk_faults(), min_size=1, max_size=2), size=SIZES, old=st.booleans(), part=st.booleans(),
    durable=st.booleans(),
)  # fmt: skip
def test_whatever_the_disk_does_a_file_is_whole_or_what_was_there_stays(
    faults: list[DiskFault], size: int, old: bool, part: bool, durable: bool
) -> None:
    body = Numbered(0, size)
    disk = FaultDisk(*faults)
    with TemporaryDirectory() as folder, downloads(body) as bring:
        path = Path(folder, "f")
        if old:
            path.write_bytes(OLD)
        error = bring(FileHere(path, disk=disk, part=part, durable=durable))

        there = path.read_bytes() if path.exists() else None
        if error is None:
            alike(there, body)
        else:
            event("failed")
            assert isinstance(error, ConsumerFailed | Refused), error
            assert str(path) in str(error) or folder in str(error)
            assert there in {OLD if old else None, body}
        left = {each.name for each in Path(folder).iterdir()} - {"f"}
        left -= {each.name for each in strays(folder)} if faults else set()
        assert left <= ({"f.part", "f.part.json"} if part else set())

        # What is left is in nobody's way.
        disk.heal()
        assert bring(FileHere(path, disk=disk, part=part, durable=durable)) is None
        alike(path.read_bytes(), body)


@given(name=filenames())
def test_whatever_a_file_is_called_it_is_below_its_root_or_refused(name: str) -> None:
    with TemporaryDirectory() as folder, downloads(b"data") as bring:
        root = Path(folder, "root")
        root.mkdir()
        Path(folder, "b").write_bytes(OLD)

        error = bring(FileHere(name, root=root, durable=False))

        assert [each.name for each in sorted(Path(folder).iterdir())] == ["b", "root"]
        assert Path(folder, "b").read_bytes() == OLD
        files = [each for each in root.rglob("*") if not each.is_dir()]
        if error is None:
            assert [each.read_bytes() for each in files] == [b"data"]
        else:
            event(type(error).__name__)
            assert isinstance(error, Refused | ConsumerFailed)
            assert files == []
            assert str(error).isprintable()


@given(after=st.integers(0, 40), size=SIZES, old=st.booleans(), part=st.booleans(), durable=st.booleans())
def test_whenever_the_process_dies_the_path_holds_what_it_did_or_the_file(
    after: int, size: int, old: bool, part: bool, durable: bool
) -> None:
    """And another process can go on."""
    body, disk = Numbered(0, size), FaultDisk()
    with TemporaryDirectory() as folder, downloads(body) as bring:
        path = Path(folder, "f")
        if old:
            path.write_bytes(OLD)
        disk.crash(after)
        error = bring(FileHere(path, disk=disk, part=part, durable=durable))

        there = path.read_bytes() if path.exists() else None
        assert (error is None) is not disk.dead
        assert there in ({OLD if old else None, body} if disk.dead else {body})
        left = {each.name for each in Path(folder).iterdir()} - {"f"} - {each.name for each in strays(folder)}
        assert left <= ({"f.part", "f.part.json"} if part else set())

        assert bring(FileHere(path, part=part, durable=durable)) is None
        alike(path.read_bytes(), body)
