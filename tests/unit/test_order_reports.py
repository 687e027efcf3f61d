"""What venues report of an order: late, repeated, beyond it, and after its end; requests, splits, orders of money."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call, no-any-return"
# Decimals are compared with integers on purpose, and the helpers take what a test wants to try.

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.core.event import RecordedEvent
from eventstore.domain.executions import EXECUTIONS_KEPT_MAX
from eventstore.domain.order import (
    Liquidity,
    Order,
    OrderFillBusted,
    OrderFilled,
    OrderReplaced,
    OrderSide,
    OrderSplit,
    OrderStatus,
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


def refused(rule, call):
    with pytest.raises(DomainError) as refusal:
        call()
    assert refusal.value.rule == rule
    return str(refusal.value)


def logged(order, pending):
    """Pending events of an order as the log would return them."""
    return [
        RecordedEvent(n, order.id, n, one.event_id, one.event, {}, NINE) for n, one in enumerate(pending, 1)
    ]


# ---- facts -------------------------------------------------------------------------------------------------


def test_an_event_of_a_fill_says_all_that_the_venue_said():
    """It is understood without any event before it."""
    order = limit_order(
        multiplier=D(50),
        portfolio_id=UUID(int=1),
        strategy="trend",
        account="U1",
        venue="XNAS",
        currency="USD",
        client_order_id="C-1",
    )
    order.submit("B-1")
    order.fill(
        D(10),
        D(150),
        "E-1",
        commission=D("0.01"),
        commission_currency="BNB",
        venue="BATS",
        liquidity=Liquidity.MAKER,
        position_ids=[UUID(int=3)],
        transact_time_ns=1_700_000_000_000_000_001,
    )
    event = order.pending_events[-1].event
    assert isinstance(event, OrderFilled)
    expected = {
        "symbol": "AAPL", "side": "BUY", "portfolio_id": UUID(int=1), "strategy": "trend", "account": "U1", "venue": "BATS",
        "currency": "USD", "multiplier": 50, "client_order_id": "C-1", "broker_order_id": "B-1", "execution_id": "E-1",
        "quantity": 10, "price": 150, "commission": D("0.01"), "commission_currency": "BNB", "liquidity": "MAKER",
        "position_ids": (UUID(int=3),), "transact_time_ns": 1_700_000_000_000_000_001, "split": None,
    }  # fmt: skip
    assert event.model_dump(exclude={"occurred_at"}) == expected
    [execution] = order.executions
    assert (execution.account, execution.venue, execution.position_ids) == ("U1", "BATS", (UUID(int=3),))


def test_a_fill_that_says_little_is_stored_in_few_words():
    """What is not known is left out of the JSON."""
    order = limit_order()
    order.fill(D(10), D(150), "E-1", occurred_at=TEN)
    assert order.pending_events[-1].event.to_json() == (
        b'{"symbol":"AAPL","side":"BUY","execution_id":"E-1","quantity":"10","price":"150","commission":"0"}'
    )


def test_a_commission_of_another_currency_is_kept_apart():
    """BNB is never added to dollars, and a bust takes it back where it was added."""
    order = limit_order(currency="USD")
    order.fill(D(10), D(150), "E-1", commission=D("0.5"))
    order.fill(D(10), D(150), "E-2", commission=D("0.25"), commission_currency="USD")
    order.fill(D(10), D(150), "E-3", commission=D("0.002"), commission_currency="BNB")
    order.fill(D(10), D(150), "E-4", commission=D("-0.001"), commission_currency="BNB")
    assert order.commission == D("0.75")
    assert [(one.currency, one.amount) for one in order.other_commissions] == [("BNB", D("0.001"))]
    order.bust_fill("E-3")
    order.bust_fill("E-4")
    assert (order.commission, order.other_commissions) == (D("0.75"), ())


def test_a_bust_never_happened_before_its_execution():
    """As of the bust's own time, the execution is there as well."""
    order = limit_order()
    order.fill(D(10), D(150), "E-1", occurred_at=ELEVEN)
    order.fill(D(10), D(150), "E-2", occurred_at=ELEVEN)
    order.bust_fill("E-1", occurred_at=TEN)
    order.correct_fill("E-2", price=D(151), occurred_at=TEN)
    assert [one.event.occurred_at for one in order.pending_events[-2:]] == [ELEVEN, ELEVEN]


