"""Each SQL file says what it is for, what it takes and gives, what it locks and which index serves it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.statements import COMPOSED, GOLDEN, STATEMENTS, golden
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


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_statement_has_its_header(name: str):
    """The header has its form, and its parameters are those that the statement uses."""
    header = sql_header.parse(STATEMENTS[name])
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


# What the grammar of SQL itself reads before a parenthesis, or as the name of a type: nobody's object can stand in for it.
GRAMMAR = frozenset(
    [
        "all",
        "and",
        "any",
        "array",
        "as",
        "bit",
        "by",
        "case",
        "check",
        "coalesce",
        "conflict",
        "cross",
        "distinct",
        "else",
        "exists",
        "extract",
        "filter",
        "from",
        "given",
        "grouping",
        "greatest",
        "in",
        "insert",
        "into",
        "is",
        "join",
        "key",
        "lateral",
        "least",
        "like",
        "limit",
        "materialized",
        "not",
        "nullif",
        "numeric",
        "on",
        "or",
        "over",
        "partition",
        "primary",
        "returning",
        "row",
        "select",
        "set",
        "then",
        "unique",
        "unnest",
        "using",
        "values",
        "when",
        "where",
        "with",
        "within",
    ]
)
GRAMMAR_TYPES = frozenset(
    ["bigint", "bit", "boolean", "double", "integer", "interval", "numeric", "real", "smallint"]
)


def unqualified(statement: str) -> list[str]:
    """Name what a statement calls, casts to or reads from without saying in which schema it lies."""
    code = re.sub(r"--.*", "", statement)
    code = re.sub(r"E?'(?:[^']|'')*'", "''", code)
    own = set(re.findall(r"([a-z_]+)(?: \([a-z_, ]+\))? AS (?:NOT )?(?:MATERIALIZED )?\(", code))  # of WITH
    aliases = set(re.findall(r"\bAS ([a-z_]+) \(", code))
    columns = set(re.findall(r"(?:INTO|TABLE) \{schema\}\.([a-z_]+)(?: AS ([a-z_]+))? \(", code))
    tables = {name for pair in columns for name in pair}
    found = [
        f"{name}()"
        for name in re.findall(r"(?<![\w.])([a-z_][a-z_0-9]*) ?\(", code)
        if name.lower() not in GRAMMAR | own | aliases | tables
    ]
    found += [
        f"::{name}"
        for name in re.findall(r"::\s*([a-z_][a-z_0-9]*)(?!\w*\.)", code)
        if name not in GRAMMAR_TYPES and name != "pg_catalog"
    ]
    found += [
        f"{place} {name}"
        for place, name in re.findall(r"\b(FROM|JOIN|INTO|UPDATE|TABLE) ([a-z_][a-z_0-9]*)\b(?!\.|\()", code)
        if name not in own and name != "unnest"
    ]
    return found


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_name_is_qualified(name: str):
    """A function, a type or a relation is named with its schema, so that no search path decides which one is meant."""
    assert unqualified(sql_header.parse(STATEMENTS[name]).statement) == []


@pytest.mark.parametrize("name", COMPOSED)
def test_what_a_template_makes_is_kept(name: str):
    """A change of a template, a class or a field is seen in every statement that it changes: `make goldens` writes them."""
    assert golden(name).read_text() == f"{COMPOSED[name]}\n"


def test_no_statement_is_kept_in_vain():
    """Each kept statement is one that a template makes."""
    assert {path.name for path in GOLDEN.glob("*.sql")} == {golden(name).name for name in COMPOSED}


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
