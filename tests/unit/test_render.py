"""Names become part of a statement in one way, whatever they are; a template has no slot that nobody fills."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from eventstore.errors import ConfigurationError
from eventstore.sql import (
    Named,
    Template,
    fill,
    is_own,
    literal,
    load,
    planned_for,
    quoted,
    render,
    schema_of,
    text_of,
    type_name,
)

NAMES = st.text(
    st.characters(exclude_characters="\0", categories=("L", "N", "P", "S", "Z")), min_size=1, max_size=15
)


class Session:
    """What a connection of the library's own tells of its store."""

    def __init__(self, store_schema: str | None) -> None:
        self.store_schema = store_schema


@given(name=NAMES)
def test_a_name_is_one_identifier(name: str):
    """Inside the quotes each quote is doubled, so that the name ends where it ends."""
    text = quoted(name)
    assert text[0] == text[-1] == '"'
    assert text[1:-1].replace('""', "") == name.replace('"', "")
    assert text[1:-1].replace('""', '"') == name


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "ü" * 32])
def test_what_is_no_name_is_refused(name: str):
    """PostgreSQL would cut it or not take it."""
    with pytest.raises(ConfigurationError, match="1 to 63 bytes"):
        quoted(name)


def test_a_literal_depends_on_no_setting():
    """Backslashes are escaped in the form that `standard_conforming_strings` does not change."""
    assert literal("it's here") == "'it''s here'"
    assert literal("it's \\ here") == "E'it''s \\\\ here'"
    with pytest.raises(ConfigurationError, match="NUL"):
        literal("a\0")


def test_slots_are_filled():
    """The schema, its name as text, and the oid of a relation."""
    assert render("SELECT FROM {schema}.events", 'de"sk') == 'SELECT FROM "de""sk".events'
    assert render("SELECT {schema_name}", "o'desk") == "SELECT 'o''desk'"
    assert (
        render("nextval({regclass events})", "desk") == """nextval('"desk"."events"'::pg_catalog.regclass)"""
    )
    assert render("SELECT '{schema}.x'", "{schema_name}") == """SELECT '"{schema_name}".x'"""
    for text in ("{events}", "{regclass}", "{schema events}", "{}"):
        with pytest.raises(ConfigurationError, match="unknown slot"):
            render(f"SELECT {text}", "desk")


def test_a_template_is_filled_exactly():
    """A slot without a text, and a text without a slot, are errors; the schema's slots stay open."""
    filled = fill("SELECT {columns} FROM {schema}.{table}", columns="id", table="orders")
    assert filled == "SELECT id FROM {schema}.orders"
    assert text_of(filled, Session("desk")) == 'SELECT id FROM "desk".orders'
    with pytest.raises(ConfigurationError, match=r"lacks texts for the slots \['table'\]"):
        fill("SELECT {columns} FROM {table}", columns="id")
    with pytest.raises(ConfigurationError, match=r"no slots for \['order'\]"):
        fill("SELECT 1", order="id")


def test_a_statement_is_planned_anew_as_the_log_doubles():
    """Its text stays the same until then, so that a plan is used again, and it stays the library's own."""
    texts = [planned_for("SELECT 1", position) for position in range(1, 1_024)]
    assert len(set(texts)) == 10
    assert texts[511] == texts[1_022]
    assert all(map(is_own, texts))
    assert planned_for("SELECT 1", 900, 100) != planned_for("SELECT 1", 900, 200)


def test_statements_know_their_store():
    """A statement is rendered for the connection that it is sent on; one without slots needs no store."""
    assert '"desk".events' in load("log/read_stream", Session("desk"))
    assert text_of(Named("log/read_stream"), Session("desk")) == load("log/read_stream", Session("desk"))
    assert text_of(Template("TABLE {schema}.x"), Session("desk")) == 'TABLE "desk".x'
    assert text_of("SELECT '{schema}'", Session("desk")) == "SELECT '{schema}'"
    assert load("log/backend_pid", object())
    with pytest.raises(ConfigurationError, match="set schema="):
        schema_of(Session(None))
    with pytest.raises(ConfigurationError, match="not lent by a DatabaseConnection"):
        load("log/read_stream", object())


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("numeric(10, 2)", "numeric(10, 2)"),
        ("Timestamp  with time zone[]", "timestamp with time zone[]"),
        ("text", "pg_catalog.text"),
        ("UUID[]", "pg_catalog.uuid[]"),
        ("order_side", '"desk"."order_side"'),
        ('"Text"', '"desk"."Text"'),
        ("extensions.citext", '"extensions"."citext"'),
        ('"my schema"."my ""type"""(3)[][]', '"my schema"."my ""type"""(3)[][]'),
    ],
)
def test_a_type_is_named_with_its_schema(given_name: str, expected: str):
    """PostgreSQL's own types are, and what is neither its own nor given with a schema is the store's."""
    assert type_name(given_name, "desk") == expected


@pytest.mark.parametrize(
    "text", ["", "text); DROP TABLE events; --", "numeric(10,2", "a.b.c", "text[3]", "1st", "a b; c"]
)
def test_what_is_no_type_is_refused(text: str):
    """A type that a projection's table gives cannot carry a statement."""
    with pytest.raises(ConfigurationError, match="not the name of a PostgreSQL type"):
        type_name(text)
