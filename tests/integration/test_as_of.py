"""The repositories of a point in time: they write nothing, do not change meanwhile, and refuse what is not a point in time."""

from __future__ import annotations

import asyncio
import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderSide, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.errors import (
    ConcurrencyError,
    ConfigurationError,
    QuarantinedKeysError,
    ReadOnlyError,
    RepositoryError,
)
from eventstore.repositories import Page
from eventstore.store import built_in_projections
from eventstore.testing.strategies import EPOCH
from projections import OrdersProjection, ProjectionWorker
from projections.engine import set_partitions
from projections.rebuild import rebuild
from tests.entities import Strategy
from tests.long_unit_of_work import patient_unit_of_work
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore

D = Decimal
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def minute(number: int) -> datetime:
    """So many minutes after the epoch of the tests."""
    return EPOCH + timedelta(minutes=number)


async def new_order(store: EventStore, symbol: str = "ES", *, quantity: int = 10) -> Order:
    """A submitted order that is saved."""
    order = Order.create_market_order(symbol, D(quantity), OrderSide.BUY, occurred_at=minute(0))
    order.submit("B-1", occurred_at=minute(0))
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(order)
    return order


async def head_of(store: EventStore, save: Awaitable[Any]) -> int:
    """The log's end after something was saved."""
    await save
    return await store.log.head()


async def fold_all(store: EventStore) -> None:
    """Bring the table of orders up to date."""
    worker = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass


async def keep(store: EventStore) -> None:
    """Bring the table of orders up to date, and store every state of each and a segment of each event."""
    worker = ProjectionWorker(store.log, OrdersProjection(), snapshot_versions=1, segment_events=1)
    while await worker.run_once():
        pass


async def count(store: EventStore, table: str) -> int:
    """How many rows a table has."""
    async with store.connection.acquire() as connection:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize("is_folded", [False, True])
