"""Frames of events: each column beside what a replay decodes, for every type of three accounts, and at the edges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import orjson
import pyarrow as pa
import pytest

from eventstore.core.event import Event, RecordedEvent
from eventstore.core.event_codec import event_codecs
from eventstore.core.registry import EventRegistry
from eventstore.domain.order import Order, OrderFilled, OrderSubmitted
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position, PositionMarked
from eventstore.errors import ConfigurationError, EventDecodingError, LimitError
from eventstore.export import event_frames
from eventstore.log import StreamAppend
from eventstore.store import EventStore
from tests.entities import pending
from tests.histories.history import History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.player import Player
from tests.histories.shares import SHARES
from tests.renewed_orders import OrderTraded, classes, new_order, renewed, stream

__all__ = ["classes", "renewed"]

D = Decimal
ENVELOPE = ("position", "stream_id", "version", "type", "occurred_at", "recorded_at", "metadata")


class FrameNoted(Event, category="framed"):
    """An event with a field of each form."""

    text: str | None = None
    amount: Decimal | None = None
    count: int = 0
    ratio: float = 0.5
    at: datetime | None = None
    flag: bool | None = True
    id: UUID | None = None
    pairs: tuple[tuple[str, int], ...] = ()
    version: str = "mine"


async def noted(store: EventStore, *events: Event) -> None:
    """Append events to a new stream."""
    await store.log.append(StreamAppend(uuid4(), 0, tuple(pending(one, uuid4()) for one in events)))


def expected(recorded: RecordedEvent, name: str) -> Any:
    """What a column has of an event that a replay decoded, by the rules of the page: exact scalars, JSON for all else."""
    if name == "metadata":
        return dict(recorded.metadata)
    if name in ENVELOPE:
        value = getattr(recorded, name)
        return str(value) if name == "stream_id" else value
    name = name.removeprefix("data_")
    value = getattr(recorded.event, name, None)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    if value is None or isinstance(value, str | Decimal | int | float | datetime):
        return value
    return orjson.loads(event_codecs[type(recorded.event)].encode(recorded.event)).get(name, [])


def found(name: str, value: Any, wanted: Any) -> Any:
    """The value of a frame, JSON parsed where JSON is wanted."""
    if value is not None and (name == "metadata" or isinstance(wanted, list | dict)):
        return orjson.loads(value)
    return value


async def agree(store: EventStore, *types: Any, **options: Any) -> int:
    """A frame of types has the events of their replay, field by field; return how many."""
    table = await store.events_frame(types, **options)
    rows = table.to_pylist()
    events = [part async for one in store.replay(types=types) for part in one.upcast_events]
    events = [one for one in events if isinstance(one.event, tuple(types))]
    assert len(rows) == len(events)
    for row, recorded in zip(rows, events, strict=True):
        for name, value in row.items():
            wanted = expected(recorded, name)
            assert found(name, value, wanted) == wanted, (name, recorded)
    return len(rows)


@pytest.mark.parametrize("history", [PERPETUALS, SHARES], ids=lambda one: one.name)
async def test_every_field_is_as_a_replay_decodes_it(store: EventStore, history: History):
    """All types of orders, positions and portfolios, each alone: events, order, decimals, times, enums, ids and JSON."""
    player = Player(store, history)
    for row in history.rows:
        assert await player.tell(row)
    events = sum(
        [await agree(store, one) for kind in (Order, Position, Portfolio) for one in kind.event_classes()]
    )
    assert events == len([one async for one in store.replay()])
    assert await agree(store, OrderFilled, PositionMarked, OrderSubmitted) > 10


async def test_values_at_the_edges(store: EventStore):
    """Texts with quotes, commas, line breaks and backslashes, no text and an empty one, NULL beside a default, tiny numbers."""
    await noted(
        store,
        FrameNoted(),
        FrameNoted(text="", flag=None, amount=D("1E-17"), ratio=1e300),
        FrameNoted(text='a"b\n,\\N\\.\r\n"', count=-(2**63), amount=D("-12345678901234567890.5")),
        FrameNoted(text="\\.", at=datetime(2026, 3, 8, 1, 2, 3, 4, tzinfo=UTC), id=uuid4()),
        FrameNoted(text="NULL", flag=False, pairs=(("ä", 1), ("b", 2)), version="theirs"),
    )
    assert await agree(store, FrameNoted) == 5
    table = await store.events_frame(FrameNoted)
    assert table.column_names == [
        *ENVELOPE, "text", "amount", "count", "ratio", "at", "flag", "id", "pairs", "data_version"
    ]  # fmt: skip
    types = {field.name: field.type for field in table.schema}
    assert types["amount"] == pa.decimal128(38, 18)
    assert types["at"] == types["occurred_at"] == pa.timestamp("us", tz="UTC")
    assert (types["count"], types["flag"], types["ratio"]) == (pa.int64(), pa.bool_(), pa.float64())
    assert table.column("text").to_pylist()[:2] == [None, ""]
    assert table.column("flag").to_pylist() == [True, None, True, True, False]


async def test_decimals_that_need_more_digits(store: EventStore):
    """A column gets the digits that its values need; with a scale of one's own a value that does not fit is named."""
    wide, fine = D("12345678901234567890123456789012.25"), D("0.123456789012345678901234")
    await noted(store, FrameNoted(amount=D(1)), FrameNoted(amount=fine), FrameNoted(amount=wide))
    assert await agree(store, FrameNoted) == 3
    assert (await store.events_frame(FrameNoted)).schema.field("amount").type == pa.decimal256(76, 24)
    fitting = await store.events_frame(FrameNoted, decimal_scale=24, columns=["amount"], through=2)
    assert fitting.schema.field("amount").type == pa.decimal128(38, 24)
    assert fitting.column("amount").to_pylist() == [D(1), fine]
    with pytest.raises(
        ConfigurationError, match=r"the column amount has 1234.*does not fit decimal128\(38, 24\)"
    ):
        await store.events_frame(FrameNoted, decimal_scale=24)
    with pytest.raises(
        ConfigurationError, match=r"the column amount has 0\.1234.*does not fit decimal128\(38, 18\)"
    ):
        _ = [one async for one in store.events_batches(FrameNoted)]
    with pytest.raises(LimitError):
        await store.events_frame(FrameNoted, decimal_scale=39)


