"""Each lint rule for SQL finds what breaks it."""

from __future__ import annotations

import pytest

from tools.lint import sql_header
from tools.lint.sql_header import Parameter
from tools.lint.sql_rules import header_faults, not_one_statement, unqualified

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


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("$1::uuid", "$3::uuid", "$3 is used and not in the header"),
        ("$1::uuid", "stream_id", "$1 is in the header and not used"),
        ("-- Locks: none\n", "", "the header is not as CONTRIBUTING.md says"),
    ],
)
def test_a_header_that_differs_from_its_statement(old: str, new: str, fault: str):
    """A parameter that is missing on either side is named."""
    assert header_faults(GOOD) == []
    assert header_faults(GOOD.replace(old, new))[0].startswith(fault)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("read.sql", "SELECT 1; SELECT 2", "semicolon"),
        ("read.sql", "SELECT\t1", "tab"),
        ("Read-it.sql", "SELECT 1", "snake case"),
    ],
)
def test_more_than_one_statement(name: str, text: str, fault: str):
    """Each fault of a file is named; a semicolon in a text or a comment is none."""
    assert fault in not_one_statement(name, text)[0]
    assert not_one_statement("read.sql", "SELECT ';' -- a; b") == []


def test_unqualified_names_are_found():
    """Each kind of name that a search path would decide on is found, and what the grammar itself reads is not."""
    good = """
        WITH tail AS MATERIALIZED (SELECT coalesce(pg_catalog.max(position), 0) AS last FROM {schema}.events)
        SELECT tail.last::bigint, $1::pg_catalog.text FROM tail JOIN pg_catalog.pg_class AS c ON true
        WHERE c.oid IN (SELECT oid FROM pg_catalog.unnest($2::pg_catalog.oid[]) AS given (oid))
    """
    assert unqualified(good) == []
    assert unqualified(good.replace("pg_catalog.max", "max")) == ["max()"]
    assert unqualified(good.replace("{schema}.events", "events")) == ["FROM events"]
    assert unqualified(good.replace("pg_catalog.text", "text")) == ["::text"]
    assert unqualified(good.replace("pg_catalog.pg_class", "pg_class")) == ["JOIN pg_class"]
