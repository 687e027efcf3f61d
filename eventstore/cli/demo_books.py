"""What the demo shows at its end beside the reports: counts, and the equity as a plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventstore.cli.output import TextTable
from eventstore.cli.plot import plot

_PLOT_HEIGHT = 8
_PLOT_WIDTH = 72


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


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
