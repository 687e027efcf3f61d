"""Statements made of the files of this package, for the schema in which a store lies.

Every name in a statement is qualified, so that no temporary table, and no object of a schema that comes earlier in the
search path, can stand in for what is meant: a table, type or function of the store as `{schema}.events`, one of
PostgreSQL's own as `pg_catalog.now()`. A file has these slots:

    {schema}            the store's schema, quoted, before one of its names
    {schema_name}       the name of that schema as a text literal
    {regclass events}   the oid of one of the store's relations, such as the argument of `nextval`
    {positions_max}     the highest position that can be one of the log: what lies beyond was never assigned
    {event_bytes}       how many bytes the JSON of an event has, of its columns `data` and `metadata`
    {is_ordered}        whether positions ascend, and are drawn on this server alone
    {uuid_hash column}  a number made of a column of type uuid, by which keys are split, as `uuid_hash` in projections/keys.py

A template that several statements are made of has slots of other names as well, which `fill` fills.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from eventstore.errors import ConfigurationError

NAME_BYTES_MAX = 63
"""The longest name that PostgreSQL does not cut: NAMEDATALEN - 1."""

_IDENTIFIER = r'(?:[A-Za-z_][A-Za-z_0-9$]*|"(?:[^"\0]|"")+")'
_TYPE = re.compile(
    rf"(?P<first>{_IDENTIFIER}|[A-Za-z]+(?: +[A-Za-z]+)+)(?:\.(?P<second>{_IDENTIFIER}))?"
    r"(?P<modifier>\( *\d+ *(?:, *-?\d+ *)?\))?(?P<array>(?:\[\])+)?"
)
# Names that the grammar of SQL itself reads as PostgreSQL's own types.
_GRAMMAR_TYPES = frozenset(
    (
        "bigint", "bit", "bit varying", "boolean", "character", "character varying", "double precision", "integer",
        "interval", "numeric", "real", "smallint", "time with time zone", "timestamp with time zone",
        "timestamp without time zone", "time without time zone",
    )
)  # fmt: skip
# Other types of PostgreSQL's own, which a type of the same name in a temporary schema could hide.
_OWN_TYPES = frozenset(
    (
        "bool", "bytea", "char", "cidr", "date", "datemultirange", "daterange", "float4", "float8", "inet", "int2",
        "int4", "int4range", "int8", "int8range", "json", "jsonb", "jsonpath", "macaddr", "money", "name", "numrange",
        "oid", "text", "time", "timestamp", "timestamptz", "timetz", "tsrange", "tstzrange", "tsvector", "uuid",
        "varchar", "xml",
    )
)  # fmt: skip
_OF_SCHEMA = frozenset(("regclass", "schema", "schema_name", "uuid_hash"))
_SLOT = re.compile(r"\{([a-z_]*)(?: ([a-z_]+))?\}")

_own: set[str] = set()
"""The statements of the library that were made so far: as many as there are files, schemas and tables of projections."""

_EXPRESSIONS = {
    # A restore may have put the sequence back, but never by a million million positions: at 30,000 events a second these are a
    # year's. Who may not see the sequence takes half of all numbers.
    "positions_max": """(SELECT CASE
    WHEN pg_catalog.has_sequence_privilege({regclass events_position_seq}::pg_catalog.oid, 'USAGE, SELECT')
    THEN least(coalesce(pg_catalog.pg_sequence_last_value({regclass events_position_seq}), 0), 4611686018427387904) + 1099511627776
    ELSE 4611686018427387904
END)""",
    # What a compressed value takes is known when it is not compressed any more; the others are not looked at.
    "event_bytes": """coalesce(CASE
    WHEN pg_catalog.pg_column_compression(data) IS NULL THEN pg_catalog.pg_column_size(data)
    ELSE pg_catalog.pg_column_size(data OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object())
END, 0) + coalesce(CASE
    WHEN pg_catalog.pg_column_compression(metadata) IS NULL THEN pg_catalog.pg_column_size(metadata)
    ELSE pg_catalog.pg_column_size(metadata OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object())
END, 0)""",
    # See the preconditions `sequence of positions` and `no subscription`.
    "is_ordered": """EXISTS (
        SELECT
        FROM pg_catalog.pg_sequence AS sequence
        WHERE sequence.seqrelid = {regclass events_position_seq}::pg_catalog.oid
            AND sequence.seqcache = 1 AND sequence.seqincrement = 1 AND NOT sequence.seqcycle
    ) AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_subscription_rel AS part
        JOIN pg_catalog.pg_subscription AS subscription ON subscription.oid = part.srsubid AND subscription.subenabled
        WHERE part.srrelid = {regclass events}::pg_catalog.oid
    )""",
}
"""What several statements have in common, by the name of its slot."""

_borrowed: dict[int, str] = {}
"""The schema of each connection that is on loan from a pool of the user's own, by the identity of the object."""


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL; every name that becomes part of a statement passes through here.

    Raises:
        ConfigurationError: The name is empty, contains NUL or a lone surrogate, or is longer than 63 bytes, which PostgreSQL
            would cut.
    """
    require_name(name)
    return '"' + name.replace('"', '""') + '"'


def require_name(name: str) -> None:
    """Check that PostgreSQL can have an object of a name, and keeps the name whole.

    Raises:
        ConfigurationError: As `quoted`.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= NAME_BYTES_MAX or "\0" in name:
        raise ConfigurationError(
            f"{name!r} cannot be a name in PostgreSQL: a name has 1 to {NAME_BYTES_MAX} bytes of UTF-8 and no NUL"
        )


