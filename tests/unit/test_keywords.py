"""A keyword that nobody takes is refused by name; none is dropped."""

# mypy: disable-error-code="truthy-bool, call-arg, misc, arg-type, attr-defined, no-untyped-call, typeddict-item, unused-ignore"

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from uuid import UUID

import pytest

from eventstore import DatabaseConfig, Entity, Event, Order, OrderSide, Portfolio, Position, applies
from eventstore.domain.order import OrderDetails
from eventstore.domain.position import PositionDetails
from eventstore.errors import ConfigurationError, DomainError
from eventstore.testing import InMemoryUnitOfWorkFactory

D = Decimal

ORDER_FACTORIES = {
    "create_market_order": {},
    "create_limit_order": {"limit_price": D(2)},
    "create_stop_order": {"stop_price": D(2)},
    "create_stop_limit_order": {"stop_price": D(2), "limit_price": D(2)},
}


class Ticket(Order, category="test_ticket"):
    """An order with a field more, and streams of its own."""

    desk_reference: str | None = None


class Unkept(Order):
    """An order with a field more that no event has."""

    desk_reference: str | None = None


class Holding(Position, category="test_holding"):
    """A position with a field more, and streams of its own."""

    desk_reference: str | None = None


class Dial(Entity, category="test_dial"):
    """An entity one of whose events is applied by a method with a typing error."""

    name: str
    level: int = 0

    def turn(self):
        """Turn it, by a method that does it right."""
        self.emit(DialTurned())

    def break_off(self):
        """Break it off, by a method that does not."""
        self.emit(DialBroken())

    @cached_property
    def label(self):
        """What is computed once, and kept among the attributes."""
        return self.name.upper()


class DialTurned(Event, category="test_turnable"):
    """It was turned."""


class DialBroken(Event, category="test_turnable"):
    """It was broken off."""


class Turnable(Dial, category="test_turnable"):
    """A dial whose events are applied."""

    @applies(DialTurned)
    def _turned(self, _event):
        assert self.label == "A"
        self.set(level=self.level + 1)

    @applies(DialBroken)
    def _broken(self, _event):
        self.set(level=0)
        self.set(lewel=-1)


def make_order(factory, cls=Order, **keywords):
    return getattr(cls, factory)("A", D(1), OrderSide.BUY, **(ORDER_FACTORIES[factory] | keywords))


@pytest.mark.parametrize("factory", ORDER_FACTORIES)
def test_a_factory_of_orders_refuses_an_unknown_keyword(factory):
    """The error names the factory and the keyword, and the one that was probably meant."""
    with pytest.raises(
        DomainError, match=rf"Order.{factory}\(\) takes no extra keyword 'stratgy': did you mean 'strategy'"
    ) as caught:
        make_order(factory, stratgy="alpha")
    assert caught.value.rule == "order.stratgy"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["status", "filled_quantity", "broker_order_id", "version", "created_at"])
def test_a_factory_refuses_a_field_that_it_does_not_set(name):
    """A field of the class is no keyword of a factory unless it says so."""
    with pytest.raises(DomainError, match=f"takes no extra keyword '{name}'"):
        make_order("create_market_order", **{name: None})


def test_a_factory_refuses_the_price_of_another_type():
    """A market order has no price: one that is given is not dropped."""
    with pytest.raises(DomainError, match="takes no extra keyword 'limit_price'"):
        make_order("create_market_order", limit_price=D(1))
    with pytest.raises(DomainError, match="takes no extra keyword 'stop_price'"):
        make_order("create_limit_order", stop_price=D(1))


@pytest.mark.parametrize("factory", ORDER_FACTORIES)
def test_every_keyword_that_a_factory_of_orders_lists_is_kept(factory):
    """What `OrderDetails` lists is what the factories set."""
    given = {
        "time_in_force": "GTD", "expire_at": datetime(2030, 1, 1, tzinfo=UTC), "multiplier": D(50), "strategy": "trend",
        "client_order_id": "C-1", "parent_id": UUID(int=1), "list_id": "L-1", "account": "A-1", "venue": "XNYS",
        "currency": "USD", "position_side": "LONG", "reduce_only": True, "post_only": True, "short_sale": True,
        "display_quantity": D(1), "portfolio_id": UUID(int=2), "tags": ("a",),
    }  # fmt: skip
    others = {"details": {"desk": "7"}, "cash_quantity": None, "id": None, "occurred_at": None}
    assert (given | others).keys() == OrderDetails.__annotations__.keys()
    order = make_order(factory, **given, **others)
    assert {name: getattr(order, name) for name in given} == given
    assert dict(order.details) == {"desk": "7"}


def test_opening_a_position_refuses_an_unknown_keyword():
    """A misspelt limit is not a limit that is not there."""
    with pytest.raises(DomainError, match="did you mean 'stop_loss_price'") as caught:
        Position.open_position("A", D(1), D(2), stop_los_price=D(1))
    assert caught.value.rule == "position.stop_los_price"
    given = {"multiplier": D(3), "tags": (), "details": {}}
    for name in PositionDetails.__annotations__:
        assert Position.open_position("A", D(1), D(2), **{name: given.get(name)})


@pytest.mark.parametrize("made", [lambda **k: Portfolio(name="a", initial_capital=D(1), **k), DialTurned])
def test_a_constructor_refuses_an_unknown_keyword_in_the_same_words(made):
    """Constructors say what factories say."""
    with pytest.raises(DomainError, match="takes no extra keyword 'occured_at'"):
        made(occured_at=None)


