"""Three accounts from their first deposit to their last report, played through a database and compared with their keys.

Each history is a file of rows in `tests/histories`: perpetual contracts with funding and fees in coin, shares in three
currencies with dividends and a split, futures with a roll and flips. Its key is computed by a calculator that shares
nothing with the library, and at three dates and at the end it was worked out by hand.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.domain.order import Order, OrderStatus
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.store import EventStore, built_in_projections
from projections import ProjectionWorker
from projections.check import compare_with_fold, compare_with_rebuild
from projections.rebuild import rebuild
from tests.histories.calculator import Recorded, account, amounts, recorded, results_at
from tests.histories.comparison import Found, by_currency, differences, named
from tests.histories.futures import FUTURES
from tests.histories.history import Answer, History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.player import Player, nanoseconds
from tests.histories.shares import SHARES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.database import DatabaseConfig

ROUNDED = Fraction(1, 10**15)
"""What averages with a remainder may leave of an equity."""

HISTORIES = pytest.mark.parametrize("history", [PERPETUALS, SHARES, FUTURES], ids=lambda one: one.name)


async def read(repositories: Any, player: Player) -> Found:
    """The account by loads of its portfolio and orders and by the list of its positions."""
    portfolio = await repositories.portfolios.get_portfolio_by_id(player.portfolio_id)
    assert portfolio is not None
    loaded = [await repositories.orders.get_order_by_id(id) for id in player.order_ids.values()]
    positions = await repositories.positions.get_positions_by_portfolio(portfolio)
    for position in positions:
        assert await repositories.positions.get_position_by_id(position.id) == position
    return Found(portfolio, positions, named((one for one in loaded if one is not None), player.order_ids))


async def lists_agree(repositories: Any, found: Found) -> None:
    """Each list has those of the account that belong to it, and no others."""
    orders, positions = repositories.orders, repositories.positions
    for status in OrderStatus:
        wanted = {one.id: one for one in found.orders.values() if one.status is status}
        assert {one.id: one for one in await orders.get_orders_by_status(status)} == wanted
    active = {one.id: one for one in found.orders.values() if one.is_active}
    assert {one.id: one for one in await orders.get_active_orders()} == active
    opened = {one.id: one for one in found.positions if one.is_open}
    closed = {one.id: one for one in found.positions if not one.is_open}
    assert {one.id: one for one in await positions.get_active_positions()} == opened
    assert {one.id: one for one in await positions.get_closed_positions()} == closed
    for symbol in {one.symbol for one in found.positions}:
        wanted_positions = {one.id: one for one in found.positions if one.symbol == symbol}
        assert {one.id: one for one in await positions.get_positions_by_symbol(symbol)} == wanted_positions
        wanted_orders = {one.id: one for one in found.orders.values() if one.symbol == symbol}
        assert {one.id: one for one in await orders.get_orders_by_symbol(symbol)} == wanted_orders
    assert await repositories.portfolios.get_all_portfolios() == [found.portfolio]


def rates_of(answer: Answer) -> dict[str, Decimal]:
    """The rates of a date, as the library takes them."""
    return {currency: Decimal(str(float(rate))) for currency, rate in answer.rates.items()}


def not_zero(amounts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The amounts that are not 0."""
    return {currency: amount for currency, amount in amounts.items() if amount}


def meets(found: Found, answer: Answer) -> None:
    """The account has the numbers that were worked out by hand."""
    opened = {
        one.symbol: (Fraction(one.quantity), Fraction(one.average_entry_price))
        for one in found.positions
        if one.average_entry_price is not None
    }
    assert opened == answer.positions
    realized = amounts()
    for one in found.positions:
        realized[str(one.currency)] += Fraction(one.realized_pnl)
    assert not_zero(realized) == answer.realized
    portfolio, own = found.portfolio, str(found.portfolio.currency)
    for wanted, amount, others in (
        (
            answer.realized if answer.recorded is None else answer.recorded,
            portfolio.total_realized_pnl,
            portfolio.other_realized_pnl,
        ),
        (answer.commissions, portfolio.total_commission_paid, portfolio.other_commissions),
        (answer.cash, portfolio.cash_balance, portfolio.other_balances),
        (answer.income, portfolio.total_income, portfolio.other_income),
    ):
        assert not_zero(by_currency(own, amount, others)) == wanted
    if answer.trades is not None:
        counts = (portfolio.trades_count, portfolio.winning_trades, portfolio.losing_trades)
        assert counts == answer.trades


