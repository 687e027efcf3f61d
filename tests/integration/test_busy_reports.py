"""The event loop during a report over many events: other tasks take turns, however long the report is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.long_log import BEGAN_AT, long_log
from tests.loop_turns import busy, names_of_the_late

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from eventstore.domain.portfolio import Portfolio
    from eventstore.store import EventStore

MIDDLE = BEGAN_AT + timedelta(hours=5)
REPORTS: dict[str, Callable[[EventStore, Portfolio], Awaitable[Any]]] = {
    "orders": lambda store, _: store.reports.orders(),
    "orders of a symbol": lambda store, _: store.reports.orders(symbol="S1"),
    "orders of then": lambda store, _: store.reports.orders(occurred_at=MIDDLE),
    "fills": lambda store, _: store.reports.fills(),
    "open positions": lambda store, _: store.reports.positions(),
    "all positions": lambda store, _: store.reports.positions(which="all"),
    "portfolios": lambda store, _: store.reports.portfolios(),
    "profit and loss": lambda store, _: store.reports.pnl(),
    "profit and loss by hour": lambda store, one: store.reports.pnl(by=["hour", "symbol"], portfolio=one),
    "equity": lambda store, _: store.reports.equity(),
    "drawdown": lambda store, _: store.reports.drawdown(every="hour"),
    "round trips": lambda store, _: store.reports.trades(),
    "exposure": lambda store, _: store.reports.exposure(),
    "exposure of then": lambda store, _: store.reports.exposure(to=MIDDLE),
    "cash": lambda store, _: store.reports.cash(),
    "movements": lambda store, _: store.reports.movements(),
    "turnover": lambda store, _: store.reports.turnover(),
}


async def test_each_report_lets_other_tasks_take_turns(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """No turn of another task waits for a large part of a report. Slices and pages are short here, as the log is."""
    monkeypatch.setattr("eventstore.time_slices.SLICE_S", 0.001)
    monkeypatch.setattr("eventstore.reports.reading._PAGE_ENTITIES", 50)
    monkeypatch.setattr("eventstore.replay.replay._DECODED_AT_A_TIME", 100)
    monkeypatch.setattr("eventstore.replay.equity_streams._PAGE_EVENTS", 500)
    monkeypatch.setattr("eventstore.replay.equity_streams._FOLDED_AT_A_TIME", 100)
    portfolio = await long_log(store)
    found = {name: await busy(ask(store, portfolio)) for name, ask in REPORTS.items()}
    assert not names_of_the_late(found)
    assert found["fills"].turns > 20
