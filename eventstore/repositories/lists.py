"""The statements of lists and loads: their conditions on the read table, and the events of the log that they read.

A fresh list is one statement, hence one snapshot: the rows that match, and the tail of the log that corrects
them (ADR 3). Two templates serve all lists. One reads the whole tail. The other leaves out events that cannot
belong to the answer; the server judges them without decoding them, and so reads those that it cannot judge.

Each list also exists in Python, as its `Query`; a property test checks that the two agree.
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

LOAD_EVENTS_MAX = 200
"""The maximum number of events that the statement of a load reads beside the row; a worker that keeps up leaves a few."""

_OF_A_KEY_IN_QUARANTINE = "position <= (SELECT position FROM folded)"


class Belonging(NamedTuple):
    """What may belong to an answer: a condition on events of the tail, and one on rows that it names."""

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
        order: What it is ordered by instead of that column: an expression on `row`; empty for the column.
        order_type: The type of what it is ordered by.
        index: The index that serves the list.
        parameters: Name and type of each parameter from `$5` on. `$1` to `$4` are the length of the tail, the
            length of the page, and the start of the page.
        is_descending: Whether the list is in descending order.
        belonging: What part of the tail may belong to the answer; None for all of it.
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
    order: str = ""
    order_type: str = "timestamptz"

    def statement(self) -> Template:
        """Return the statement that reads the live table."""
        return _statement(self, f"{{schema}}.{self.table}", "")

    def statement_up_to_position(self) -> Template:
        """Return the statement that reads only the rows without an event after a position.

        Its last parameter is the position. A common table expression replaces the table; the planner inlines it, so the
        indexes still serve it.
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
    order, start = one.order or f"row.{one.sort}", f"$3::pg_catalog.{one.order_type}"
    slots = {
        "tail": tail,
        "start": start,
        "source": source,
        "where": one.where,
        "after": f"({order}, row.id) {comparison} ({start}, $4::pg_catalog.uuid)",
        "order": f"{order}{direction}, row.id{direction}",
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
    """Return the statement that reads one entity: its row, and events of its stream from the last folded one on.

    They are `LOAD_EVENTS_MAX` events at most.

    Args:
        kind: The class of the entity.
        table: The read table, which is also the name of its projection.
        version: The version of the projection whose rows the code can read.
    """
    return fill(
        template("lists/load"),
        columns=_columns(kind, "row", of_each="folded"),
        table=table,
        projection=literal(table),
        version=str(version),
        events_max=str(LOAD_EVENTS_MAX),
    )


def _columns(kind: type[Entity], row: str, *, of_each: str | None = None) -> str:
    """Return the select list of an entity's columns: numbers keep their digits, enums need no look-up of their type.

    Args:
        kind: The class of the entity.
        row: What the columns come from.
        of_each: What the id and the version come from, if not from the same.
    """
    selected = []
    for column in RowCodec(kind).columns:
        source = of_each if of_each is not None and column.name in ("id", "version") else row
        name = "row_version" if column.name == "version" else column.name
        as_text = column.parameter_type == "numeric" or column.is_enum
        text = f"{source}.{column.name}{'::pg_catalog.text' if as_text else ''}"
        selected.append(text if name == column.name and not as_text else f"{text} AS {name}")
    return ",\n    ".join(selected)


def event_may_give(kind: type[Entity], condition: str, *, classes: Collection[type[Event]] = ()) -> str:
    """Return the condition on the events of the tail that may make an entity belong to an answer.

    An event of a current class does so only if its JSON matches the condition. An event of another type or
    schema version may do anything, and so may an event that waits for a quarantined key.

    Args:
        kind: The class of the entities.
        condition: The condition on the JSON of such an event.
        classes: The event classes that the condition covers; if empty, all of the entity's.
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
    """Return the condition on what may have the value `$5` in a field."""
    value = f"$5::pg_catalog.{sql_type}"
    as_text = value if sql_type == "text" else f"{value}::pg_catalog.text"
    return Belonging(
        event=event_may_give(kind, f"data ->> {literal(field)}::pg_catalog.text = {as_text}"),
        row=f"{field} = {value}",
    )
