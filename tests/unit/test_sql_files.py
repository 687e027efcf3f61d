"""Each SQL file says what it is for, what it takes and gives, what it locks and which index serves it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit import sql_header
from tests.unit.sql_header import SQL, Parameter

FILES = sorted(SQL.rglob("*.sql"))

GOOD = """\
-- Purpose: Read one stream,
--   in order.
-- Parameters:
--   $1 stream_id uuid
--   $2 times timestamp with time zone[] UTC
-- Result: position bigint
-- Locks: none
-- Index: events_pkey
SELECT position FROM events WHERE stream_id = $1::uuid AND occurred_at = ANY ($2::timestamptz[])
"""


def test_there_are_files():
    """The folder is found: the tests below are not empty."""
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SQL)))
def test_each_file_has_its_header(path: Path):
    """The header has its form, and its parameters are those that the statement uses."""
    header = sql_header.parse(path.read_text())
    used = sql_header.numbers_used(header.statement)
    assert used == {parameter.number for parameter in header.parameters}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SQL)))
def test_each_file_is_one_statement(path: Path):
    """One statement, without a semicolon; no tab; the name is in snake case."""
    text = path.read_text()
    code = re.sub(r"--.*", "", text)
    assert ";" not in re.sub(r"'[^']*'", "''", code)
    assert "\t" not in text
    assert re.fullmatch(r"[a-z][a-z0-9_]*\.sql", path.name)


def test_parse_reads_every_field():
    """A good header gives its fields, its parameters and its statement."""
    header = sql_header.parse(GOOD)
    assert header.fields["Purpose"] == "Read one stream, in order."
    assert header.parameters == (
        Parameter(1, "stream_id", "uuid"),
        Parameter(2, "times", "timestamp with time zone[] UTC"),
    )
    assert header.parameters[1].is_of("timestamp with time zone[]")
    assert not header.parameters[1].is_of("timestamp with time zone")
    assert header.statement.startswith("SELECT")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("-- Locks: none\n", "", "the fields are"),
        ("-- Locks: none", "-- Locks:", "nothing is said in Locks"),
        ("-- Locks: none", "-- Purpose: again", "comes twice"),
        ("--   in order.", "-- in order.", "neither a field"),
        ("$2 times", "$3 times", "is missing"),
        ("$1 stream_id uuid", "$1 stream_id", "not `"),
        ("times timestamp with time zone[]", "times timestamptz[]", "format_type"),
        ("-- Parameters:\n", "-- Parameters: some\n", "followed by"),
        (GOOD[GOOD.index("SELECT") :], "", "no statement"),
    ],
)
def test_parse_refuses(old: str, new: str, complaint: str):
    """Each fault of a header is named."""
    assert old in GOOD
    with pytest.raises(ValueError, match=complaint):
        sql_header.parse(GOOD.replace(old, new))


def test_numbers_used():
    """A parameter in a comment is not used."""
    assert sql_header.numbers_used("SELECT $1, $12 -- and $3") == {1, 12}
