"""Renders the statements in the files of this package for the schema of a store.

Every name in a statement is qualified, so that no temporary table, and no object of an earlier schema in the
search path, can replace it: a table, type or function of the store as `{schema}.events`, a built-in one as
`pg_catalog.now()`. A file has these slots:

    {schema}            the store's schema, quoted, before one of its names
    {schema_name}       the name of that schema as a text literal
    {regclass events}   the oid of one of the store's relations, such as the argument of `nextval`
    {positions_max}     the highest possible position of the log; positions beyond it were never assigned
    {event_bytes}       the bytes of an event's JSON, in its columns `data` and `metadata`
    {is_usual_envelope} whether a fold of an event needs no look at its columns `occurred_at` and `metadata`
    {is_ordered}        whether positions ascend, and are drawn only on this server
    {uuid_hash column}  a number made of a column of type uuid, by which keys are split, as `uuid_hash` in projections/keys.py

A template for several statements has other slots as well, which `fill` fills.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from eventstore.errors import ConfigurationError

NAME_BYTES_MAX = 63
"""The longest name that PostgreSQL does not truncate: NAMEDATALEN - 1."""

_IDENTIFIER = r'(?:[A-Za-z_][A-Za-z_0-9$]*|"(?:[^"\0]|"")+")'
_TYPE = re.compile(
    rf"(?P<first>{_IDENTIFIER}|[A-Za-z]+(?: +[A-Za-z]+)+)(?:\.(?P<second>{_IDENTIFIER}))?"
    r"(?P<modifier>\( *\d+ *(?:, *-?\d+ *)?\))?(?P<array>(?:\[\])+)?"
)
# Names that the grammar of SQL itself reads as built-in types.
_GRAMMAR_TYPES = frozenset(
    (
        "bigint", "bit", "bit varying", "boolean", "character", "character varying", "double precision", "integer",
        "interval", "numeric", "real", "smallint", "time with time zone", "timestamp with time zone",
        "timestamp without time zone", "time without time zone",
    )
)  # fmt: skip
# Other built-in types, which a type of the same name in a temporary schema could hide.
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
    # A restore may have reset the sequence, but never by 2^40 positions, which at 30,000 events per second take a
    # year. A role that may not see the sequence gets half of all numbers as the limit.
    "positions_max": """(SELECT CASE
    WHEN pg_catalog.has_sequence_privilege({regclass events_position_seq}::pg_catalog.oid, 'USAGE, SELECT')
    THEN least(coalesce(pg_catalog.pg_sequence_last_value({regclass events_position_seq}), 0), 4611686018427387904) + 1099511627776
    ELSE 4611686018427387904
END)""",
    # The size of a compressed value is known only after decompression; values that are not compressed are not read.
    "event_bytes": """coalesce(CASE
    WHEN pg_catalog.pg_column_compression(data) IS NULL THEN pg_catalog.pg_column_size(data)
    ELSE pg_catalog.pg_column_size(data OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object())
END, 0) + coalesce(CASE
    WHEN pg_catalog.pg_column_compression(metadata) IS NULL THEN pg_catalog.pg_column_size(metadata)
    ELSE pg_catalog.pg_column_size(metadata OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object())
END, 0)""",
    "is_usual_envelope": """pg_catalog.isfinite(occurred_at)
    AND pg_catalog.jsonb_typeof(metadata) = 'object'::pg_catalog.text""",
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
"""Expressions that several statements share, by the name of their slot."""

_borrowed: dict[int, str] = {}
"""The schema of each connection lent from a user's own pool, by the identity of the object."""


def quoted(name: str) -> str:
    """Return a name as an SQL identifier; every name that becomes part of a statement passes through here.

    Raises:
        ConfigurationError: The name is empty, contains NUL or a lone surrogate, or is longer than 63 bytes
            and would be truncated by PostgreSQL.
    """
    require_name(name)
    return '"' + name.replace('"', '""') + '"'


