"""The report of orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eventstore.domain.order import Order, OrderStatus
from eventstore.errors import ConfigurationError
from eventstore.reports.columns import (
    amounts,
    amounts_apart,
    averages,
    integers,
    prices,
    quantities,
    texts,
    times,
)
from eventstore.reports.filters import Question, last
from eventstore.reports.money import told
from eventstore.reports.reading import moment_of, text_of
from eventstore.reports.report import Report

if TYPE_CHECKING:
    from eventstore.store import EventStore

COLUMNS = (
    *texts("order_id", "client_order_id", "broker_order_id", "symbol", "side", "order_type", "status"),
    *quantities("quantity"),
    *prices("limit_price", "stop_price"),
    *texts("time_in_force"),
    *quantities("filled_quantity", "leaves_quantity"),
    *averages("average_fill_price"),
    *amounts("commission"),
    *amounts_apart("other_commissions"),
    *texts("currency", "portfolio_id", "strategy", "account", "venue"),
    *times("created_at", "submitted_at", "filled_at"),
    *texts("reason"),
    *integers("version"),
)
"""The columns of the report of orders."""


async def orders(
    store: EventStore,
    *,
    status: OrderStatus | str | None,
    active: bool,
    limit: int | None,
    filters: Mapping[str, Any],
) -> Report:
    """Return the report of orders. See `Reports.orders`."""
    question = Question.of("orders", filters)
    wanted = None if status is None else _status(status)
    async with moment_of(store, question) as moment:
        rows = [
            _row(one, currency)
            async for one, currency in moment.orders()
            if (wanted is None or one.status is wanted) and (one.is_active or not active)
        ]
        return Report(
            "orders",
            COLUMNS,
            last(rows, limit),
            through=moment.through,
            display=await moment.display(),
        )


def _status(status: OrderStatus | str) -> OrderStatus:
    try:
        return OrderStatus(str(status).upper())
    except ValueError:
        raise ConfigurationError(f"a status is one of {', '.join(OrderStatus)}, not {status!r}") from None


def _row(order: Order, currency: str | None) -> tuple[Any, ...]:
    return (
        str(order.id),
        order.client_order_id,
        order.broker_order_id,
        order.symbol,
        order.side.value,
        order.order_type.value,
        order.status.value,
        order.quantity,
        order.limit_price,
        order.stop_price,
        order.time_in_force.value,
        order.filled_quantity,
        order.leaves_quantity,
        order.average_fill_price,
        order.commission,
        told(order.other_commissions),
        currency,
        text_of(order.portfolio_id),
        order.strategy,
        order.account,
        order.venue,
        order.created_at,
        order.submitted_at,
        order.filled_at,
        order.reason,
        order.version,
    )