async def test_old_events_are_upcast(renewed: EventStore):
    """An event that became several is several rows, at its place; new and old events alternate."""
    order, created = new_order()
    events = [created, OrderTraded(broker="B-1", fills=("2", "3.5")), OrderFilled(quantity=D(1), price=D(9))]
    await renewed.log.append(stream(order.id, 0, *events, OrderTraded(broker="B-2", fills=("0.1",))))
    assert await agree(renewed, OrderFilled) == 4
    assert await agree(renewed, OrderFilled, OrderSubmitted) == 6
    table = await renewed.events_frame([OrderFilled], columns=["quantity", "version"])
    assert table.to_pydict() == {"quantity": [D(2), D("3.5"), D(1), D("0.1")], "version": [2, 2, 3, 4]}


async def test_another_version_of_a_class_is_not_read_as_this_one(store: EventStore):
    """An event of a schema version that the code does not know is refused, as by a replay."""
    await noted(store, FrameNoted(text="mine"))
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        await connection.execute("UPDATE events SET schema_version = 2")
    with pytest.raises(EventDecodingError):
        await store.events_frame(FrameNoted)


@pytest.mark.parametrize("data", ["[]", '["quantity", "price"]', '{"quantity": "1"}', "{}"])
async def test_data_without_a_field_is_refused(store: EventStore, data: str):
    """What a replay refuses for a field that is missing is no row of empty values."""
    order, created = new_order()
    await store.log.append(stream(order.id, 0, created, OrderFilled(quantity=D(1), price=D(9))))
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
        await connection.execute("UPDATE events SET data = $1::text::jsonb WHERE version = 2", data)
    with pytest.raises(EventDecodingError):
        await store.events_frame(OrderFilled)