def require_name(name: str) -> None:
    """Check that PostgreSQL accepts a name and does not truncate it.

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


def with_end(name: str, end: str) -> str:
    """Return a name with a suffix; a name too long for PostgreSQL is cut, and a digest keeps it unique."""
    text = name.encode()
    room = NAME_BYTES_MAX - len(end.encode())
    if len(text) <= room:
        return name + end
    digest = hashlib.blake2b(text, digest_size=4).hexdigest()
    return f"{text[: room - len(digest) - 1].decode(errors='ignore')}_{digest}{end}"


def uuid_hash(column: str) -> str:
    """Return the expression of the number by which a uuid is split, as `uuid_hash` in projections/keys.py.

    Args:
        column: The column, as SQL.
    """

    def byte(number: int) -> str:
        return f"pg_catalog.get_byte(pg_catalog.uuid_send({column}), {number})"

    return f"(({byte(2)} + {byte(14)}) * 256 + {byte(3)} + {byte(15)})"


def literal(text: str) -> str:
    """Return text as an SQL literal that is valid for every `standard_conforming_strings` of the session.

    Raises:
        ConfigurationError: The text contains NUL, which PostgreSQL cannot store.
    """
    if "\0" in text:
        raise ConfigurationError(f"{text!r} contains NUL, which PostgreSQL cannot store")
    escaped = text.replace("'", "''")
    # Only a literal with E reads a backslash in the same way for every setting.
    if "\\" not in text and "$" not in text:
        return f"'{escaped}'"
    # A literal may be part of a function body, which a dollar sign could end.
    return "E'" + escaped.replace("\\", "\\\\").replace("$", "\\x24") + "'"


def _quoted_in_body(name: str) -> str:
    """Return a name as an SQL identifier without a dollar sign, which could end the body of a function."""
    if "$" not in name:
        return quoted(name)
    return "U&" + quoted(name).replace("\\", "\\\\").replace("$", "\\0024")


def qualified(schema: str, name: str) -> str:
    """Return the quoted name of an object of a schema."""
    return f"{quoted(schema)}.{quoted(name)}"


def type_name(text: str, schema: str | None = None) -> str:
    """Return the qualified name of a type for a statement, so that no other type can be meant.

    Args:
        text: The name as in SQL, such as `numeric(10, 2)`, `text[]`, `order_side` or `extensions.citext`.
        schema: The schema of a type that is not built in and is given without a schema; None leaves it to
            the search path.

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
    """Return the name that an SQL identifier denotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


@cache
def template(name: str) -> str:
    """Return the text of a file of this package, with its slots.

    Args:
        name: The file's path without `.sql`, such as `log/append`.

    Returns:
        The statement without the comment lines at its top, so that the header is not sent to the server.

    Raises:
        FileNotFoundError: There is no such file.
    """
    lines = files("eventstore.sql").joinpath(f"{name}.sql").read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("--")), 0)
    return own("\n".join(lines[start:]).strip())


def fill(text: str, **values: str) -> Template:
    """Put texts into the named slots of a template; the slots of the schema stay open for `render`.

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
    """Return the statement of a template file whose slots are all filled here, with names from `qualified`.

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
        has_braces: Whether text that looks like an unknown slot, such as `{}`, is kept.

    Raises:
        ConfigurationError: The text has an unknown slot, and `has_braces` is false.
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
    """Return the statement of a file of this package, for the store of `connection`.

    Args:
        name: The file's path without `.sql`, such as `log/append`.
        connection: A connection that a `DatabaseConnection` or a `PostgreSQLAdapter` has lent.

    Raises:
        ConfigurationError: The schema of the store is not known: see `schema_of`.
        FileNotFoundError: There is no such file.
    """
    return _rendered(name, schema_of(connection)) if _needs_schema(name) else template(name)


class Named(str):
    """The name of a file of this package, passed in place of a statement."""

    __slots__ = ()


class Template(str):
    """A text with slots, passed in place of a statement."""

    __slots__ = ()


def text_of(statement: str, connection: object) -> str:
    """Return the text to send: a `Named` or `Template` rendered for the connection's store, other text unchanged.

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


def planned_for(statement: str, *positions: int) -> str:
    """Return a statement under a text of its own for each size of what it reads, so that it is planned anew as that doubles.

    A connection keeps the plan of a statement that it runs often. One that was made while tables were empty reads them
    whole for as long as the connection lasts, unless somebody analyses them.

    Args:
        statement: The statement as it is sent, one of the library's.
        positions: About where the log ends, and up to where it is folded into a read table if the statement reads one.
    """
    return _planned_for(statement, *(position.bit_length() for position in positions))


@cache
def _planned_for(statement: str, *bits: int) -> str:
    return own(f"{statement}\n-- for {' and '.join(f'2^{one}' for one in bits)} positions")


def own(statement: str) -> str:
    """Mark a statement as the library's, and return it.

    It must leave the session unchanged: no setting that outlives its transaction, no temporary object, no session
    lock. After any other statement the session is reset, which costs a round trip at the end of the loan.
    """
    _own.add(statement)
    return statement


def is_own(statement: str) -> bool:
    """Return whether a statement is the library's, and so leaves the session unchanged."""
    return statement in _own


def schema_of(connection: object) -> str:
    """Return the schema of the store of a connection.

    Raises:
        ConfigurationError: No schema of the session's search path exists and none is configured; or the
            connection was lent neither by a `DatabaseConnection` nor by a `PostgreSQLAdapter`.
        asyncpg.InterfaceError: The connection was lost, and its pool has taken it back.
    """
    # The library's own connections have this attribute; asyncpg's proxies pass it on.
    schema: str | None = getattr(connection, "store_schema", None) or _borrowed.get(id(connection))
    if schema is not None:
        return schema
    if hasattr(connection, "store_schema"):
        raise ConfigurationError(
            "no schema of this session's search_path exists: set schema=... (DATABASE_SCHEMA), or the "
            "search_path of the role or the database"
        )
    # If a pool has taken back a lost connection, asyncpg raises here, as at any other call.
    getattr(connection, "is_closed", bool)()
    raise ConfigurationError(
        "this connection was not lent by a DatabaseConnection: take one from its acquire(), or from a PostgreSQLAdapter"
    )


def bind(connection: object, schema: str | None) -> None:
    """Record the schema of a connection lent from a user's own pool; `unbind` must follow."""
    if schema is not None:
        _borrowed[id(connection)] = schema


def unbind(connection: object) -> None:
    """Forget a connection whose loan is over."""
    _borrowed.pop(id(connection), None)
