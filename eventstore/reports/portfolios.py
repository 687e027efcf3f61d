"""The report of portfolios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.domain.money import CurrencyAmount, RateTable, amount_in
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.reports.columns import amounts, integers, quotients, texts, times
from eventstore.reports.filters import Question
from eventstore.reports.money import ZERO, Converter, Rates, rates_of_each
from eventstore.reports.positions import valued
from eventstore.reports.reading import Moment, Reader
from eventstore.reports.report import Report
from eventstore.time_slices import Slices

_MONEY = (
    "equity",
    "cash",
    "capital",
    "realized_pnl",
    "unrealized_pnl",
    "income",
    "conversion_pnl",
    "commission",
)
COLUMNS = (
    *texts("portfolio_id", "name", "strategy", "currency"),
    *amounts(*_MONEY, "total_pnl"),
    *quotients("total_return"),
    *amounts("exposure", "net_exposure"),
    *quotients("leverage"),
    *integers("open_positions", "unmarked_positions", "trades", "winning_trades", "losing_trades"),
    *times("created_at", "last_updated"),
)
"""The columns of the report of portfolios."""


class Portfolios:
    """The report of portfolios, before it is read. See `Reports.portfolios`."""

    def __init__(self, filters: Mapping[str, Any], *, rates: Rates | None, base: str | None) -> None:
        self.question = Question.of("portfolios", filters, without=("symbol", "account", "from_", "to"))
        self._rates, self._base = rates, base

    async def readers(self, _: Moment) -> Sequence[Reader]:
        """Return nothing: it is read from the portfolios and positions of the moment."""
        return ()

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        rows = []
        some, table = await portfolios_and_rates(moment, self._rates, self._base)
        slices, held = Slices(), dict[UUID | None, list[Position]]()
        async for position, _ in replace(moment, question=Question()).open_positions():
            held.setdefault(position.portfolio_id, []).append(position)
        for portfolio in some:
            await slices.rest()
            own = portfolio.currency if self._base is None else self._base
            converter = Converter() if table is None else Converter(own, table)
            found = _rows(portfolio, held.get(portfolio.id, []), converter)
            rows += [row for row in found if table is not None or self.question.has_currency(row[3])]
        return Report("portfolios", COLUMNS, rows, through=moment.through, display=await moment.display())


async def portfolios_of(moment: Moment) -> list[Portfolio]:
    """Return the portfolios of a question, in the order of their creation."""
    question, repository = moment.question, moment.past.portfolios
    if question.portfolio is not None:
        one = await repository.get_portfolio_by_id(question.portfolio)
        found = [] if one is None else [one]
    else:
        found = list(await repository.get_all_portfolios())
    wanted = [one for one in found if question.strategy in (None, one.strategy)]
    return sorted(wanted, key=lambda one: (one.created_at, one.id))


async def portfolios_and_rates(
    moment: Moment, rates: Rates | None, base: str | None
) -> tuple[list[Portfolio], RateTable | None]:
    """Return the portfolios of a question and the rates; with rates only those portfolios whose own currency is asked for.

    Raises:
        ConfigurationError, DomainError: As `rates_of_each`.
    """
    some = await portfolios_of(moment)
    if rates is not None:
        some = [one for one in some if moment.question.has_currency(one.currency)]
    return some, rates_of_each(rates, base, {one.currency for one in some})


def by_currency(
    portfolio: Portfolio, own: Decimal, others: Iterable[CurrencyAmount]
) -> dict[str | None, Decimal]:
    """Return amounts by currency: those of the portfolio's own, and the others."""
    return {portfolio.currency: own} | {one.currency: one.amount for one in others}


def capital_of(portfolio: Portfolio) -> dict[str | None, Decimal]:
    """Return what was brought in less what was taken out, by currency."""
    own = plain(portfolio.initial_capital + portfolio.net_deposits)
    return by_currency(portfolio, own, portfolio.other_deposits)


def conversions_of(portfolio: Portfolio) -> dict[str | None, Decimal]:
    """Return what conversions brought into each currency and took out of it."""
    own = ZERO if portfolio.currency is None else amount_in(portfolio.conversions, portfolio.currency)
    return by_currency(portfolio, own, portfolio.conversions)


@exact
def _rows(portfolio: Portfolio, positions: list[Position], converter: Converter) -> list[tuple[Any, ...]]:
    """Return the rows of a portfolio: one for each currency, or one with all converted."""
    money: dict[str, dict[str | None, Decimal]] = {
        "cash": by_currency(portfolio, portfolio.cash_balance, portfolio.other_balances),
        "capital": capital_of(portfolio),
        "realized_pnl": by_currency(portfolio, portfolio.total_realized_pnl, portfolio.other_realized_pnl),
        "income": by_currency(portfolio, portfolio.total_income, portfolio.other_income),
        "conversion_pnl": conversions_of(portfolio),
        "commission": by_currency(portfolio, portfolio.total_commission_paid, portfolio.other_commissions),
    }
    sums: dict[str | None, dict[str, Decimal]] = {}
    counts: dict[str | None, list[int]] = {}

    def add(name: str, amount: Decimal, currency: str | None) -> None:
        told = converter.currency(currency)
        of_currency = sums.setdefault(told, {})
        of_currency[name] = of_currency.get(name, ZERO) + converter.convert(amount, currency)

    for name, of_name in money.items():
        for currency, amount in of_name.items():
            add(name, amount, currency)
    for one in positions:
        currency = portfolio.currency if one.currency is None else one.currency
        value = valued(one)
        add("exposure", abs(value), currency)
        add("net_exposure", value, currency)
        add("unrealized_pnl", one.unrealized_pnl or ZERO, currency)
        count = counts.setdefault(converter.currency(currency), [0, 0])
        count[0] += 1
        count[1] += one.current_price is None
    return [
        _row(portfolio, currency, of_currency, counts.get(currency, [0, 0]), converter)
        for currency, of_currency in sums.items()
    ]


def _row(
    portfolio: Portfolio,
    currency: str | None,
    sums: Mapping[str, Decimal],
    counts: list[int],
    converter: Converter,
) -> tuple[Any, ...]:
    """Return a row. A portfolio's equity in one currency includes what conversions brought into it, and so does its cash."""
    told = {name: plain(sums.get(name, ZERO)) for name in (*_MONEY, "exposure", "net_exposure")}
    result = told["realized_pnl"] + told["unrealized_pnl"] + told["income"] - told["commission"]
    equity = plain(told["capital"] + result + told["conversion_pnl"])
    is_converted = converter.table is not None
    total = plain(result + told["conversion_pnl"]) if is_converted else plain(result)
    is_own = is_converted or currency == portfolio.currency
    initial = converter.convert(portfolio.initial_capital, portfolio.currency) if is_own else ZERO
    return (
        str(portfolio.id),
        portfolio.name,
        portfolio.strategy,
        currency,
        *(equity if name == "equity" else told[name] for name in _MONEY),
        total,
        plain(total / initial) if initial else None,
        told["exposure"],
        told["net_exposure"],
        plain(told["exposure"] / equity) if equity > 0 else None,
        *counts,
        *(
            (portfolio.trades_count, portfolio.winning_trades, portfolio.losing_trades)
            if is_own
            else (None,) * 3
        ),
        portfolio.created_at,
        portfolio.last_updated,
    )