# ---- which fill is a repeat --------------------------------------------------------------------------------


def test_an_execution_is_known_by_venue_and_id():
    """Venues count their ids up each for itself; the same id of another venue is another fill."""
    order = limit_order(venue="XNAS")
    assert order.fill(D(10), D(150), "1")
    assert order.fill(D(20), D(151), "1", venue="BATS")
    assert not order.fill(D(10), D(150), "1", venue="XNAS")
    assert not order.fill(D(20), D(151), "1", venue="BATS")
    assert order.filled_quantity == 30
    message = refused("order.ambiguous_execution", lambda: order.bust_fill("1"))
    assert "XNAS" in message
    assert "BATS" in message
    assert order.bust_fill("1", venue="BATS")
    assert order.filled_quantity == 10
    assert order.correct_fill("1", venue="XNAS", price=D(149))
    found = order.find_execution("1", venue="XNAS")
    assert found is not None
    assert (found.price, found.counts) == (149, True)


@pytest.mark.parametrize("no_id", [None, "0"])
def test_a_fill_without_an_id_is_never_a_repeat(no_id):
    """Dust conversions come with id 0, day after day."""
    order = limit_order()
    assert order.fill(D(10), D(150), no_id)
    assert order.fill(D(10), D(150), no_id)
    assert order.filled_quantity == 20


def test_a_conflict_says_both_contents():
    """What is known under the id, and what was reported now."""
    order = limit_order()
    order.fill(D(10), D(150), "E-1", commission=D(1))
    message = refused(
        "order.execution_conflict", lambda: order.fill(D(11), D(150), "E-1", commission_currency="BNB")
    )
    assert "known as BUY 10 at 150, commission 1, not as BUY 11 at 150, commission 0 BNB" in message


def filled_often(times=EXECUTIONS_KEPT_MAX + 8):
    order = limit_order("1000")
    for number in range(times):
        order.fill(D(1), D(150), f"E-{number}", occurred_at=TEN)
    return order


def reloaded(order):
    """The order as another process has it, and the events of it in the log."""
    order.record_assignments()
    events = logged(order, order.pending_events)
    again = Order.fold(events)
    assert again is not None
    return again, events


def of_ids(events, *ids):
    """What the log finds of some execution ids."""
    wanted = [
        {getattr(one.event, name, None) for name in ("execution_id", "new_execution_id")} for one in events
    ]
    return [one for one, of_one in zip(events, wanted, strict=True) if of_one & set(ids)]


def test_the_state_holds_the_last_executions_and_an_instance_knows_all_its_own():
    """The row stays small; a repeat of an execution that left it is known to the instance that counted it."""
    order = filled_often()
    assert len(order.executions) == EXECUTIONS_KEPT_MAX
    assert order.executions[0].execution_id == "E-8"
    assert not order.fill(D(1), D(150), "E-0")
    refused("order.execution_conflict", lambda: order.fill(D(2), D(150), "E-0"))
    assert order.bust_fill("E-0")
    assert not order.bust_fill("E-0")
    assert order.filled_quantity == EXECUTIONS_KEPT_MAX + 7
    assert order.correct_fill("E-1", quantity=D(3), new_execution_id="E-1c")
    assert not order.correct_fill("E-1", quantity=D(3), new_execution_id="E-1c")
    refused("order.execution_corrected", lambda: order.bust_fill("E-1"))
    assert order.filled_quantity == EXECUTIONS_KEPT_MAX + 9


def test_a_live_order_with_many_executions_equals_its_fold():
    """A bust or a correction of an execution that left the state says what it takes back."""
    order = filled_often()
    order.bust_fill("E-0")
    order.correct_fill("E-1", quantity=D(3), price=D(151), commission=D("0.1"), new_execution_id="E-1c")
    again, _ = reloaded(order)
    assert again.model_dump(exclude={"version"}) == order.model_dump(exclude={"version"})
    assert again.filled_quantity == EXECUTIONS_KEPT_MAX + 9


def test_what_a_loaded_order_cannot_know_is_asked_for():
    """An id that neither the state nor the instance has is asked for at the next append, once."""
    order, events = reloaded(filled_often())
    assert not order._ids_to_ask()
    assert order.fill(D(1), D(150), "E-99")
    assert order.fill(D(1), D(150), None)
    assert order._ids_to_ask() == ("E-99",)
    order._recall(["E-99"], of_ids(events, "E-99"))
    assert order._ids_to_ask() == ()
    assert not order.fill(D(1), D(150), "E-99")


