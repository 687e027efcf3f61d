"""The rules of an order: its life, its fills, and what is refused."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-any-return"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

import decimal
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from eventstore.core.context import use_clock
from eventstore.domain.order import (
    Execution,
    ExecutionStatus,
    Order,
    OrderAmended,
    OrderCreated,
    OrderFilled,
    OrderReplaced,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from eventstore.errors import DomainError

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
ELEVEN = NINE + timedelta(hours=2)
D = Decimal


def limit_order(quantity="100", **details):
    details.setdefault("occurred_at", NINE)
    return Order.create_limit_order("AAPL", D(quantity), OrderSide.BUY, limit_price=D("150.00"), **details)


def in_state(status: OrderStatus) -> Order:
    """An order of 100 at 150.00 that came to `status` by commands, at ten."""
    order = limit_order()
    if status is OrderStatus.PENDING:
        return order
    if status is OrderStatus.REJECTED:
        order.reject("no such symbol", occurred_at=TEN)
        return order
    order.submit("B-1", occurred_at=TEN)
    if status is OrderStatus.SUBMITTED:
        return order
    order.fill(D(100 if status is OrderStatus.FILLED else 40), D("149.50"), "E-1", occurred_at=TEN)
    if status is OrderStatus.CANCELLED:
        order.cancel("by the user", occurred_at=TEN)
    if status is OrderStatus.EXPIRED:
        order.expire(occurred_at=TEN)
    return order


def test_a_new_order_is_pending_and_carries_what_it_was_given():
    """A factory's order is PENDING, made at the given time, with one creating event pending."""
    order = limit_order(time_in_force=TimeInForce.GTC, multiplier=D(50), strategy="s", tags=["a", "b"])
    assert order.status is OrderStatus.PENDING
    assert (order.order_type, order.limit_price, order.stop_price) == (OrderType.LIMIT, D("150.00"), None)
    assert (order.time_in_force, order.multiplier, order.strategy, order.tags) == ("GTC", 50, "s", ("a", "b"))
    assert order.created_at == NINE
    assert order.leaves_quantity == 100
    assert order.average_fill_price is None
    [pending] = order.pending_events
    assert isinstance(pending.event, OrderCreated)
    assert pending.event.occurred_at == NINE


@pytest.mark.parametrize(
    ("factory", "prices"),
    [
        (Order.create_market_order, {}),
        (Order.create_limit_order, {"limit_price": D(1)}),
        (Order.create_stop_order, {"stop_price": D(2)}),
        (Order.create_stop_limit_order, {"limit_price": D(1), "stop_price": D(2)}),
        (Order.create_trailing_stop_order, {"trailing_offset": D(3)}),
        (Order.create_trailing_stop_order, {"stop_price": D(2)}),
        (Order.create_market_on_close_order, {}),
        (Order.create_limit_on_close_order, {"limit_price": D(1)}),
        (Order.create_market_if_touched_order, {"stop_price": D(2)}),
        (Order.create_limit_if_touched_order, {"limit_price": D(1), "stop_price": D(2)}),
    ],
)
def test_each_factory_makes_its_type(factory, prices):
    """The factories set the type and the prices that belong to it."""
    order = factory(symbol="ES", quantity=D(1), side=OrderSide.SELL, **prices)
    assert factory.__name__ == f"create_{order.order_type.lower()}_order"
    names = ("limit_price", "stop_price", "trailing_offset")
    assert {name: getattr(order, name) for name in names} == dict.fromkeys(names) | prices