def test_a_constructor_names_the_keyword_that_was_probably_meant():
    """The close match is named."""
    with pytest.raises(DomainError, match="did you mean 'initial_capital'"):
        Portfolio(name="a", inital_capital=D(1), initial_capital=D(1))


def test_a_field_of_a_subclass_is_kept_where_its_creating_event_has_it():
    """A subclass with streams of its own keeps its own field, from every factory."""
    for factory in ORDER_FACTORIES:
        ticket = make_order(factory, Ticket, desk_reference="C1")
        assert type(ticket) is Ticket
        assert ticket.desk_reference == "C1"
        assert ticket.pending_events[0].event.desk_reference == "C1"
    holding = Holding.open_position("A", D(1), D(2), desk_reference="C1")
    assert holding.pending_events[0].event.desk_reference == "C1"
    opposite = holding.apply_fill(OrderSide.SELL, D(3), D(2), "E1")
    assert type(opposite) is Holding
    assert (opposite.desk_reference, opposite.quantity) == ("C1", D(-2))


def test_a_field_of_a_subclass_that_no_event_has_is_refused():
    """The field would be lost with the first append."""
    with pytest.raises(
        DomainError, match="cannot keep 'desk_reference': the creating event OrderCreated"
    ) as caught:
        make_order("create_limit_order", Unkept, desk_reference="C1")
    assert caught.value.rule == "order.desk_reference"


def test_an_entity_is_created_by_its_own_creating_event_alone():
    """Another event, whose fields the entity may not have, is refused."""
    with pytest.raises(DomainError, match="Turnable is created by TurnableCreated, not by DialTurned"):
        Turnable.create(DialTurned())


@pytest.mark.parametrize("base", [Event, Entity])
@pytest.mark.parametrize(
    ("keyword", "hint"), [("categroy", "did you mean 'category'"), ("table", "there are category")]
)
def test_a_class_statement_refuses_an_unknown_keyword(base, keyword, hint):
    """A misspelt category would leave an event out of the registry."""
    with pytest.raises(ConfigurationError, match=f"class Odd has no keyword '{keyword}': {hint}"):
        type(base)("Odd", (base,), {"__module__": __name__, "__qualname__": "Odd"}, **{keyword: "odd"})


def test_a_class_statement_takes_what_pydantic_and_a_base_class_take():
    """Pydantic's own settings, and the keywords of a user's base class, are not refused."""

    class Base(Event):
        """A base class with a keyword of its own."""

        def __init_subclass__(cls, *, venue=None, **keywords):
            super().__init_subclass__(**keywords)
            cls.venue = venue

    class Halted(Base, category="test_halt", venue="XNYS", title="Halt"):
        """Trading was halted."""

    assert (Halted.venue, Halted.category, Halted.model_config["title"]) == ("XNYS", "test_halt", "Halt")


def test_an_applier_that_sets_what_is_no_field_is_found():
    """The event is not emitted, and the state is as it was, also what the method set before."""
    dial = Turnable(name="a", level=3)
    dial.turn()
    assert dial.level == 4
    with pytest.raises(
        DomainError, match=r"@applies\(DialBroken\) sets 'lewel', which is not a field: did you mean 'level'"
    ):
        dial.break_off()
    assert (dial.level, [pending.event.type for pending in dial.pending_events]) == (
        4,
        ["TurnableCreated", "DialTurned"],
    )
    assert "lewel" not in dial.__dict__


def test_a_setting_that_does_not_exist_is_refused():
    """The configuration names the setting that was probably meant, when it is made and when it is changed."""
    with pytest.raises(
        ConfigurationError, match="has no setting 'max_poolsize': did you mean 'max_pool_size'"
    ):
        DatabaseConfig(max_poolsize=3)
    with pytest.raises(
        ConfigurationError, match="has no setting 'comand_timeout': did you mean 'command_timeout'"
    ):
        DatabaseConfig().replace(comand_timeout=3)


def test_a_unit_of_work_refuses_an_unknown_keyword():
    """So does everything that is made by a plain function."""
    with pytest.raises(TypeError, match="acter"):
        InMemoryUnitOfWorkFactory().create_unit_of_work(acter="me")


def test_an_entity_is_shown_in_a_few_words():
    """Class, id and what tells it from others; an error that shows one is one short line."""
    order = make_order("create_limit_order", tags=[str(n) for n in range(500)])
    assert (
        repr(order)
        == str(order)
        == f"<Order {order.id} version 0 symbol='A' side=BUY order_type=LIMIT quantity=1 status=PENDING>"
    )
    portfolio = Portfolio(name="Main\nBook", initial_capital=D(1))
    assert repr(portfolio) == f"<Portfolio {portfolio.id} version 0 name='Main\\nBook'>"
    position = Position.open_position("A", D(1), D(2))
    assert repr(position) == f"<Position {position.id} version 0 symbol='A' quantity=1>"
    assert repr(Turnable(name="x" * 10_000)).endswith("xxx...>")
    with pytest.raises(DomainError) as caught:
        make_order("create_market_order", portfolio_id=portfolio)
    assert str(portfolio.id) in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_error_cuts_a_long_value():
    """What was given is shown as far as it helps."""
    with pytest.raises(DomainError) as caught:
        make_order("create_market_order", portfolio_id="x" * 10_000)
    assert len(str(caught.value)) < 500
