"""Events of executions are facts: any of an order's events that begin with its creation fold to a sensible state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from eventstore.core.entity_state import ENVELOPE
from eventstore.core.event import RecordedEvent
from eventstore.domain.order import (
    Order,
    OrderFillBusted,
    OrderFillCorrected,
    OrderFilled,
    OrderSide,
    OrderSplit,
    OrderStatus,
)
from eventstore.errors import DomainError
from eventstore.testing.strategies import EPOCH, order_histories, times
from tests.properties.recorded import digits, from_row, recorded
from tests.scale import examples

usual = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])


_numbers = st.integers(1, 9)
_REPORTS = st.lists(
    st.one_of(
        *(
            st.tuples(st.just(kind), _numbers, _numbers, times())
            for kind in ("fill", "fill", "fill", "bust", "correct", "split", "replace", "request", "end")
        )
    ),
    min_size=5,
    max_size=20,
)


def report(order: Order, kind: str, one: int, two: int, when: datetime) -> None:
    """Do one of many things to an order."""
    ids = order.execution_ids
    if kind == "fill":
        order.fill(
            Decimal(one),
            Decimal(two),
            f"E-{len(order.pending_events)}",
            commission=Decimal(two) / 10,
            commission_currency="BNB" if one == 9 else None,
            venue="BATS" if two == 9 else None,
            allow_overfill=True,
            from_venue=True,
            occurred_at=when,
        )
    elif kind == "bust" and ids:
        order.bust_fill(ids[one % len(ids)], occurred_at=when)
    elif kind == "correct" and ids:
        new = f"E-{len(order.pending_events)}" if two % 2 else None
        order.correct_fill(
            ids[one % len(ids)],
            quantity=Decimal(two),
            new_execution_id=new,
            allow_overfill=True,
            occurred_at=when,
        )
    elif kind == "split":
        order.split(*[(2, 1), (1, 2), (5, 4)][one % 3], occurred_at=when)
    elif kind == "replace":
        order.amend(quantity=Decimal(10 * one), occurred_at=when)
    elif kind == "request":
        order.request_cancel(f"C-{two}", occurred_at=when)
    elif kind == "end" and one < 4:
        [order.reject, order.cancel, order.expire][one - 1]("no more", occurred_at=when)


@st.composite
def some_events(draw: st.DrawFn) -> tuple[list[RecordedEvent], list[RecordedEvent]]:
    """The events of an order, and some of them: the creating one and any others, in the order of their versions."""
    if draw(st.booleans()):
        order = draw(order_histories(commands_max=20)).play()[0]
    else:
        order = Order.create_market_order("ES", Decimal(20), OrderSide.BUY, occurred_at=EPOCH)
        for reported in draw(_REPORTS):
            with suppress(DomainError):
                report(order, *reported)
    events = recorded(order)
    wanted = draw(st.lists(st.booleans(), min_size=len(events) - 1, max_size=len(events) - 1))
    return events, [events[0], *(one for one, is_wanted in zip(events[1:], wanted, strict=True) if is_wanted)]


def facts(events: Sequence[RecordedEvent]) -> list[dict[str, Any]]:
    """The executions that count in these events, in shares of their end; from the definitions, in exact fractions."""
    counted: list[dict[str, Any]] = []
    splits = Fraction(1)

    def fact(event: Any, execution_id: Any) -> dict[str, Any]:
        told = Fraction(1) if event.split is None else Fraction(event.split.new, event.split.old)
        return {
            "key": (execution_id, event.account, event.venue),
            "quantity": Fraction(event.quantity) * splits / told,
            "price": Fraction(event.price) / splits * told,
            "fee": (event.commission_currency, Fraction(event.commission)),
        }

    for one in events:
        event: Any = one.event
        if isinstance(event, OrderSplit):
            ratio = Fraction(event.new) / Fraction(event.old)
            splits *= ratio
            for each in counted:
                each["quantity"] *= ratio
                each["price"] /= ratio
        elif isinstance(event, OrderFilled):
            counted.append(fact(event, event.execution_id))
        elif isinstance(event, OrderFillBusted | OrderFillCorrected):
            key = (event.execution_id, event.account, event.venue)
            found = next((each for each in counted if each["key"] == key), None)
            if found is not None:
                counted.remove(found)
                if isinstance(event, OrderFillCorrected):
                    counted.append(fact(event, event.new_execution_id))
    return counted


@usual
@given(some_events())
def test_any_events_of_an_order_fold_to_the_sums_of_their_facts(
    drawn: tuple[list[RecordedEvent], list[RecordedEvent]],
):
    """Filled quantity, cost and commissions are the sums over the executions that count in the events that are there."""
    _, events = drawn
    order = Order.fold(events)
    assert order is not None
    counted = facts(events)
    assert order.filled_quantity == sum(one["quantity"] for one in counted)
    assert order.filled_cost == sum(one["quantity"] * one["price"] for one in counted)
    fees: dict[str | None, Fraction] = {one.currency: Fraction(one.amount) for one in order.other_commissions}
    fees[None] = Fraction(order.commission)
    for currency in {None, *fees, *(one["fee"][0] for one in counted)}:
        total = sum(amount for named, amount in (one["fee"] for one in counted) if named == currency)
        assert fees.get(currency, 0) == total


@usual
@given(some_events())
def test_any_events_of_an_order_fold_to_a_state_that_the_rules_allow(
    drawn: tuple[list[RecordedEvent], list[RecordedEvent]],
):
    """The constructor takes it, nothing negative is left to trade, and its row goes on as it does."""
    everything, events = drawn
    order = Order.fold(events)
    assert order is not None
    fields = {name: getattr(order, name) for name in Order.model_fields if name not in ENVELOPE}
    adopted = Order(**fields)
    assert adopted.status is order.status
    assert order.leaves_quantity >= 0
    if order.status is OrderStatus.FILLED:
        assert order.filled_at is not None
    else:
        assert order.filled_at is None
    rest = [one for one in everything if one.version > events[-1].version]
    assert digits(Order.fold(rest, from_row(order))) == digits(Order.fold([*events, *rest]))


@usual
@given(some_events())
def test_the_order_of_the_reports_does_not_change_what_is_filled(
    drawn: tuple[list[RecordedEvent], list[RecordedEvent]],
):
    """Fills commute: reported in the opposite order they give the same sums and the same status."""
    everything, _ = drawn
    fills = [one for one in everything[1:] if isinstance(one.event, OrderFilled) and one.event.split is None]
    forward = Order.fold([everything[0], *_numbered(fills)])
    backward = Order.fold([everything[0], *_numbered(fills[::-1])])
    assert forward is not None
    assert backward is not None
    for name in ("filled_quantity", "filled_cost", "commission", "other_commissions", "status", "quantity"):
        assert getattr(forward, name) == getattr(backward, name)


def _numbered(events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    return [one._replace(version=version) for version, one in enumerate(events, 2)]
