"""Events and read tables as Arrow and Parquet: every value exact, or a clear error."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eventstore import Order, OrderSide, Portfolio, Position
from eventstore.core.context import use_clock
from eventstore.errors import ConfigurationError
from eventstore.export.arrow import read_batches, to_arrow, write_parquet
from eventstore.replay.equity import EquityPoint
from projections import OrdersProjection, ProjectionWorker
from tests.arrow_names import names_in
from tests.command_line import run
from tests.conftest import url_of
from tests.entities import started
from tests.ordered_by_symbol import OrderedBySymbol, create_table, place

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.store import EventStore

PRICES = ("150.25", "0.00000001", "99999999999999999999", "0.000000000000000001", "1E+5")


async def filled(store: EventStore) -> None:
    """Orders of unusual prices, folded; and events of another category."""
    async with store.unit_of_work() as uow:
        for price in PRICES:
            order = Order.create_limit_order("ü", Decimal(3), OrderSide.BUY, limit_price=Decimal(price))
            order.submit("B-1")
            await uow.orders.save_order(order)
        await uow.orders.save_order(Order.create_market_order("M", Decimal(1), OrderSide.SELL))
    await store.log.append(started())
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(await store.log.head())


async def rows_of(store: EventStore, table: str) -> list[dict[str, Any]]:
    """The rows as the driver gives them."""
    async with store.connection.acquire() as connection:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]


def plain(value: Any) -> Any:
    """A value as Arrow gives it back."""
    return str(value) if type(value).__name__ == "UUID" else value


@pytest.mark.parametrize("batch_rows_max", [1, 4, 10_000])
@pytest.mark.parametrize("table", ["events", "orders"])
async def test_every_value_comes_back(store: EventStore, table: str, batch_rows_max: int):
    """Row for row and value for value what the table holds, whatever the size of the batches; types are as documented."""
    await filled(store)
    batches = [batch async for batch in read_batches(store.log, table, batch_rows_max=batch_rows_max)]
    assert max(batch.num_rows for batch in batches) <= batch_rows_max
    read = pa.Table.from_batches(batches)
    expected = await rows_of(store, table)
    got = read.to_pylist()
    assert len(got) == len(expected) > 5
    key = "position" if table == "events" else "id"
    by_key = {row[key]: row for row in got}
    for row in expected:
        assert by_key[plain(row[key])] == {name: plain(value) for name, value in row.items()}
    time = read.schema.field("occurred_at" if table == "events" else "created_at").type
    assert time == pa.timestamp("us", tz="UTC")
    if table == "events":
        assert [row["position"] for row in got] == sorted(row["position"] for row in got)
        assert json.loads(got[0]["data"])["symbol"] == "ü"
    else:
        assert read.schema.field("limit_price").type == pa.decimal128(38, 18)
        assert {row["limit_price"] for row in got} == {*map(Decimal, PRICES), None}


async def test_in_one_call_to_pandas_and_polars(store: EventStore, tmp_path: Path):
    """A Table, a Parquet file, and what other libraries make of it; an empty table has its columns."""
    import polars as pl

    await filled(store)
    table = await to_arrow(store.log, "orders")
    assert sorted(table.to_pandas()["symbol"]) == ["M", *["ü"] * 5]
    assert pl.from_arrow(table).schema["limit_price"] == pl.Decimal(38, 18)  # type: ignore[union-attr]
    assert await write_parquet(store.log, "orders", tmp_path / "orders.parquet") == 6
    assert pq.read_table(tmp_path / "orders.parquet").to_pylist() == table.to_pylist()
    empty = await to_arrow(store.log, "positions")
    assert (empty.num_rows, "cost" in empty.column_names) == (0, True)
    orders = await to_arrow(store.log, "events", categories=["order"])
    assert set(orders.column("category").to_pylist()) == {"order"}


async def test_a_decimal_that_does_not_fit_what_was_asked_for_is_an_error(store: EventStore):
    """Never rounded, never null: the column is named; more digits hold it exactly, and so does what its values need."""
    await filled(store)
    price = Decimal("1.0000000000000000000000001")
    async with store.unit_of_work() as uow:
        order = Order.create_limit_order("X", Decimal(1), OrderSide.BUY, limit_price=price)
        await uow.orders.save_order(order)
    await ProjectionWorker(store.log, OrdersProjection()).catch_up(await store.log.head())
    with pytest.raises(
        ConfigurationError,
        match=r"orders\.limit_price has a value that decimal128\(38, 18\).*decimals='text'",
    ):
        await to_arrow(store.log, "orders", decimal_scale=18)
    with pytest.raises(ConfigurationError, match=r"orders\.limit_price"):
        await to_arrow(store.log, "orders", decimal_scale=25)
    wide = await to_arrow(store.log, "orders", decimal_precision=76, decimal_scale=30)
    fitted = await to_arrow(store.log, "orders")
    assert fitted.schema.field("limit_price").type == pa.decimal256(45, 25)
    assert fitted.schema.field("quantity").type == pa.decimal128(38, 18)
    for table in (wide, fitted):
        assert {*map(Decimal, PRICES), price} < set(table.column("limit_price").to_pylist())
    async with store.connection.acquire() as connection:
        for value, said in (("'NaN'", "NaN"), ("'Infinity'", "Infinity")):
            await connection.execute(f"UPDATE orders SET limit_price = {value}")
            with pytest.raises(ConfigurationError, match=said):
                await to_arrow(store.log, "orders")
        await connection.execute("UPDATE orders SET limit_price = 1, created_at = 'infinity'")
    with pytest.raises(ConfigurationError, match="infinite"):
        await to_arrow(store.log, "orders")
    for year in ("20000-01-01", "0044-03-15 BC", "294270-01-01", "infinity"):
        async with store.connection.acquire() as connection:
            await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
            await connection.execute(f"UPDATE events SET occurred_at = '{year}' WHERE position = 1")
            await connection.execute(f"UPDATE orders SET created_at = '{year}'")
        for table in ("events", "orders"):
            with pytest.raises(ConfigurationError, match=f"{table}.*time"):
                await to_arrow(store.log, table)


async def test_what_cannot_be_exported_says_why(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """No such table, a type without a form, digits out of range, no pyarrow: one clear error each."""
    async with store.connection.acquire() as connection:
        await connection.execute("CREATE TABLE strange (at point)")
    for table, said in (
        ("nothing", "no table nothing"),
        ('x"; DROP TABLE orders', "no table"),
        ("strange", "point"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            await to_arrow(store.log, table)
    for digits in ({"decimal_precision": 77}, {"decimal_scale": 39}, {"categories": ["order"]}):
        with pytest.raises(ConfigurationError):
            await to_arrow(store.log, "orders", **digits)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trading-eventstore\[frames\]'"):
        await to_arrow(store.log, "orders")


async def test_an_export_that_fails_leaves_nothing_behind(store: EventStore, tmp_path: Path):
    """No half of a file, nothing instead of the one before, and no transaction that would hold up a change of the table."""
    await filled(store)
    file = tmp_path / "orders.parquet"
    await write_parquet(store.log, "orders", file)
    kept = file.read_bytes()
    async with store.connection.acquire() as connection:
        await connection.execute("CREATE TABLE strange (at point)")
        for table in ("orders", "strange", "nothing"):
            with pytest.raises(ConfigurationError):
                await write_parquet(store.log, table, file, decimal_precision=3, decimal_scale=1)
        assert names_in(tmp_path) == [file.name]
        assert file.read_bytes() == kept
        held = await connection.fetch(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid <> pg_backend_pid() AND "
            "relation IN ('strange'::regclass, 'orders'::regclass)"
        )
    assert held == []


async def test_an_equity_curve_as_arrow(store: EventStore):
    """Every point, its time in UTC and every digit of it, in the narrowest decimal that holds all; also without points."""
    start = datetime(2026, 3, 2, 14, tzinfo=UTC)
    with use_clock(lambda: start):
        portfolio = Portfolio(name="p", initial_capital=Decimal("1000.50"))
        position = Position.open_position("ES", Decimal(3), Decimal("5200.25"), Decimal("1.2345678901"))
        position.portfolio_id = portfolio.id
        position.mark(Decimal("5200.0000000001"), occurred_at=start + timedelta(microseconds=1))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
    curve = await store.equity_curve(portfolio)
    assert len(curve) >= 2
    table = curve.to_arrow()
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert [(row["at"], row["equity"]) for row in table.to_pylist()] == list(curve)
    scale = max(-int(point.equity.as_tuple().exponent) for point in curve)
    assert scale >= 10
    assert table.schema.field("equity").type == pa.decimal128(38, scale)
    assert list(curve.to_pandas()) == [point.equity for point in curve]
    floats = curve.to_pandas(floats=True)
    assert (str(floats.dtype), list(floats)) == ("float64", [float(point.equity) for point in curve])
    assert curve.to_polars()["equity"].to_list() == [point.equity for point in curve]
    empty = dataclasses.replace(curve, points=()).to_arrow()
    assert (empty.num_rows, empty.schema.names) == (0, ["at", "equity"])
    wide = Decimal("12345678901234567890123456789.0123456789012345678901")
    points = (
        *curve.points,
        EquityPoint(start, wide),
        EquityPoint(start, Decimal("1E+20")),
        EquityPoint(start, -wide),
    )
    table = dataclasses.replace(curve, points=points).to_arrow()
    assert table.column("equity").to_pylist() == [point.equity for point in points]
    assert table.schema.field("equity").type == pa.decimal256(76, 22)
    with pytest.raises(ConfigurationError, match="does not fit the widest decimal"):
        dataclasses.replace(
            curve, points=(EquityPoint(start, Decimal("1" + "0" * 60 + "." + "0" * 19 + "1")),)
        ).to_arrow()


async def test_a_projection_of_ones_own_as_parquet(store: EventStore, tmp_path: Path):
    """Its rows, with the types of its table, those of an empty table too."""
    await create_table(store)
    file = tmp_path / "ordered.parquet"
    assert await write_parquet(store.log, OrderedBySymbol(), file) == 0
    names = pq.read_table(file).schema.names
    await place(store, 1, 2, 3)
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(await store.log.head())
    rows = await rows_of(store, "ordered")
    done = run("export", file, "--parquet", "--table", "ordered", "--url", url_of(store.connection.config))
    assert (done.returncode, done.stdout) == (0, f"exported {len(rows)} rows of ordered\n"), done.stderr
    read = pq.read_table(file)
    assert read.schema.names == names
    assert read.to_pylist() == [{name: plain(value) for name, value in row.items()} for row in rows]
    assert len(rows) > 0


async def test_the_command(store: EventStore, tmp_path: Path):
    """A table as a Parquet file from the command line."""
    await filled(store)
    file = tmp_path / "orders.parquet"
    done = run(
        "export", str(file), "--parquet", "--table", "orders", "--url", url_of(store.connection.config)
    )
    assert (done.returncode, done.stdout) == (0, "exported 6 rows of orders\n"), done.stderr
    assert pq.read_table(file).num_rows == 6
