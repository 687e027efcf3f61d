"""The laws of a portfolio's money: sums of facts in each currency, in any order, whatever is missing."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings, strategies as st

from eventstore.core.event import RecordedEvent
from eventstore.domain.money import add_amount, amount_in
from eventstore.domain.portfolio import (
    CashKind,
    Portfolio,
    PortfolioCashMoved,
    PortfolioTradeBusted,
    PortfolioTradeRecorded,
)
from eventstore.domain.portfolio_snapshot import summarize
from eventstore.testing.strategies import EPOCH, portfolio_commands, portfolio_histories

histories = portfolio_histories(commands_max=16)
RATES = {"USD": Decimal("0.9"), "EUR": Decimal("1.25"), "BNB": Decimal(600)}
SUMS = (
    "cash_balance",
    "other_balances",
    "net_deposits",
    "other_deposits",
    "conversions",
    "total_realized_pnl",
    "other_realized_pnl",
    "total_commission_paid",
    "other_commissions",
    "total_income",
    "other_income",
    "last_updated",
)


def events_of(portfolio) -> list[RecordedEvent]:
    portfolio.record_assignments()
    return [
        RecordedEvent(version, portfolio.id, version, pending.event_id, pending.event, {}, EPOCH)
        for version, pending in enumerate(portfolio.pending_events, 1)
    ]


@settings(deadline=None)
@given(histories, st.data())
def test_any_part_of_its_events_is_a_portfolio(history, data):
    """Whatever is missing, the rest folds to a state that its own rules allow, and whose cash is the sum of its facts."""
    events = events_of(history.play()[0])
    chosen = data.draw(st.sets(st.integers(1, len(events) - 1))) if len(events) > 1 else set()
    part = [events[0], *(events[number] for number in sorted(chosen))]
    state = Portfolio.fold(part)
    assert state is not None
    assert Portfolio(**{name: getattr(state, name) for name in Portfolio.model_fields}) == state
    expected = {None: Fraction(state.initial_capital)}
    for one in part:
        for currency, amount in cash_of(one.event):
            own = None if currency == state.currency else currency
            expected[own] = expected.get(own, Fraction(0)) + Fraction(amount)
    assert state.cash_balance == expected.pop(None)
    assert {one.currency: Fraction(one.amount) for one in state.other_balances} == {
        currency: amount for currency, amount in expected.items() if amount
    }


def cash_of(event):
    """What an event does to the cash, as its fields say."""
    if isinstance(event, PortfolioCashMoved):
        yield event.currency, event.amount
        if event.counter_amount is not None:
            yield event.counter_currency, event.counter_amount
    elif isinstance(event, PortfolioTradeRecorded | PortfolioTradeBusted):
        sign = 1 if isinstance(event, PortfolioTradeRecorded) else -1
        yield event.currency, sign * event.cash_flow
        if event.commission_currency is not None:
            yield event.commission_currency, -sign * event.commission
        if isinstance(event, PortfolioTradeBusted):
            yield event.currency, event.cash_flow_change


@settings(deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_matter(history, chance):
    """Every sum of money is that of any other order of the same events."""
    first, *rest = events_of(history.play()[0])
    state = Portfolio.fold([first, *rest])
    chance.shuffle(rest)
    shuffled = [
        RecordedEvent(version, one.stream_id, version, one.event_id, one.event, {}, EPOCH)
        for version, one in enumerate(rest, 2)
    ]
    other = Portfolio.fold([first, *shuffled])
    assert {name: getattr(state, name) for name in SUMS} == {name: getattr(other, name) for name in SUMS}


@settings(deadline=None)
@given(portfolio_histories(commands_max=0), portfolio_commands(commands_max=16))
def test_equity_is_capital_deposits_results_and_income(history, commands):
    """In each currency; and on margin, with nothing open, it is the cash, with each currency at its rate."""
    portfolio = history.play()[0]
    for command in commands:
        if "cash_flow" not in command.arguments and command.method != "=":
            try:
                command.run(portfolio)
            except Exception:  # noqa: BLE001 - what a rule forbids is left out
                continue
    results, fees = portfolio.other_realized_pnl, portfolio.other_commissions
    for currency in ("USD", "EUR", "BNB"):
        if currency == portfolio.currency:
            continue
        parts = (portfolio.other_deposits, portfolio.conversions, results, portfolio.other_income)
        sum_of_parts = sum((amount_in(one, currency) for one in parts), Decimal(0)) - amount_in(
            fees, currency
        )
        assert portfolio.balance(currency) == sum_of_parts, currency
    own = portfolio.initial_capital + portfolio.net_deposits + portfolio.net_realized_pnl
    assert portfolio.cash_balance == own + amount_in(portfolio.conversions, str(portfolio.currency))
    rates = {currency: rate for currency, rate in RATES.items() if currency != portfolio.currency}
    summary = summarize(portfolio, [], rates=rates)
    cash = Fraction(portfolio.cash_balance) + sum(
        Fraction(one.amount) * Fraction(rates[one.currency]) for one in portfolio.other_balances
    )
    assert summary.equity == cash == summary.cash_balance


def test_a_zero_sum_leaves_no_currency():
    """What is paid back entirely is no balance."""
    assert add_amount(add_amount((), "EUR", Decimal("1.50")), "EUR", Decimal("-1.5")) == ()
    assert CashKind.CONVERSION.sign == -1