def test_a_life_from_submission_to_the_last_fill():
    """Fills add up to quantity, exact average and commission; the last one completes the order."""
    order = limit_order()
    order.submit("B-1", occurred_at=TEN)
    assert (order.status, order.broker_order_id, order.submitted_at) == ("SUBMITTED", "B-1", TEN)
    assert order.fill(D(60), D("149.50"), "E-1", commission=D("0.60"), occurred_at=TEN)
    assert (order.status, order.filled_quantity, order.leaves_quantity) == ("PARTIALLY_FILLED", 60, 40)
    assert order.filled_at is None
    assert order.fill(D(40), D("149.75"), "E-2", commission=D("0.40"), occurred_at=ELEVEN)
    assert (order.status, order.leaves_quantity, order.filled_at) == ("FILLED", 0, ELEVEN)
    assert order.average_fill_price == D("149.6")
    assert order.commission == D("1.00")
    assert order.execution_ids == ("E-1", "E-2")


def test_notional_has_the_multiplier():
    """The value of the fills in currency is quantity x price x multiplier."""
    order = limit_order(multiplier=D(50))
    order.fill(D(2), D("150"), "E-1")
    assert (order.filled_cost, order.filled_notional, order.average_fill_price) == (300, 15000, 150)


def test_a_fill_may_overtake_the_acknowledgement():
    """A fill on a PENDING order counts; the acknowledgement after it leaves the status."""
    order = limit_order()
    order.fill(D(40), D(150), "E-1", occurred_at=TEN)
    assert order.status is OrderStatus.PARTIALLY_FILLED
    order.submit("B-1", occurred_at=ELEVEN)
    assert (order.status, order.broker_order_id, order.submitted_at) == ("PARTIALLY_FILLED", "B-1", ELEVEN)
    with pytest.raises(DomainError, match="not_pending"):
        order.submit("B-1")


def test_a_repeated_execution_counts_once():
    """The same execution again changes nothing, says so, and emits nothing."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    events = order.pending_events
    assert not order.fill(D("40.0"), D("149.5"), "E-1", occurred_at=ELEVEN)
    assert order.pending_events == events
    assert order.filled_quantity == 40


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.EXPIRED])
def test_a_fill_that_happened_before_the_end_counts(status):
    """A fill at or before the cancel or expiry, reported after it, counts and leaves the status."""
    order = in_state(status)
    assert order.fill(D(10), D(150), "E-2", occurred_at=NINE)
    assert order.fill(D(50), D(150), "E-3", occurred_at=TEN)
    assert (order.status, order.filled_quantity, order.leaves_quantity) == (status, 100, 0)
    assert order.filled_at is None


def test_the_venues_time_tells_when_a_fill_happened():
    """Without `occurred_at` the venue's nanoseconds say when; they are kept digit for digit."""
    order = in_state(OrderStatus.CANCELLED)
    nanoseconds = int(TEN.timestamp()) * 10**9 + 999
    assert order.fill(D(1), D(150), "E-2", transact_time_ns=nanoseconds)
    event = order.pending_events[-1].event
    assert isinstance(event, OrderFilled)
    assert (event.transact_time_ns, event.occurred_at) == (nanoseconds, TEN)
    assert order.executions[-1].transact_time_ns == nanoseconds
    with pytest.raises(DomainError, match="fill_after_cancel"):
        order.fill(D(1), D(150), "E-3", transact_time_ns=nanoseconds + 1000, from_venue=False)


@pytest.mark.parametrize(
    ("quantities", "busted", "status"),
    [
        ([100], ["E-0"], "SUBMITTED"),
        ([60, 40], ["E-0"], "PARTIALLY_FILLED"),
        ([60, 40], ["E-0", "E-1"], "SUBMITTED"),
        ([60], ["E-0"], "SUBMITTED"),
    ],
)
def test_a_bust_takes_the_fill_back(quantities, busted, status):
    """A busted fill leaves quantity, cost and commission, and the status follows from what stays."""
    order = limit_order()
    order.submit("B-1")
    for number, quantity in enumerate(quantities):
        order.fill(D(quantity), D("149.37"), f"E-{number}", commission=D("0.1"))
    for execution_id in busted:
        assert order.bust_fill(execution_id, reason="erroneous")
        assert not order.bust_fill(execution_id)
    left = [q for number, q in enumerate(quantities) if f"E-{number}" not in busted]
    assert order.status == status
    assert order.filled_quantity == sum(left)
    assert order.filled_cost == sum(left) * D("149.37")
    assert order.commission == len(left) * D("0.1")
    assert order.filled_at is None
    assert not order.fill(D(quantities[0]), D("149.37"), "E-0", commission=D("0.1"))
    assert order.is_active