async def played(store: EventStore, history: History, *, is_by_hand: bool = False) -> Player:
    """The account after all reports, in their order."""
    player = Player(store, history, is_by_hand=is_by_hand)
    for row in history.rows:
        assert await player.tell(row), row
    return player


@HISTORIES
async def test_an_account_comes_to_its_key(store: EventStore, history: History):
    """Loads, lists, the past at each date, the history, a replay, rebuilt states and rebuilt tables all meet the key."""
    player, reports = await played(store, history), recorded(history)
    async with store.unit_of_work() as uow:
        now = await read(uow, player)
        assert differences(now, account(history), results=results_at(reports, None)) == []
        await lists_agree(uow, now)
    for date, answer in history.answers.items():
        async with store.as_of(occurred_at=date) as past:
            then = await read(past, player)
            results = results_at(reports, date)
            assert differences(then, account(history, date), results=results) == [], date
            meets(then, answer)
            await lists_agree(past, then)
            if date == history.end:
                assert then == now
    await _replays_agree(store, player, now)
    await _tables_agree(store, player, now)


async def _replays_agree(store: EventStore, player: Player, now: Found) -> None:
    """The last state of each history, a fold of a replay and a rebuilt state are what a load gives."""
    loaded: list[Any] = [now.portfolio, *now.positions, *now.orders.values()]
    events = [event async for event in store.replay()]
    for kind in (Portfolio, Position, Order):
        of_kind = {one.id: one for one in loaded if isinstance(one, kind)}
        assert await store.rebuild_state(kind) == of_kind
        for id, one in of_kind.items():
            assert (await store.history(one))[-1].state == one
            assert kind.fold([event for event in events if event.stream_id == id]) == one
    for row in player.history.rows:
        if row.kind == "fill":
            executions = now.orders[str(row.order)].executions
            told = [one for one in executions if one.execution_id == row.id]
            assert [one.transact_time_ns for one in told] == [nanoseconds(row.time)]
            assert [one.occurred_at for one in told] == [row.time]


async def _tables_agree(store: EventStore, player: Player, now: Found) -> None:
    """The tables say the same when they are folded, when they are folded anew and when they are rebuilt."""
    for projection in built_in_projections():
        worker = ProjectionWorker(store.log, projection)
        while await worker.run_once():
            pass
        assert (await compare_with_rebuild(store.log, projection)).is_equal
        assert (await compare_with_fold(store.log, projection)).is_equal
        await rebuild(store.log, projection)
    async with store.unit_of_work() as uow:
        positions = await uow.positions.get_positions_by_portfolio(
            player.portfolio_id, consistency="eventual"
        )
        assert positions == now.positions
        (portfolio,) = await uow.portfolios.get_all_portfolios(consistency="eventual")
        assert portfolio == now.portfolio
        assert await read(uow, player) == now


