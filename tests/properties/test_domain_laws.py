"""The laws of the domain: one fold for all, exact accounting, and a refused command that changes nothing."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.core.context import plain, use_clock
from eventstore.core.entity import Entity
from eventstore.core.entity_state import evolve
from eventstore.core.registry import registry
from eventstore.domain.order import Order, OrderSide
from eventstore.domain.portfolio import Portfolio, settled_cash_flow
from eventstore.domain.position import Position
from eventstore.errors import DomainError
from eventstore.testing.strategies import (
    EPOCH,
    commissions,
    order_commands,
    order_histories,
    orders,
    portfolio_commands,
    portfolio_histories,
    portfolios,
    position_commands,
    position_histories,
    positions,
    prices,
    quantities,
)
from tests.properties import independent_fold as independent
from tests.properties.recorded import decimals, digits, from_row, recorded
from tests.scale import examples

# A division rounds at the 34th digit, and a dozen follow each other: 20 digits is far above what that can come to.
TOLERANCE = Fraction(1, 10**20)

usual = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
histories = st.one_of(order_histories(), position_histories(), portfolio_histories())
beginnings = [(orders, order_commands), (positions, position_commands), (portfolios, portfolio_commands)]


def near(value: Decimal, exact: Fraction, scale: Fraction) -> bool:
    """Whether the two differ by rounding only, `scale` being the sum of the amounts that went in."""
    return abs(Fraction(value) - exact) <= TOLERANCE * max(scale, abs(exact))


@usual
@given(histories)
def test_live_state_equals_the_fold_of_the_stored_events(history):
    """What the commands made of an entity is what its events give when they come back from the log as JSON."""
    for entity in history.play():
        events = recorded(entity)
        folded = type(entity).fold(events)
        assert folded is not None
        assert digits(folded) == digits(entity)
        assert folded.version == len(events)


@usual
@given(histories, st.integers(0, 20))
def test_a_row_continues_as_the_stream_does(history, place):
    """Row, to entity, to the next events equals the fold of the whole stream, wherever the row was taken."""
    entity = history.play()[0]
    events = recorded(entity)
    before = events[: 1 + place % len(events)]
    row = from_row(type(entity).fold(before))
    assert digits(type(entity).fold(events, row)) == digits(type(entity).fold(events))


@usual
@given(histories)
def test_stored_events_equal_validated_ones(history):
    """The fast way from JSON to an event gives what pydantic's validation gives, to the last digit."""
    for entity in history.play():
        entity.record_assignments()
        for pending in entity.pending_events:
            event = pending.event
            data = orjson.loads(event.to_json())
            fast = type(event).from_stored(data, event.occurred_at)
            validated = type(event).model_validate({**data, "occurred_at": event.occurred_at})
            assert fast == validated
            assert fast.to_json() == validated.to_json() == event.to_json()
            assert registry.find(event.category, event.type) is type(event)


@usual
@given(histories)
def test_state_survives_postgresql_numeric(history):
    """No decimal of a state has a positive exponent, a negative zero, or more than 34 significant digits."""
    for entity in history.play():
        for value in decimals(entity):
            assert plain(value).as_tuple() == value.as_tuple()
            assert len(value.normalize(decimal.Context(prec=200)).as_tuple().digits) <= 34


@usual
@given(histories)
def test_the_users_decimal_context_does_not_matter(history):
    """The same commands give the same digits under any decimal context of the caller."""
    expected = [(_without_id(digits(entity)), _derived(entity)) for entity in history.play()]
    with decimal.localcontext(prec=1, rounding=decimal.ROUND_UP):
        assert [(_without_id(digits(entity)), _derived(entity)) for entity in history.play()] == expected


def _without_id(state: str) -> str:
    return state.partition(",")[2]


def _derived(entity: Entity) -> dict[str, str]:
    return {
        name: str(getattr(entity, name))
        for kind in type(entity).__mro__
        for name, value in vars(kind).items()
        if isinstance(value, property) and kind.__module__.startswith("eventstore.")
        if not name.startswith(("_", "pending", "made"))
    }


@pytest.mark.parametrize(("entities", "commands"), beginnings, ids=["order", "position", "portfolio"])
def test_a_refused_command_changes_nothing(entities, commands):
    """After a DomainError the entity, its pending events and its open assignments are as they were."""
    refused = 0

    @usual
    @given(entities(), commands())
    def law(entity, sequence):
        nonlocal refused
        with use_clock(lambda: EPOCH):
            for command in sequence:
                before = digits(entity), entity.pending_events, dict(entity._assigned)
                try:
                    command.run(entity)
                except DomainError as error:
                    refused += 1
                    assert error.rule.startswith(f"{entity.category}.")  # noqa: PT017 - a law of every refusal
                    assert (digits(entity), entity.pending_events, dict(entity._assigned)) == before

    law()
    assert refused