def test_a_bust_leaves_a_cancelled_order_cancelled():
    """What ended stays ended, whatever is busted."""
    order = in_state(OrderStatus.CANCELLED)
    order.bust_fill("E-1")
    assert (order.status, order.filled_quantity, order.cancelled_at) == ("CANCELLED", 0, TEN)


def test_a_correction_replaces_the_fill():
    """The corrected execution counts in place of the old one, and both are remembered."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    assert order.correct_fill(
        "E-1",
        quantity=D(100),
        price=D("149.40"),
        commission=D(1),
        new_execution_id="E-1c",
        occurred_at=ELEVEN,
    )
    assert (order.status, order.filled_quantity, order.average_fill_price) == ("FILLED", 100, D("149.40"))
    assert (order.commission, order.filled_at) == (1, ELEVEN)
    old, new = order.executions
    assert (old.status, new.status, new.corrects) == ("CORRECTED", "COUNTED", "E-1")
    assert new.occurred_at == old.occurred_at == TEN
    assert not order.correct_fill(
        "E-1", quantity=D(100), price=D("149.40"), commission=D(1), new_execution_id="E-1c"
    )
    assert not order.fill(D(40), D("149.50"), "E-1")
    with pytest.raises(DomainError, match=r"name E-1c \[order.execution_corrected\]"):
        order.bust_fill("E-1")
    order.bust_fill("E-1c")
    assert order.status is OrderStatus.SUBMITTED


def test_a_correction_may_keep_the_id():
    """A venue without an id for the correction: the old report and the new one are both known as repeats."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    assert order.correct_fill("E-1", price=D("149.40"))
    assert not order.correct_fill("E-1", price=D("149.40"))
    assert order.average_fill_price == D("149.40")
    assert not order.fill(D(40), D("149.50"), "E-1")
    assert not order.fill(D(40), D("149.40"), "E-1")
    assert order.correct_fill("E-1", quantity=D(30))
    assert order.filled_quantity == 30
    assert [execution.status for execution in order.executions] == ["CORRECTED", "CORRECTED", "COUNTED"]
    assert order.execution_ids == ("E-1",)


def test_a_correction_that_kept_the_id_is_known_when_it_no_longer_counts():
    """Reported again after a bust or after the next correction, it changes nothing; one that says more is refused."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    assert order.correct_fill("E-1", price=D("149.40"))
    order.bust_fill("E-1")
    assert not order.correct_fill("E-1", price=D("149.40"))
    with pytest.raises(DomainError, match="execution_busted"):
        order.correct_fill("E-1", price=D("149.30"))
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    assert order.correct_fill("E-1", price=D("149.40"))
    assert order.correct_fill("E-1", price=D("149.35"))
    assert not order.correct_fill("E-1", price=D("149.40"))
    assert order.correct_fill("E-1", price=D("149.30"), new_execution_id="E-1c")
    assert not order.correct_fill("E-1", price=D("149.40"))
    with pytest.raises(DomainError, match="execution_corrected"):
        order.correct_fill("E-1", price=D("149.20"))


def test_a_correction_is_no_repeat_of_a_fill():
    """A correction whose id another fill has is a conflict, even where the content is the same."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    order.fill(D(50), D(150), "E-2")
    with pytest.raises(DomainError, match="execution_conflict"):
        order.correct_fill("E-1", quantity=D(50), price=D(150), new_execution_id="E-2")


