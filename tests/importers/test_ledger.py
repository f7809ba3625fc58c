"""What is published, in an SQLite file: one publication for each path, one moment for each question."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulp_dl.importers.ledger import Ledger, Listed, Place, Publication
from pulp_dl.importers.schema import APPLICATION, VERSION, CatalogueError, opened
from pulp_dl.model.entry import Entry

SHA = "0" * 64
PLACES = (Place("http://a.example/repo/", "a"), Place("http://b.example/"))
FILES = ("a.iso", "b/c.iso", "b/d/e.iso", "b.txt", "z")


def publication(base: str, policy: str = "on_demand") -> Publication:
    return Publication(base, policy, PLACES, 1234.5)


def listed(*paths: str, sha256: str = SHA) -> Iterator[Listed]:
    return (Listed(path, quote(path), 3, sha256) for path in paths)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with opened(path) as connection:
        yield Ledger(connection)


def test_what_is_published_is_found_as_it_was_published(ledger: Ledger) -> None:
    others = (("md5", "0" * 32), ("sha512", "0" * 128))
    known = [
        Listed("50% off #1.iso", quote("50% off #1.iso"), 3, SHA),
        Listed("a", "http://elsewhere.example/x?y", None, None, others, kept=True),
        Listed("grüße/日本", "another/name", 2**63 - 1, SHA, others),
    ]
    ledger.publish(publication("/files/"), known)

    for each in known:
        found, file = ledger.find(f"/files/{each.path}")
        assert file == each
        assert (found.base, found.policy, found.places, found.published) == ("/files/", "on_demand", PLACES, 1234.5)


def test_publications_are_counted_and_listed(ledger: Ledger) -> None:
    ledger.publish(publication("/z/", "streamed"), [])
    found = ledger.publish(publication("/files/"), listed(*FILES))

    assert (found.files, found.size) == (5, 15)
    assert [(each.base, each.files) for each in ledger.publications()] == [("/files/", 5), ("/z/", 0)]


def test_the_latest_publication_wins_as_a_whole(ledger: Ledger) -> None:
    """What it does not list is not there any more, whatever was there before."""
    ledger.publish(publication("/files/"), listed(*FILES))
    ledger.publish(publication("/files/", "streamed"), listed("a.iso", "new", sha256="1" * 64))

    assert ledger.find("/files/a.iso")[1].sha256 == "1" * 64
    assert ledger.find("/files/new")[0].policy == "streamed"
    with pytest.raises(KeyError):
        ledger.find("/files/z")
    assert len(ledger.publications()) == 1


def test_what_is_unpublished_is_gone(ledger: Ledger, path: Path) -> None:
    ledger.publish(publication("/files/"), listed(*FILES))
    ledger.publish(publication("/other/"), listed(*FILES))

    assert ledger.unpublish("/files/")
    assert not ledger.unpublish("/files/")
    with pytest.raises(KeyError):
        ledger.find("/files/a.iso")
    assert ledger.find("/other/a.iso")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (5,)
    connection.close()


def test_a_publication_that_breaks_off_leaves_the_one_before(ledger: Ledger) -> None:
    ledger.publish(publication("/files/"), listed(*FILES))

    def files() -> Iterator[Listed]:
        yield from listed("x", *(str(number) for number in range(5000)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.publish(publication("/files/"), files())
    with pytest.raises(CatalogueError, match=r"2\*\*63"):
        ledger.publish(publication("/files/"), [Listed("x", "x", 2**63, SHA)])

    assert [each.files for each in ledger.publications()] == [5]
    assert ledger.find("/files/z")


def test_who_asks_while_somebody_publishes_sees_the_publication_before(ledger: Ledger, path: Path) -> None:
    """And does not wait, whatever is written."""
    ledger.publish(publication("/files/"), listed("old"))
    seen = []

    def files() -> Iterator[Listed]:
        with opened(path) as connection:
            for each in listed("new", *(str(number) for number in range(3000))):
                yield each
                if each.path in {"new", "1500", "2999"}:
                    seen.append([entry.name for entry in Ledger(connection).directory("/files/")])

    ledger.publish(publication("/files/"), files())

    assert seen == [["old"]] * 3
    assert ledger.find("/files/new")


def test_what_is_asked_for_together_is_of_one_moment(ledger: Ledger, path: Path) -> None:
    """Somebody publishes after the publication was found, and before its files were."""
    ledger.publish(publication("/files/"), listed("a", "b"))

    with opened(path) as connection, opened(path) as other:

        def meanwhile(statement: str) -> None:
            if "FROM files" in statement:
                connection.set_trace_callback(None)
                Ledger(other).publish(publication("/files/"), listed("b", "c", sha256="1" * 64))

        connection.set_trace_callback(meanwhile)
        found = Ledger(connection).find_all(["/files/a", "/files/b", "/files/c"])

    assert [each and each[1].sha256 for each in found] == [SHA, SHA, None]
    assert ledger.find("/files/c")


@pytest.mark.parametrize(("inner", "outer"), [("/files/sub/", "/files/"), ("/files/", "/"), ("/a/b/c/", "/a/")])
def test_no_repository_is_inside_of_another_one(ledger: Ledger, inner: str, outer: str) -> None:
    """A client of the outer one would see a mix."""
    for first, second in ((inner, outer), (outer, inner)):
        ledger.publish(publication(first), listed("a"))
        with pytest.raises(CatalogueError, match=f"{second} cannot be published: {first} is"):
            ledger.publish(publication(second), listed("a"))
        assert ledger.unpublish(first)


def test_bases_that_begin_alike_are_neighbours(ledger: Ledger) -> None:
    bases = ["/a/", "/ab/", "/a.b/", "/a-/", "/A/", "/ä/"]
    for base in bases:
        ledger.publish(publication(base), listed("x"))
    for base in bases:
        assert ledger.find(f"{base}x")[0].base == base
    for path in ("/x", "/a", "/a/", "/a/x/", "/a.b", "/aa/x", "/0/x", "/ü/x", "", "x", "/\udcff/x", "/a/\ud800"):
        with pytest.raises(KeyError):
            ledger.find(path)


@pytest.mark.parametrize("base", ["", "files/", "/files", "//", "/a//b/", "/../", "/a/./", "/a\n/"])
def test_a_base_is_a_directory_with_plain_names(base: str) -> None:
    with pytest.raises(CatalogueError, match="is no directory to publish at"):
        publication(base)


def test_a_policy_is_one_of_three() -> None:
    with pytest.raises(CatalogueError, match="use one of immediate, on_demand, streamed"):
        publication("/a/", "lazy")


NAMES = st.sampled_from(["a", "a.b", "a0", "b", "ä", "-", "\U0010ffff", "0"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(repositories=st.dictionaries(st.sampled_from(["/a/", "/a.b/", "/b/a/", "/b/a0/", "/ä/"]), st.sets(PATHS)))
@example(repositories={"/": {"a/b", "a.b"}})
def test_whatever_is_published_every_file_is_found_and_every_directory_lists_its_level(
    repositories: dict[str, set[str]],
) -> None:
    with TemporaryDirectory() as directory, opened(Path(directory, "c")) as connection:
        ledger = Ledger(connection)
        for base, paths in repositories.items():
            ledger.publish(publication(base), listed(*paths))
        every = {base + path for base, paths in repositories.items() for path in paths}

        for path in every:
            found, file = ledger.find(path)
            assert found.base + file.path == path
        directories = {path[: index + 1] for path in (*every, *repositories) for index in range(len(path))}
        for each in {path for path in directories if path.endswith("/")}:
            below = {path.removeprefix(each) for path in every | {*repositories} if path.startswith(each)}
            names = {rest.partition("/")[0] + rest.partition("/")[1] for rest in below if rest}
            try:
                entries = ledger.directory(each)
            except KeyError:
                entries = []
            assert sorted(entry.name for entry in entries) == sorted(names)


def test_a_line_of_a_listing_has_what_is_known(ledger: Ledger) -> None:
    ledger.publish(publication("/x/files/"), listed(*FILES))

    assert ledger.directory("/x/files/") == [
        Entry("a.iso", 3, 1234.5),
        Entry("b.txt", 3, 1234.5),
        Entry("b/", None, 1234.5),
        Entry("z", 3, 1234.5),
    ]
    assert ledger.directory("/") == [Entry("x/")]
    assert ledger.directory("/x/") == [Entry("files/")]
    assert ledger.directory("/x/files/b/d/") == [Entry("e.iso", 3, 1234.5)]
    for path in ("/y/", "/x/files/a.iso/", "/x/files/b/c/"):
        with pytest.raises(KeyError):
            ledger.directory(path)


def test_a_hundred_thousand_files_are_published_in_flat_memory(ledger: Ledger) -> None:
    tracemalloc.start()
    try:
        ledger.publish(publication("/files/"), listed(*(f"{number % 300}/{number}" for number in range(1000))))
        _, few = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        ledger.publish(publication("/files/"), (file for number in range(100_000) for file in listed(f"b/{number}")))
        _, many = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert many < few + 500_000
    assert ledger.publications()[0].files == 100_000
    assert ledger.directory("/files/") == [Entry("b/", None, 1234.5)]


# ---- the file


def test_it_is_a_catalogue_from_its_first_use_on(path: Path) -> None:
    for _ in range(2):
        with opened(path) as connection:
            assert Ledger(connection).publications() == []
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_catalogue_of_a_newer_version_is_not_touched(path: Path) -> None:
    with opened(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()

    with pytest.raises(CatalogueError, match="version 3, and a newer pulp_dl made it; update"), opened(path):
        pass
    assert path.read_bytes() == before


def test_the_catalogue_of_an_older_version_becomes_one_of_ours(path: Path) -> None:
    """Nothing that is published is lost, and the process that made it may be publishing still."""
    old = [
        """CREATE TABLE publications (id INTEGER PRIMARY KEY, base TEXT NOT NULL UNIQUE, policy TEXT NOT NULL,
        published REAL NOT NULL, files INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0) STRICT""",
        """CREATE TABLE places (publication INTEGER NOT NULL REFERENCES publications ON DELETE CASCADE,
        rank INTEGER NOT NULL, url TEXT NOT NULL, remote TEXT,
        PRIMARY KEY (publication, rank)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE files (publication INTEGER NOT NULL REFERENCES publications ON DELETE CASCADE,
        path TEXT NOT NULL, href TEXT, size INTEGER, sha256 TEXT, others TEXT, kept INTEGER NOT NULL,
        PRIMARY KEY (publication, path)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX kept ON files (sha256) WHERE kept",
        f"PRAGMA application_id = {APPLICATION}",
        "PRAGMA user_version = 1",
        "INSERT INTO publications VALUES (1, '/a/', 'streamed', 5.0, 1, 3)",
        "INSERT INTO places VALUES (1, 0, 'http://h/', NULL)",
        "INSERT INTO files VALUES (1, 'f', NULL, 3, 'ab', NULL, 0)",
    ]
    with closing(sqlite3.connect(path)) as connection:
        for statement in old:
            connection.execute(statement)
        connection.commit()

    for _ in range(2):
        with opened(path) as connection:
            ledger = Ledger(connection)
            assert ledger.find("/a/f")[1] == Listed("f", "f", 3, "ab")
    with opened(path) as connection:
        ledger = Ledger(connection)
        ledger.publish(Publication("/a/", "streamed", (Place("http://h/"),)), [Listed("l", "l", 3, "ab", mutable=True)])
        assert ledger.find("/a/l")[1].mutable


def test_another_database_is_not_touched(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bears (name)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(CatalogueError, match="no catalogue; give the catalogue another file"), opened(path):
        pass
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused_in_words(path: Path) -> None:
    path.write_text("bears " * 1000)
    with pytest.raises(CatalogueError, match=r"catalogue.db: this file is no catalogue that can be used"), opened(path):
        pass
    with pytest.raises(CatalogueError, match="unable to open"), opened(path / "below"):
        pass