async def test_before_and_after_a_fill_and_a_deletion(store: EventStore, is_folded: bool):
    """Each position shows what was there after it: nothing, the order, the fill, nothing again."""
    order = await new_order(store)
    created = await store.log.head()
    order.fill(D(4), D(100), "E-1", occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    filled = await store.log.head()
    async with store.unit_of_work() as uow:
        await uow.orders.delete_order(order.id)
    if is_folded:
        await fold_all(store)
    for position, leaves in ((0, None), (created, D(10)), (filled, D(6)), (await store.log.head(), None)):
        async with store.as_of(position=position) as past:
            found = await past.orders.get_order_by_id(order.id)
            assert (None if found is None else found.leaves_quantity) == leaves
            assert await past.orders.get_active_orders() == ([] if found is None else [found])
            assert await past.orders.get_orders_by_symbol("ES") == ([] if found is None else [found])


async def test_a_late_report_was_not_known_then_but_is_in_its_place(store: EventStore):
    """What was known at a time leaves out what was reported later; what was true has it, in the order it occurred."""
    order = await new_order(store)
    order.cancel(occurred_at=minute(10))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    known_at = (await store.history(order.id))[-1].recorded_at
    order.fill(D(10), D(100), "E-1", occurred_at=minute(5))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    await fold_all(store)
    async with store.as_of(recorded_at=known_at) as past:
        known = await past.orders.get_order_by_id(order.id)
        assert known is not None
        assert (known.status, known.filled_quantity) == (OrderStatus.CANCELLED, D(0))
    for at, status, filled in (
        (4, OrderStatus.SUBMITTED, 0),
        (5, OrderStatus.FILLED, 10),
        (9, OrderStatus.FILLED, 10),
        (10, OrderStatus.CANCELLED, 10),
    ):
        async with store.as_of(occurred_at=minute(at)) as past:
            true = await past.orders.get_order_by_id(order.id)
            assert true is not None
            assert (true.status, true.filled_quantity) == (status, D(filled))
            assert await past.orders.get_orders_by_status(true.status) == [true]


async def test_what_was_busted_before_it_was_reported_has_no_effect_without_it(store: EventStore):
    """A bust with an earlier time than its fill takes effect with the fill, and no list fails of it."""
    order = await new_order(store)
    order.fill(D(4), D(100), "E-1", occurred_at=minute(5))
    order.bust_fill("E-1", occurred_at=minute(3))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    for at, executions in ((3, 0), (5, 1)):
        async with store.as_of(occurred_at=minute(at)) as past:
            (found,) = await past.orders.get_active_orders()
            assert (found.filled_quantity, len(found.executions)) == (D(0), executions)


async def test_what_is_reported_late_comes_in_the_order_of_the_reports(store: EventStore):
    """A fill that was reported after a state snapshot, and occurred before it, is counted after those that it holds."""
    order = await new_order(store)
    order.fill(D(1), D(100), "E-1", occurred_at=minute(5))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    await keep(store)
    order.fill(D(1), D(100), "E-2", occurred_at=minute(2))
    order.fill(D(1), D(100), "E-3", occurred_at=minute(5))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    for at, wanted in ((2, ["E-2"]), (5, ["E-1", "E-2", "E-3"])):
        async with store.as_of(occurred_at=minute(at)) as past:
            (found,) = await past.orders.get_active_orders()
            assert [execution.execution_id for execution in found.executions] == wanted


async def test_nothing_can_be_changed(store: EventStore):
    """Whatever would write raises one error that says what to do, and nothing is written."""
    order = await new_order(store)
    position = Position.open_position("ES", D(1), D(1), D(0))
    portfolio = Portfolio(name="main", initial_capital=D(1))
    async with store.unit_of_work() as uow:
        await uow.positions.save_position(position)
        await uow.portfolios.save_portfolio(portfolio)
    head = await store.log.head()
    async with store.as_of(position=head) as past:
        o, p, f, s = past.orders, past.positions, past.portfolios, past.entities(Order)
        writes: list[Awaitable[Any]] = [
            o.save_order(order), o.save_many([order]), o.update_order(order), o.delete_order(order.id),
            p.save_position(position), p.save_many([position]), p.update_position(position),
            p.close_position(position.id, D(2)), p.delete_position(position.id),
            f.save_portfolio(portfolio), f.save_many([portfolio]), f.update_portfolio(portfolio),
            f.delete_portfolio(portfolio.id), f.create_portfolio_snapshot(portfolio.id),
            s.save(order), s.update(order), s.delete(order.id),
        ]  # fmt: skip
        for write in writes:
            with pytest.raises(ReadOnlyError, match="in a Unit of Work"):
                await write
    assert await store.log.head() == head


async def test_an_entity_of_the_past_is_not_saved_over_the_present(store: EventStore):
    """Saved in a Unit of Work, a state that lacks events conflicts with them, by whichever clock it was read."""
    order = await new_order(store)
    order.fill(D(4), D(100), "E-1", occurred_at=minute(9))
    order.fill(D(1), D(100), "E-2", occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    points: tuple[dict[str, Any], ...] = ({"position": 2}, {"occurred_at": minute(5)})
    for when in points:
        async with store.as_of(**when) as past:
            old = await past.orders.get_order_by_id(order.id)
        assert old is not None
        old.cancel(occurred_at=minute(10))
        with pytest.raises(ConcurrencyError):
            async with store.unit_of_work() as uow:
                await uow.orders.update_order(old)


async def test_a_moment_must_be_one(store: EventStore):
    """None, two, a negative position, one beyond the end, and no time at all are refused by name."""
    await new_order(store)
    for when, said in (
        ({}, "exactly one"),
        ({"position": 1, "occurred_at": EPOCH}, "exactly one"),
        ({"position": -1}, "0 or more"),
        ({"position": True}, "whole number"),
        ({"position": 99}, "beyond the end of the log, which is at position 2"),
        ({"recorded_at": "noon"}, "must be a datetime"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            async with store.as_of(**when):
                pass
    async with store.as_of(position=1) as past:
        pass
    with pytest.raises(RepositoryError, match="has ended"):
        await past.orders.get_active_orders()


async def test_a_time_yet_to_come_is_what_is_known_now(store: EventStore):
    """Both clocks; and a naive time is local time."""
    order = await new_order(store)
    recorded_at = (await store.history(order.id))[-1].recorded_at
    points: tuple[dict[str, Any], ...] = (
        {"recorded_at": LATER},
        {"occurred_at": LATER},
        {"recorded_at": datetime.max},
        {"recorded_at": recorded_at.astimezone().replace(tzinfo=None)},
    )
    for when in points:
        async with store.as_of(**when) as past:
            assert await past.orders.get_active_orders() == [order]
    naive = (recorded_at - timedelta(microseconds=1)).astimezone().replace(tzinfo=None)
    async with store.as_of(recorded_at=naive) as past:
        assert await past.orders.get_active_orders() == []
    async with store.as_of(occurred_at=datetime.min) as past:
        assert await past.orders.get_active_orders() == []


async def test_a_writer_that_began_meanwhile_is_waited_for(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A position is asked for that comes into being during the call: what lies before it is final all the same."""
    head_of_log = store.log.head
    slow = patient_unit_of_work(store)
    orders = [Order.create_market_order("ES", D(1), OrderSide.BUY) for _ in range(2)]
    both_began = asyncio.Event()

    async def head() -> int:
        if not both_began.is_set():
            await slow.begin_transaction()
            await slow.orders.save_order(orders[0])
            await slow.flush()
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(orders[1])
            both_began.set()
        return await head_of_log()

    async def found() -> set[Any]:
        async with store.as_of(position=2) as past:
            return {order.id for order in await past.orders.get_active_orders()}

    monkeypatch.setattr(store.log, "head", head)
    asking = asyncio.create_task(found())
    await both_began.wait()
    await asyncio.wait([asking], timeout=0.2)
    assert not asking.done()
    await slow.commit()
    assert await asking == {order.id for order in orders}


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_writer_in_flight_is_waited_for(store: EventStore, by_time: bool):
    """An event that was drawn and recorded before the call, but is not committed yet, belongs to the point in time.

    For a position it lies before one that is visible; for a time it lies beyond the end that is visible.
    """
    first = await new_order(store)
    slow = patient_unit_of_work(store)
    await slow.begin_transaction()
    order = Order.create_market_order("SLOW", D(1), OrderSide.BUY)
    await slow.orders.save_order(order)
    await slow.flush()
    wanted = {first.id, order.id}
    when: dict[str, Any]
    if by_time:
        async with store.connection.acquire() as connection:
            when = {"recorded_at": await connection.fetchval("SELECT clock_timestamp()")}
    else:
        wanted.add((await new_order(store, "FAST")).id)
        when = {"position": await store.log.head()}

    async def look() -> Page[Order]:
        async with store.as_of(**when) as past:
            return await past.orders.get_active_orders()

    looking = asyncio.create_task(look())
    async with store.connection.acquire() as connection:  # it has looked for writers at least twice
        waited = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE query LIKE '%pg_locks%' AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        await until(lambda: _is_positive(connection, waited))
    assert not looking.done()
    await slow.commit()
    assert {found.id for found in await looking} == wanted


async def _is_positive(connection: Any, query: str) -> bool:
    return bool(await connection.fetchval(query))


async def test_summaries_snapshots_and_entities_of_a_users_own(store: EventStore):
    """A portfolio is summed up over the positions of that point in time; snapshots and other entities are there too."""
    portfolio = Portfolio(name="main", initial_capital=D(1000))
    position = Position.open_position("ES", D(2), D(10), D(0), portfolio_id=portfolio.id)
    position.mark(D(11))
    strategy = Strategy.start("mean reversion")
    strategy.tune("x", 1)
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
        await uow.positions.save_position(position)
        await uow.entities(Strategy).save(strategy)
    async with store.unit_of_work() as uow:
        snapshot = await uow.portfolios.create_portfolio_snapshot(portfolio.id)
    then = await store.log.head()
    async with store.unit_of_work() as uow:
        await uow.positions.close_position(position.id, D(12))
        strategy.tune("x", 2)
        await uow.entities(Strategy).update(strategy)
        await uow.portfolios.create_portfolio_snapshot(portfolio.id)
    for is_kept in (False, True):
        if is_kept:
            for projection in built_in_projections():
                await ProjectionWorker(store.log, projection, segment_events=1).catch_up(then)
        async with store.as_of(position=then) as past:
            summary = await past.portfolios.get_portfolio_summary(portfolio.id)
            assert summary is not None
            assert (summary.open_positions, summary.unrealized_pnl) == (1, D(2))
            history = await past.portfolios.get_portfolio_history(portfolio.id, datetime.min, datetime.max)
            assert [each.id for each in history] == [snapshot.id]
            tuned = await past.entities(Strategy).get(strategy.id)
            assert tuned is not None
            assert dict(tuned.parameters) == {"x": 1}
            assert await past.entities(Strategy).get(portfolio.id) is None
            assert await past.orders.get_order_by_id(portfolio.id) is None


async def test_a_key_in_quarantine(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Before the event that cannot be folded the past is there; after it a list names the key; discarded, it is left out."""

    class Failing(OrdersProjection):
        def evolve(self, row: Order | None, event: RecordedEvent) -> Order | None:
            if event.version == 3:
                raise ValueError("not today")
            return super().evolve(row, event)

    from projections.quarantine import discard

    order = await new_order(store)
    other = await new_order(store, "GOOD")
    then = await store.log.head()
    order.cancel(occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    now = await store.log.head()
    await ProjectionWorker(store.log, Failing()).catch_up(now)

    def refuse(_: Order, __: Any) -> None:
        raise ValueError("not today")

    appliers = {**Order._appliers}
    cancelled = next(each for each in appliers if each.__name__ == "OrderCancelled")
    monkeypatch.setattr(Order, "_appliers", {**appliers, cancelled: refuse})
    async with store.as_of(position=then) as past:
        assert {each.id for each in await past.orders.get_active_orders()} == {order.id, other.id}
    async with store.as_of(position=now) as past:
        with pytest.raises(QuarantinedKeysError, match=str(order.id)):
            await past.orders.get_active_orders()
    assert await discard(store.log, OrdersProjection(), f'["{order.id}"]', discarded_by="me", reason="test")
    async with store.as_of(position=now) as past:
        assert {each.id for each in await past.orders.get_active_orders()} == {order.id, other.id}
        alone = await past.orders.get_order_by_id(order.id)
        assert alone is not None
        assert alone.is_active


async def test_what_is_stored_is_dropped_and_made_while_the_past_is_looked_at(store: EventStore):
    """The answers stay the same: with state snapshots and segments, without any, and with those that were made again."""
    orders = [await new_order(store, quantity=n) for n in range(1, 9)]
    await keep(store)
    then = await store.log.head()
    for order in orders[:2]:
        order.cancel(occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.save_many(orders[:2])
    await keep(store)
    assert await count(store, "log_segments") > 0
    async with store.as_of(position=then) as past:
        wanted = await past.orders.get_active_orders()
        assert len(wanted) == 8
        page = await past.orders.get_active_orders(limit=3)
        assert page == wanted[:3]
        assert await store.state_snapshots.drop() == 18
        assert await count(store, "log_segments") == await count(store, "state_snapshots") == 0
        assert await past.orders.get_active_orders() == wanted
        assert await past.orders.get_active_orders(limit=3, after=page[-1]) == wanted[3:6]
        assert await store.state_snapshots.make(snapshot_versions=1, segment_events=1) == 18
        assert await count(store, "log_segments") > 0
        assert await past.orders.get_active_orders() == wanted
    assert await store.state_snapshots.make(snapshot_versions=1, segment_events=1) == 0


async def test_what_was_stored_is_read_until_the_next_event(store: EventStore):
    """Of a changed order the last state within the point in time is read; a deleted one is not there."""
    orders = [await new_order(store) for _ in range(3)]
    await keep(store)
    then = await store.log.head()
    orders[0].cancel(occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(orders[0])
        await uow.orders.delete_order(orders[1].id)
    await keep(store)
    async with store.connection.acquire() as connection:  # were they not read, nothing would fail
        await connection.execute("UPDATE state_snapshots SET state = ''")
    with pytest.raises(zlib.error):
        async with store.as_of(position=then) as past:
            await past.orders.get_order_by_id(orders[0].id)
    await store.state_snapshots.drop()
    await store.state_snapshots.make(snapshot_versions=1, segment_events=1)
    async with store.as_of(position=then) as past:
        assert {each.id for each in await past.orders.get_active_orders()} == {each.id for each in orders}
    async with store.as_of(position=await store.log.head()) as past:
        assert await past.orders.get_active_orders() == orders[2:]
        assert {each.id for each in await past.orders.get_orders_by_symbol("ES")} == {
            orders[0].id,
            orders[2].id,
        }


async def test_tables_change_hands_while_the_past_is_looked_at(store: EventStore):
    """Partitions, a rebuild that is swapped in, and a table of another version: the block goes on to show its point in time."""
    orders = [await new_order(store) for _ in range(4)]
    await fold_all(store)
    then = await store.log.head()
    async with store.as_of(position=then) as past:
        wanted = await past.orders.get_active_orders()
        assert len(wanted) == 4
        for order in orders[:2]:
            order.cancel(occurred_at=minute(1))
        async with store.unit_of_work() as uow:
            await uow.orders.save_many(orders[:2])
        await set_partitions(store.log, OrdersProjection(), 3)
        for partition in range(2):
            await ProjectionWorker(store.log, OrdersProjection(), partition=partition).catch_up(then + 2)
        assert await past.orders.get_active_orders() == wanted
        await rebuild(store.log, OrdersProjection())
        assert await past.orders.get_active_orders() == wanted
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projections SET version = 99")
            await connection.execute("UPDATE orders SET quantity = 99")  # what that version makes of it
        assert await past.orders.get_active_orders() == wanted
        assert await past.orders.get_orders_by_symbol("ES", limit=3) == wanted[:3]
        assert await past.orders.get_order_by_id(orders[0].id) == wanted[0]


async def test_lists_asked_for_at_once_when_a_table_changes_hands(store: EventStore):
    """Each of several lists finds that its table is gone, and is answered from the log."""
    for _ in range(4):
        await new_order(store)
    await fold_all(store)
    async with store.as_of(position=await store.log.head()) as past:
        wanted = await past.orders.get_active_orders()
        async with store.connection.acquire() as connection:
            await connection.execute("UPDATE projections SET version = 99")
        found = await asyncio.gather(*(past.orders.get_active_orders() for _ in range(5)))
    assert found == [wanted] * 5


async def test_a_rebuild_that_quarantines_while_the_past_is_looked_at(store: EventStore):
    """A row that lacks an event since then is not taken for the state of the point in time."""

    class Failing(OrdersProjection):
        def evolve(self, row: Order | None, event: RecordedEvent) -> Order | None:
            if event.version == 3:
                raise ValueError("not today")
            return super().evolve(row, event)

    order = await new_order(store)
    other = await new_order(store)
    order.cancel(occurred_at=minute(1))
    async with store.unit_of_work() as uow:
        await uow.orders.update_order(order)
    await fold_all(store)
    async with store.as_of(position=await store.log.head()) as past:
        assert [one.id for one in await past.orders.get_active_orders()] == [other.id]
        assert (await rebuild(store.log, Failing())).quarantined == 1
        assert [one.id for one in await past.orders.get_active_orders()] == [other.id]


async def test_an_empty_log(store: EventStore):
    """Nothing is there at any moment, and nothing is stored of it."""
    for when in ({"position": 0}, {"recorded_at": EPOCH}, {"occurred_at": LATER}):
        async with store.as_of(**when) as past:
            assert await past.orders.get_active_orders() == []
            assert await past.portfolios.get_current_portfolio() is None
    assert await store.state_snapshots.make() == 0
