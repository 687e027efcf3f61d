"""Events as Arrow record batches, with a typed column for each field (extra: `frames`).

The server takes the fields out of the JSON and sends them by COPY as comma-separated values, which Arrow parses in a thread.
An event whose JSON is not that of its class of now, because it is to be upcast, is decoded in Python instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventstore.arrow_decimals import DIGITS_128, DIGITS_256, WIDE, decimal_type
from eventstore.core.event import Event, RecordedEvent, with_derived
from eventstore.core.registry import EventRegistry
from eventstore.database.access import read_rows, reading
from eventstore.errors import ConfigurationError
from eventstore.export.event_columns import EventColumn, event_columns, is_current
from eventstore.extras import imported
from eventstore.limits import check_count
from eventstore.log.page_size import gap_end
from eventstore.log.records import decode_page
from eventstore.replay.bounds import Bound, Range, bound, find_range
from eventstore.replay.replay import Types
from eventstore.sql import filled, literal, qualified, schema_of

if TYPE_CHECKING:
    from eventstore.log.event_log import EventLog

DECIMAL_SCALE = 18
"""The digits after the point of a decimal column, unless its values need more or another number is given."""

BATCH_BYTES = 16 * 2**20
"""About how many bytes of comma-separated values one statement reads."""

_BLOCK_BYTES = 2**20
_COPIED_BYTES_MAX = 4 * BATCH_BYTES  # of a window whose events are larger than those before
_SMALLER = 8
_WINDOW_FIRST = 20_000
_WINDOW_MAX = 1_000_000
_CURRENT = "is current"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is read.

    Attributes:
        columns: The columns of the result.
        read: All columns that are read: those of the result, and what the reading itself needs.
        types: The types as they are stored, and which events are wanted.
        classes: The classes of the wanted events.
        scale: The digits after the point of decimals.
        may_widen: Whether a decimal column may get more digits where its values need them.
    """

    columns: Sequence[EventColumn]
    read: Sequence[EventColumn]
    types: Types
    classes: Sequence[type[Event]]
    scale: int
    may_widen: bool


async def events_frame(
    log: EventLog,
    types: str | type[Event] | Collection[str | type[Event]],
    *,
    columns: Collection[str] | None = None,
    after: Bound = 0,
    through: Bound | None = None,
    decimal_scale: int | None = None,
) -> Any:
    """Return the events of some types as a `pyarrow.Table`. See `EventStore.events_frame`."""
    arrow = imported("pyarrow", "frames")
    asked = _asked(log.classes, types, columns, decimal_scale)
    if decimal_scale is None:
        asked = replace(asked, may_widen=True)
    within = await find_range(
        log, bound("after", after), None if through is None else bound("through", through)
    )
    tables = []
    async with aclosing(_tables(log, asked, within)) as read:
        async for table in read:
            tables.append(table)  # noqa: PERF401 - the iterator is closed after an error, too
    schema = _schema(arrow, asked, within)
    for place, field in enumerate(schema):
        widest = _widest([one.schema.field(place).type for one in tables], field.type, arrow)
        schema = schema.set(place, field.with_type(widest))
    same = [_cast(one, schema) for one in tables] or [schema.empty_table()]
    return arrow.concat_tables(same).replace_schema_metadata(schema.metadata)


async def events_batches(
    log: EventLog,
    types: str | type[Event] | Collection[str | type[Event]],
    *,
    columns: Collection[str] | None = None,
    after: Bound = 0,
    through: Bound | None = None,
    decimal_scale: int = DECIMAL_SCALE,
) -> AsyncGenerator[Any]:
    """Yield the events of some types as `pyarrow.RecordBatch`es. See `EventStore.events_batches`."""
    arrow = imported("pyarrow", "frames")
    asked = _asked(log.classes, types, columns, decimal_scale)
    within = await find_range(
        log, bound("after", after), None if through is None else bound("through", through)
    )
    schema = _schema(arrow, asked, within)
    async with aclosing(_tables(log, asked, within)) as read:
        async for table in read:
            for batch in table.replace_schema_metadata(schema.metadata).combine_chunks().to_batches():
                yield batch


