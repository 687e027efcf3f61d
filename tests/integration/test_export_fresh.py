"""Read tables in Arrow have every event, as the repositories do, in one snapshot; and every decimal, whatever its digits."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eventstore import Order, OrderSide, Portfolio, Position
from eventstore.domain import Instrument, InstrumentKind
from eventstore.errors import ConfigurationError, ProjectionLagError, QuarantinedKeysError
from eventstore.examples.turnover import TurnoverProjection
from eventstore.export.arrow import read_batches, to_arrow, write_parquet
from eventstore.store import built_in_projections
from projections import ProjectionWorker, fresh_rows
from projections.quarantine import list_quarantined
from tests.command_line import assert_refused, run
from tests.conftest import url_of
from tests.failing_projection import Spoilt, spoilt_table
from tests.running_workers import place

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.store import EventStore
    from projections import Projection

D = Decimal


async def trade(store: EventStore) -> None:
    """Orders, positions and portfolios: made, filled, closed, deleted, with tags and executions."""
    portfolio = Portfolio(name="main", initial_capital=D("1000.50"), strategy="ü")
    orders = [Order.create_market_order(f"S{n}", D(10), OrderSide.BUY, tags=["a", "b"]) for n in range(5)]
    positions = [Position.open_position(f"S{n}", D(3), D(10), D("0.5"), tags=["x"]) for n in range(4)]
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.instruments.save_instrument(
            Instrument(symbol="ESH6", kind=InstrumentKind.FUTURE, currency="USD", tick_size=D("0.25"))
        )
        await uow.orders.save_many(orders)
        for position in positions:
            await uow.positions.save_position(position)
    orders[0].submit("B-1")
    orders[0].fill(D(4), D("100.10"), "E-1", commission=D("0.10"))
    positions[0].add(D(4), D(11))
    positions[0].reduce(D(2), D(12))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(orders[0])
        await uow.orders.delete_order(orders[1].id)
        await uow.positions.update_position(positions[0])
        await uow.positions.close_position(positions[1].id, D(11))
        await uow.portfolios.create_portfolio_snapshot(portfolio.id)
        await uow.orders.save_order(
            Order.create_limit_order("NEW", D(1), OrderSide.SELL, limit_price=D("1E+3"))
        )


def rows_of(table: Any) -> dict[Any, dict[str, Any]]:
    """The rows of an Arrow table by their first column."""
    rows = {row[table.schema.names[0]]: row for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return rows


@pytest.mark.parametrize("number", range(5), ids=[one.name for one in built_in_projections()])
@pytest.mark.parametrize("folded", [0, 1, 7, 12, 1_000])
async def test_a_table_is_given_as_it_will_be(store: EventStore, number: int, folded: int):
    """Wherever its worker stands: row for row, value for value, what the table has when it has caught up."""
    await trade(store)
    projection = list(built_in_projections())[number]
    worker: ProjectionWorker[Any] = ProjectionWorker(store.log, projection, batch_events_max=max(folded, 1))
    if folded:
        await worker.run_once()
    name = projection.table.name
    fresh = await to_arrow(store.log, name)
    head = await store.log.head()
    assert fresh.schema.metadata == {
        b"eventstore.consistency": b"fresh",
        b"eventstore.position": str(head).encode(),
    }
    batches = [batch async for batch in read_batches(store.log, name, batch_rows_max=1)]
    assert rows_of(pa.Table.from_batches(batches, schema=fresh.schema)) == rows_of(fresh)
    await worker.catch_up(head)
    caught_up = await to_arrow(store.log, name, consistency="eventual")
    assert caught_up.schema.equals(fresh.schema)
    assert rows_of(caught_up) == rows_of(fresh)
    assert fresh.num_rows > 0


async def test_it_gives_what_the_repository_gives(store: EventStore):
    """With no worker at all."""
    await trade(store)
    async with store.unit_of_work() as uow:
        positions = await uow.positions.get_active_positions()
        orders = await uow.orders.get_active_orders()
    table = rows_of(await to_arrow(store.log, "positions"))
    assert {(str(one.id), one.quantity, one.cost) for one in positions} == {
        (row["id"], row["quantity"], row["cost"]) for row in table.values() if row["closed_at"] is None
    }
    found = rows_of(await to_arrow(store.log, "orders"))
    assert {str(one.id) for one in orders} <= found.keys()
    assert len(found) == 5


async def test_a_projection_of_ones_own(store: EventStore, caplog: pytest.LogCaptureFixture):
    """By its object, by its table's name, and by its name; a table that no code keeps is as it stands, which is said."""
    async with store.connection.acquire() as connection:
        await connection.execute(TurnoverProjection.table.create())
        await connection.execute("CREATE TABLE of_nobody (id bigint)")
        await connection.execute("CREATE TABLE registered (id bigint)")
        await connection.execute("INSERT INTO projections (name) VALUES ('registered')")
        await connection.execute(
            "INSERT INTO projection_checkpoints (projection, partition, position) VALUES ('registered', 0, 2)"
        )
    await trade(store)
    for table in (TurnoverProjection(), "turnover"):
        assert (await to_arrow(store.log, table)).num_rows == 1
    with caplog.at_level(logging.WARNING):
        assert (await to_arrow(store.log, "of_nobody")).schema.metadata == {
            b"eventstore.consistency": b"eventual"
        }
        assert caplog.messages == []
        behind = await to_arrow(store.log, "registered")
    assert behind.schema.metadata[b"eventstore.position"] == b"2"
    (said,) = caplog.messages
    assert "registered is exported as it is: it has the events up to position 2, and the log ends at" in said


