"""The books that the demo shows at its end, from the read tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventstore.cli.output import TextTable
from eventstore.cli.plot import plot
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position

_PLOT_HEIGHT = 8
_PLOT_WIDTH = 72


def portfolios_table(portfolios: Iterable[Portfolio]) -> TextTable:
    """Return a table of portfolios, with their sum; amounts are in dollars."""
    table = TextTable(
        "Portfolios, in dollars, of simulated fills",
        ["portfolio"],
        ["cash", "realized", "commission", "net", "trades", "won", "factor"],
    )
    portfolios = list(portfolios)
    for one in portfolios:
        table.add_row(
            one.name,
            *map(_money, _amounts(one)),
            str(one.trades_count),
            _percent(one.win_rate),
            "" if one.profit_factor is None else f"{one.profit_factor:.2f}",
        )
    table.add_rule()
    sums = [sum(column, Decimal(0)) for column in zip(*map(_amounts, portfolios), strict=True)]
    trades = sum(one.trades_count for one in portfolios)
    won = sum(one.winning_trades for one in portfolios)
    table.add_row(
        "all",
        *map(_money, sums),
        str(trades),
        _percent(Decimal(won) / trades if trades else None),
        "",
    )
    return table


def positions_table(positions: Iterable[Position]) -> TextTable:
    """Return a table of open positions, valued at their last mark."""
    table = TextTable(
        "Open positions",
        ["strategy", "symbol"],
        ["quantity", "entry", "price", "open result", "commission"],
    )
    for one in positions:
        entry, price, result = one.average_entry_price, one.current_price, one.unrealized_pnl
        table.add_row(
            one.strategy or "",
            one.symbol,
            f"{one.quantity:+}",
            "" if entry is None else f"{entry:.4f}",
            "" if price is None else f"{price}",
            "" if result is None else _money(result),
            _money(one.commission_paid),
        )
    return table


def counts_table(title: str, rows: Sequence[Any], name: str, count: str) -> TextTable:
    """Return a table of names and their counts, with the sum."""
    table = TextTable(title, [name], [count])
    for row in rows:
        table.add_row(row[name], str(row[count]))
    table.add_rule()
    table.add_row("all", str(sum(row[count] for row in rows)))
    return table


def summed_equity(
    curves: Iterable[Sequence[tuple[datetime, Decimal]]],
) -> list[tuple[datetime, Decimal]]:
    """Return the sum of curves with equal times."""
    return [
        (points[0][0], sum((equity for _, equity in points), Decimal(0)))
        for points in zip(*curves, strict=True)
    ]


def equity_lines(equity: Sequence[tuple[datetime, Decimal]]) -> Iterator[str]:
    """Yield the lines of a plot of an equity curve, with the amounts and the times at its ends."""
    highest, lowest = (_money(pick(amount for _, amount in equity)) for pick in (max, min))
    margin = max(len(highest), len(lowest))
    yield "Equity in dollars: cash, and open positions at the market price"
    lines = plot(
        [(when.timestamp(), float(amount)) for when, amount in equity],
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
    )
    for number, line in enumerate(lines):
        label = {0: highest, _PLOT_HEIGHT - 1: lowest}.get(number, "")
        yield f"{label:>{margin}} │{line}".rstrip()
    first, last = (f"{equity[end][0]:%Y-%m-%d %H:%M} UTC" for end in (0, -1))
    yield " " * margin + " └" + "─" * _PLOT_WIDTH
    yield " " * (margin + 2) + first + last.rjust(_PLOT_WIDTH - len(first))


def _amounts(one: Portfolio) -> tuple[Decimal, ...]:
    return one.cash_balance, one.total_realized_pnl, one.total_commission_paid, one.net_realized_pnl


def _percent(share: Decimal | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
