"""The report of positions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from eventstore.domain.position import Position
from eventstore.errors import ConfigurationError
from eventstore.reports.columns import (
    Column,
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

Which = Literal["open", "closed", "all"]
"""Which positions: those that are open, those that are closed, or both."""

COLUMNS = (
    *texts("position_id", "symbol", "side"),
    *quantities("quantity"),
    *averages("average_price"),
    *prices("mark"),
    *times("marked_at"),
    *amounts("market_value", "exposure", "unrealized_pnl", "realized_pnl", "commission"),
    *amounts_apart("other_commissions"),
    *amounts("total_pnl"),
    *texts("currency"),
    Column("multiplier", "decimal"),
    *texts("portfolio_id", "strategy", "account", "venue"),
    *times("opened_at", "closed_at"),
    *integers("version"),
)
"""The columns of the report of positions."""


async def positions(
    store: EventStore, *, which: Which, limit: int | None, filters: Mapping[str, Any]
) -> Report:
    """Return the report of positions. See `Reports.positions`."""
    if which not in get_args(Which):
        raise ConfigurationError(f"which is one of {', '.join(get_args(Which))}, not {which!r}")
    question = Question.of("positions", filters)
    async with moment_of(store, question) as moment:
        found = moment.open_positions() if which == "open" else moment.positions()
        rows = [
            _row(one, currency)
            async for one, currency in found
            if question.has_time(one.opened_at) and (which == "all" or one.is_open is (which == "open"))
        ]
        return Report(
            "positions",
            COLUMNS,
            last(rows, limit),
            through=moment.through,
            display=await moment.display(),
        )


def valued(position: Position) -> Decimal:
    """Return the market value of a position: at its entry prices if it was never marked."""
    value = position.market_value
    return position.cost_basis if value is None else value


def _row(position: Position, currency: str | None) -> tuple[Any, ...]:
    side = ("LONG" if position.is_long else "SHORT") if position.is_open else None
    value = valued(position)
    return (
        str(position.id),
        position.symbol,
        side,
        position.quantity,
        position.average_entry_price,
        position.current_price,
        position.marked_at,
        value,
        abs(value),
        position.unrealized_pnl,
        position.realized_pnl,
        position.commission_paid,
        told(position.other_commissions),
        position.total_pnl,
        currency,
        position.multiplier,
        text_of(position.portfolio_id),
        position.strategy,
        position.account,
        position.venue,
        position.opened_at,
        position.closed_at,
        position.version,
    )
