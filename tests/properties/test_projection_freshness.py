"""Reads are fresh at any lag: every list equals a model folded from the log, wherever the worker stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.core.context import use_clock
from eventstore.core.entity_state import mark_saved
from eventstore.database import ConnectionFactory
from eventstore.domain.order import ACTIVE_ORDER_STATUSES, Order, OrderSide, OrderStatus
from eventstore.errors import DomainError
from eventstore.log import StreamAppend
from eventstore.store import EventStore
from eventstore.testing.strategies import EPOCH, order_histories, portfolio_histories, position_histories
from projections import (
    OrdersProjection,
    PortfoliosProjection,
    PositionsProjection,
    Projection,
    ProjectionWorker,
)
from projections.check import compare_with_fold, compare_with_rebuild
from tests.long_unit_of_work import patient_unit_of_work
from tests.scale import examples

if TYPE_CHECKING:
    from eventstore.repositories import PostgreSQLUnitOfWork

SYMBOLS = ("A", "a", "ä", "A ", "'; --", "日本", "\\", "%")
BROKER_IDS = (None, "B-1", "b-1")

few = settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

# What is done: make an order (symbol, minute), act on the n-th one, or let the worker fold so many events.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.sampled_from(SYMBOLS), st.integers(0, 3)),
        st.tuples(st.just("make"), st.sampled_from(SYMBOLS), st.integers(0, 3)),
        st.tuples(st.just("submit"), st.integers(0, 20), st.sampled_from(BROKER_IDS[1:])),
        st.tuples(st.just("fill"), st.integers(0, 20), st.integers(1, 2)),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.none()),
        st.tuples(st.just("rename"), st.integers(0, 20), st.sampled_from(SYMBOLS)),
        st.tuples(st.just("delete"), st.integers(0, 20), st.none()),
        st.tuples(st.just("fold"), st.integers(1, 6), st.none()),
    ),
    min_size=4,
    max_size=30,
)


async def act(uow: PostgreSQLUnitOfWork, orders: list[UUID], step: tuple[str, Any, Any], number: int) -> None:
    """Run one command; one that a rule forbids is passed over."""
    kind, first, second = step
    if kind == "make":
        order = Order.create_market_order(
            first, Decimal(2), OrderSide.BUY, occurred_at=EPOCH + timedelta(minutes=second)
        )
        await uow.orders.save_order(order)
        orders.append(order.id)
        return
    if not orders:
        return
    entity_id = orders[first % len(orders)]
    if kind == "delete":
        await uow.orders.delete_order(entity_id)
        return
    known = await uow.orders.get_order_by_id(entity_id)
    if known is None:
        return
    try:
        if kind == "submit":
            known.submit(second)
        elif kind == "fill":
            known.fill(Decimal(second), Decimal(10), f"E-{number}")
        elif kind == "cancel":
            known.cancel()
        else:
            known.symbol = second
    except DomainError:
        return
    await uow.orders.update_order(known)


STATUSES = ("PENDING", "SUBMITTED", "PARTIALLY_FILLED", "FILLED", "CANCELLED")
FOR_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
RANGES = (
    (EPOCH + timedelta(minutes=1), EPOCH + timedelta(minutes=2)),
    (EPOCH + timedelta(minutes=1), EPOCH + timedelta(minutes=1)),
    FOR_EVER,
)
Query = tuple[str, Callable[..., Any], Callable[[Order], bool]]


def has(field: str, value: object) -> Callable[[Order], bool]:
    """Whether a field has this value."""
    return lambda order: bool(getattr(order, field) == value)


def within(low: datetime, high: datetime) -> Callable[[Order], bool]:
    """Whether an order was made in a range, both ends inclusive."""
    return lambda order: low <= order.created_at <= high


def queries(uow: PostgreSQLUnitOfWork) -> list[Query]:
    """Every list of orders: its name, the call, and what belongs to it by the words of its documentation."""
    orders = uow.orders
    found: list[Query] = [("active", orders.get_active_orders, lambda o: o.status in ACTIVE_ORDER_STATUSES)]
    found += [(s, partial(orders.get_orders_by_symbol, s), has("symbol", s)) for s in SYMBOLS]
    found += [
        (s, partial(orders.get_orders_by_status, OrderStatus(s)), has("status", OrderStatus(s)))
        for s in STATUSES
    ]
    found += [
        (b, partial(orders.get_orders_by_broker_id, b), has("broker_order_id", b))
        for b in ("B-1", "b-1", "none")
    ]
    found += [(str(r), partial(orders.get_orders_by_date_range, *r), within(*r)) for r in RANGES]
    return found


async def assert_fresh(uow: PostgreSQLUnitOfWork, model: Sequence[Order], page_size: int) -> None:
    """Every query gives what the model says, whole and page by page."""
    for name, call, belongs in queries(uow):
        wanted = sorted(filter(belongs, model), key=lambda o: (o.created_at, o.id))
        assert await call() == wanted, name
        paged: list[Order] = []
        while True:
            page = await call(limit=page_size, after=paged[-1] if paged else None)
            paged += page
            if len(page) < page_size:
                break
        assert paged == wanted, name


async def model_of(store: EventStore, orders: Sequence[UUID]) -> list[Order]:
    """What the log itself says."""
    folded = [Order.fold(await store.log.read_stream(order_id)) for order_id in orders]
    return [order for order in folded if order is not None]


@few
@given(steps=steps, page_size=st.integers(1, 3), batch=st.integers(1, 4))
async def test_every_list_is_fresh_at_any_lag(make_database, migrated_template, steps, page_size, batch):
    """Random commands with a worker that steps now and then: every list, inside and outside, equals the model.

    Inside the Unit of Work that makes the changes its own are seen before the commit; by others after it.
    """
    async with make_database(migrated_template) as config:
        connection = await ConnectionFactory.create_connection(config)
        try:
            store = EventStore.of(connection)
            worker = ProjectionWorker(store.log, OrdersProjection(), batch_events_max=batch)
            orders: list[UUID] = []
            for number, step in enumerate(steps):
                if step[0] == "fold":
                    for _ in range(step[1]):
                        await worker.run_once(wait=False)
                    continue
                async with store.unit_of_work() as uow:
                    await act(uow, orders, step, number)
            async with store.unit_of_work() as uow:
                await assert_fresh(uow, await model_of(store, orders), page_size)
            # Now with changes that are staged, then flushed, and seen by nobody else.
            before = await model_of(store, orders)
            uow = patient_unit_of_work(store)
            await uow.begin_transaction()
            for number, step in enumerate(steps[:6]):
                if step[0] != "fold":
                    await act(uow, orders, step, 100 + number)
            if page_size % 2:
                await uow.flush()
            mine = [order for order_id in orders if (order := await uow.orders.get_order_by_id(order_id))]
            await assert_fresh(uow, mine, page_size)
            async with store.unit_of_work() as other:
                await assert_fresh(other, before, page_size)
            await uow.rollback()
            async with store.unit_of_work() as uow:
                await assert_fresh(uow, before, page_size)
            while await worker.run_once():
                pass
            async with store.unit_of_work() as uow:
                await assert_fresh(uow, before, page_size)
                for name, call, belongs in queries(uow):
                    wanted = sorted(filter(belongs, before), key=lambda o: (o.created_at, o.id))
                    assert await call(consistency="eventual") == wanted, name
        finally:
            await connection.close(timeout_s=5)


entities = st.lists(
    st.one_of(order_histories(), position_histories(), portfolio_histories()), min_size=1, max_size=5
)


def digits(entity: Any) -> str:
    """The whole state, to the last digit."""
    return repr(entity)


@few
@given(
    histories=entities,
    batch=st.sampled_from([1, 2, 3, 7, 1000]),
    cuts=st.lists(st.integers(1, 9), max_size=6),
)
async def test_live_replayed_and_projected_states_are_equal(
    make_database, migrated_template, histories, batch, cuts
):
    """Any legal commands, appended in pieces and projected at any batch size: one state, digit for digit.

    It is the state that the entity itself has, the fold of its stream, the row, and the row rebuilt.
    """
    async with make_database(migrated_template) as config:
        connection = await ConnectionFactory.create_connection(config)
        try:
            store = EventStore.of(connection)
            projections: list[Projection[Any]] = [
                OrdersProjection(),
                PositionsProjection(),
                PortfoliosProjection(),
            ]
            workers = [
                ProjectionWorker(store.log, projection, batch_events_max=batch) for projection in projections
            ]
            with use_clock(lambda: EPOCH):
                live = [entity for history in histories for entity in history.play()]
                for entity in live:
                    entity.record_assignments()
            sizes = iter(cuts * 10)
            for entity in live:
                version, events = 0, entity.pending_events
                while version < len(events):
                    piece = events[version : version + next(sizes, len(events))]
                    await store.log.append(StreamAppend(entity.id, version, piece))
                    version += len(piece)
                    for worker in workers[: version % 4]:
                        await worker.run_once()
                mark_saved(entity, version=version, events=events)
            for worker in workers:
                while await worker.run_once():
                    pass
            for entity in live:
                replayed = type(entity).fold(await store.log.read_stream(entity.id))
                assert replayed is not None
                assert digits(replayed) == digits(entity)
            async with connection.acquire() as one:
                for projection in projections:
                    table = projection.table
                    rows = {row["id"]: table.codec.decode(row) for row in await one.fetch(table.select_all())}
                    wanted = {entity.id: digits(entity) for entity in live if type(entity) is table.row}
                    assert {row_id: digits(row) for row_id, row in rows.items()} == wanted
            for projection in projections:
                assert (await compare_with_rebuild(store.log, projection)).is_equal
                compared = await compare_with_fold(store.log, projection)
                assert compared.is_equal
                assert compared.rows_equal == sum(type(entity) is projection.table.row for entity in live)
        finally:
            await connection.close(timeout_s=5)