def _asked(
    classes: EventRegistry,
    types: str | type[Event] | Collection[str | type[Event]],
    columns: Collection[str] | None,
    decimal_scale: int | None,
) -> _Asked:
    given: list[str | type[Event]] = []
    for one in [types] if isinstance(types, str | type) else types:
        given += [one] if isinstance(one, str) else with_derived(one)
    wanted = _classes(classes, given)
    scale = (
        DECIMAL_SCALE
        if decimal_scale is None
        else check_count("decimal_scale", decimal_scale, least=0, most=DIGITS_128)
    )
    found = event_columns(wanted, columns)
    needed = [
        one for one in event_columns(wanted, ("position", "stream_id", "recorded_at")) if one not in found
    ]
    return _Asked(found, [*found, *needed], Types(given, classes), wanted, scale, may_widen=False)


def _classes(classes: EventRegistry, types: Sequence[str | type[Event]]) -> list[type[Event]]:
    found: dict[type[Event], None] = {}
    for one in types:
        if isinstance(one, str):
            named = [known for known in classes if known.type == one]
            if not named:
                raise ConfigurationError(
                    f"no class of events has the type {one!r}: import the module that defines it"
                )
            found |= dict.fromkeys(named)
        elif one.category:
            found[one] = None
    if not found:
        raise ConfigurationError("types takes at least one class of events, or the name of a type")
    return list(found)


# ---- reading -----------------------------------------------------------------------------------------------------


async def _tables(log: EventLog, asked: _Asked, within: Range) -> AsyncGenerator[Any]:
    """Yield tables of the result's columns, in order."""
    async with aclosing(_copied(log, asked, within)) as copied:
        async for data in copied:
            table = await asyncio.to_thread(_parsed, asked, data)
            current = table.column(_CURRENT)
            pc = import_module("pyarrow.compute")
            if not pc.all(current).as_py():
                old = table.filter(pc.invert(current)).column("position").to_pylist()
                decoded = await _decoded(log, asked, old)
                table = table.filter(current).drop_columns([_CURRENT])
                table = _joined(table, decoded, asked)
            if within.has_times:
                table = _within(table, within)
            yield table.select([one.name for one in asked.columns])


async def _copied(log: EventLog, asked: _Asked, within: Range) -> AsyncGenerator[bytes]:
    """Yield the comma-separated values of one window of positions after the other, one window ahead of the reader."""
    if within.after >= within.through:
        return
    window = _WINDOW_FIRST
    position = within.after

    async def read(after: int, through: int) -> tuple[bytes, int, int]:
        with log.server.steady(within.generation):
            data, through = await _copy_fitting(log, asked, after, through)
            fitted = through - after
            if not data and through < within.through:
                async with reading(log.connection) as connection:
                    through = await gap_end(connection, through, within.through)
        return data, through, fitted

    ahead = asyncio.create_task(read(position, min(within.through, position + window)))
    try:
        while True:
            data, position, fitted = await ahead
            factor = BATCH_BYTES / max(len(data), 1)
            # Windows that were too large are left behind: each costs the reading of `_COPIED_BYTES_MAX`.
            window = max(1, min(_WINDOW_MAX, int(fitted * min(4, max(0.1, factor)))))
            is_last = position >= within.through
            if not is_last:
                ahead = asyncio.create_task(read(position, min(within.through, position + window)))
            if data:
                yield data
            if is_last:
                return
    finally:
        if not ahead.done():
            ahead.cancel()
        await asyncio.wait({ahead})
        if not ahead.cancelled():
            ahead.exception()