async def test_bounds_and_columns(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Positions and times bound a frame as they bound a replay; windows of any size give the same rows."""
    for number in range(40):
        await noted(store, FrameNoted(count=number), FrameNoted(count=-number))
    times = [one.recorded_at async for one in store.replay()]
    for bounds in (
        {"after": 7, "through": 31},
        {"after": times[9]},
        {"after": times[11], "through": times[40]},
    ):
        replayed = [one async for one in store.replay(types=[FrameNoted], **bounds)]
        for window in (1, 7, 20_000):
            monkeypatch.setattr(event_frames, "_WINDOW_FIRST", window)
            monkeypatch.setattr(event_frames, "_WINDOW_MAX", window)
            table = await store.events_frame(FrameNoted, columns=["count"], **bounds)
            assert table.column_names == ["count"]
            assert table.column("count").to_pylist() == [one.event.count for one in replayed]  # type: ignore[attr-defined]
            batches = [one async for one in store.events_batches(FrameNoted, columns=["count"], **bounds)]
            assert pa.Table.from_batches(batches, schema=table.schema).equals(table)
    through = await store.log.head()
    assert (await store.events_frame(FrameNoted)).schema.metadata == {b"eventstore.position": b"%d" % through}
    nothing = await store.events_frame(FrameNoted, after=through)
    assert nothing.num_rows == 0
    assert "count" in nothing.column_names


async def test_only_final_events_are_read(store: EventStore):
    """A frame waits for a writer that holds an earlier position, and has its events."""
    async with store.unit_of_work() as uow:
        first = await uow.orders.save_order(new_order()[0])
        await uow.flush()
        await noted(store, FrameNoted(count=1))
        reading = asyncio.create_task(
            store.events_frame(["FrameNoted", "OrderCreated"], columns=["position", "type"])
        )
        done, _ = await asyncio.wait({reading}, timeout=0.2)
        assert not done
    table = await reading
    assert table.column("type").to_pylist() == ["OrderCreated", "FrameNoted"]
    assert first.version == 1


async def test_a_reader_that_leaves_early_holds_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """After the first batch, or after an error of its own, every connection is back in the pool."""
    monkeypatch.setattr(event_frames, "_WINDOW_FIRST", 2)
    monkeypatch.setattr(event_frames, "_WINDOW_MAX", 2)
    await noted(store, *[FrameNoted(count=number) for number in range(20)])
    async with aclosing(store.events_batches(FrameNoted)) as batches:
        async for batch in batches:
            assert batch.num_rows == 2
            break
    cancelled = asyncio.create_task(store.events_frame(FrameNoted))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (await store.events_frame(FrameNoted)).num_rows == 20
    async with store.connection.acquire() as connection:
        waiting = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
            "AND query LIKE '%COPY%' AND datname = current_database()"
        )
    assert waiting == 0


@pytest.mark.parametrize(
    ("types", "options", "message"),
    [
        ([], {}, "types takes at least one class"),
        (["FrameNotd"], {}, "no class of events has the type 'FrameNotd'"),
        ([FrameNoted], {"columns": ["txt"]}, "these events have no column 'txt'"),
        ([FrameNoted], {"after": -1}, "after must be a position"),
    ],
)
async def test_what_is_refused(store: EventStore, types: Any, options: dict[str, Any], message: str):
    """Unknown types and columns are named."""
    with pytest.raises(ConfigurationError, match=message):
        await store.events_frame(types, **options)


async def test_an_integer_beyond_64_bits_is_named(store: EventStore):
    """Arrow's integers have 64 bits: without the column the frame is there."""
    await noted(store, FrameNoted(count=2**63), FrameNoted(text="after"))
    with pytest.raises(ConfigurationError, match="the column count has a value that int64 cannot hold"):
        await store.events_frame(FrameNoted)
    table = await store.events_frame(FrameNoted, columns=["text"])
    assert table.column("text").to_pylist() == [None, "after"]


async def test_one_field_of_two_types(store: EventStore):
    """Two classes whose fields of one name differ in their types are not put into one column."""
    mine = EventRegistry()

    class Other(Event, category="framed", type="FrameOther", registry=mine):
        """Its count is a text."""

        count: str = ""

    with pytest.raises(ConfigurationError, match="the field count is not of one type: FrameNoted"):
        await store.events_frame([FrameNoted, Other])


@pytest.mark.parametrize("largest", [1, 3, 12])
async def test_a_window_of_large_events_is_read_in_smaller_ones(
    store: EventStore, largest: int, monkeypatch: pytest.MonkeyPatch
):
    """Events that are together larger than a window may be are read fewer at a time, each once, in order."""
    size = 200_000
    for number in range(12):
        await noted(store, FrameNoted(text="x" * size, count=number))
    monkeypatch.setattr(event_frames, "_COPIED_BYTES_MAX", largest * (size + 1_000))
    windows = []
    copied = event_frames._copied

    async def watched(*args: Any) -> AsyncIterator[bytes]:
        async with aclosing(copied(*args)) as found:
            async for data in found:
                windows.append(len(data))
                yield data

    monkeypatch.setattr(event_frames, "_copied", watched)
    frame = await store.events_frame(FrameNoted)

    assert frame.column("count").to_pylist() == list(range(12))
    assert max(windows) <= largest * (size + 1_000)
    assert len(windows) >= 12 // largest


async def test_windows_that_were_too_large_are_not_tried_again(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """After a window that did not fit, the next ones begin at the size of the one that did."""
    size, events = 20_000, 48
    for number in range(events):
        await noted(store, FrameNoted(text="x" * size, count=number))
    monkeypatch.setattr(event_frames, "BATCH_BYTES", 4 * size)
    monkeypatch.setattr(event_frames, "_COPIED_BYTES_MAX", 16 * size)
    refused = 0
    copy = event_frames._copy

    async def counted(*arguments: Any) -> bytes | None:
        nonlocal refused
        data = await copy(*arguments)
        refused += data is None
        return data

    monkeypatch.setattr(event_frames, "_copy", counted)
    frame = await store.events_frame(FrameNoted)

    assert frame.column("count").to_pylist() == list(range(events))
    assert refused <= 2
