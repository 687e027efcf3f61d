"""What a notebook shows: short reprs, and tables in which a text of the log is never HTML."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore.core import CausationTree
from eventstore.core.event import RecordedEvent
from eventstore.domain import Order, OrderSide, Portfolio
from eventstore.replay import EquityCurve, EquityPoint
from eventstore.replay.history import History, changes, entries
from eventstore.repositories import Page
from eventstore.testing.strategies import EPOCH

HOSTILE = "<script>alert(1)</script>&\"'\x1b[2J\u202e"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;\\x1b[2J\\u202e"
LONG = 300


def hostile_order(number: int = 1) -> Order:
    """An order with hostile text."""
    return Order.create_market_order(
        HOSTILE, Decimal(number), OrderSide.BUY, strategy=HOSTILE, occurred_at=EPOCH
    )


def recorded(order: Order, **metadata: Any) -> list[RecordedEvent]:
    """The events of an order as the log would return them."""
    return [
        RecordedEvent(place, order.id, place, pending.event_id, pending.event, metadata, EPOCH)
        for place, pending in enumerate(order.pending_events, start=1)
    ]


def rejected() -> list[RecordedEvent]:
    """The events of an order that was rejected for a hostile reason."""
    order = hostile_order()
    order.reject(HOSTILE, occurred_at=EPOCH)
    return recorded(order, actor=HOSTILE)


def shown() -> dict[str, Any]:
    """An object of each kind, with hostile text where it has text."""
    events = rejected()
    told = list(entries(Order, events))
    points = tuple(EquityPoint(EPOCH + timedelta(days=day), Decimal(day)) for day in range(LONG))
    return {
        "entity": hostile_order(),
        "page": Page([hostile_order(number) for number in range(1, LONG)]),
        "entry": told[1],
        "changes": told[1].changes,
        "history": History(told),
        "history of events": History(rejected()),
        "long history": History(told * LONG),
        "tree": CausationTree.of(HOSTILE, events),
        "long tree": CausationTree.of("c", [event for _ in range(LONG) for event in rejected()]),
        "node": CausationTree.of("c", events).roots[0],
        "curve": EquityCurve(UUID(int=1), "occurred_at", points),
    }


@pytest.mark.parametrize("name", shown())
def test_a_repr_is_short_and_one_line(name: str):
    """However much there is of it, it fits a few lines of a terminal, and no character of it moves a cursor."""
    said = repr(shown()[name])
    assert len(said) < 1_500
    assert said.isprintable()


@pytest.mark.parametrize("name", [name for name in shown() if name != "node"])
def test_a_notebook_shows_text_as_text(name: str):
    """Each text is escaped, every character is visible, and a long object is shown in part."""
    html = shown()[name]._repr_html_()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert html.count("<tr>") <= 102
    if name in {"entity", "page", "tree", "history", "history of events"}:
        assert SAFE in html
    if name in {"page", "curve", "long tree", "long history"}:
        assert "more</p>" in html


def test_reprs_say_what_matters():
    """What changed and when, how many there are, from where to where."""
    one = shown()
    assert repr(one["changes"]).startswith("<Changes status: PENDING → REJECTED, reason: ")
    assert repr(one["entry"]).startswith("<HistoryEntry version 2 OrderRejected 20")
    assert repr(one["page"]).endswith("... 294 more])")
    assert repr(one["curve"]) == (
        "<EquityCurve 00000000-0000-0000-0000-000000000001 by occurred_at: 300 points, 0 at "
        f"{EPOCH.isoformat(sep=' ', timespec='milliseconds')} to 299 at "
        f"{(EPOCH + timedelta(days=299)).isoformat(sep=' ', timespec='milliseconds')}>"
    )
    assert repr(one["history"]) == "<History of 2 events: version 1 OrderCreated to version 2 OrderRejected>"
    assert one["history"] == list(one["history"])
    assert repr(one["tree"]).endswith(": 2 events>")


def test_a_long_value_is_cut():
    """A notebook shows the beginning of a value of any length."""
    portfolio = Portfolio(name="x" * 100, initial_capital=Decimal(1))
    assert "x" * 100 in portfolio._repr_html_()
    order = Order.create_market_order("S", Decimal(1), OrderSide.BUY, tags=["y" * 100] * 50)
    assert "y" * 250 not in order._repr_html_()
    assert len(order._repr_html_()) < 3_000


def test_changes_are_a_dict():
    """They are compared and read by name like any mapping."""
    order = hostile_order()
    before = Order.fold(recorded(order))
    order.reject("no", occurred_at=EPOCH)
    found = changes(before, order)
    assert found == dict(found)
    assert {"status", "reason"} <= found.keys()