def test_a_repeat_that_the_log_knows_is_refused_before_the_append():
    """With the same content, or with another: it says what was counted."""
    order, events = reloaded(filled_often())
    assert order.fill(D(2), D(150), "E-0")  # it cannot know better
    found = of_ids(events, *order._ids_to_ask())
    message = refused("order.execution_repeated", lambda: order._recall(order._ids_to_ask(), found))
    assert "BUY 1 at 150" in message


def test_an_order_that_asked_first_knows_the_repeat():
    """After `_recall`, which `uow.book` calls, an old execution is as well known as a new one."""
    order, events = reloaded(filled_often())
    message = refused("order.execution_not_loaded", lambda: order.bust_fill("E-0"))
    assert "uow.book" in message
    refused("order.execution_not_loaded", lambda: order.correct_fill("E-0", price=D(1)))
    order._recall(["E-0", "E-1"], of_ids(events, "E-0", "E-1"))
    assert not order.fill(D(1), D(150), "E-0")
    refused("order.execution_conflict", lambda: order.fill(D(2), D(150), "E-0"))
    assert order.bust_fill("E-0")
    assert not order.bust_fill("E-0")
    assert order.correct_fill("E-1", quantity=D(3))
    assert order.filled_quantity == EXECUTIONS_KEPT_MAX + 9


def test_what_is_recalled_is_as_it_is_now():
    """Busted and corrected executions are recalled as such, by their old ids and their new ones."""
    first = filled_often()
    first.bust_fill("E-0")
    first.correct_fill("E-1", quantity=D(3), new_execution_id="E-1c")
    for number in range(EXECUTIONS_KEPT_MAX):
        first.fill(D(1), D(150), f"F-{number}", occurred_at=TEN)
    order, events = reloaded(first)
    order._recall(["E-0", "E-1c"], of_ids(events, "E-0", "E-1c"))
    assert not order.bust_fill("E-0")
    assert not order.fill(D(1), D(150), "E-0")
    found = order.find_execution("E-1c")
    assert found is not None
    assert (found.quantity, found.counts, found.corrects) == (3, True, "E-1")
    assert order.bust_fill("E-1c")
    refused("order.unknown_execution", lambda: order._recall(["X"], []) or order.bust_fill("X"))


def test_an_execution_in_the_state_and_in_the_log_is_known_once():
    """A recall of what the state holds changes nothing."""
    order, events = reloaded(filled_often())
    order._recall(["E-39"], of_ids(events, "E-39"))
    assert order.bust_fill("E-39")
    assert not order.bust_fill("E-39")
    order.correct_fill("E-38", price=D(151))
    order._recall(["E-38"], of_ids(events, "E-38"))
    assert not order.correct_fill("E-38", price=D(151))
    found = order.find_execution("E-38")
    assert found is not None
    assert found.price == 151


def test_events_of_a_transaction_that_is_still_open_are_no_repeats():
    """A second append in one transaction finds the first one's events in the log."""
    order = reloaded(filled_often())[0]
    order.fill(D(1), D(150), "E-99")
    order._recall(["E-99"], logged(order, order.pending_events))
    assert order.filled_quantity == EXECUTIONS_KEPT_MAX + 9


# ---- what the venue says wins ------------------------------------------------------------------------------


def test_a_fill_after_the_cancel_counts_and_the_order_says_so():
    """The cancel timed out; the status stays, also where the fill completes the order."""
    order = limit_order()
    order.cancel("timed out", occurred_at=TEN)
    assert order.fill(D(60), D(150), "E-1", occurred_at=ELEVEN)
    assert (order.status, order.filled_quantity, order.was_filled_after_end) == ("CANCELLED", 60, True)
    assert order.fill(D(40), D(150), "E-2", occurred_at=ELEVEN)
    assert (order.status, order.filled_at, order.leaves_quantity) == ("CANCELLED", None, 0)


def test_a_fill_from_before_the_end_is_only_late():
    """It happened while the order was active."""
    order = limit_order()
    order.cancel(occurred_at=TEN)
    order.fill(D(60), D(150), "E-1", occurred_at=NINE)
    assert not order.was_filled_after_end