@HISTORIES
async def test_the_equity_of_an_account_is_its_cash_and_what_it_holds(store: EventStore, history: History):
    """At each date with its rates, the summary, that of the past and the curve meet the key; the curve does at each report.

    Where a sale was reported late, they have its result as it was recorded.
    """
    player, reports = await played(store, history), recorded(history)
    for date, answer in history.answers.items():
        rates = rates_of(answer)
        async with store.as_of(occurred_at=date) as past:
            summary = await past.portfolios.get_portfolio_summary(player.portfolio_id, rates=rates)
        assert summary is not None
        wanted = answer.equity + late(history, reports, date, answer)
        assert Fraction(summary.equity) == wanted, date
        curve = await store.equity_curve(player.portfolio_id, rates=rates)
        assert Fraction(curve.at(date) or 0) == wanted, date
        for time in sorted({row.time for row in history.rows}):
            wanted = account(history, time).equity(answer.rates) + late(history, reports, time, answer)
            assert abs(Fraction(curve.at(time) or 0) - wanted) < ROUNDED, time
    async with store.unit_of_work() as uow:
        now = await uow.portfolios.get_portfolio_summary(player.portfolio_id, rates=rates)
    assert now is not None
    assert summary is not None
    assert now.equity == summary.equity == curve[-1].equity
    assert Fraction(now.cash_balance) == sum(
        amount * answer.rates.get(currency, 1) for currency, amount in answer.cash.items()
    )


def late(history: History, reports: list[Recorded], time: datetime, answer: Answer) -> Fraction:
    """What is missing at a time because a result was recorded by more than what had happened by then."""
    realized, _ = results_at(reports, time)
    return sum(
        (
            (realized[currency] - amount) * answer.rates.get(currency, 1)
            for currency, amount in account(history, time).realized.items()
        ),
        Fraction(0),
    )


@HISTORIES
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 8))])
async def test_reports_in_any_order_and_repeated_come_to_the_same(
    store: EventStore, migrated_config: DatabaseConfig, history: History, seed: int
):
    """Shuffled, some twice, and all again after a restart: quantities, cash, commissions, income and equity are the same."""
    player = Player(store, history, is_any_order=True)
    assert await player.play_shuffled(Random(seed)) > 0
    await _comes_to_the_same(store, player)
    head = await store.log.head()
    async with EventStore.open(migrated_config, workers=False) as restarted:
        again = player.at(restarted)
        reports = [row for row in history.rows if row.kind not in {"open", "order", "mark", "split"}]
        Random(seed).shuffle(reports)
        assert await again.play(reports) == []
        assert await restarted.log.head() == head
        await _comes_to_the_same(restarted, again)


@HISTORIES
async def test_batches_of_reports_come_to_what_happened(store: EventStore, history: History):
    """`book_reports` takes them in any order and some twice; results and averages are those by the times of the fills."""
    player = Player(store, history, is_any_order=True)
    await player.play_batches(Random(1))
    await _comes_to_the_same(store, player)
    happened = history.by_time()
    async with store.unit_of_work() as uow:
        now = await read(uow, player)
    assert differences(now, account(happened), results=results_at(recorded(happened), None)) == []


@HISTORIES
async def test_an_account_booked_by_hand_comes_to_its_key(store: EventStore, history: History):
    """The methods of order, position and portfolio alone do what `uow.book` does."""
    player = await played(store, history, is_by_hand=True)
    async with store.unit_of_work() as uow:
        now = await read(uow, player)
    assert differences(now, account(history), results=results_at(recorded(history), None)) == []
    meets(now, history.answers[history.end])


async def _comes_to_the_same(store: EventStore, player: Player) -> None:
    """What does not depend on the order of report is what the key says, now and at each date."""
    history = player.history
    answer = history.answers[history.end]
    wanted = account(history)
    async with store.unit_of_work() as uow:
        now = await read(uow, player)
        summary = await uow.portfolios.get_portfolio_summary(player.portfolio_id, rates=rates_of(answer))
    assert differences(now, wanted) == []
    assert summary is not None
    assert abs(Fraction(summary.equity) - answer.equity) < ROUNDED
    for date in history.answers:
        async with store.as_of(occurred_at=date) as past:
            then = await read(past, player)
        assert differences(then, account(history, date), is_marked=False) == [], date
    assert then == now
    curve = await store.equity_curve(player.portfolio_id, rates=rates_of(answer))
    assert curve.at(history.end) == summary.equity
