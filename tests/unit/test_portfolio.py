"""The rules of a portfolio: cash, results, counts, and each trade once."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-any-return, arg-type, union-attr, attr-defined, dict-item"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

from copy import copy, deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.core.event import RecordedEvent
from eventstore.domain.executions import EXECUTIONS_KEPT_MAX, OrderSide
from eventstore.domain.money import CurrencyAmount, add_amount, converted_total
from eventstore.domain.portfolio import (
    CashKind,
    Portfolio,
    PortfolioCashMoved,
    PortfolioCreated,
    PortfolioTradeBusted,
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
        (lambda p: p.record_trade(7), "portfolio.trade_id"),
        (lambda p: p.record_trade("T", currency=""), "portfolio.currency"),
        (lambda p: p.record_trade("T", commission_currency=7), "portfolio.commission_currency"),
        (lambda p: p.record_trade("T", order_id="x"), "portfolio.order_id"),
        (lambda p: p.record_trade("D", realized_pnl=D(24), kind="dividend"), "portfolio.kind"),
        (lambda p: p.record_trade("D", realized_pnl=D(24), kind=CashKind.DIVIDEND), "portfolio.kind"),
        (lambda p: p.bust_trade("T"), "portfolio.unknown_execution"),
        (lambda p: p.bust_trade("0"), "portfolio.trade_id"),
        (lambda p: p.correct_trade("T", realized_pnl=D(1)), "portfolio.unknown_execution"),
        (lambda p: p.record_cash("GIFT", D(1)), "portfolio.kind"),
        (lambda p: p.record_cash(CashKind.CONVERSION, D(-1)), "portfolio.kind"),
        (lambda p: p.record_cash(CashKind.DIVIDEND, D(0)), "portfolio.amount"),
        (lambda p: p.record_cash(CashKind.ACCOUNT_FEE, D(5)), "portfolio.amount"),
        (lambda p: p.record_cash(CashKind.REBATE, D(-5)), "portfolio.amount"),
        (lambda p: p.record_cash(CashKind.DEPOSIT, D(5), is_reversal=True), "portfolio.amount"),
        (lambda p: p.record_cash(CashKind.DIVIDEND, 0.1), "portfolio.amount"),
        (lambda p: p.record_cash(CashKind.DIVIDEND, D(1), external_id=""), "portfolio.external_id"),
        (lambda p: p.record_cash(CashKind.ACCOUNT_FEE, D(-1), currency="EUR"), "portfolio.overdraft"),
        (lambda p: p.withdraw(D(1), currency="EUR"), "portfolio.overdraft"),
        (lambda p: p.convert("USD", D(1), "EUR", D(1)), "portfolio.overdraft"),
        (lambda p: p.convert(None, D(1), "EUR", D(1)), "portfolio.currency"),
        (lambda p: p.convert("EUR", D(1), "EUR", D(1)), "portfolio.currency"),
        (lambda p: p.convert("USD", D(1), "EUR", D(0)), "portfolio.counter_amount"),
        (lambda p: p.transfer_to(p, D(1)), "portfolio.transfer"),
        (lambda p: p.transfer_to(portfolio(), D(-1)), "portfolio.amount"),
        (lambda p: p.transfer_to(portfolio(), D(100_001)), "portfolio.overdraft"),
        (lambda p: p.transfer_to(portfolio(currency="USD"), D(1)), "portfolio.currency"),
        (lambda p: setattr(p, "settlement", "MAYBE"), "portfolio.settlement"),
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
        (
            {"currency": "USD", "other_balances": (CurrencyAmount(currency="USD", amount=D(1)),)},
            "portfolio.other_balances",
        ),
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


# ---- which trade is a repeat -------------------------------------------------------------------------------


def test_a_trade_is_known_by_account_venue_order_and_id():
    """Another order, venue or account is another trade; no id is never a repeat."""
    held = portfolio()
    for key in (
        {},
        {"order_id": UUID(int=1)},
        {"order_id": UUID(int=2)},
        {"venue": "A"},
        {"account": "A"},
        {"venue": "A", "account": "A"},
    ):
        assert held.record_trade("1001", realized_pnl=D(1), **key)
        assert not held.record_trade("1001", realized_pnl=D(1), **key)
    for no_id in (None, "0", None, "0"):
        assert held.record_trade(no_id, realized_pnl=D(1))
    assert (held.trades_count, held.cash_balance) == (10, 100_010)
    assert held.trade_ids == ("1001",) * 6


def test_a_known_trade_with_other_content_is_refused():
    """The error says what is known and what was given."""
    held = portfolio()
    held.record_trade("1001", realized_pnl=D(50), commission=D(1), symbol="ES")
    for other in (
        {"realized_pnl": D(-500), "commission": D(1)},
        {"realized_pnl": D(50)},
        {"realized_pnl": D(50), "commission": D(1), "cash_flow": D(1)},
        {"realized_pnl": D(50), "commission": D(1), "symbol": "NQ"},
        {"commission": D(1)},
    ):
        with pytest.raises(DomainError, match=r"result 50, commission 1, cash flow 49, not as ") as refusal:
            held.record_trade("1001", **other)
        assert refusal.value.rule == "portfolio.trade_conflict"
    assert held.trades_count == 1


def test_a_dividend_is_no_trade():
    """`record_trade` refuses what has a kind, and names the method that takes it."""
    with pytest.raises(DomainError, match=r"record_cash\(CashKind\.DIVIDEND, amount\)"):
        portfolio().record_trade("D", realized_pnl=D(24), kind="dividend")


def test_an_instance_asks_for_what_it_cannot_know():
    """A full state asks for ids that it does not have; what the log has of them is a repeat, or is none."""
    held = portfolio()
    for number in range(EXECUTIONS_KEPT_MAX + 1):
        held.record_trade(f"T-{number}", realized_pnl=D(1))
    assert held._ids_to_ask() == ()  # it was there when all was counted
    stored = recorded(held)
    loaded = Portfolio.fold(stored)
    assert loaded.model_dump(exclude={"version"}) == held.model_dump(exclude={"version"})
    assert not loaded.record_trade("T-1", realized_pnl=D(1))
    assert loaded.record_trade("T-0", realized_pnl=D(1))
    assert loaded.record_trade("new", realized_pnl=D(1))
    assert loaded.record_trade(None, realized_pnl=D(1))
    assert loaded._ids_to_ask() == ("T-0", "new")
    found = [one for one in stored if getattr(one.event, "execution_id", None) == "T-0"]
    with pytest.raises(DomainError) as refusal:
        loaded._recall(("T-0", "new"), found)
    assert refusal.value.rule == "portfolio.execution_repeated"

    again = Portfolio.fold(stored)
    with pytest.raises(DomainError) as refusal:
        again.bust_trade("T-0")
    assert refusal.value.rule == "portfolio.execution_not_loaded"
    again._recall(("T-0",), found)
    assert not again.record_trade("T-0", realized_pnl=D(1))
    assert again.bust_trade("T-0")
    assert not again.bust_trade("T-0")
    assert again.trades_count == EXECUTIONS_KEPT_MAX
    assert again._ids_to_ask() == ()


def test_a_copy_remembers_for_itself():
    """What a copy counts, its original has not counted, however much of it has left the state; and the other way round."""
    held = portfolio()
    for number in range(EXECUTIONS_KEPT_MAX + 1):
        held.record_trade(f"T-{number}", realized_pnl=D(1))
    for copied in (held.model_copy(), copy(held), deepcopy(held)):
        assert copied == held
        assert not copied.record_trade("T-0", realized_pnl=D(1))
        for number in range(EXECUTIONS_KEPT_MAX + 1):
            assert copied.record_trade(f"C-{number}", realized_pnl=D(1))
        assert not copied.record_trade("C-0", realized_pnl=D(1))
    assert held.record_trade("C-0", realized_pnl=D(1))


def test_cash_is_counted_once_however_long_ago():
    """An external id is known in memory, and the log is asked where it is not."""
    held = portfolio()
    for number in range(EXECUTIONS_KEPT_MAX + 1):
        assert held.record_cash(CashKind.FUNDING, D(1), external_id=f"F-{number}")
    assert not held.record_cash(CashKind.FUNDING, D(1), external_id="F-0")
    assert held.record_cash(CashKind.TAX, D(-1), external_id="F-0")
    with pytest.raises(DomainError, match=r"known as FUNDING 1, not as FUNDING 2") as refusal:
        held.record_cash(CashKind.FUNDING, D(2), external_id="F-0")
    assert refusal.value.rule == "portfolio.cash_conflict"
    stored = recorded(held)
    loaded = Portfolio.fold(stored)
    assert loaded.record_cash(CashKind.FUNDING, D(1), external_id="F-0")
    assert loaded._ids_to_ask() == ("F-0",)
    with pytest.raises(DomainError, match=r"FUNDING F-0 was counted already"):
        loaded._recall(("F-0",), [one for one in stored if getattr(one.event, "execution_id", None) == "F-0"])


def recorded(entity):
    entity.record_assignments()
    return [
        RecordedEvent(version, entity.id, version, pending.event_id, pending.event, {}, TEN)
        for version, pending in enumerate(entity.pending_events, 1)
    ]


# ---- busts and corrections ---------------------------------------------------------------------------------


def test_a_busted_trade_never_was():
    """Cash, result, commission and counts are those without it; the change of other results is booked."""
    held, without = portfolio(), portfolio()
    for one in (held, without):
        one.record_trade("E-1", realized_pnl=D(30), commission=D(2), occurred_at=NINE)
    held.record_trade("E-2", realized_pnl=D(-10), commission=D("1.5"), occurred_at=TEN)
    assert held.bust_trade("E-2", occurred_at=NINE, reason="clearly erroneous")
    assert not held.bust_trade("E-2")
    figures = ("cash_balance", "total_realized_pnl", "total_commission_paid", "gross_profit", "gross_loss")
    counts = ("trades_count", "winning_trades", "losing_trades")
    for name in figures + counts:
        assert getattr(held, name) == getattr(without, name), name
    busted = held.pending_events[-1].event
    assert isinstance(busted, PortfolioTradeBusted)
    assert (busted.execution_id, busted.cash_flow, busted.occurred_at) == ("E-2", D("-11.5"), TEN)
    assert held.bust_trade("E-1", realized_pnl_change=D(-4))
    assert (held.total_realized_pnl, held.cash_balance, held.gross_loss) == (-4, 99_996, 4)
    assert (held.trades_count, held.trade_ids) == (0, ("E-1", "E-2"))
    assert not held.record_trade("E-1", realized_pnl=D(30), commission=D(2))


def test_a_bust_without_its_trade_folds():
    """Where the trade itself is missing, the rest is a valid state: no count and no gross amount is below 0."""
    held = portfolio()
    held.record_trade("E-1", realized_pnl=D(30), commission=D(2))
    held.record_trade("E-2", realized_pnl=D(-10))
    held.bust_trade("E-1")
    created, _, lost, busted = recorded(held)
    for part in ([created, busted], [created, lost, busted]):
        state = Portfolio.fold(part)
        assert Portfolio(**{name: getattr(state, name) for name in Portfolio.model_fields}) == state
        assert (state.winning_trades, state.losing_trades, state.trades_count) == (
            0,
            len(part) - 2,
            len(part) - 2,
        )
        assert state.gross_profit == 0
    assert Portfolio.fold([created, busted]).cash_balance == 100_000 - 28


def test_what_is_paid_in_full_keeps_its_cash():
    """A change of other results changes no cash where it says so."""
    held = portfolio()
    held.record_trade("E-1", cash_flow=D(-100))
    held.bust_trade("E-1", realized_pnl_change=D(7), cash_flow_change=D(0))
    assert (held.cash_balance, held.total_realized_pnl) == (100_000, 7)


def test_a_movement_of_cash_counts_once():
    """By its kind and its id; one of another kind with the same id is another one, and other content is refused."""
    held = portfolio(currency="USD")
    assert held.record_cash(CashKind.FUNDING, D(-5), external_id="7")
    assert not held.record_cash(CashKind.FUNDING, D(-5), external_id="7")
    assert held.record_cash(CashKind.INTEREST, D(-5), external_id="7")
    assert held.record_cash(CashKind.FUNDING, D(-5), external_id="17")
    assert (held.cash_balance, held.total_income) == (99_985, -15)
    with pytest.raises(DomainError, match="cash_conflict"):
        held.record_cash(CashKind.FUNDING, D(-6), external_id="7")


def test_a_correction_may_change_the_results_of_other_trades_alone():
    """On margin, the corrected price of an opening fill is no result of its own trade: what was closed since has it."""
    held = portfolio()
    held.record_trade("E-1", commission=D(1))
    held.record_trade("E-2", realized_pnl=D(30))
    assert held.correct_trade("E-1", realized_pnl_change=D(-50))
    assert (held.total_realized_pnl, held.cash_balance, held.total_commission_paid) == (-20, 99_979, 1)
    assert not held.correct_trade("E-1")


def test_a_corrected_trade_is_replaced():
    """The new one counts, with the order, account and venue of the old one; a repeat changes nothing."""
    held = portfolio()
    key = {"order_id": UUID(int=1), "venue": "X"}
    held.record_trade("E-1", realized_pnl=D(30), commission=D(2), symbol="ES", **key)
    correction = {"new_trade_id": "E-1a", "realized_pnl": D(-20), **key}
    assert held.correct_trade("E-1", **correction)
    assert not held.correct_trade("E-1", **correction)
    assert (held.total_realized_pnl, held.cash_balance, held.losing_trades) == (-20, 99_978, 1)
    old, new = held.trades
    assert (old.counts, new.counts, new.corrects, new.symbol, new.key.order_id) == (
        False,
        True,
        "E-1",
        "ES",
        UUID(int=1),
    )
    assert held.correct_trade("E-1a", realized_pnl=D(5), commission=D(1), **key)
    assert (held.total_realized_pnl, held.total_commission_paid, held.winning_trades) == (5, 1, 1)
    for call, rule in (
        (lambda: held.bust_trade("E-1", **key), "portfolio.execution_corrected"),
        (lambda: held.correct_trade("E-1", realized_pnl=D(1), **key), "portfolio.execution_corrected"),
        (lambda: held.record_trade("E-1a", realized_pnl=D(9), **key), "portfolio.trade_conflict"),
    ):
        with pytest.raises(DomainError) as refusal:
            call()
        assert refusal.value.rule == rule
    held.bust_trade("E-1a", **key)
    with pytest.raises(DomainError) as refusal:
        held.correct_trade("E-1a", realized_pnl=D(3), **key)
    assert refusal.value.rule == "portfolio.execution_busted"
    assert (held.total_realized_pnl, held.trades_count, held.cash_balance) == (0, 0, 100_000)


# ---- money -------------------------------------------------------------------------------------------------


def test_currencies_are_kept_apart():
    """Trades, commissions and cash of each currency; counts of all, gross amounts of the base currency alone."""
    held = portfolio(currency="USD")
    held.record_trade("E-1", realized_pnl=D(10), commission=D("0.02"), commission_currency="BNB")
    held.record_trade("E-2", realized_pnl=D(-7), commission=D(1), currency="EUR")
    held.record_trade("E-3", realized_pnl=D(5), commission=D(2), currency="USD", commission_currency="USD")
    held.record_cash(CashKind.DIVIDEND, D(3), currency="EUR")
    assert (held.cash_balance, held.balance("USD"), held.balance()) == (100_013, 100_013, 100_013)
    assert (held.balance("EUR"), held.balance("BNB"), held.balance("CHF")) == (-5, D("-0.02"), 0)
    assert (held.total_realized_pnl, held.total_commission_paid, held.total_income) == (15, 2, 0)
    assert held.other_realized_pnl == (CurrencyAmount(currency="EUR", amount=D(-7)),)
    assert held.other_commissions == (
        CurrencyAmount(currency="BNB", amount=D("0.02")),
        CurrencyAmount(currency="EUR", amount=D(1)),
    )
    assert held.other_income == (CurrencyAmount(currency="EUR", amount=D(3)),)
    assert (held.trades_count, held.winning_trades, held.losing_trades) == (3, 2, 1)
    assert (held.gross_profit, held.gross_loss, held.profit_factor) == (15, 0, None)


def test_without_a_currency_a_named_one_is_another():
    """A portfolio whose currency has no name takes no named one for its own."""
    held = portfolio()
    held.record_trade("E-1", realized_pnl=D(10), currency="USD")
    assert (held.cash_balance, held.balance("USD")) == (100_000, 10)
    with pytest.raises(DomainError, match="change both at once"):
        held.currency = "USD"
    held.amend_to(
        {"currency": "USD", "cash_balance": D(100_010), "other_balances": (), "other_realized_pnl": ()}
    )
    assert held.balance("USD") == 100_010


def test_it_begins_with_balances_of_other_currencies():
    """They are what came in, so that the equity has them."""
    euros = (CurrencyAmount(currency="EUR", amount=D(500)),)
    held = portfolio(currency="USD", other_balances=euros)
    assert (held.other_balances, held.other_deposits) == (euros, euros)


def test_income_is_a_result_and_no_trade():
    """It enters the net result and the cash; no count, no gross amount, no deposit."""
    held = portfolio()
    for kind, amount in (
        (CashKind.DIVIDEND, D(24)),
        (CashKind.TAX, D(-6)),
        (CashKind.FUNDING, D("-0.5")),
        (CashKind.INTEREST, D(2)),
        (CashKind.BORROW_FEE, D(-1)),
        (CashKind.ACCOUNT_FEE, D(-3)),
        (CashKind.REBATE, D("0.25")),
        (CashKind.COUPON, D(10)),
        (CashKind.ADJUSTMENT, D(-1)),
    ):
        assert held.record_cash(kind, amount, symbol="KO", occurred_at=TEN)
    assert held.record_cash(CashKind.ACCOUNT_FEE, D(3), is_reversal=True)
    assert held.total_income == held.net_realized_pnl == D("27.75")
    assert (held.cash_balance, held.net_deposits, held.trades_count) == (D("100027.75"), 0, 0)
    assert held.total_return == D("0.0002775")
    moved = held.pending_events[-1].event
    assert isinstance(moved, PortfolioCashMoved)
    assert (moved.kind, moved.amount) == (CashKind.ACCOUNT_FEE, 3)


def test_cash_below_zero():
    """Only a margin account is overdrawn by a withdrawal or a fee; what the market does is recorded anyway."""
    held = portfolio(initial_capital=D(10))
    held.record_cash(CashKind.FUNDING, D(-20))
    assert held.cash_balance == -10
    for call in (
        lambda: held.record_cash(CashKind.ACCOUNT_FEE, D(-1)),
        lambda: held.record_cash(CashKind.BORROW_FEE, D(-1)),
        lambda: held.record_cash(CashKind.WITHDRAWAL, D(-1)),
        lambda: held.withdraw(D(1)),
        lambda: held.transfer_to(portfolio(), D(1)),
    ):
        with pytest.raises(DomainError, match="may_go_below_zero"):
            call()
    held.may_go_below_zero = True
    held.record_cash(CashKind.ACCOUNT_FEE, D(-1))
    held.withdraw(D(1))
    assert held.cash_balance == -12


def test_a_transfer_changes_both():
    """One leaves, one receives, once; each event names the other portfolio, and neither has a result."""
    one, other = portfolio(name="one"), portfolio(name="other")
    assert one.transfer_to(other, D(300), external_id="X-1", occurred_at=TEN)
    assert not one.transfer_to(other, D(300), external_id="X-1")
    assert (one.cash_balance, other.cash_balance) == (99_700, 100_300)
    assert (one.net_deposits, other.net_deposits) == (-300, 300)
    assert (one.total_income, other.total_income) == (0, 0)
    out, into = one.pending_events[-1].event, other.pending_events[-1].event
    assert (out.kind, out.amount, out.counterpart_id) == (CashKind.TRANSFER_OUT, -300, other.id)
    assert (into.kind, into.amount, into.counterpart_id) == (CashKind.TRANSFER_IN, 300, one.id)
    other.delete()
    with pytest.raises(DomainError) as refusal:
        one.transfer_to(other, D(1))
    assert refusal.value.rule == "portfolio.deleted"
    assert one.cash_balance == 99_700


def test_a_conversion_is_one_event():
    """It changes two currencies, and is neither a deposit nor a result."""
    held = portfolio(currency="USD")
    assert held.convert("USD", D(1100), "EUR", D(1000), external_id="FX")
    assert not held.convert(None, D(1100), "EUR", D(1000), external_id="FX")
    assert held.convert("EUR", D(400), "USD", D(450))
    assert (held.cash_balance, held.balance("EUR")) == (99_350, 600)
    assert held.conversions == (
        CurrencyAmount(currency="EUR", amount=D(600)),
        CurrencyAmount(currency="USD", amount=D(-650)),
    )
    assert (held.net_deposits, held.other_deposits, held.total_income) == (0, (), 0)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: settled_cash_flow("UP", D(1), D(1)), "portfolio.side"),
        (lambda: settled_cash_flow(None, D(1), D(1)), "portfolio.side"),
        (lambda: settled_cash_flow("BUY", 1.5, D(1)), "portfolio.quantity"),
        (lambda: settled_cash_flow("BUY", D(0), D(1)), "portfolio.quantity"),
        (lambda: settled_cash_flow("BUY", D(1), "x"), "portfolio.price"),
        (lambda: settled_cash_flow("BUY", D(1), D("Infinity")), "portfolio.price"),
        (lambda: settled_cash_flow("BUY", D(1), D(1), multiplier=D(-1)), "portfolio.multiplier"),
        (lambda: settled_cash_flow("BUY", D(1), D(1), commission=0.1), "portfolio.commission"),
        (lambda: add_amount((), "", D(1)), "money.currency"),
        (lambda: add_amount((), "USD", 0.1), "money.amount"),
        (lambda: converted_total((), "USD", {"EUR": 1.1}), "money.rate"),
        (lambda: converted_total((), "USD", {"EUR": D(-1)}), "money.rate"),
        (lambda: converted_total((), "USD", 5), "money.rate"),
        (lambda: converted_total((), "USD", [("EUR", D(1))]), "money.rate"),
        (lambda: converted_total((CurrencyAmount(currency="EUR", amount=1),), "USD", {}), "money.rate"),
    ],
)
def test_helpers_refuse_bad_values_by_name(call, rule):
    """As entities do: no error of Python or of its decimals."""
    with pytest.raises(DomainError) as refusal:
        call()
    assert refusal.value.rule == rule


def test_a_settled_cash_flow_takes_what_an_entity_takes():
    """Texts and integers with exact values, and results of arithmetic for the commission."""
    assert settled_cash_flow("SELL", "2", 100, multiplier=5, commission="-0.5") == D("1000.5")
