"""The form of a migration file, and each fault of one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from eventstore.database.migration_files import load_migrations, packaged_directory
from eventstore.errors import MigrationError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
-- What it is for.
-- migrate:creates: a, a_id_seq

-- migrate:up
CREATE TABLE a ();

-- migrate:requires-empty: a
-- migrate:down
DROP TABLE a;
"""


def test_a_good_file(tmp_path: Path):
    """Its name and its parts are read; the checksum is that of its bytes."""
    (tmp_path / "0007_some_thing.sql").write_text(GOOD)
    (one,) = load_migrations(tmp_path)
    assert (one.version, one.name, one.label) == (7, "some_thing", "0007_some_thing")
    assert (one.up, one.down) == ("CREATE TABLE a ();", "DROP TABLE a;")
    assert (one.creates, one.requires_empty, one.irreversible) == (("a", "a_id_seq"), ("a",), None)
    assert one.checksum == hashlib.sha256(GOOD.encode()).hexdigest()


def test_line_ends_do_not_change_the_checksum(tmp_path: Path):
    """A checkout on Windows is the same migration."""
    (tmp_path / "0001_a.sql").write_text(GOOD)
    unix = load_migrations(tmp_path)
    (tmp_path / "0001_a.sql").write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert load_migrations(tmp_path) == unix


def test_order_is_that_of_the_versions(tmp_path: Path):
    """And files that are no SQL are left alone."""
    for name in ("0010_c", "0002_b", "0001_a"):
        (tmp_path / f"{name}.sql").write_text(GOOD)
    (tmp_path / "README.md").write_text("x")
    assert [one.version for one in load_migrations(tmp_path)] == [1, 2, 10]


def test_irreversible(tmp_path: Path):
    """The reason takes the place of the way back."""
    (tmp_path / "0001_a.sql").write_text(
        "-- migrate:up\nSELECT 1;\n-- migrate:irreversible: what is gone is gone\n"
    )
    (one,) = load_migrations(tmp_path)
    assert one.down is None
    assert one.irreversible == "what is gone is gone"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- migrate:up", "-- up", "no statements after `-- migrate:up`"),
        ("CREATE TABLE a ();", "-- nothing", "no statements after `-- migrate:up`"),
        ("DROP TABLE a;", "", "no statements after `-- migrate:down`"),
        ("-- migrate:down\nDROP TABLE a;\n", "", "neither"),
        ("-- migrate:down", "-- migrate:irreversible: x\n-- migrate:down", "both"),
        ("-- migrate:down", "-- migrate:irreversible:\n-- migrate:down", "has nothing after it"),
        ("-- migrate:up", "-- migrate:up: x", "too much after it"),
        ("-- migrate:down", "-- migrate:doen", "`migrate:doen` is unknown or repeated"),
        ("-- migrate:down", "-- migrate:up", "unknown or repeated"),
        ("-- What it is for.", "SELECT 1;", "statements before"),
        ("a, a_id_seq", 'a, "B"', "not a lower-case name"),
        ("CREATE TABLE a ();", "DROP TABLE b;\n-- migrate:down", "repeated"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, old: str, new: str, message: str):
    """The message has the file's name and what is wrong with it."""
    assert old in GOOD
    (tmp_path / "0001_a.sql").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(MigrationError, match=message) as caught:
        load_migrations(tmp_path)
    assert "0001_a.sql" in str(caught.value)


@pytest.mark.parametrize("name", ["1_a", "0000_a", "0001-a", "0001_A", "0001_", "00001_a", "a"])
def test_a_wrong_name_is_refused(tmp_path: Path, name: str):
    """A file that would be left out silently is an error instead."""
    (tmp_path / f"{name}.sql").write_text(GOOD)
    with pytest.raises(MigrationError, match="not a name of a migration"):
        load_migrations(tmp_path)


def test_one_version_twice(tmp_path: Path):
    """As after a merge of two branches."""
    for name in ("0001_a", "0001_b"):
        (tmp_path / f"{name}.sql").write_text(GOOD)
    with pytest.raises(MigrationError, match="the same version"):
        load_migrations(tmp_path)


def test_not_utf8_and_no_folder(tmp_path: Path):
    """Both are said in one line."""
    with pytest.raises(MigrationError, match="is not a folder"):
        load_migrations(tmp_path / "no_such")
    (tmp_path / "0001_a.sql").write_bytes(b"-- migrate:up\n\xff")
    with pytest.raises(MigrationError, match="not UTF-8"):
        load_migrations(tmp_path)


def test_the_librarys_own_are_well_formed():
    """Numbered from 1 without a gap."""
    own = load_migrations(packaged_directory())
    assert [one.version for one in own] == list(range(1, len(own) + 1))
    assert "events" in own[0].creates
