"""What an entity holds is in its events, or the entity is refused by name; it is never saved without a field."""

# mypy: disable-error-code="no-untyped-call, call-arg, unused-ignore"

from __future__ import annotations

import warnings
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, create_model

from eventstore.core import Entity, Event, applies
from eventstore.core.entity_state import replica
from eventstore.core.event import RecordedEvent
from eventstore.domain import Order, OrderSide, Portfolio
from eventstore.errors import (
    ConfigurationError,
    DomainError,
    EventDecodingError,
    EventStoreError,
    RepositoryError,
)
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory

D = Decimal


class Begun(Event, category="storable"):
    """An entity began."""

    name: str


class Ended(Event, category="ended elsewhere"):
    """An event of another category."""


class Plan(Entity, category="storable", created=Begun):
    """An entity with fields that its creating event lacks."""

    name: str
    note: str | None = None
    price: D = 0  # type: ignore[assignment]  # as users write it
    exclamation: Annotated[str, AfterValidator(lambda text: text + "!")] = "a"
    quantity: int | None = Field(default=None, alias="orderQty")

    def end(self) -> None:
        """Emit an event of another category."""
        self.emit(Ended())

    @applies(Ended)
    def _ended(self, _event: Ended) -> None:
        self.set(note="ended")

    @cached_property
    def title(self) -> str:
        """What is computed once and kept."""
        return self.name.title()


class LongPlan(Plan):
    """A subclass with a field of its own."""

    horizon: int = 1


class LoudPlan(Plan):
    """A subclass with methods alone."""


class TodaysPlan(Entity, category="storable", created=Begun):
    """The same entity, with a field that old creating events lack."""

    name: str
    risk: D


class MyOrder(Order):
    """An order with a field of its own."""

    desk_reference: str | None = None


class OwnOrder(Order, category="own order"):
    """An order with streams of its own."""

    desk: str | None = None


async def saved(entity: Any) -> Any:
    """Save an entity, and load it by another Unit of Work."""
    factory = InMemoryUnitOfWorkFactory(InMemoryDatabase())
    async with factory.create_unit_of_work() as uow:
        await uow.entities(type(entity)).save(entity)
    async with factory.create_unit_of_work() as uow:
        return await uow.entities(type(entity)).get(entity.id)


async def test_what_the_constructor_was_given_comes_back():
    """Fields that the creating event lacks, fields with aliases, defaults, and values that a validator changes each time."""
    plan = Plan(name="a", note="b", orderQty=3)
    assert plan.title == "A"
    found = await saved(plan)
    assert (found.note, found.quantity, found.exclamation, found.price) == ("b", 3, plan.exclamation, D(0))
    assert type(found.price) is D
    assert found == replica(plan).model_copy(update={"version": found.version})


async def test_what_was_assigned_comes_back():
    """Also where a validator changes a value each time, and by the name of a field that has an alias."""
    plan = Plan.create(Begun(name="a"))
    plan.exclamation, plan.quantity, plan.note = "b", 4, "c"
    plan.amend_to({"quantity": 5})
    found = await saved(plan)
    assert (found.exclamation, found.quantity, found.note) == ("b!", 5, "c")


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        (LongPlan(name="a"), "horizon"),
        (LongPlan(name="a", horizon=2), "horizon"),
        (
            MyOrder.create_market_order("ES", D(1), OrderSide.BUY),
            "desk_reference",
        ),
    ],
)
async def test_a_subclass_with_a_field_of_its_own_is_not_saved(entity: Entity, name: str):
    """By name, whatever the field's value; nothing is written."""
    database = InMemoryDatabase()
    factory = InMemoryUnitOfWorkFactory(database)
    writes: list[Any] = [
        lambda uow: uow.entities(type(entity)).save(entity),
        lambda uow: uow.entities(type(entity)).update(entity),
        lambda uow: uow.entities(type(entity)).get(entity.id),
    ]
    if isinstance(entity, Order):
        writes += [
            lambda uow: uow.orders.save_order(entity),
            lambda uow: uow.orders.save_many([entity]),
        ]
    for write in writes:
        async with factory.create_unit_of_work() as uow:
            with pytest.raises(
                EventStoreError, match=f"{type(entity).__name__} cannot be saved.*{name}"
            ) as told:
                await write(uow)
            assert "\n" not in str(told.value)
    assert database.events == []
    assert entity.version == 0


async def test_a_subclass_with_methods_alone_is_saved():
    """It has nothing that could be lost."""
    found = await saved(LoudPlan(name="a", note="b"))
    assert type(found) is LoudPlan
    assert found.note == "b"