def test_a_correction_of_the_price_leaves_the_time_of_completion():
    """A filled order whose price alone is corrected was complete when it was."""
    order = in_state(OrderStatus.FILLED)
    order.correct_fill("E-1", price=D("149.40"), occurred_at=ELEVEN)
    assert (order.status, order.filled_at) == ("FILLED", TEN)
    order.correct_fill("E-1", quantity=D(99), occurred_at=ELEVEN)
    assert (order.status, order.filled_at) == ("PARTIALLY_FILLED", None)


def test_amending_changes_what_is_named():
    """An amend changes the named fields in one event, and none that are equal."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    assert order.amend(quantity=D(80), limit_price=D("151"), time_in_force=TimeInForce.GTC, occurred_at=TEN)
    event = order.pending_events[-1].event
    assert isinstance(event, OrderReplaced)
    assert dict(event.changes) == {"quantity": 80, "limit_price": 151, "time_in_force": "GTC"}
    assert (order.quantity, order.limit_price, order.status) == (80, 151, "PARTIALLY_FILLED")
    events = order.pending_events
    assert not order.amend(quantity=D("80.0"))
    assert order.pending_events == events


def test_amending_to_what_is_filled_completes_the_order():
    """Nothing is left to trade, so the order is FILLED, at the time of the amend."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    order.amend(quantity=D(40), occurred_at=ELEVEN)
    assert (order.status, order.leaves_quantity, order.filled_at) == ("FILLED", 0, ELEVEN)


