"""The rules of a portfolio: cash, results, counts, and each trade once."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-any-return"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.domain.executions import EXECUTIONS_KEPT_MAX, OrderSide
from eventstore.domain.portfolio import (
    Portfolio,
    PortfolioCreated,
    PortfolioTradeRecorded,
    Trade,
    settled_cash_flow,
)
from eventstore.errors import DomainError

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
D = Decimal


def portfolio(**values):
    return Portfolio(**{"name": "Main", "initial_capital": D(100_000), "created_at": NINE, **values})


def test_it_begins_with_its_capital():
    """The cash is the initial capital unless another amount is given, and the creating event says both."""
    assert portfolio().cash_balance == 100_000
    begun = portfolio(cash_balance=D(95_000))
    begun.record_assignments()
    [pending] = begun.pending_events
    assert isinstance(pending.event, PortfolioCreated)
    assert (pending.event.initial_capital, pending.event.cash_balance) == (100_000, 95_000)
    assert pending.event.occurred_at == NINE


def test_a_margined_trade_moves_cash_by_its_result():
    """Without a cash flow, cash moves by realised result - commission; only what closed is a trade."""
    held = portfolio()
    assert held.record_trade("E-1", commission=D("2.10"), occurred_at=TEN)
    assert held.record_trade("E-2", realized_pnl=D(500), commission=D("2.10"), occurred_at=TEN)
    assert held.record_trade("E-3", realized_pnl=D(-200), commission=D("2.10"), occurred_at=TEN)
    assert held.record_trade("E-4", realized_pnl=D(0), occurred_at=TEN)
    assert held.cash_balance == D("100293.70")
    assert (held.total_realized_pnl, held.total_commission_paid) == (300, D("6.30"))
    assert (held.trades_count, held.winning_trades, held.losing_trades) == (3, 1, 1)
    assert (held.gross_profit, held.gross_loss, held.profit_factor) == (500, 200, D("2.5"))
    assert held.net_realized_pnl == D("293.70")
    assert held.total_return == D("0.002937")
    assert held.win_rate == D("0.3333333333333333333333333333333333")
    assert held.last_updated == TEN


def test_shares_move_cash_by_their_value():
    """Paid in full: buying takes the value and the commission, selling brings it less the commission."""
    held = portfolio()
    buy = settled_cash_flow(OrderSide.BUY, D(100), D("150.50"), commission=D(1))
    sell = settled_cash_flow(OrderSide.SELL, D(100), D("152.50"), multiplier=D(1), commission=D(1))
    assert (buy, sell) == (D("-15051.00"), D("15249.00"))
    held.record_trade("E-1", commission=D(1), cash_flow=buy)
    held.record_trade("E-2", realized_pnl=D(200), commission=D(1), cash_flow=sell)
    assert held.cash_balance == 100_198
    assert held.cash_balance - held.initial_capital == held.net_realized_pnl


def test_a_trade_counts_once():
    """A repeated trade changes nothing, however many came between; the state holds the last ones."""
    held = portfolio()
    for number in range(EXECUTIONS_KEPT_MAX + 1):
        assert held.record_trade(f"T-{number}", realized_pnl=D(1))
    events = held.pending_events
    assert len(held.trades) == EXECUTIONS_KEPT_MAX
    assert held.trade_ids[0] == "T-1"
    for number in (0, 1, EXECUTIONS_KEPT_MAX):
        assert not held.record_trade(f"T-{number}", realized_pnl=D(1))
    assert held.pending_events == events


def test_a_trade_id_may_be_an_event_id():
    """The id of the closing event is taken as text."""
    held = portfolio()
    held.record_trade(UUID(int=1), realized_pnl=D(1))
    event = held.pending_events[-1].event
    assert isinstance(event, PortfolioTradeRecorded)
    assert event.execution_id == "00000000-0000-0000-0000-000000000001"
    assert not held.record_trade("00000000-0000-0000-0000-000000000001", realized_pnl=D(1))


def test_deposits_and_withdrawals_move_cash_alone():
    """They enter cash and net deposits, and no result."""
    held = portfolio()
    held.deposit(D("500.50"), reason="top-up", occurred_at=TEN)
    held.withdraw(D(100_500), occurred_at=TEN)
    assert (held.cash_balance, held.net_deposits) == (D("0.50"), D("-99999.50"))
    assert (held.total_return, held.last_updated) == (0, TEN)
    held.withdraw(D("0.50"))
    assert held.cash_balance == 0


def test_what_is_undefined_is_none():
    """No trade, no loss, no capital: no rate, no factor, no return."""
    held = portfolio(initial_capital=D(0))
    assert (held.win_rate, held.profit_factor, held.total_return) == (None, None, None)
    held.record_trade("T", realized_pnl=D(1))
    assert (held.win_rate, held.profit_factor, held.total_return) == (1, None, None)


def test_trades_may_overdraw_and_withdrawals_may_not():
    """A loss beyond the cash is recorded, since it happened; money that is not there cannot be taken out."""
    held = portfolio(initial_capital=D(10))
    held.record_trade("T", realized_pnl=D(-100))
    assert held.cash_balance == -90
    with pytest.raises(DomainError, match=r"has -90 in cash, cannot withdraw 1"):
        held.withdraw(D(1))


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (lambda p: p.withdraw(D("100000.01")), "portfolio.overdraft"),
        (lambda p: p.withdraw(D(-1)), "portfolio.amount"),
        (lambda p: p.withdraw(D(0)), "portfolio.amount"),
        (lambda p: p.deposit(D(-1)), "portfolio.amount"),
        (lambda p: p.deposit(1.5), "portfolio.amount"),
        (lambda p: p.record_trade(""), "portfolio.trade_id"),
        (lambda p: p.record_trade("T", realized_pnl=1.5), "portfolio.realized_pnl"),
        (lambda p: p.record_trade("T", realized_pnl=D("NaN")), "portfolio.realized_pnl"),
        (lambda p: p.record_trade("T", commission=0.1), "portfolio.commission"),
        (lambda p: p.record_trade("T", cash_flow=0.1), "portfolio.cash_flow"),
        (lambda p: setattr(p, "winning_trades", 1), "portfolio.trades_count"),
        (lambda p: setattr(p, "trades_count", -1), "portfolio.trades_count"),
        (lambda p: setattr(p, "cash_balance", 1.5), "portfolio.cash_balance"),
        (lambda p: setattr(p, "win_rate", D(1)), "portfolio.win_rate"),
        (lambda p: setattr(p, "max_positions", -1), "portfolio.max_positions"),
    ],
)
def test_what_a_rule_forbids_changes_nothing(command, rule):
    """Each illegal change raises the error of its rule; state, events and assignments stay as they were."""
    held = portfolio()
    before = held.model_dump_json(), held.pending_events, dict(held._assigned)
    with pytest.raises(DomainError) as refusal:
        command(held)
    assert refusal.value.rule == rule
    assert (held.model_dump_json(), held.pending_events, dict(held._assigned)) == before


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"name": ""}, "portfolio.name"),
        ({"initial_capital": D(-1)}, "portfolio.initial_capital"),
        ({"initial_capital": 1e5}, "portfolio.initial_capital"),
        ({"winning_trades": 2, "trades_count": 1}, "portfolio.trades_count"),
        (
            {
                "trades": [Trade(execution_id=None, cash_flow=D(1), occurred_at=NINE)]
                * (EXECUTIONS_KEPT_MAX + 1)
            },
            "portfolio.trades",
        ),
        ({"colour": "red"}, "portfolio.colour"),
    ],
)
def test_a_constructor_refuses_bad_values(values, rule):
    """A portfolio that cannot be is not made."""
    with pytest.raises(DomainError) as refusal:
        portfolio(**values)
    assert refusal.value.rule == rule


def test_the_seeds_assignments_are_one_event():
    """Figures assigned plainly are validated and become one event."""
    held = portfolio()
    held.record_assignments()
    held.total_realized_pnl = D("1250.00")
    held.trades_count = 15
    held.winning_trades = 10
    held.record_assignments(occurred_at=TEN)
    created, amended = held.pending_events
    assert amended.event.changes == {
        "total_realized_pnl": D("1250.00"),
        "trades_count": 15,
        "winning_trades": 10,
    }
    assert created.event.occurred_at == NINE