async def test_an_entity_with_streams_of_its_own_is_no_order():
    """The repository of orders would not find it again."""
    order = OwnOrder.create_market_order("ES", D(1), OrderSide.BUY, desk="a")
    async with InMemoryUnitOfWorkFactory(InMemoryDatabase()).create_unit_of_work() as uow:
        with pytest.raises(RepositoryError, match=r"save it with uow.entities\(OwnOrder\)"):
            await uow.orders.save_order(order)
    assert (await saved(order)).desk == "a"


@pytest.mark.parametrize("make", [lambda: Plan(name="a"), lambda: Plan.create(Begun(name="a"))])
async def test_an_event_of_another_category_is_not_saved(make: Any):
    """The stream would be that of an entity of another kind."""
    plan = make()
    plan.end()
    with pytest.raises(RepositoryError, match="its event Ended is of ended elsewhere"):
        await saved(plan)


def test_a_field_that_the_creating_event_lacks_is_named():
    """By whoever makes the entity, and by whoever loads it, with the stream; never a bare KeyError."""
    with pytest.raises(DomainError, match=r"TodaysPlan\.risk has no value.*creating event Begun"):
        TodaysPlan.create(Begun(name="a"))
    plan = TodaysPlan(name="a", risk=D(1))
    with pytest.raises(DomainError, match=r"TodaysPlan\.risk has no value"):
        plan.record_assignments()
    event = Begun(name="a")
    recorded = RecordedEvent(7, UUID(int=3), 1, uuid4(), event, {}, event.occurred_at)
    with pytest.raises(EventDecodingError, match=r"TodaysPlan\.risk has no value") as told:
        TodaysPlan.fold([recorded])
    assert (told.value.stream_id, told.value.position) == (UUID(int=3), 7)
    assert "\n" not in str(told.value)


def defined(fields: dict[str, Any], config: ConfigDict | None = None, **keywords: Any) -> Any:
    """An entity with some fields."""
    given: Any = {"__cls_kwargs__": {"category": "refused", **keywords}, **fields}
    base = type("Base", (Entity,), {"__module__": __name__, "model_config": config or {}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic, that an attribute is hidden
        return create_model("Refused", __base__=base, __module__=__name__, **given)


class Account(BaseModel):
    """A part with a secret."""

    key: SecretStr


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": (str, ...)}, "Refused has a field 'type', but every event has an attribute of that name"),
        ({"category": (str, "a")}, "a field 'category'"),
        ({"schema_version": (int, 1)}, "a field 'schema_version'"),
        ({"occurred_at": (str, "")}, "a field 'occurred_at'"),
        ({"changes": (int, 1)}, "a field 'changes'"),
        ({"emit": (int, 1)}, "Refused has a field 'emit', but every Entity has an attribute of that name"),
        ({"created_event": (str, "")}, "a field 'created_event'"),
        ({"amend_to": (int, 1)}, "a field 'amend_to'"),
        ({"is_deleted": (bool, False)}, "a field 'is_deleted'"),
        ({"id": (str, "")}, "Refused redefines id"),
        ({"version": (str, "")}, "Refused redefines version"),
        ({"key": (SecretStr, ...)}, "field key of Refused: a secret"),
        ({"account": (Account | None, None)}, "field account of Refused: a secret"),
        ({"note": (str, Field(default="", exclude=True))}, "field note of Refused: it is excluded"),
    ],
)
def test_a_field_that_no_event_could_keep_is_refused_where_it_is_defined(fields: dict[str, Any], words: str):
    """In one line that names the entity and the field."""
    with pytest.raises(ConfigurationError, match=words) as told:
        defined(fields)
    assert "\n" not in str(told.value)


def test_an_entity_that_takes_anything_is_refused():
    """No event has what is no field."""
    with pytest.raises(ConfigurationError, match="Base allows values that are not fields"):
        defined({"a": (int, 1)}, ConfigDict(extra="allow"))


def test_a_creating_event_of_another_category_is_refused():
    """Its stream would be one of another kind."""
    with pytest.raises(
        ConfigurationError, match="Refused has category refused, but its creating event Begun has storable"
    ):
        defined({"name": (str, ...)}, created=Begun)


async def test_an_entity_without_a_category_is_named():
    """It has no events at all."""

    class Homeless(Entity):
        name: str

    with pytest.raises(ConfigurationError, match="Homeless has no category"):
        await saved(Homeless(name="a"))


def test_a_value_of_a_field_that_a_subclass_hides():
    """A field of a subclass may not hide a method of its parent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(
            ConfigurationError, match="a field 'title', but every Plan has an attribute of that name"
        ):
            create_model("Hiding", __base__=Plan, __module__=__name__, title=(str, ""))


async def test_the_entities_of_the_library_are_saved():
    """By their constructors, with all that these take."""
    portfolio = Portfolio(name="a", initial_capital=D("1.50"), strategy="b")
    found = await saved(portfolio)
    assert (found.initial_capital, found.strategy) == (D("1.50"), "b")