def test_a_fill_after_the_expiry_counts_if_the_venue_says_so():
    """Otherwise it is refused, with the word that is missing."""
    order = limit_order()
    order.expire(occurred_at=TEN)
    message = refused("order.fill_after_expiry", lambda: order.fill(D(1), D(150), "E-1", occurred_at=ELEVEN))
    assert "from_venue=True" in message
    assert order.fill(D(1), D(150), "E-1", occurred_at=ELEVEN, from_venue=True)
    assert (order.status, order.was_filled_after_end) == ("EXPIRED", True)


def test_a_fill_of_a_rejected_order_makes_it_active():
    """We believed that it was rejected; it is REJECTED only while nothing was ever filled."""
    order = limit_order()
    order.reject("no answer", occurred_at=TEN)
    assert order.fill(D(40), D(150), "E-1", occurred_at=NINE)
    assert (order.status, order.was_filled_after_end) == ("PARTIALLY_FILLED", True)
    order.bust_fill("E-1")
    assert order.status is OrderStatus.SUBMITTED
    refused("order.not_rejectable", lambda: order.reject("again"))


@pytest.mark.parametrize("end", ["cancel", "expire", "reject"])
def test_an_acknowledgement_after_the_end_keeps_the_id(end):
    """The broker's answer came last; the status stays."""
    order = limit_order()
    getattr(order, end)("done")
    status = order.status
    order.submit("B-1", occurred_at=ELEVEN)
    assert (order.status, order.broker_order_id, order.broker_order_ids) == (status, "B-1", ("B-1",))
    refused("order.not_pending", lambda: order.submit("B-1"))


def test_an_overfill_is_recorded_as_what_it_is():
    """Only where the caller says that it may be; the order is FILLED, and nothing is open."""
    order = limit_order()
    order.submit("B-1")
    refused("order.overfill", lambda: order.fill(D(101), D(150), "E-1"))
    assert order.fill(D(101), D(150), "E-1", allow_overfill=True, occurred_at=TEN)
    assert (order.status, order.leaves_quantity, order.overfilled_quantity) == ("FILLED", 0, 1)
    assert order.filled_at == TEN
    order.tags = ("checked",)  # it can still be assigned to
    assert order.amend(quantity=D(101))
    assert (order.status, order.overfilled_quantity) == ("FILLED", 0)
    order.correct_fill("E-1", quantity=D(200), allow_overfill=True)
    assert order.overfilled_quantity == 99


def test_a_filled_order_may_be_replaced_to_more():
    """It is partially filled then, and was never complete."""
    order = limit_order()
    order.fill(D(100), D(150), "E-1", occurred_at=TEN)
    assert order.amend(quantity=D(120), occurred_at=ELEVEN)
    assert (order.status, order.leaves_quantity, order.filled_at) == ("PARTIALLY_FILLED", 20, None)
    order.fill(D(20), D(150), "E-2", occurred_at=ELEVEN)
    assert (order.status, order.filled_at) == ("FILLED", ELEVEN)
    assert not order.amend(quantity=D(120))


# ---- ids, requests and replaces ----------------------------------------------------------------------------


def test_every_id_that_an_order_had_stays_known():
    """By a replace, by an acknowledgement, by an assignment and by the constructor."""
    order = limit_order(client_order_id="C-1")
    order.submit("B-1")
    order.amend(client_order_id="C-2", broker_order_id="B-2")
    event = order.pending_events[-1].event
    assert isinstance(event, OrderReplaced)
    assert event.changes == {"client_order_id": "C-2", "broker_order_id": "B-2"}
    order.client_order_id = "C-3"
    order.broker_order_id = "B-3"
    order.amend_to({"client_order_id": "C-4", "broker_order_id": "B-4"})
    assert (order.client_order_id, order.replaced_client_order_ids) == ("C-4", ("C-1", "C-2", "C-3"))
    assert (order.broker_order_id, order.broker_order_ids) == ("B-4", ("B-1", "B-2", "B-3", "B-4"))
    again, _ = reloaded(order)
    assert again.model_dump(exclude={"version"}) == order.model_dump(exclude={"version"})
    adopted = Order(symbol="A", side="BUY", order_type="MARKET", quantity=1, broker_order_id="B-9")
    assert adopted.broker_order_ids == ("B-9",)


