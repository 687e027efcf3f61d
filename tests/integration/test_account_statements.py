"""Three accounts played through a database, reconciled with their broker's statements, and taxed by lots."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from eventstore.domain.executions import OrderSide
from eventstore.domain.lots import LotMethod
from eventstore.reconciliation import StatedCash, StatedExecution, StatedPosition, Statement
from eventstore.store import EventStore
from tests.histories.futures import FUTURES
from tests.histories.history import History
from tests.histories.perpetuals import PERPETUALS
from tests.histories.player import ACCOUNT, Player
from tests.histories.shares import SHARES

HISTORIES = pytest.mark.parametrize("history", [PERPETUALS, SHARES, FUTURES], ids=lambda one: one.name)


def statement_of(player: Player, as_of: datetime) -> Statement:
    """What the broker states at a date, from the rows of the file and the key that was worked out by hand."""
    history = player.history
    answer = history.answers[as_of]
    sides = {row.id: row.side for row in history.rows if row.kind == "order"}
    executions: dict[tuple[str | None, str | None], StatedExecution] = {}  # ids count up for each symbol
    for row in history.by_time().rows:
        if row.time > as_of or row.kind not in {"fill", "bust", "correct"}:
            continue
        replaced = executions.pop((row.order, row.id if row.kind == "bust" else row.corrects), None)
        if row.kind != "bust":
            assert row.quantity is not None
            assert row.price is not None
            executions[row.order, row.id] = StatedExecution(
                execution_id=row.id,
                symbol=row.symbol,
                side=OrderSide(str(row.side or sides[row.order])),
                quantity=row.quantity,
                price=row.price,
                commission=row.fee,
                commission_currency=row.fee_currency,
                time=row.time if replaced is None else replaced.time,
                broker_order_id=f"V-{row.order}",
                account=ACCOUNT,
            )
    return Statement(
        as_of=as_of,
        portfolio_id=player.portfolio_id,
        account=ACCOUNT,
        positions=tuple(
            StatedPosition(symbol=symbol, quantity=number(quantity), price=number(price))
            for symbol, (quantity, price) in answer.positions.items()
        ),
        cash=tuple(
            StatedCash(currency=currency, amount=number(amount)) for currency, amount in answer.cash.items()
        ),
        executions=tuple(executions.values()),
        since=min(row.time for row in history.rows),
    )


def number(amount: Fraction) -> Decimal:
    """A number with the digits that a statement shows."""
    return Decimal(round(amount * 10**8)) / 10**8


@HISTORIES
async def test_an_account_agrees_with_its_statements(history: History, store: EventStore) -> None:
    """At each date positions, cash and executions are those of the statement, whatever was reported late or taken back."""
    player = Player(store, history)
    await player.play(history.rows)

    for as_of in history.answers:
        result = await store.reconcile(statement_of(player, as_of))
        assert result.agrees, str(result)


@HISTORIES
async def test_an_account_that_missed_reports_is_made_to_agree(history: History, store: EventStore) -> None:
    """Some fills never came. Booked as proposed, the account has every execution and quantity of the statement.

    Average prices, and the cash of a margin account, follow the order of report; an adjustment is proposed for the cash.
    """
    changed = {(row.order, row.corrects or row.id) for row in history.rows if row.kind in {"bust", "correct"}}
    split = {row.symbol: row.time for row in history.rows if row.kind == "split"}
    fills = [
        row
        for row in history.rows
        if row.kind == "fill"
        and (row.order, row.id) not in changed
        and not (row.symbol in split and row.time < split[row.symbol])
    ]
    missed = Random(7).sample(fills, 4)
    player = Player(store, history, is_any_order=True)
    await player.play(row for row in history.rows if row not in missed)
    statement = statement_of(player, history.end)

    result = await store.reconcile(statement)
    assert {(one.execution_id, one.symbol) for one in result.proposed.executions} == {
        (row.id, row.symbol) for row in missed
    }
    assert result.proposed.cash == ()
    async with store.unit_of_work() as uow:
        await uow.book_reports(result.proposed.reports)

    result = await store.reconcile(statement)
    assert result.executions is not None
    assert result.positions is not None
    assert result.executions.agrees, str(result)
    assert {one.fields for one in result.positions.differing} <= {("price",)}, str(result)
    assert (result.positions.missing_here, result.positions.missing_there) == ((), ())
    if history is SHARES:
        assert result.cash is not None
        assert result.cash.agrees


async def test_a_fill_from_before_a_split_is_not_proposed_as_a_report(store: EventStore) -> None:
    """It has to be booked in the shares of now, which a person decides: it is in the remarks and not in the reports."""
    missed = next(row for row in SHARES.rows if row.kind == "fill" and row.symbol == "ACME")
    player = Player(store, SHARES, is_any_order=True)
    await player.play(row for row in SHARES.rows if row is not missed)

    proposed = (await store.reconcile(statement_of(player, SHARES.end))).proposed

    assert [one.is_before_split for one in proposed.executions] == [True]
    assert proposed.reports == ()
    assert "X1 in ACME traded before the split of 2026-04-01T08:00:00+00:00" in proposed.remarks[0]


async def test_the_lots_of_the_share_account(store: EventStore) -> None:
    """FIFO takes the sale that was reported late from the purchase before it, and the split leaves every cost.

    ACME: 100 at 53 of the first 60 x 4 at 200 / 4. RHEI: 50 at 86 and 50 of 75 at 91 of the 100 at 80; the other 25, and 75 at
    92, of the 100 at 90. TOKY: 200 at 2450 of the 300 at 2500.
    """
    player = Player(store, SHARES)
    await player.play(SHARES.rows)

    report = await store.tax_lots(player.portfolio_id, method=LotMethod.FIFO, year=2026)

    assert {total.currency: total.realized_pnl for total in report.totals} == {
        "USD": (53 - 50) * 100,
        "EUR": (86 - 80) * 50 + (91 - 80) * 50 + (91 - 90) * 25 + (92 - 90) * 75,
        "JPY": (2450 - 2500) * 200,
    }
    assert [(match.execution_id, match.lot.execution_id) for match in report if match.symbol == "RHEI"] == [
        ("X7", "X6"),
        ("X12", "X6"),
        ("X12", "X8"),
        ("X13", "X8"),
    ]
