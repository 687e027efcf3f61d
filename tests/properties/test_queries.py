"""Each query has a form in SQL and one in Python: at any split between table and tail they answer alike."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.database import ConnectionFactory
from eventstore.domain.order import Order, OrderSide, OrderStatus, OrderType
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.store import EventStore
from eventstore.testing.strategies import EPOCH
from projections import OrdersProjection, PortfoliosProjection, PositionsProjection, ProjectionWorker
from tests.list_questions import firsts, point, questions
from tests.scale import examples

few = settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXTS = ["a", "A", "ä", "a ", "a%", "_", "'", "\\", "日本", "\U0001f600", "\x01", "Z", "z"]
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=5),
)
optional_texts = st.one_of(st.none(), st.sampled_from(TEXTS))
ids = st.one_of(st.none(), st.sampled_from([UUID(int=1), UUID(int=2)]))
minutes = st.integers(0, 2).map(lambda minute: EPOCH + timedelta(minutes=minute, microseconds=minute))

orders = st.builds(
    Order,
    symbol=texts,
    side=st.just(OrderSide.BUY),
    order_type=st.just(OrderType.MARKET),
    quantity=st.just(Decimal(1)),
    status=st.sampled_from([OrderStatus.PENDING, OrderStatus.SUBMITTED]),
    broker_order_id=optional_texts,
    created_at=minutes,
)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """Positions, some closed."""
    position = Position.open_position(
        draw(texts), draw(st.sampled_from([Decimal(1), Decimal(-1)])), Decimal(1), strategy=draw(optional_texts),
        portfolio_id=draw(ids), account=draw(optional_texts), occurred_at=draw(minutes),
    )  # fmt: skip
    if draw(st.booleans()):
        position.close(Decimal(2), occurred_at=EPOCH + timedelta(hours=1))
    return position


portfolios = st.builds(
    Portfolio, name=texts, initial_capital=st.just(Decimal(1)), strategy=optional_texts, created_at=minutes
)


@few
@given(
    entities=st.lists(st.one_of(orders, positions(), portfolios), min_size=3, max_size=14),
    folded=st.integers(0, 14),
    page_size=st.integers(1, 3),
)
async def test_table_and_tail_answer_alike(  # noqa: PLR0912 - every list, at every stage, whole and in pages
    make_database, migrated_template, entities, folded, page_size
):
    """All in the tail, all in the table, or some of each: every list is what Python says, in order, page by page."""
    async with make_database(migrated_template) as config:
        connection = await ConnectionFactory.create_connection(config)
        try:
            store = EventStore.of(connection)
            projections = (OrdersProjection(), PositionsProjection(), PortfoliosProjection())
            workers = [ProjectionWorker(store.log, projection) for projection in projections]
            for part in (entities[:folded], entities[folded:]):
                async with store.unit_of_work() as uow:
                    for entity in part:
                        await uow.entities(type(entity)).save(entity)
                if part is not entities and len(part) == folded:
                    for worker in workers:
                        await worker.run_once()
            asked = {getattr(entity, "symbol", getattr(entity, "name", "")) for entity in entities} | {
                "a",
                "none",
            }
            for stage in range(2):
                consistencies = ("fresh",) if stage == 0 else ("fresh", "eventual")
                async with store.unit_of_work() as uow:
                    for text in asked:
                        await firsts(uow, entities, text)
                        for kind in (Order, Position, Portfolio):
                            for name, call, belongs in questions(uow, kind, text):
                                wanted = sorted(
                                    (e for e in entities if type(e) is kind and belongs(e)), key=point
                                )
                                for consistency in consistencies:
                                    assert await call(consistency=consistency) == wanted, (name, text, stage)
                                paged: list[Any] = []
                                while page := await call(limit=page_size, after=paged[-1] if paged else None):
                                    paged += page
                                assert paged == wanted, (name, text, stage)
                for worker in workers:
                    while await worker.run_once():
                        pass
        finally:
            await connection.close(timeout_s=5)