def test_a_cancel_request_is_open_until_it_is_answered():
    """PENDING_CANCEL is active; a reject gives the status back that the facts have."""
    order = limit_order()
    assert order.request_cancel("C-2", occurred_at=TEN)
    assert not order.request_cancel("C-2")
    assert (order.status, order.is_active, order.leaves_quantity) == ("PENDING_CANCEL", True, 100)
    order.reject_request("unknown order", client_order_id="C-2")
    assert order.status is OrderStatus.PENDING
    order.submit("B-1")
    order.request_cancel("C-3")
    order.fill(D(40), D(150), "E-1")
    assert order.status is OrderStatus.PENDING_CANCEL
    order.reject_request("too late")
    assert order.status is OrderStatus.PARTIALLY_FILLED
    order.request_cancel("C-4")
    order.fill(D(60), D(150), "E-2")
    assert order.status is OrderStatus.FILLED
    order.bust_fill("E-2")
    assert order.status is OrderStatus.PENDING_CANCEL
    order.cancel()
    assert (order.status, order.requests) == ("CANCELLED", ())


def test_two_replace_requests_are_answered_each_for_itself():
    """A replace answers the request of its client order id, or the oldest; a cancel request shows through both."""
    order = limit_order(client_order_id="C-1")
    order.submit("B-1")
    order.request_replace(quantity=D(80), client_order_id="C-2")
    order.request_replace(quantity=D(60), client_order_id="C-3")
    assert (order.status, order.quantity) == ("PENDING_REPLACE", 100)
    order.request_cancel("C-4")
    assert order.status is OrderStatus.PENDING_CANCEL
    order.amend(quantity=D(60), client_order_id="C-3")
    assert [request.client_order_id for request in order.requests] == ["C-2", "C-4"]
    order.reject_request(client_order_id="C-4")
    assert order.status is OrderStatus.PENDING_REPLACE
    order.amend(quantity=D(70))
    assert (order.status, order.requests, order.client_order_id) == ("SUBMITTED", (), "C-3")


def test_a_replace_that_changes_nothing_answers_its_request():
    """The venue accepted what the order had already."""
    order = limit_order()
    assert not order.amend(quantity=D(100))
    order.request_replace(quantity=D(100))
    assert order.amend(quantity=D(100))
    assert (order.requests, order.status) == ((), "PENDING")


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (lambda o: o.reject_request("no"), "order.no_request"),
        (lambda o: o.cancel() or o.request_cancel(), "order.not_active"),
        (lambda o: o.cancel() or o.request_replace(), "order.not_active"),
        (lambda o: o.request_cancel(""), "order.client_order_id"),
        (lambda o: o.request_replace(stop_price=D(1)), "order.stop_price"),
        (lambda o: o.request_replace(cash_quantity=D(1)), "order.cash_quantity"),
        (lambda o: o.amend(trailing_offset=D(1)), "order.trailing_offset"),
        (lambda o: o.amend(expire_at=NINE), "order.expire_at"),
        (lambda o: o.amend(cash_quantity=D(1)), "order.cash_quantity"),
        (lambda o: o.complete(), "order.cash_quantity"),
        (lambda o: o.split(0), "order.split"),
        (lambda o: o.split(1, -1), "order.split"),
        (lambda o: o.split(0.5), "order.split"),
        (lambda o: o.split(D("1E-30")), "order.split"),
        (lambda o: o.change_symbol(""), "order.symbol"),
        (lambda o: o.bust_fill(""), "order.execution_id"),
        (lambda o: o.fill(D(1), D(1), "E") and o.bust_fill("E", occurred_at="soon"), "order.occurred_at"),
        (lambda o: o.fill(D(1), D(1), "E", liquidity="SOME"), "order.liquidity"),
        (lambda o: o.fill(D(1), D(1), "E", position_ids=["x"]), "order.position_ids.0"),
    ],
)
def test_what_a_rule_forbids_is_refused_by_name(command, rule):
    """Each refusal names its rule."""
    refused(rule, lambda: command(limit_order()))


