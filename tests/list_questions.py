"""Every list with its arguments, and the answer by definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.domain.executions import PositionSide
from eventstore.domain.order import Order, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.testing.strategies import EPOCH

if TYPE_CHECKING:
    from eventstore.core.entity import Entity
    from eventstore.replay.as_of import Past
    from eventstore.repositories import PostgreSQLUnitOfWork


Question = tuple[str, Callable[..., Any], Callable[[Any], bool]]


def questions(uow: PostgreSQLUnitOfWork | Past, kind: type[Entity], text: str) -> list[Question]:
    """Every list of a kind, with what belongs to it."""
    low, high = EPOCH, EPOCH + timedelta(minutes=1, microseconds=1)
    o, p, f = uow.orders, uow.positions, uow.portfolios
    if kind is Order:
        return [
            ("symbol", lambda **k: o.get_orders_by_symbol(text, **k), lambda e: e.symbol == text),
            (
                "broker",
                lambda **k: o.get_orders_by_broker_id(text, **k),
                lambda e: text in e.broker_order_ids,
            ),
            (
                "client",
                lambda **k: o.get_orders_by_client_order_id(text, **k),
                lambda e: text in (e.client_order_id, *e.replaced_client_order_ids),
            ),
            ("list", lambda **k: o.get_orders_by_list(text, **k), lambda e: e.list_id == text),
            ("account", lambda **k: o.get_orders_by_account(text, **k), lambda e: e.account == text),
            (
                "parent",
                lambda **k: o.get_orders_by_parent(UUID(int=2), **k),
                lambda e: e.parent_id == UUID(int=2),
            ),
            (
                "status",
                lambda **k: o.get_orders_by_status(OrderStatus.PENDING, **k),
                lambda e: e.status == "PENDING",
            ),
            ("active", o.get_active_orders, lambda e: e.is_active),
            (
                "dates",
                lambda **k: o.get_orders_by_date_range(low, high, **k),
                lambda e: low <= e.created_at <= high,
            ),
        ]
    if kind is Position:
        return [
            ("symbol", lambda **k: p.get_positions_by_symbol(text, **k), lambda e: e.symbol == text),
            ("strategy", lambda **k: p.get_positions_by_strategy(text, **k), lambda e: e.strategy == text),
            ("account", lambda **k: p.get_positions_by_account(text, **k), lambda e: e.account == text),
            (
                "portfolio",
                lambda **k: p.get_positions_by_portfolio(UUID(int=1), **k),
                lambda e: e.portfolio_id == UUID(int=1),
            ),
            ("active", p.get_active_positions, lambda e: e.closed_at is None),
            ("closed", p.get_closed_positions, lambda e: e.closed_at is not None),
            (
                "dates",
                lambda **k: p.get_positions_by_date_range(low, high, **k),
                lambda e: low <= e.opened_at <= high,
            ),
        ]
    return [
        ("all", f.get_all_portfolios, lambda _: True),
        ("strategy", lambda **k: f.get_portfolios_by_strategy(text, **k), lambda e: e.strategy == text),
    ]


def point(entity: Any) -> tuple[Any, UUID]:
    """What every list is ordered by."""
    return (entity.opened_at if isinstance(entity, Position) else entity.created_at), entity.id


async def firsts(uow: PostgreSQLUnitOfWork | Past, everything: Sequence[Any], text: str) -> None:
    """The questions with one answer: the newest that matches."""

    def newest(belongs: Callable[[Any], bool]) -> Any:
        return max(filter(belongs, everything), key=point, default=None)

    def is_open(e: Any) -> bool:
        return isinstance(e, Position) and e.closed_at is None and e.symbol == text

    assert await uow.positions.get_position_by_symbol(text) == newest(is_open)
    assert await uow.positions.get_position_by_symbol(text, strategy="a") == newest(
        lambda e: is_open(e) and e.strategy == "a"
    )
    assert await uow.positions.get_position_by_symbol(text, portfolio_id=UUID(int=2)) == newest(
        lambda e: is_open(e) and e.portfolio_id == UUID(int=2)
    )
    assert await uow.positions.get_position_by_symbol(text, account="a") == newest(
        lambda e: is_open(e) and e.account == "a"
    )
    assert await uow.positions.get_position_by_symbol(text, side=PositionSide.SHORT) == newest(
        lambda e: is_open(e) and e.quantity < 0
    )
    assert await uow.portfolios.get_portfolio_by_name(text) == newest(
        lambda e: isinstance(e, Portfolio) and e.name == text
    )
    assert await uow.portfolios.get_current_portfolio() == newest(lambda e: isinstance(e, Portfolio))