async def _copy_fitting(log: EventLog, asked: _Asked, after: int, through: int) -> tuple[bytes, int]:
    """Return the values of a window of positions, or of a smaller one if they are too many bytes, and where it ends."""
    while (data := await _copy(log, asked, after, through)) is None:
        through = after + max(1, (through - after) // _SMALLER)
    return data, through


async def _copy(log: EventLog, asked: _Asked, after: int, through: int) -> bytes | None:
    """Return the values of a window of positions; None if they are too many bytes for several events."""
    parts: list[bytes] = []
    size = 0

    async def take(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > _COPIED_BYTES_MAX and through > after + 1:
            raise _TooLargeError
        parts.append(data)

    async with reading(log.connection) as connection:
        query = filled(
            "commands/copy_events",
            columns=", ".join([*(one.sql for one in asked.read), f"({is_current(asked.classes)})"]),
            table=qualified(schema_of(connection), "events"),
            after=str(after),
            through=str(through),
            types=", ".join(map(literal, asked.types.names)),
        )
        try:
            await connection.copy_from_query(query, output=take, format="csv")  # which the driver cancels
        except _TooLargeError:
            return None
    return b"".join(parts)


class _TooLargeError(Exception):
    """A window of positions has too many bytes."""


async def _decoded(log: EventLog, asked: _Asked, positions: list[int]) -> list[RecordedEvent]:
    """Return the wanted events at some positions, decoded and upcast."""
    found: list[RecordedEvent] = []
    for begin in range(0, len(positions), 1_000):
        rows = await read_rows(log.connection, "export/read_positions", positions[begin : begin + 1_000])
        found += [
            part
            for event in decode_page(rows, classes=log.classes)
            for part in event.upcast_events
            if asked.types.has(part)
        ]
        await asyncio.sleep(0)
    return found


# ---- Arrow -------------------------------------------------------------------------------------------------------


def _type(arrow: Any, column: EventColumn, scale: int) -> Any:
    if column.kind == "decimal":
        return arrow.decimal128(DIGITS_128, scale)
    types = {
        "text": arrow.string(),
        "json": arrow.string(),
        "integer": arrow.int64(),
        "float": arrow.float64(),
        "time": arrow.timestamp("us", tz="UTC"),
        "boolean": arrow.bool_(),
    }
    return types[column.kind]


def _schema(arrow: Any, asked: _Asked, within: Range) -> Any:
    fields = [arrow.field(one.name, _type(arrow, one, asked.scale)) for one in asked.columns]
    return arrow.schema(fields, metadata={"eventstore.position": str(within.through)})


def _parsed(asked: _Asked, data: bytes) -> Any:
    """Return the table of comma-separated values."""
    arrow = imported("pyarrow", "frames")
    wanted = {one.name: _type(arrow, one, asked.scale) for one in asked.read}
    # Arrow's own conversion to decimals loses the digits of a value that is too large, and says nothing.
    types = {one.name: arrow.string() if one.kind == "decimal" else wanted[one.name] for one in asked.read}
    table = None
    for block in (_BLOCK_BYTES, len(data)):  # a block must hold a whole line
        try:
            table = _csv(arrow, asked, data, types, block)
            break
        except arrow.ArrowInvalid:
            continue
    fits = table is not None
    if table is None:
        table = _csv(arrow, asked, data, dict.fromkeys(types, arrow.string()), len(data))
    for place, column in enumerate(asked.read):
        texts, type_ = table.column(place), wanted[column.name]
        if column.kind == "decimal":
            array = _as_decimals(arrow, texts, type_)
            array = _fitted(arrow, asked, column, texts, type_) if array is None else array
        elif fits:
            continue
        else:
            array = _fitted(arrow, asked, column, texts, type_)
        table = table.set_column(place, column.name, array)
    return table


def _as_decimals(arrow: Any, texts: Any, type_: Any) -> Any | None:
    """Return texts as decimals of a type; None if one of them may not fit."""
    pc = import_module("pyarrow.compute")
    whole_max = type_.precision - type_.scale
    length = pc.binary_length(texts)
    if (pc.max(length).as_py() or 0) > whole_max:
        point = pc.find_substring(texts, ".")
        whole = pc.max(pc.if_else(pc.less(point, 0), length, point)).as_py()
        if whole > whole_max or pc.any(pc.match_substring(texts, "e", ignore_case=True)).as_py():
            return None
    try:
        return pc.cast(texts, type_)
    except arrow.ArrowInvalid:
        return None


def _csv(arrow: Any, asked: _Asked, data: bytes, types: dict[str, Any], block: int) -> Any:
    csv = import_module("pyarrow.csv")
    return csv.read_csv(
        arrow.py_buffer(data),
        read_options=csv.ReadOptions(
            column_names=[*(one.name for one in asked.read), _CURRENT],
            block_size=block,
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={**types, _CURRENT: arrow.bool_()},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "t"],
            false_values=["false", "f"],
            timestamp_parsers=[csv.ISO8601],
        ),
    )


def _fitted(arrow: Any, asked: _Asked, column: EventColumn, texts: Any, wanted: Any) -> Any:
    values = texts.to_pylist()
    if column.kind == "decimal":
        return _decimals(
            arrow, asked, column, [None if one is None else _decimal(column, one) for one in values]
        )
    if column.kind in {"text", "json"}:
        return texts
    pc = import_module("pyarrow.compute")
    try:
        if column.kind == "time":
            return arrow.chunked_array([arrow.array([_instant(one) for one in values], type=wanted)])
        return pc.cast(texts, wanted)
    except (arrow.ArrowInvalid, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"the column {column.name} has a value that {wanted} cannot hold ({error}): leave it out of `columns`"
        ) from error


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found


def _decimal(column: EventColumn, text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ConfigurationError(
            f"the column {column.name} has the value {text!r}, which Arrow's decimals cannot hold"
        )
    return found


def _decimals(arrow: Any, asked: _Asked, column: EventColumn, values: list[Decimal | None]) -> Any:
    """Return decimals as an array: of the digits that were asked for, or of those that the values need."""
    before, after = DIGITS_128 - asked.scale, asked.scale
    for value in values:
        if value is None:
            continue
        _, digits, exponent = value.normalize(WIDE).as_tuple()
        assert isinstance(exponent, int)  # noqa: S101 - it is finite
        if len(digits) + exponent <= DIGITS_128 - asked.scale and -exponent <= asked.scale:
            continue
        if not asked.may_widen:
            raise ConfigurationError(
                f"the column {column.name} has {value}, which does not fit decimal128({DIGITS_128}, {asked.scale}): give "
                "another decimal_scale, or read it with events_frame without one"
            )
        before, after = max(before, len(digits) + exponent), max(after, -exponent)
    if before + after > DIGITS_256:
        raise ConfigurationError(
            f"the column {column.name} needs {before} digits before the point and {after} after it: Arrow's widest decimal "
            f"has {DIGITS_256}"
        )
    type_ = decimal_type(arrow, before, after)
    return arrow.chunked_array([arrow.array(values, type=type_)])


def _widest(types: Sequence[Any], first: Any, arrow: Any) -> Any:
    """Return the type that holds the values of all of them."""
    if not arrow.types.is_decimal(first) or all(one == first for one in types):
        return first
    after = max(one.scale for one in types)
    before = max(
        (one.precision if arrow.types.is_decimal128(one) else DIGITS_256) - one.scale for one in types
    )
    return decimal_type(arrow, min(before, DIGITS_256 - after), after)


def _cast(table: Any, schema: Any) -> Any:
    """Return a table with wider decimals.

    Raises:
        ConfigurationError: A value does not fit. Arrow's own cast would change it and say nothing.
    """
    pc = import_module("pyarrow.compute")
    for place, field in enumerate(schema):
        old = table.column(place)
        if old.type == field.type:
            continue
        new = old.cast(field.type)
        if not pc.all(pc.equal(new.cast(old.type, safe=False), old), min_count=0).as_py():
            raise ConfigurationError(
                f"the column {field.name} has values that do not fit {field.type} together"
            )
        table = table.set_column(place, field.name, new)
    return table


def _joined(table: Any, decoded: Sequence[RecordedEvent], asked: _Asked) -> Any:
    """Return a table with decoded events at their places."""
    if not decoded:
        return table
    arrow = imported("pyarrow", "frames")
    arrays = []
    for column in asked.read:
        values = [column.value(one) for one in decoded]
        wanted = _type(arrow, column, asked.scale)
        if column.kind == "decimal":
            arrays.append(_decimals(arrow, asked, column, values))
        else:
            arrays.append(arrow.chunked_array([arrow.array(values, type=wanted)]))
    added = arrow.Table.from_arrays(arrays, names=[one.name for one in asked.read])
    schema = table.schema
    for place, field in enumerate(schema):
        both = [field.type, added.schema.field(place).type]
        schema = schema.set(place, field.with_type(_widest(both, field.type, arrow)))
    joined = arrow.concat_tables([_cast(table, schema), _cast(added, schema)])
    place = arrow.array(range(joined.num_rows), type=arrow.int64())
    joined = joined.append_column("place", place)
    joined = joined.sort_by([("position", "ascending"), ("place", "ascending")])
    return joined.drop_columns(["place"])


def _within(table: Any, within: Range) -> Any:
    """Return the rows between the points in time, as `Range.has` says."""
    pc, arrow = import_module("pyarrow.compute"), imported("pyarrow", "frames")
    recorded = table.column("recorded_at")

    def beyond(point: Any, streams: Any) -> Any:
        mask = pc.greater(recorded, arrow.scalar(point, recorded.type))
        for stream, position in streams.items():
            late = pc.and_(
                pc.equal(table.column("stream_id"), str(stream)),
                pc.greater(table.column("position"), position),
            )
            mask = pc.or_(mask, late)
        return mask

    if within.since is not None:
        table = table.filter(beyond(within.since, within.beyond_since))
        recorded = table.column("recorded_at")
    if within.until is not None:
        table = table.filter(pc.invert(beyond(within.until, within.beyond_until)))
    return table