def test_an_order_until_a_date():
    """GTD may say its time; another time in force has none, and a replace to it drops it."""
    order = limit_order(time_in_force=TimeInForce.GTD, expire_at=ELEVEN)
    assert order.expire_at == ELEVEN
    order.amend(expire_at=TEN)
    assert order.expire_at == TEN
    order.amend(time_in_force=TimeInForce.DAY)
    assert (order.time_in_force, order.expire_at) == ("DAY", None)
    assert limit_order(time_in_force=TimeInForce.GTD).expire_at is None
    refused("order.expire_at", lambda: limit_order(expire_at=ELEVEN))


# ---- orders of an amount of money --------------------------------------------------------------------------


def cash_order(**details):
    return Order.create_market_order("SPY", None, OrderSide.BUY, cash_quantity=D(5000), **details)


def test_an_order_of_money_is_filled_when_its_value_is_reached():
    """Its quantity is known then; a bust takes it back."""
    order = cash_order(multiplier=D(1))
    order.submit("B-1")
    order.fill(D(9), D(500), "E-1")
    assert (order.status, order.quantity, order.leaves_quantity) == ("PARTIALLY_FILLED", None, 0)
    assert order.leaves_cash == 500
    order.fill(D(1), D(500), "E-2", occurred_at=TEN)
    assert (order.status, order.quantity, order.leaves_cash, order.filled_at) == ("FILLED", 10, 0, TEN)
    order.bust_fill("E-2")
    assert (order.status, order.quantity, order.filled_at) == ("PARTIALLY_FILLED", None, None)


def test_an_order_of_money_is_filled_when_the_venue_is_done():
    """The rest buys no further share."""
    order = cash_order()
    order.fill(D("9.87"), D("506.10"), "E-1")
    assert order.complete(occurred_at=TEN)
    assert (order.status, order.quantity, order.filled_at) == ("FILLED", D("9.87"), TEN)
    assert not order.complete()
    assert order.amend(cash_quantity=D(6000))
    assert (order.status, order.quantity) == ("PARTIALLY_FILLED", None)


def test_an_order_needs_a_quantity_or_an_amount():
    """One of them, and not both."""
    refused("order.quantity", lambda: Order.create_market_order("SPY", None, OrderSide.BUY))
    refused(
        "order.cash_quantity",
        lambda: Order.create_market_order("SPY", D(1), OrderSide.BUY, cash_quantity=D(5000)),
    )
    refused("order.quantity", lambda: cash_order().amend(quantity=D(3)))
    refused("order.nothing_filled", lambda: cash_order().complete())


# ---- corporate actions -------------------------------------------------------------------------------------


def test_a_split_restates_the_order_and_its_executions():
    """Two for one: twice the shares at half the price, and the cost to the last digit."""
    order = limit_order("10000", display_quantity=D(500))
    order.fill(D(2000), D(50), "E-1", commission=D(3), occurred_at=TEN)
    order.split(2)
    assert (order.quantity, order.filled_quantity, order.limit_price) == (20000, 4000, 75)
    assert (order.filled_cost, order.average_fill_price, order.display_quantity) == (100000, 25, 1000)
    [execution] = order.executions
    assert (execution.quantity, execution.price, execution.cost) == (4000, 25, 100000)
    assert order.status is OrderStatus.PARTIALLY_FILLED
    assert order.bust_fill("E-1")
    assert (order.filled_quantity, order.filled_cost, order.commission, order.status) == (
        0,
        0,
        0,
        "SUBMITTED",
    )


def test_a_split_with_a_remainder_leaves_nothing_behind():
    """Three for seven, and all that was filled is busted: no share and no cent is left."""
    order = limit_order("100")
    for number, price in enumerate(["149.50", "150.25", "0.10"]):
        order.fill(D(11), D(price), f"E-{number}")
    cost = order.filled_cost
    order.split(3, 7)
    assert order.filled_cost == cost
    for number in range(3):
        assert order.bust_fill(f"E-{number}")
    assert (order.filled_quantity, order.filled_cost) == (0, 0)


def test_a_repeat_after_a_split_is_known_in_old_shares_and_in_new_ones():
    """A venue may report the trade again as it was, or restated."""
    order = limit_order("10000")
    order.fill(D(2000), D(50), "E-1")
    order.split(2)
    assert not order.fill(D(2000), D(50), "E-1")
    assert not order.fill(D(4000), D(25), "E-1")
    refused("order.execution_conflict", lambda: order.fill(D(2000), D(25), "E-1"))
    assert order.correct_fill("E-1", commission=D(1))
    assert (order.filled_quantity, order.filled_cost, order.commission) == (4000, 100000, 1)