@usual
@given(histories)
def test_evolve_leaves_the_state_before_untouched(history):
    """`evolve` is pure: the state that it is given stays as it was."""
    entity = history.play()[0]
    state: Any = None
    for event in recorded(entity):
        before = None if state is None else (digits(state), state.version)
        after = evolve(type(entity), state, event)
        assert before == (None if state is None else (digits(state), state.version))
        state = after


# ---- against the independent fold --------------------------------------------------------------------------


def _outcome(entity, command) -> str:
    before = len(entity.pending_events)
    try:
        command.run(entity)
    except DomainError:
        return independent.REFUSED
    return independent.DONE if len(entity.pending_events) > before else independent.REPEAT


@usual
@given(order_histories(commands_max=0), order_commands(commands_max=16))
def test_orders_equal_the_independent_fold(history, commands):
    """Status, filled quantity, average price and commission, and what is refused, follow from the definitions."""
    order = history.play()[0]
    expected = independent.new_order(dict(history.arguments))
    for command in commands:
        if command.method == "=":
            continue
        outcome = independent.command_order(expected, command.method, dict(command.arguments))
        assert _outcome(order, command) == outcome, command
        filled, value = independent.filled(expected), independent.value(expected)
        assert order.status == independent.status(expected)
        assert order.filled_quantity == filled
        assert order.filled_cost == value
        fees = independent.commissions(expected)
        assert order.commission == fees.pop(None)
        assert {one.currency: one.amount for one in order.other_commissions} == fees
        assert order.leaves_quantity == independent.leaves(expected)
        assert order.was_filled_after_end == expected["after_end"]
        average = order.average_fill_price
        assert (average is None) is (filled == 0)
        if average is not None:
            assert near(average, value / filled, abs(value / filled))


@usual
@given(position_histories(commands_max=0), position_commands(commands_max=16))
def test_positions_equal_the_independent_fold(history, commands):
    """Quantity, average price, realised result and commission follow from average cost in exact fractions."""
    chain = history.play()
    given_ = history.arguments
    book = [
        independent.new_position(
            *(Fraction(given_[name]) for name in ("quantity", "entry_price", "commission", "multiplier"))
        )
    ]
    for command in commands:
        if command.method == "=":
            continue
        before = chain[-1]
        pending = len(before.pending_events)
        try:
            opposite = command.run(before)
        except DomainError:
            outcome = independent.REFUSED
        else:
            outcome = independent.DONE if len(before.pending_events) > pending else independent.REPEAT
            if isinstance(opposite, Position):
                chain.append(opposite)
        assert outcome == independent.command_position(book, command.method, dict(command.arguments)), command
    assert len(chain) == len(book)
    fees = sum((abs(Fraction(c.arguments.get("commission", 0))) for c in commands), Fraction(0))
    for position, facts in zip(chain, book, strict=True):
        expected, scale = independent.position_now(facts), facts["turnover"]
        assert position.quantity == expected["quantity"]
        assert near(position.realized_pnl, expected["realized"], scale)
        # A flip's commission is split to a digit of the whole commission, however small its part is.
        assert near(position.commission_paid, expected["commission"], fees)
        assert near(position.cost, expected["cost"], scale)
        if not position.is_open:
            assert position.cost == 0
            assert position.average_entry_price is None
        elif position.current_price is not None:
            open_value = expected["quantity"] * Fraction(position.current_price) - expected["cost"]
            assert near(position.unrealized_pnl, open_value * facts["multiplier"], scale + abs(open_value))


@usual
@given(portfolio_histories(commands_max=0), portfolio_commands(commands_max=16))
def test_portfolios_equal_the_independent_fold(history, commands):
    """Cash, commissions, income and every figure of the trades are exact in each currency: nothing of it divides."""
    portfolio = history.play()[0]
    portfolio.record_assignments()
    expected = independent.new_portfolio(
        Fraction(history.arguments["initial_capital"]), history.arguments["currency"]
    )
    for command in commands:
        if command.method == "=":
            if "may_go_below_zero" in command.arguments:
                command.run(portfolio)
                portfolio.record_assignments()
                expected.update(command.arguments)
            continue
        assert _outcome(portfolio, command) == independent.command_portfolio(
            expected, command.method, dict(command.arguments)
        ), command
    sums = independent.portfolio_sums(expected)
    for own, others, name in (
        ("cash_balance", "other_balances", "cash"),
        ("net_deposits", "other_deposits", "deposits"),
        ("total_commission_paid", "other_commissions", "fees"),
        ("total_income", "other_income", "income"),
        ("total_realized_pnl", "other_realized_pnl", "results"),
    ):
        assert getattr(portfolio, own) == sums[name].pop(None, 0), own
        assert _by_currency(getattr(portfolio, others)) == _without_zeros(sums[name]), others
    converted = {portfolio.currency if key is None else key: one for key, one in sums["conversions"].items()}
    assert _by_currency(portfolio.conversions) == _without_zeros(converted)
    assert (portfolio.gross_profit, portfolio.gross_loss) == (
        sums["won"].get(None, 0),
        sums["lost"].get(None, 0),
    )
    results = [one["result"] for one in expected["trades"] if one["status"] == "COUNTED"]
    trades = [one for one in results if one is not None]
    assert (portfolio.trades_count, portfolio.winning_trades, portfolio.losing_trades) == (
        len(trades),
        sum(one > 0 for one in trades),
        sum(one < 0 for one in trades),
    )
    if trades:
        assert near(portfolio.win_rate, Fraction(portfolio.winning_trades, len(trades)), Fraction(1))
    if portfolio.gross_loss:
        quotient = Fraction(portfolio.gross_profit) / Fraction(portfolio.gross_loss)
        assert near(portfolio.profit_factor, quotient, Fraction(0))


