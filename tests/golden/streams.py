"""Streams whose stored events are kept in `tests/golden/streams`, a file each, and read by the tests for ever.

    python -m tests.golden.streams

writes the files of those that have none yet; a file that is there is never written again. For a new event type, or a new
schema version, add a function below that makes a stream with it, and run that. When the schema version of a class is
raised, its files stay as they are: they are the old events that the upcasters have to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from eventstore.core import Entity
from eventstore.core.context import now, use_clock, use_ids
from eventstore.domain import (
    CashKind,
    CurrencyAmount,
    Instrument,
    InstrumentKind,
    Liquidity,
    Order,
    OrderSide,
    Portfolio,
    Position,
    PositionMode,
    PositionSide,
    Settlement,
    TimeInForce,
)
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot

__all__ = ["FOLDER", "write_missing"]

FOLDER = Path(__file__).parent / "streams"
START = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
PORTFOLIO = UUID(int=0xB0)
ORDER = UUID(int=0xA0)


def order_filled() -> Iterator[Order]:
    """An order that is submitted, filled, corrected, busted, amended and cancelled."""
    order = Order.create_limit_order(
        "ESH6",
        Decimal(10),
        OrderSide.SELL,
        limit_price=Decimal("6900.25"),
        time_in_force=TimeInForce.GTC,
        multiplier=Decimal(50),
        portfolio_id=PORTFOLIO,
        strategy="mean reversion",
        tags=("a", "ü"),
    )
    order.submit("B-1")
    order.fill(
        Decimal("2.50"),
        Decimal("6900.50"),
        "E1",
        commission=Decimal("-0.10"),
        transact_time_ns=1767364200123456789,
    )
    order.fill(Decimal(1), Decimal("6900.250"), "E2")
    order.correct_fill("E1", price=Decimal("6900.75"), new_execution_id="E3", reason="wrong price")
    order.bust_fill("E2", reason="clearly erroneous")
    order.limit_price = Decimal("6901.00")
    order.record_assignments()
    order.cancel("end of day")
    yield order


def order_rejected() -> Iterator[Order]:
    """One that the venue refuses."""
    order = Order.create_market_order("AAPL", Decimal(1), OrderSide.BUY)
    order.reject("no such symbol")
    yield order


def order_expired() -> Iterator[Order]:
    """One that nobody filled."""
    order = Order.create_stop_limit_order(
        "AAPL", Decimal(1), OrderSide.BUY, stop_price=Decimal(151), limit_price=Decimal("151.5")
    )
    order.submit("B-2")
    order.expire()
    yield order


def order_worked() -> Iterator[Order]:
    """One with all ids, requests that are refused and granted, a split, another symbol, and a fill after its cancel."""
    order = Order.create_limit_if_touched_order(
        "FB",
        Decimal(100),
        OrderSide.SELL,
        stop_price=Decimal(300),
        limit_price=Decimal("299.50"),
        time_in_force=TimeInForce.GTD,
        expire_at=START + timedelta(days=30),
        client_order_id="C-1",
        parent_id=UUID(int=0xA0),
        list_id="OCO-1",
        account="U1",
        venue="XNAS",
        currency="USD",
        position_side=PositionSide.LONG,
        reduce_only=True,
        display_quantity=Decimal(10),
    )
    order.submit("B-3")
    order.request_replace(quantity=Decimal(90), client_order_id="C-2")
    order.amend(quantity=Decimal(90), client_order_id="C-2", broker_order_id="B-4")
    order.request_cancel("C-3")
    order.reject_request("too late", client_order_id="C-3")
    order.fill(
        Decimal(30),
        Decimal("300.25"),
        "E5",
        commission=Decimal("0.002"),
        commission_currency="BNB",
        venue="BATS",
        liquidity=Liquidity.TAKER,
        position_ids=(UUID(int=0xC0),),
    )
    order.split(3, 2)
    order.change_symbol("META")
    order.fill(Decimal(15), Decimal(200), "E6")
    order.cancel()
    order.fill(Decimal(15), Decimal(201), "E7")
    order.bust_fill("E5")
    yield order


def order_of_money() -> Iterator[Order]:
    """One of an amount of money, of which the venue says that it is done."""
    order = Order.create_market_order("SPY", None, OrderSide.BUY, cash_quantity=Decimal(5000))
    order.submit("B-5")
    order.fill(Decimal("9.87"), Decimal("506.10"), "E8")
    order.complete()
    yield order


def order_deleted() -> Iterator[Order]:
    """One that was a mistake."""
    order = Order.create_stop_order("AAPL", Decimal(1), OrderSide.SELL, stop_price=Decimal(140))
    order.delete()
    yield order


def position_closed() -> Iterator[Position]:
    """A position that grows, is marked, reduced, amended and closed."""
    position = Position.open_position(
        "ESH6",
        Decimal(-3),
        Decimal("6900.25"),
        Decimal("1.29"),
        multiplier=Decimal(50),
        strategy="mean reversion",
        portfolio_id=PORTFOLIO,
        execution_id="E1",
        tags=("a",),
    )
    position.add(Decimal(1), Decimal("6901.00"), execution_id="E2")
    position.mark(Decimal("6899.50"))
    position.reduce(Decimal(1), Decimal("6899.75"), Decimal("0.43"), execution_id="E3")
    position.stop_loss_price = Decimal(6950)
    position.record_assignments()
    position.close(Decimal("6890.25"), execution_id="E4")
    yield position


def position_busted() -> Iterator[Position]:
    """One with a busted and a corrected fill, a split, a new symbol and a commission in a coin, that expires."""
    position = Position.open_by_fill(
        "AAPL240621C180",
        OrderSide.BUY,
        Decimal(2),
        Decimal("3.10"),
        Decimal("0.50"),
        execution_id="E1",
        order_id=ORDER,
        account="U1",
        venue="CBOE",
        currency="USD",
        liquidity=Liquidity.TAKER,
        transact_time_ns=1767364200123456789,
    )
    position.apply_fill(
        OrderSide.BUY,
        Decimal(4),
        Decimal("3.20"),
        "E2",
        commission=Decimal("0.0001"),
        commission_currency="BNB",
        order_id=ORDER,
        venue="PHLX",
    )
    position.apply_fill(OrderSide.SELL, Decimal(1), Decimal("3.40"), "E3", order_id=ORDER)
    position.mark(Decimal("3.30"), transact_time_ns=1767364201123456789)
    position.split(Decimal(3), Decimal(2))
    position.correct_fill("E2", price=Decimal("3.21"), new_execution_id="E2a", reason="wrong price")
    position.bust_fill("E3", reason="clearly erroneous")
    position.change_symbol("AAPL1240621C120")
    position.expire()
    yield position


def position_deleted() -> Iterator[Position]:
    """One that was a mistake."""
    position = Position.open_position("AAPL", Decimal(1), Decimal(150))
    position.delete()
    yield position


def portfolio_traded() -> Iterator[Portfolio]:
    """A portfolio that trades, gets and gives cash, and is renamed."""
    portfolio = Portfolio(name="Main", initial_capital=Decimal("100000.00"), strategy="mean reversion")
    portfolio.record_assignments()
    portfolio.record_trade(
        "E1", realized_pnl=Decimal("12.50"), commission=Decimal("1.29"), cash_flow=Decimal("12.50")
    )
    portfolio.deposit(Decimal(500), reason="month")
    portfolio.withdraw(Decimal("20.25"))
    portfolio.name = "Main 2"
    portfolio.record_assignments()
    yield portfolio


def portfolio_of_currencies() -> Iterator[Portfolio]:
    """A margin account of several currencies: trades that are busted and corrected, and cash of every kind."""
    portfolio = Portfolio(
        name="World",
        currency="USD",
        initial_capital=Decimal("50000.00"),
        other_balances=(CurrencyAmount(currency="BNB", amount=Decimal("1.5")),),
        position_mode=PositionMode.HEDGING,
        settlement=Settlement.ON_MARGIN,
        may_go_below_zero=True,
    )
    portfolio.record_assignments()
    named: dict[str, Any] = {"order_id": UUID(int=0xA0), "account": "U1", "venue": "XNYS"}
    portfolio.record_trade(
        "E1",
        realized_pnl=Decimal("12.50"),
        commission=Decimal("0.0012"),
        commission_currency="BNB",
        symbol="BTCUSDT",
        transact_time_ns=1767364200123456789,
        **named,
    )
    portfolio.record_trade(
        "E2", cash_flow=Decimal("-1000.50"), commission=Decimal(1), currency="EUR", venue="XPAR"
    )
    portfolio.correct_trade(
        "E1", new_trade_id="E3", realized_pnl=Decimal("-2.50"), reason="wrong price", **named
    )
    portfolio.bust_trade("E3", realized_pnl_change=Decimal("0.25"), reason="clearly erroneous", **named)
    for kind in CashKind:
        if kind is not CashKind.CONVERSION:
            portfolio.record_cash(kind, Decimal((kind.sign or 1) * 3), external_id=f"C-{kind}", symbol="KO")
    portfolio.record_cash(
        CashKind.FUNDING, Decimal("-0.00001"), currency="BTC", venue="BITMEX", is_reversal=True
    )
    portfolio.convert("USD", Decimal(1200), "EUR", Decimal("1100.40"), external_id="FX-1")
    portfolio.transfer_to(Portfolio(name="Other", currency="USD", initial_capital=Decimal(0)), Decimal(10))
    yield portfolio


def portfolio_deleted() -> Iterator[Portfolio]:
    """One that was a mistake."""
    portfolio = Portfolio(name="Wrong", initial_capital=Decimal(1))
    portfolio.record_assignments()
    portfolio.delete()
    yield portfolio


def snapshot_taken() -> Iterator[PortfolioSnapshot]:
    """A snapshot that was corrected, and deleted."""
    snapshot = PortfolioSnapshot(
        portfolio_id=PORTFOLIO,
        initial_capital=Decimal("100000.00"),
        cash_balance=Decimal("99999.50"),
        realized_pnl=Decimal("-0.50"),
        trades_count=1,
        losing_trades=1,
        gross_loss=Decimal("0.50"),
    )
    snapshot.record_assignments()
    # No method of a snapshot makes one, but programs that knew its fields could have.
    snapshot.emit(snapshot.amended_event(occurred_at=now(), cash_balance=Decimal("99999.75")))  # type: ignore[call-arg]
    yield snapshot
    snapshot.delete()
    yield snapshot


def instrument_changed() -> Iterator[Instrument]:
    """A future whose tick changes, and which is deleted."""
    instrument = Instrument(
        symbol="ESH6",
        venue="XCME",
        kind=InstrumentKind.FUTURE,
        currency="USD",
        multiplier=Decimal(50),
        tick_size=Decimal("0.25"),
        lot_size=Decimal(1),
        expires_at=datetime(2026, 3, 20, 13, 30, tzinfo=UTC),
    )
    instrument.record_assignments()
    instrument.tick_size = Decimal("0.05")
    instrument.record_assignments()
    yield instrument
    instrument.delete()
    yield instrument


def instrument_of_coins() -> Iterator[Instrument]:
    """A perpetual that is paid in its coin."""
    instrument = Instrument(
        symbol="XBTUSD",
        venue="BITMEX",
        kind=InstrumentKind.PERPETUAL,
        currency="BTC",
        base="BTC",
        quote="USD",
        is_inverse=True,
        tick_size=Decimal("0.5"),
        lot_size=Decimal(100),
    )
    instrument.record_assignments()
    yield instrument


STREAMS: tuple[Callable[[], Iterator[Entity]], ...] = (
    order_filled,
    order_rejected,
    order_expired,
    order_deleted,
    position_closed,
    position_deleted,
    portfolio_traded,
    portfolio_deleted,
    snapshot_taken,
    portfolio_of_currencies,
    position_busted,
    instrument_changed,
    instrument_of_coins,
    order_worked,
    order_of_money,
)


def lines_of(make: Callable[[], Iterator[Entity]], number: int) -> list[bytes]:
    """The stored events of a stream, a line each; after some of them the state at that point."""
    ticks, ids = count(), count(number * 1000)
    lines: list[bytes] = []
    written = 0
    with use_clock(lambda: START + timedelta(seconds=next(ticks))), use_ids(lambda: UUID(int=next(ids))):
        for entity in make():
            for pending in entity.pending_events[written:]:
                written += 1
                event = pending.event
                envelope = {
                    "stream_id": str(entity.id),
                    "version": written,
                    "event_id": str(pending.event_id),
                    "category": event.category,
                    "type": event.type,
                    "schema_version": event.schema_version,
                    "occurred_at": event.occurred_at.isoformat(),
                    # As text, since it is the very bytes that are kept.
                    "data": event.to_json().decode(),
                }
                lines.append(orjson.dumps(envelope))
            state = None if entity.is_deleted else entity.model_dump_json(exclude={"version"})
            lines.append(orjson.dumps({"state": state}))
    return lines


def write_missing() -> list[Path]:
    """Write the files of the streams that have none, and return their names."""
    written = []
    for number, make in enumerate(STREAMS, 1):
        file = FOLDER / f"{make.__name__}.jsonl"
        if not file.exists():
            file.write_bytes(b"\n".join(lines_of(make, number)) + b"\n")
            written.append(file)
    return written


if __name__ == "__main__":
    import sys

    for name in write_missing():
        sys.stdout.write(f"{name}\n")