def test_an_execution_from_before_a_split_is_recalled_in_shares_of_now():
    """What the log has is in the shares of then, and its event says of which."""
    first = limit_order("10000")
    first.fill(D(2000), D(50), "OLD", occurred_at=TEN)
    first.split(3, 2)
    first.split(2)
    for number in range(EXECUTIONS_KEPT_MAX):
        first.fill(D(3), D(17), f"E-{number}", occurred_at=TEN)
    cost = first.filled_cost
    order, events = reloaded(first)
    order._recall(["OLD"], of_ids(events, "OLD"))
    assert order.bust_fill("OLD")
    assert (order.filled_quantity, order.filled_cost) == (3 * EXECUTIONS_KEPT_MAX, cost - 100000)
    assert order.model_dump(exclude={"version"}) == reloaded_with(order, events)


def reloaded_with(order, events):
    more = [
        RecordedEvent(len(events) + n, order.id, len(events) + n, one.event_id, one.event, {}, NINE)
        for n, one in enumerate(order.pending_events, 1)
    ]
    again = Order.fold([*events, *more])
    assert again is not None
    return again.model_dump(exclude={"version"})


def test_a_split_by_hand_is_a_split():
    """Both quantities in one ratio and no word of the cost: the executions follow, and the log says so."""
    order = limit_order("10000")
    order.fill(D(2000), D(5), "E-1", occurred_at=TEN)
    order.amend_to({"quantity": D(1000), "filled_quantity": D(200), "limit_price": D(50)})
    assert (order.average_fill_price, order.leaves_quantity) == (50, 800)
    assert order.executions[0].quantity == 200
    again, _ = reloaded(order)
    assert again.model_dump(exclude={"version"}) == order.model_dump(exclude={"version"})
    order.bust_fill("E-1")
    assert (order.filled_quantity, order.filled_cost) == (0, 0)


def test_another_symbol():
    """The order goes on under it, and the event names both."""
    order = limit_order()
    assert order.change_symbol("META")
    assert not order.change_symbol("META")
    assert order.symbol == "META"
    order.fill(D(1), D(150), "E-1")
    assert order.pending_events[-1].event.symbol == "META"


# ---- folds of some of the events ---------------------------------------------------------------------------


def folded_without(order, *left_out):
    """The state without the events of some classes."""
    order.record_assignments()
    kept = [one for one in logged(order, order.pending_events) if not isinstance(one.event, left_out)]
    state = Order.fold(kept)
    assert state is not None
    return state


def test_a_bust_without_its_fill_takes_nothing_back():
    """An order as of before the report of the fill."""
    order = limit_order()
    order.fill(D(10), D(150), "E-1", occurred_at=TEN)
    order.bust_fill("E-1")
    state = folded_without(order, OrderFilled)
    assert (state.filled_quantity, state.status, state.executions) == (0, "PENDING", ())


def test_a_fill_beyond_a_replace_that_is_missing_is_complete():
    """FILLED at or beyond the quantity, never by equality."""
    order = limit_order()
    order.amend(quantity=D(150))
    order.fill(D(150), D(150), "E-1")
    state = folded_without(order, OrderReplaced)
    assert (state.status, state.leaves_quantity, state.overfilled_quantity) == ("FILLED", 0, 50)


def test_a_fill_after_a_split_that_is_missing_counts_in_old_shares():
    """As of before the split, a late fill that was reported after it is as many old shares."""
    order = limit_order()
    order.split(2)
    order.fill(D(50), D(75), "E-1")
    state = folded_without(order, OrderSplit)
    assert (state.filled_quantity, state.filled_cost, state.quantity) == (25, 3750, 100)


def test_an_amendment_without_a_status_leaves_one_that_fits():
    """A quantity that was assigned when more was filled than the fold knows of."""
    order = limit_order()
    order.fill(D(60), D(150), "E-1")
    order.fill(D(20), D(150), "E-2")
    order.bust_fill("E-2")
    order.quantity = D(70)
    state = folded_without(order, OrderFillBusted)
    assert (state.status, state.filled_quantity) == ("FILLED", 80)