FILL = (D(1), D(150), "E-9")
S = OrderStatus
ILLEGAL = [
    # From which status, what, and which rule refuses it.
    (S.SUBMITTED, lambda o: o.submit("B-2"), "order.not_pending"),
    (S.PARTIALLY_FILLED, lambda o: o.submit("B-2"), "order.not_pending"),
    (S.FILLED, lambda o: o.submit("B-2"), "order.not_pending"),
    (S.CANCELLED, lambda o: o.submit("B-2"), "order.not_pending"),
    (S.EXPIRED, lambda o: o.submit("B-2"), "order.not_pending"),
    (S.PENDING, lambda o: o.submit(""), "order.broker_order_id"),
    (S.PENDING, lambda o: o.submit("x" * 201), "order.broker_order_id"),
    (S.FILLED, lambda o: o.cancel(), "order.not_active"),
    (S.CANCELLED, lambda o: o.cancel(), "order.not_active"),
    (S.REJECTED, lambda o: o.cancel(), "order.not_active"),
    (S.EXPIRED, lambda o: o.cancel(), "order.not_active"),
    (S.SUBMITTED, lambda o: o.cancel("a\x00b"), "order.reason"),
    (S.FILLED, lambda o: o.expire(), "order.not_active"),
    (S.CANCELLED, lambda o: o.expire(), "order.not_active"),
    (S.REJECTED, lambda o: o.expire(), "order.not_active"),
    (S.EXPIRED, lambda o: o.expire(), "order.not_active"),
    (S.PARTIALLY_FILLED, lambda o: o.reject("no"), "order.not_rejectable"),
    (S.FILLED, lambda o: o.reject("no"), "order.not_rejectable"),
    (S.CANCELLED, lambda o: o.reject("no"), "order.not_rejectable"),
    (S.REJECTED, lambda o: o.reject("no"), "order.not_rejectable"),
    (S.EXPIRED, lambda o: o.reject("no"), "order.not_rejectable"),
    (S.PENDING, lambda o: o.fill(D(101), D(150), "E-9"), "order.overfill"),
    (S.PARTIALLY_FILLED, lambda o: o.fill(D("60.00000001"), D(150), "E-9"), "order.overfill"),
    (S.FILLED, lambda o: o.fill(*FILL), "order.overfill"),
    (S.CANCELLED, lambda o: o.fill(D(61), D(150), "E-9", occurred_at=TEN), "order.overfill"),
    (S.CANCELLED, lambda o: o.fill(*FILL, from_venue=False), "order.fill_after_cancel"),
    (
        S.CANCELLED,
        lambda o: o.fill(*FILL, occurred_at=TEN + timedelta(microseconds=1), from_venue=False),
        "order.fill_after_cancel",
    ),
    (S.EXPIRED, lambda o: o.fill(*FILL, occurred_at=ELEVEN), "order.fill_after_expiry"),
    (S.REJECTED, lambda o: o.fill(*FILL, occurred_at=NINE, from_venue=False), "order.fill_after_rejection"),
    (S.SUBMITTED, lambda o: o.fill(D(0), D(150), "E-9"), "order.quantity"),
    (S.SUBMITTED, lambda o: o.fill(D(-1), D(150), "E-9"), "order.quantity"),
    (S.SUBMITTED, lambda o: o.fill(D("NaN"), D(150), "E-9"), "order.quantity"),
    (S.SUBMITTED, lambda o: o.fill(1.0, D(150), "E-9"), "order.quantity"),
    (S.SUBMITTED, lambda o: o.fill(D(1), D("Infinity"), "E-9"), "order.price"),
    (S.SUBMITTED, lambda o: o.fill(D(1), 149.5, "E-9"), "order.price"),
    (S.SUBMITTED, lambda o: o.fill(D(1), D(150), ""), "order.execution_id"),
    (S.SUBMITTED, lambda o: o.fill(D(1), D(150), 7), "order.execution_id"),
    (S.SUBMITTED, lambda o: o.fill(*FILL, commission=0.1), "order.commission"),
    (S.SUBMITTED, lambda o: o.fill(*FILL, transact_time_ns=-1), "order.transact_time_ns"),
    (S.SUBMITTED, lambda o: o.fill(*FILL, transact_time_ns=1.7e18), "order.transact_time_ns"),
    (S.SUBMITTED, lambda o: o.fill(*FILL, transact_time_ns=2**63), "order.transact_time_ns"),
    (S.PARTIALLY_FILLED, lambda o: o.fill(D(41), D("149.50"), "E-1"), "order.execution_conflict"),
    (S.PARTIALLY_FILLED, lambda o: o.fill(D(40), D("149.51"), "E-1"), "order.execution_conflict"),
    (S.FILLED, lambda o: o.fill(D(40), D("149.50"), "E-1"), "order.execution_conflict"),
    (S.PARTIALLY_FILLED, lambda o: o.bust_fill("E-9"), "order.unknown_execution"),
    (S.PENDING, lambda o: o.bust_fill("E-1"), "order.unknown_execution"),
    (S.PARTIALLY_FILLED, lambda o: o.correct_fill("E-9", price=D(1)), "order.unknown_execution"),
    (S.PARTIALLY_FILLED, lambda o: o.correct_fill("E-1", quantity=D(101)), "order.overfill"),
    (S.PARTIALLY_FILLED, lambda o: o.correct_fill("E-1", quantity=D(0)), "order.quantity"),
    (S.PARTIALLY_FILLED, lambda o: o.correct_fill("E-1", price=1.5), "order.price"),
    (S.FILLED, lambda o: o.amend(limit_price=D(200)), "order.not_active"),
    (S.FILLED, lambda o: o.amend(quantity=D(99)), "order.quantity_below_filled"),
    (S.CANCELLED, lambda o: o.amend(quantity=D(200)), "order.not_active"),
    (S.REJECTED, lambda o: o.amend(quantity=D(200)), "order.not_active"),
    (S.EXPIRED, lambda o: o.amend(quantity=D(200)), "order.not_active"),
    (S.PARTIALLY_FILLED, lambda o: o.amend(quantity=D(39)), "order.quantity_below_filled"),
    (S.PENDING, lambda o: o.amend(quantity=D(0)), "order.quantity"),
    (S.PENDING, lambda o: o.amend(limit_price=1.5), "order.limit_price"),
    (S.PENDING, lambda o: o.amend(stop_price=D(1)), "order.stop_price"),
    (S.PENDING, lambda o: o.amend(time_in_force="FOREVER"), "order.time_in_force"),
    (S.PARTIALLY_FILLED, lambda o: setattr(o, "quantity", D(39)), "order.overfill"),
    (S.PARTIALLY_FILLED, lambda o: setattr(o, "status", "FILLED"), "order.status_and_quantity"),
    (S.PENDING, lambda o: setattr(o, "status", "DONE"), "order.status"),
    (S.PENDING, lambda o: setattr(o, "limit_price", None), "order.limit_price"),
    (S.PENDING, lambda o: setattr(o, "limit_price", 150.0), "order.limit_price"),
    (S.PENDING, lambda o: setattr(o, "average_fill_price", D(1)), "order.average_fill_price"),
    (S.PENDING, lambda o: setattr(o, "leaves_quantity", D(1)), "order.leaves_quantity"),
    (S.PENDING, lambda o: setattr(o, "colour", "red"), "order.colour"),
    (S.PENDING, lambda o: setattr(o, "version", 7), "order.version"),
    (
        S.PENDING,
        lambda o: o.amend_to({"status": "FILLED", "filled_quantity": D(99)}),
        "order.status_and_quantity",
    ),
    (S.PENDING, lambda o: o.amend_to({"colour": "red"}), "order.colour"),
]