def _by_currency(amounts) -> dict[str, Fraction]:
    return {one.currency: Fraction(one.amount) for one in amounts}


def _without_zeros(sums) -> dict[str, Fraction]:
    return {currency: amount for currency, amount in sums.items() if amount}


# ---- the three together ------------------------------------------------------------------------------------

Fill = tuple[OrderSide, Decimal, Decimal, Decimal]

fills = st.lists(
    st.tuples(st.sampled_from(OrderSide), quantities(), prices(), commissions()), min_size=1, max_size=12
)


@usual
@given(fills, st.sampled_from([Decimal(1), Decimal(50)]))
def test_cash_after_a_run_is_what_the_fills_say(run, multiplier):
    """OnResult in full, cash is exact; on margin, it is the same once all is closed, but for rounding.

    The run goes as an engine's does: the order counts the fill, the position takes it, the portfolio takes both.
    """
    capital = Decimal(10_000)
    shares = Portfolio(name="shares", initial_capital=capital)
    futures = Portfolio(name="futures", initial_capital=capital)
    position = None
    chain = []
    net = Fraction(0)
    cash = Fraction(capital)
    turnover = Fraction(capital)
    paid = Decimal(0)
    for number, (side, quantity, price, commission) in enumerate(_flat_at_the_end(run)):
        order = Order.create_market_order("ES", quantity, side, multiplier=multiplier)
        assert order.fill(quantity, price, f"E-{number}", commission=commission)
        result = None
        if position is None or not position.is_open:
            signed = quantity * side.sign
            position = Position.open_position("ES", signed, price, commission, multiplier=multiplier)
            chain.append(position)
        else:
            opposite = position.apply_fill(side, quantity, price, f"E-{number}", commission=commission)
            result = position.realized_by(f"E-{number}")
            if opposite is not None:
                chain.append(opposite)
                position = opposite
        flow = settled_cash_flow(side, quantity, price, multiplier=multiplier, commission=commission)
        shares.record_trade(f"E-{number}", realized_pnl=result, commission=commission, cash_flow=flow)
        futures.record_trade(f"E-{number}", realized_pnl=result, commission=commission)
        net += side.sign * Fraction(quantity)
        value = Fraction(quantity) * Fraction(price) * Fraction(multiplier)
        cash -= side.sign * value + Fraction(commission)
        turnover += abs(value) + abs(Fraction(commission))
        paid += commission
    assert net == 0
    assert position is not None
    assert not position.is_open
    assert shares.cash_balance == cash
    assert near(futures.cash_balance, cash, turnover)
    with decimal.localcontext(prec=100):
        assert sum(each.commission_paid for each in chain) == paid


def _flat_at_the_end(run: list[Fill]) -> list[Fill]:
    net = sum((side.sign * quantity for side, quantity, _, _ in run), Decimal(0))
    if not net:
        return run
    return [*run, (OrderSide.SELL if net > 0 else OrderSide.BUY, abs(net), Decimal(100), Decimal("0.1"))]


@usual
@given(quantities(), quantities(), st.decimals("-1000", "1000", allow_nan=False, places=7))
def test_a_flips_commission_is_split_without_a_rest(one, more, commission):
    """The two parts of a flip's commission sum to the whole, to the last digit, and go by quantity."""
    long = Position.open_position("ES", one, Decimal(1))
    short = long.apply_fill(OrderSide.SELL, one + more, Decimal(1), "E-1", commission=commission)
    assert short is not None
    with decimal.localcontext(prec=100):
        assert long.commission_paid + short.commission_paid == commission
    by_quantity = Fraction(commission) * Fraction(one) / Fraction(one + more)
    assert near(long.commission_paid, by_quantity, abs(Fraction(commission)))