def uuid_hash(column: str) -> str:
    """Return the expression of the number by which a uuid is split, as `uuid_hash` in projections/keys.py.

    Args:
        column: The column, as SQL.
    """

    def byte(number: int) -> str:
        return f"pg_catalog.get_byte(pg_catalog.uuid_send({column}), {number})"

    return f"(({byte(2)} + {byte(14)}) * 256 + {byte(3)} + {byte(15)})"


def literal(text: str) -> str:
    """Return text as a literal of SQL, whatever the session's `standard_conforming_strings` is.

    Raises:
        ConfigurationError: The text contains NUL, which PostgreSQL cannot store.
    """
    if "\0" in text:
        raise ConfigurationError(f"{text!r} contains NUL, which PostgreSQL cannot store")
    escaped = text.replace("'", "''")
    # Only the form with an E reads a backslash in one way whatever the setting is.
    if "\\" not in text and "$" not in text:
        return f"'{escaped}'"
    # A literal may stand in the body of a function, which a dollar could end.
    return "E'" + escaped.replace("\\", "\\\\").replace("$", "\\x24") + "'"


def _quoted_in_body(name: str) -> str:
    """Return a name as an identifier of SQL that no dollar is in: it may stand in the body of a function, which one could end."""
    if "$" not in name:
        return quoted(name)
    return "U&" + quoted(name).replace("\\", "\\\\").replace("$", "\\0024")


def qualified(schema: str, name: str) -> str:
    """Return the quoted name of an object of a schema."""
    return f"{quoted(schema)}.{quoted(name)}"


def type_name(text: str, schema: str | None = None) -> str:
    """Return the name of a type as a statement has it, so that no other type of that name can be meant.

    Args:
        text: The name as SQL has it, such as `numeric(10, 2)`, `text[]`, `order_side` or `extensions.citext`.
        schema: Where a type lies that is not PostgreSQL's own and is given without a schema; None leaves that to the
            search path.

    Raises:
        ConfigurationError: The text is not the name of a type.
    """
    match = _TYPE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"{text!r} is not the name of a PostgreSQL type: write it as name, schema.name, name(10, 2) or name[]"
        )
    first, second, modifier, brackets = (
        match["first"],
        match["second"],
        match["modifier"] or "",
        match["array"] or "",
    )
    if second is not None:
        return f"{qualified(_folded(first), _folded(second))}{modifier}{brackets}"
    words = " ".join(first.lower().split())
    if words in _GRAMMAR_TYPES:
        return f"{words}{modifier}{brackets}"
    name = _folded(first)
    if name in _OWN_TYPES and not first.startswith('"'):
        return f"pg_catalog.{name}{modifier}{brackets}"
    return f"{quoted(name) if schema is None else qualified(schema, name)}{modifier}{brackets}"


