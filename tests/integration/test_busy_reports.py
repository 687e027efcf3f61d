"""The event loop during a report over many events, or a page of the inspector: other tasks take turns, however long it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.tear_sheet import tear_sheet
from tests.inspector_client import browsing
from tests.long_log import BEGAN_AT, long_log
from tests.loop_turns import busy, names_of_the_late

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
    "tax lots": lambda store, one: store.tax_lots(one.id),
    "tear sheet": lambda store, _: tear_sheet(store, title="All"),
}


@pytest.fixture(autouse=True)
def _short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices and pages are short here, as the log is."""
    monkeypatch.setattr("eventstore.time_slices.SLICE_S", 0.001)
    monkeypatch.setattr("eventstore.reports.reading._PAGE_ENTITIES", 50)
    monkeypatch.setattr("eventstore.replay.replay.EVENTS_AT_A_TIME", 100)
    monkeypatch.setattr("eventstore.replay.equity_streams._PAGE_EVENTS", 500)
    monkeypatch.setattr("eventstore.replay.equity_streams._FOLDED_AT_A_TIME", 100)


async def test_each_report_lets_other_tasks_take_turns(store: EventStore):
    """No turn of another task waits for a large part of a report."""
    portfolio = await long_log(store)
    found = {name: await busy(ask(store, portfolio)) for name, ask in REPORTS.items()}
    assert not names_of_the_late(found)
    assert found["fills"].turns > 20


async def test_each_page_of_many_events_lets_other_tasks_take_turns(store: EventStore):
    """The history of an entity with thousands of events, its line of time, and the curve of a portfolio."""
    portfolio = await long_log(store)
    async with store.unit_of_work() as uow:
        (long,) = await uow.positions.get_positions_by_symbol("MM")
    async with browsing(store) as client:
        pages = {
            "entity": f"/entities/position/{long.id}",
            "state": f"/entities/position/{long.id}/state/7",
            "line of time": f"/entities/position/{long.id}/line-of-time",
            "curve": f"/time/equity?portfolio={portfolio.id}&clock=occurred_at",
        }
        for name in ("entity", "state"):  # templates are compiled once
            (await client.get(pages[name])).raise_for_status()
        found = {name: await busy(client.get(path)) for name, path in pages.items()}
    assert not names_of_the_late(found)