async def test_it_is_one_snapshot(store: EventStore):
    """What is appended, and folded, while the rows are read is not among them."""
    await place(store, *range(1, 6))
    projection = next(iter(built_in_projections()))
    await ProjectionWorker(store.log, projection, batch_events_max=3).run_once()
    seen = []
    async for batch in read_batches(store.log, "orders", batch_rows_max=1):
        seen += batch.column("quantity").to_pylist()
        await place(store, 100)
        await ProjectionWorker(store.log, projection).catch_up(await store.log.head())
    assert sorted(seen) == [1, 2, 3, 4, 5]


async def test_what_cannot_be_made_fresh_says_so(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Too far behind, or a key in quarantine: an error, or the table as it stands with a warning."""
    await spoilt_table(store)
    await place(store, 1, 13, 2, symbol="BAD")
    monkeypatch.setenv("SPOILT_AT", "13")
    with pytest.raises(QuarantinedKeysError, match="BAD"):
        await to_arrow(store.log, Spoilt())
    await ProjectionWorker(store.log, Spoilt()).catch_up(3)
    assert len(await list_quarantined(store.log, "spoilt")) == 1
    with pytest.raises(QuarantinedKeysError, match="BAD"):
        await to_arrow(store.log, Spoilt())
    assert (await to_arrow(store.log, Spoilt(), consistency="eventual")).column("quantity").to_pylist() == [1]
    monkeypatch.setattr(fresh_rows, "TAIL_EVENTS_MAX", 2)
    with pytest.raises(ProjectionLagError, match="orders"):
        await to_arrow(store.log, "orders")
    with caplog.at_level(logging.WARNING):
        assert (await to_arrow(store.log, "orders", consistency="eventual")).num_rows == 0
    with pytest.raises(ConfigurationError, match="consistency must be fresh or eventual, not 'soon'"):
        await to_arrow(store.log, "orders", consistency="soon")  # type: ignore[arg-type]


# ---- decimals ----------------------------------------------------------------------------------------------------


async def averaged(store: EventStore, *, folded: bool = True) -> Position:
    """A position whose cost does not divide evenly."""
    position = Position.open_position("A", D(3), D(10))
    position.add(D(4), D(11))
    position.reduce(D(2), D(12))
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
    if folded:
        projection: Projection[Any] = list(built_in_projections())[1]
        await ProjectionWorker(store.log, projection).catch_up(await store.log.head())
    return position


@pytest.mark.parametrize("folded", [True, False])
async def test_averages_are_exact_by_default(store: EventStore, tmp_path: Path, folded: bool):
    """The scale follows from the values, those of the tail too; the file has them as well."""
    position = await averaged(store, folded=folded)
    table = await to_arrow(store.log, "positions")
    scale = -int(position.cost.normalize().as_tuple().exponent)
    assert scale > 18
    assert table.schema.field("cost").type == pa.decimal128(38, scale)
    assert table.schema.field("quantity").type == pa.decimal128(38, 18)
    assert table.column("cost").to_pylist() == [position.cost]
    for options in (
        {},
        {"decimals": "text"},
        {"decimals": "float"},
        {"decimal_scale": 36, "decimal_precision": 60},
    ):
        file = tmp_path / "positions.parquet"
        assert await write_parquet(store.log, "positions", file, **options) == 1
        (read,) = pq.read_table(file).to_pylist()
        expected = {"text": f"{position.cost:f}", "float": float(position.cost)}
        assert read["cost"] == expected.get(str(options.get("decimals")), position.cost)


WIDTHS = {
    "0.5": pa.decimal128(38, 18),
    "99999999999999999999.000000000000000001": pa.decimal128(38, 18),
    "100000000000000000000": pa.decimal128(38, 0),
    "0.00000000000000000000000000000000000001": pa.decimal256(39, 38),
    "123456789012345678901234567890.12345678901234567891": pa.decimal256(50, 20),
    "1" + "0" * 90: pa.string(),
    "0." + "0" * 80 + "1": pa.string(),
    "1.500000000000000000000000000": pa.decimal128(38, 18),
}


@pytest.mark.parametrize("value", WIDTHS, ids=lambda value: value[:60])
async def test_a_column_is_as_wide_as_its_values(store: EventStore, value: str):
    """Exact in every case; where no decimal of Arrow holds it, as text with every digit."""
    async with store.connection.acquire() as connection:
        await connection.execute("CREATE TABLE wide (value numeric, other numeric)")
        await connection.execute("INSERT INTO wide VALUES ($1, 1), (NULL, NULL)", D(value))
    table = await to_arrow(store.log, "wide")
    assert table.schema.field("value").type == WIDTHS[value]
    assert table.schema.field("other").type == pa.decimal128(38, 18)
    first, second = table.column("value").to_pylist()
    assert (D(first), second) == (D(value), None)
    text = await to_arrow(store.log, "wide", decimals="text")
    assert text.column("value").to_pylist() == [f"{D(value):f}", None]


async def test_what_is_no_number_is_text(store: EventStore):
    """NaN and infinity have no decimal of Arrow; as text and as float they are."""
    async with store.connection.acquire() as connection:
        await connection.execute("CREATE TABLE wide (value numeric)")
        await connection.execute("INSERT INTO wide VALUES ('NaN'), ('-Infinity'), (1.50)")
    assert (await to_arrow(store.log, "wide", decimals="text")).column("value").to_pylist() == [
        "NaN",
        "-Infinity",
        "1.50",
    ]
    assert (await to_arrow(store.log, "wide", decimals="float")).column("value").to_pylist()[1:] == [
        float("-inf"),
        1.5,
    ]
    with pytest.raises(ConfigurationError, match=r"wide\.value contains NaN.*decimals='text'"):
        await to_arrow(store.log, "wide")
    for wrong in ({"decimals": "exactly"}, {"decimals": "text", "decimal_scale": 3}):
        with pytest.raises(ConfigurationError, match="decimals"):
            await to_arrow(store.log, "wide", **wrong)


async def test_the_command(store: EventStore, tmp_path: Path):
    """Fresh without a worker, with averages, and with each option; a table that is behind is said to be."""
    position = await averaged(store, folded=False)
    url = url_of(store.connection.config)
    file = tmp_path / "positions.parquet"

    async def export(*options: Any) -> Any:
        done = await asyncio.to_thread(run, "export", file, "--parquet", *options, "--url", url)
        assert done.returncode == 0, done.stderr
        return done, pq.read_table(file)

    done, table = await export("--table", "positions")
    assert (done.stdout, done.stderr) == ("exported 1 rows of positions\n", "")
    assert table.column("cost").to_pylist() == [position.cost]
    _, table = await export("--table", "positions", "--decimals", "text")
    assert table.column("cost").to_pylist() == [f"{position.cost:f}"]
    _, table = await export("--table", "positions", "--decimal-scale", 36)
    assert table.schema.field("cost").type == pa.decimal128(38, 36)
    await ProjectionWorker(store.log, list(built_in_projections())[1]).catch_up(1)
    await averaged(store, folded=False)
    done, table = await export("--table", "positions", "--consistency", "eventual")
    assert table.num_rows == 1
    assert "eventstore: warning: the table of projection positions is exported as it is" in done.stderr
    async with store.connection.acquire() as connection:
        await connection.execute(TurnoverProjection.table.create())
    module = ("--module", "eventstore.examples.turnover")
    await export("--table", "turnover", *module)
    await export("--table", "eventstore.examples.turnover:TurnoverProjection")
    for wrong in (("--decimals", "text"), ("--consistency", "eventual"), ("--decimal-scale", 3)):
        done = await asyncio.to_thread(run, "export", file, "--parquet", *wrong, "--url", url)
        assert_refused(done, "give these options only with --table")