def _folded(name: str) -> str:
    """Return an identifier of SQL as the name that it stands for."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


@cache
def template(name: str) -> str:
    """Return the text of a file of this package, with its slots.

    Args:
        name: The file's path without `.sql`, such as `log/append`.

    Returns:
        The statement without the comment lines at its top, so that no header travels to the server.

    Raises:
        FileNotFoundError: There is no such file.
    """
    lines = files("eventstore.sql").joinpath(f"{name}.sql").read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("--")), 0)
    return own("\n".join(lines[start:]).strip())


def fill(text: str, **values: str) -> Template:
    """Put texts into the named slots of a template; those of the schema stay open for `render`.

    Args:
        text: The template.
        values: The text of each slot: SQL, never a value or a name from outside.

    Raises:
        ConfigurationError: A slot has no text, or a text has no slot.
    """
    slots = {match[0] for match in _SLOT.findall(text)} - _OF_SCHEMA
    if slots != values.keys():
        missing, extra = sorted(slots - values.keys()), sorted(values.keys() - slots)
        raise ConfigurationError(
            f"a template lacks texts for the slots {missing}, or has no slots for {extra}"
        )
    return Template(_SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text))


def filled(name: str, **values: str) -> str:
    """Return the statement of a template file whose slots are all filled here: names come quoted, as `qualified` gives them.

    Args:
        name: The file's path without `.sql`, such as `tables/lock`.
        values: The text of each slot, as for `fill`.

    Raises:
        ConfigurationError: A slot has no text, or a text has no slot.
        FileNotFoundError: There is no such file.
    """
    return own(str(fill(template(name), **values)))


def render(text: str, schema: str, *, has_braces: bool = False) -> str:
    """Return a template as a statement for a store in `schema`.

    Args:
        text: The template.
        schema: The name of the schema.
        has_braces: Whether what looks like a slot that this module does not know, such as `{}`, stands for itself.

    Raises:
        ConfigurationError: The text has a slot that this module does not know, where it may not have braces.
    """
    names = {"schema": _quoted_in_body(schema), "schema_name": literal(schema)}

    def fill(slot: re.Match[str]) -> str:
        kind, relation = slot.groups()
        if kind == "regclass" and relation is not None:
            return f"{literal(qualified(schema, relation))}::pg_catalog.regclass"
        if kind == "uuid_hash" and relation is not None:
            return uuid_hash(relation)
        if relation is None and kind in names:
            return names[kind]
        if relation is None and kind in _EXPRESSIONS:
            return _SLOT.sub(fill, _EXPRESSIONS[kind])
        if has_braces:
            return slot.group()
        raise ConfigurationError(f"a statement has the unknown slot {slot.group()}")

    return _SLOT.sub(fill, text)


@cache
def _needs_schema(name: str) -> bool:
    return _SLOT.search(template(name)) is not None


@cache
def _rendered(name: str, schema: str) -> str:
    return own(render(template(name), schema))


def load(name: str, connection: object) -> str:
    """Return the statement of a file of this package, for the store that `connection` is of.

    Args:
        name: The file's path without `.sql`, such as `log/append`.
        connection: A connection of a `DatabaseConnection`, or one that a `PostgreSQLAdapter` has lent.

    Raises:
        ConfigurationError: The schema of the store is not known: see `schema_of`.
        FileNotFoundError: There is no such file.
    """
    return _rendered(name, schema_of(connection)) if _needs_schema(name) else template(name)


class Named(str):
    """The name of a file of this package, given where a statement is expected."""

    __slots__ = ()


class Template(str):
    """A text with slots, given where a statement is expected."""

    __slots__ = ()


def text_of(statement: str, connection: object) -> str:
    """Return what is to be sent: a `Named` or `Template` rendered for the connection's store, other text as it is.

    Raises:
        As `load`.
    """
    if isinstance(statement, Named):
        return load(statement, connection)
    if isinstance(statement, Template):
        return _rendered_text(statement, schema_of(connection))
    return statement


@cache
def _rendered_text(text: str, schema: str) -> str:
    return own(render(text, schema))


def own(statement: str) -> str:
    """Note that a statement is the library's, and return it.

    It must leave the session as it was: no setting that outlives its transaction, nothing temporary, no session lock. The
    session is reset after any other statement, which costs a round trip at the end of the loan.
    """
    _own.add(statement)
    return statement


def is_own(statement: str) -> bool:
    """Return whether a statement is the library's, and so leaves the session as it was."""
    return statement in _own


def schema_of(connection: object) -> str:
    """Return the schema of the store that a connection is of.

    Raises:
        ConfigurationError: The session's search path names no schema that exists and none is configured; or the
            connection is neither of a `DatabaseConnection` nor lent by a `PostgreSQLAdapter`.
        asyncpg.InterfaceError: The connection was lost, and its pool has taken it back.
    """
    # The attribute is that of the library's own connections; asyncpg's proxies pass it on.
    schema: str | None = getattr(connection, "store_schema", None) or _borrowed.get(id(connection))
    if schema is not None:
        return schema
    if hasattr(connection, "store_schema"):
        raise ConfigurationError(
            "the search_path of this session names no schema that exists: set schema=... (DATABASE_SCHEMA), or the "
            "search_path of the role or the database"
        )
    # A pool has taken back what was lost, and nothing is known of it any more: asyncpg says so, as at any other call.
    getattr(connection, "is_closed", bool)()
    raise ConfigurationError(
        "this connection is not of a DatabaseConnection: take one from its acquire(), or from a PostgreSQLAdapter"
    )


def bind(connection: object, schema: str | None) -> None:
    """Note the schema of a connection on loan from a pool of the user's own; `unbind` must follow."""
    if schema is not None:
        _borrowed[id(connection)] = schema


def unbind(connection: object) -> None:
    """Forget a connection whose loan is over."""
    _borrowed.pop(id(connection), None)