@pytest.mark.parametrize(
    ("status", "command", "rule"), ILLEGAL, ids=[f"{s}-{r}-{n}" for n, (s, _, r) in enumerate(ILLEGAL)]
)
def test_what_a_rule_forbids_changes_nothing(status, command, rule):
    """Each illegal transition raises the error of its rule; state, events and assignments stay as they were."""
    order = in_state(status)
    before = order.model_dump_json(), order.pending_events, dict(order._assigned)
    with pytest.raises(DomainError) as refusal:
        command(order)
    assert refusal.value.rule == rule
    assert (order.model_dump_json(), order.pending_events, dict(order._assigned)) == before


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"quantity": D(0)}, "order.quantity"),
        ({"quantity": D(-5)}, "order.quantity"),
        ({"quantity": 0.5}, "order.quantity"),
        ({"quantity": True}, "order.quantity"),
        ({"quantity": D("1e40")}, "order.quantity"),
        ({"symbol": ""}, "order.symbol"),
        ({"side": "HOLD"}, "order.side"),
        ({"order_type": "LIMIT"}, "order.limit_price"),
        ({"order_type": "STOP_LIMIT", "limit_price": D(1)}, "order.stop_price"),
        ({"limit_price": D(1)}, "order.limit_price"),
        ({"stop_price": D(1)}, "order.stop_price"),
        ({"multiplier": D(0)}, "order.multiplier"),
        ({"tags": "abc"}, "order.tags"),
        ({"filled_quantity": D(11)}, "order.overfill"),
        ({"status": "FILLED"}, "order.status_and_quantity"),
        ({"status": "PENDING", "filled_quantity": D(1)}, "order.status_and_quantity"),
        ({"filled_cost": D(1)}, "order.filled_cost"),
        (
            {"status": "FILLED", "filled_quantity": D(10), "average_fill_price": 1.5},
            "order.average_fill_price",
        ),
        (
            {"status": "FILLED", "filled_quantity": D(10), "average_fill_price": D(2), "filled_cost": D(21)},
            "order.filled_cost",
        ),
        (
            {"executions": [{"execution_id": "E", "quantity": 1, "price": 1, "occurred_at": NINE}]},
            "order.executions",
        ),
    ],
)
def test_a_constructor_refuses_what_no_command_could_reach(values, rule):
    """A row adopted from elsewhere must keep the same rules."""
    with pytest.raises(DomainError) as refusal:
        Order(**{"symbol": "ES", "side": "BUY", "order_type": "MARKET", "quantity": D(10), **values})
    assert refusal.value.rule == rule


