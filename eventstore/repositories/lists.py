"""The statements of lists and loads: what each asks of its read table, and which events of the log it reads.

A fresh list is one statement, hence one snapshot: the rows that match, and the tail of the log that corrects them (ADR 3).
Two templates serve all lists. One reads the whole tail; the other leaves out events that cannot belong to the answer, which
the server judges without decoding them, and so reads whatever it cannot judge.

Each list has a form in Python as well, its `Query`; a property test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from eventstore.core.entity import Entity
from eventstore.core.event import Event
from eventstore.mapping.rows import RowCodec
from eventstore.sql import Template, fill, literal, template

_OF_A_KEY_IN_QUARANTINE = "position <= (SELECT position FROM folded)"


class Belonging(NamedTuple):
    """What may belong to an answer: a condition on an event of the tail, and one on a row that the tail names."""

    event: str
    row: str


@dataclass(frozen=True, slots=True)
class ListStatement:
    """A list of one read table.

    Attributes:
        kind: The class of the entities.
        table: The read table, which is also the name of its projection.
        purpose: What the list reads, for the header of the rendered statement.
        where: Which rows match: a condition on `row`.
        sort: The column that the list is ordered by, before `id`.
        index: The index that serves it.
        parameters: Name and type of each parameter from `$5` on; `$1` to `$4` are the length of the tail, the length of the
            page, and where the page begins.
        is_descending: Whether the last comes first.
        belonging: What of the tail may belong to the answer; None: all.
        version: The version of the projection whose rows the code can read.
    """

    kind: type[Entity]
    table: str
    purpose: str
    where: str
    sort: str
    index: str
    parameters: tuple[str, ...] = ()
    is_descending: bool = False
    belonging: Belonging | None = None
    version: int = 1

    def statement(self) -> Template:
        """Return the statement that reads the live table."""
        return _statement(self, f"{{schema}}.{self.table}", "")

    def statement_at_state_snapshot(self) -> Template:
        """Return the statement that reads the states of a state snapshot; its last parameter is the state snapshot's position.

        A common table expression takes the place of the table, and the planner merges it, so the indexes serve it.
        """
        position = f"${5 + len(self.parameters)}::bigint"
        states = fill(template("lists/states"), table=self.table, position=position)
        return _statement(self, "states", f"{states}\n")


@cache
def _statement(one: ListStatement, source: str, source_definition: str) -> Template:
    comparison, direction = ("<", " DESC") if one.is_descending else (">", "")
    tail = fill(
        template("lists/tail"),
        source_definition=source_definition,
        projection=literal(one.table),
        version=str(one.version),
        category=literal(one.kind.category),
    )
    slots = {
        "tail": tail,
        "source": source,
        "where": one.where,
        "after": f"(row.{one.sort}, row.id) {comparison} ($3::pg_catalog.timestamptz, $4::pg_catalog.uuid)",
        "order": f"row.{one.sort}{direction}, row.id{direction}",
        "columns": _columns(one.kind, "candidates"),
    }
    if one.belonging is None:
        return fill(template("lists/whole_tail"), **slots)
    return fill(
        template("lists/filtered_tail"),
        event_may_belong=one.belonging.event,
        row_may_belong=one.belonging.row,
        **slots,
    )


@cache
def load_statement(kind: type[Entity], table: str, version: int) -> Template:
    """Return the statement that reads one entity: its row, and the events of its stream from the last one folded on.

    Args:
        kind: The class of the entity.
        table: The read table, which is also the name of its projection.
        version: The version of the projection whose rows the code can read.
    """
    return fill(
        template("lists/load"),
        columns=_columns(kind, "row"),
        table=table,
        projection=literal(table),
        version=str(version),
    )


def _columns(kind: type[Entity], source: str) -> str:
    """Return the select list of an entity's columns: numbers with their digits, enums without a look-up of their type."""
    selected = []
    for column in RowCodec(kind).columns:
        name = "row_version" if column.name == "version" else column.name
        as_text = column.parameter_type == "numeric" or column.is_enum
        text = f"{source}.{column.name}{'::pg_catalog.text' if as_text else ''}"
        selected.append(text if name == column.name and not as_text else f"{text} AS {name}")
    return ",\n    ".join(selected)


def event_may_give(kind: type[Entity], condition: str, *, classes: Collection[type[Event]] = ()) -> str:
    """Return which events of the tail may make an entity belong to an answer.

    An event of the classes of today does so only where its JSON says what is asked for. One of another type or schema version
    may do anything, and so may one that a key in quarantine waits with.

    Args:
        kind: The class of the entities.
        condition: What the JSON of such an event says.
        classes: The classes of which that is known; all of the entity's where it is empty.
    """
    by_version: dict[int, list[str]] = {}
    for event_class in kind.event_classes():
        if not classes or event_class in classes:
            by_version.setdefault(event_class.schema_version, []).append(event_class.type)
    unknown = " AND ".join(
        f"(schema_version <> {version} OR type NOT IN ({', '.join(map(literal, names))}))"
        for version, names in sorted(by_version.items())
    )
    unknown = f"({unknown})" if len(by_version) > 1 else unknown
    return f"{condition}\n        OR {unknown}\n        OR {_OF_A_KEY_IN_QUARANTINE}"


def has_value(kind: type[Entity], field: str, sql_type: str = "text") -> Belonging:
    """Return what may have the value `$5` in a field."""
    value = f"$5::pg_catalog.{sql_type}"
    as_text = value if sql_type == "text" else f"{value}::pg_catalog.text"
    return Belonging(
        event=event_may_give(kind, f"data ->> {literal(field)}::pg_catalog.text = {as_text}"),
        row=f"{field} = {value}",
    )
