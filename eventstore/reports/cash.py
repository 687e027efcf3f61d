"""The reports of cash: the balances of portfolios, and the movements that led to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.core.context import exact, plain
from eventstore.core.event import RecordedEvent
from eventstore.domain.portfolio import (
    CashKind,
    Portfolio,
    PortfolioAmended,
    PortfolioCashMoved,
    PortfolioCreated,
    PortfolioTradeBusted,
    PortfolioTradeRecorded,
)
from eventstore.reports.columns import amounts, integers, texts, times
from eventstore.reports.filters import Question, last
from eventstore.reports.money import ZERO
from eventstore.reports.portfolios import by_currency, capital_of, conversions_of, portfolios_of
from eventstore.reports.reading import moment_of
from eventstore.reports.report import Report
from eventstore.time_slices import ordered

if TYPE_CHECKING:
    from eventstore.store import EventStore

CASH = (
    *texts("portfolio_id", "name", "currency"),
    *amounts("balance", "capital", "income", "conversions", "trades"),
)
"""The columns of the report of balances."""

MOVEMENTS = (
    *times("at"),
    *texts("portfolio_id", "kind", "symbol", "currency"),
    *amounts("amount"),
    *texts("execution_id", "reason"),
    *integers("position"),
)
"""The columns of the report of movements of cash."""


async def cash(store: EventStore, *, filters: Mapping[str, Any]) -> Report:
    """Return the report of balances. See `Reports.cash`."""
    question = Question.of("cash", filters, without=("symbol", "account", "from_", "to"))
    async with moment_of(store, question) as moment:
        rows = [
            row
            for portfolio in await portfolios_of(moment)
            for row in _balances(portfolio)
            if question.has_currency(row[2])
        ]
        return Report("cash", CASH, rows, through=moment.through)


@exact
def _balances(portfolio: Portfolio) -> list[tuple[Any, ...]]:
    """Return a row for each currency that a portfolio ever had: the balance, and what it is made of."""
    balance = by_currency(portfolio, portfolio.cash_balance, portfolio.other_balances)
    capital, conversions = capital_of(portfolio), conversions_of(portfolio)
    income = by_currency(portfolio, portfolio.total_income, portfolio.other_income)
    rows = []
    for currency in {**balance, **capital, **income, **conversions}:
        parts = [one.get(currency, ZERO) for one in (capital, income, conversions)]
        held = balance.get(currency, ZERO)
        rows.append((str(portfolio.id), portfolio.name, currency, held, *parts, plain(held - sum(parts))))
    return rows


async def movements(store: EventStore, *, limit: int | None, filters: Mapping[str, Any]) -> Report:
    """Return the report of movements of cash. See `Reports.movements`."""
    question = Question.of("movements", filters, without=("account",))
    types = (
        PortfolioCreated,
        PortfolioAmended,
        PortfolioCashMoved,
        PortfolioTradeRecorded,
        PortfolioTradeBusted,
    )
    async with moment_of(store, question) as moment:
        streams = None if question.portfolio is None else [question.portfolio]
        known: dict[UUID, tuple[str | None, str | None]] = {}
        rows = []
        async for part in moment.events(types, streams=streams):
            event: Any = part.event
            currency, strategy = known.get(part.stream_id, (None, None))
            if isinstance(event, PortfolioCreated):
                currency, strategy = event.currency, event.strategy
            elif isinstance(event, PortfolioAmended):
                currency = event.changes.get("currency", currency)
                strategy = event.changes.get("strategy", strategy)
            known[part.stream_id] = currency, strategy
            if question.strategy in (None, strategy):
                rows += [row for row in _moved(part, currency) if _belongs(question, row)]
        rows = await ordered(rows, key=lambda row: (row[0], row[-1]))
        return Report("movements", MOVEMENTS, last(rows, limit), through=moment.through)


def _belongs(question: Question, row: tuple[Any, ...]) -> bool:
    return question.has_time(row[0]) and question.symbol in (None, row[3]) and question.has_currency(row[4])


@exact
def _moved(part: RecordedEvent, own: str | None) -> Iterator[tuple[Any, ...]]:
    """Yield what one event did to the cash, by currency. A trade without an effect is left out."""
    event: Any = part.event
    found: list[tuple[str, str | None, Any]] = []
    if isinstance(event, PortfolioCreated):
        found += [(CashKind.DEPOSIT.value, own, event.cash_balance)]
        found += [(CashKind.DEPOSIT.value, one.currency, one.amount) for one in event.other_balances]
    elif isinstance(event, PortfolioAmended):
        if "cash_balance" in event.changes or "other_balances" in event.changes:
            return iter(())
    elif isinstance(event, PortfolioCashMoved):
        found += [(event.kind.value, event.currency or own, event.amount)]
        if event.kind is CashKind.CONVERSION:
            found += [(event.kind.value, event.counter_currency or own, event.counter_amount or ZERO)]
    else:
        is_bust = isinstance(event, PortfolioTradeBusted)
        sign = -1 if is_bust else 1
        currency = event.currency or own
        change = sign * event.cash_flow + (event.cash_flow_change if is_bust else ZERO)
        if event.commission_currency is None:
            found += [("TRADE", currency, change + sign * event.commission)]
            found += [("COMMISSION", currency, -sign * event.commission)]
        else:
            found += [
                ("TRADE", currency, change),
                ("COMMISSION", event.commission_currency, -sign * event.commission),
            ]
    rows = [
        (
            part.occurred_at,
            str(part.stream_id),
            kind,
            getattr(event, "symbol", None),
            currency,
            plain(amount),
            getattr(event, "execution_id", None),
            getattr(event, "reason", None),
            part.position,
        )
        for kind, currency, amount in found
        if amount
    ]
    return iter(rows)