def test_an_adopted_order_goes_on():
    """An order made by its constructor with any status saves its whole state in its creating event, and goes on."""
    order = Order(
        symbol="ES",
        side=OrderSide.BUY,
        order_type=OrderType.MARKET,
        quantity=D(10),
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=D(4),
        average_fill_price=D("4500.25"),  # type: ignore[call-arg]
        created_at=NINE,
        submitted_at=NINE,
    )
    assert (order.filled_cost, order.average_fill_price) == (D("18001.00"), D("4500.25"))
    order.fill(D(6), D(4500), "E-1", occurred_at=TEN)
    created, filled = [pending.event for pending in order.pending_events]
    assert isinstance(created, OrderCreated)
    assert (created.status, created.filled_quantity, created.occurred_at) == ("PARTIALLY_FILLED", 4, NINE)
    assert isinstance(filled, OrderFilled)
    assert order.status is OrderStatus.FILLED


def test_an_order_cancelled_at_an_unknown_time_takes_no_simulated_fill():
    """Without the time of the cancel no fill can be shown to have come before it; a venue's own fill counts."""
    order = Order(
        symbol="ES",
        side=OrderSide.BUY,
        order_type=OrderType.MARKET,
        quantity=D(10),
        status=OrderStatus.CANCELLED,
    )
    with pytest.raises(DomainError, match="fill_after_cancel"):
        order.fill(D(1), D(1), "E-1", occurred_at=NINE, from_venue=False)
    assert order.fill(D(1), D(1), "E-1", occurred_at=NINE)
    assert order.was_filled_after_end


def test_what_must_agree_can_be_assigned_at_once():
    """`amend_to` validates all assignments together, and they become one event."""
    order = limit_order()
    order.amend_to({"status": OrderStatus.PARTIALLY_FILLED, "filled_quantity": D(10), "filled_cost": D(1500)})
    order.record_assignments(occurred_at=TEN)
    event = order.pending_events[-1].event
    assert isinstance(event, OrderAmended)
    assert set(event.changes) == {"status", "filled_quantity", "filled_cost"}
    assert order.average_fill_price == 150


def test_times_come_from_the_context_and_naive_ones_are_local():
    """Without `occurred_at` the context's clock counts; a naive datetime means local time, kept in UTC."""
    with use_clock(lambda: NINE):
        order = Order.create_market_order("ES", D(1), OrderSide.BUY)
        order.submit("B-1")
    assert order.created_at == order.submitted_at == NINE
    naive = datetime(2024, 1, 2, 12, 0)
    order.cancel(occurred_at=naive)
    assert order.cancelled_at == naive.astimezone(UTC)
    assert order.cancelled_at is not None
    assert order.cancelled_at.tzinfo is UTC


def test_the_callers_decimal_context_lets_nothing_through():
    """101 rounds to 100 at one digit, and is too many all the same."""
    order = in_state(OrderStatus.PARTIALLY_FILLED)
    with (
        decimal.localcontext(prec=1, rounding=decimal.ROUND_DOWN),
        pytest.raises(DomainError, match="overfill"),
    ):
        order.fill(D(61), D(150), "E-2")


def test_messages_say_what_to_do():
    """A refusal names the numbers and the way out."""
    with pytest.raises(DomainError, match=r"40 of 100 are filled, a fill of 70 is 10 too many: .*amend"):
        in_state(OrderStatus.PARTIALLY_FILLED).fill(D(70), D(1), "E-2")
    with pytest.raises(DomainError, match=r"quantity must be a Decimal, an int or a str, not float 0.1"):
        limit_order().fill(0.1, D(1), "E-2")


def test_an_execution_is_a_value():
    """Executions are frozen and validated."""
    execution = Execution(execution_id="E", quantity=D(1), price=D(-1), occurred_at=NINE)
    assert execution.counts
    assert execution.status is ExecutionStatus.COUNTED
    with pytest.raises(DomainError, match="quantity"):
        Execution(execution_id="E", quantity=D(0), price=D(1), occurred_at=NINE)
    with pytest.raises(ValueError, match="frozen"):
        execution.quantity = D(2)  # type: ignore[misc]
