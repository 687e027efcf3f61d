"""Events and entities that refer to what is defined below them are read also by a program that never made one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from eventstore.core.entity import Entity
from eventstore.core.event import Event, PendingEvent
from eventstore.core.registry import EventRegistry
from eventstore.errors import ConfigurationError, EventDecodingError
from eventstore.log.records import COLUMNS, StagedEvent, decode_page, to_columns
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory

NINE = datetime(2026, 1, 2, 9, tzinfo=UTC)
classes = EventRegistry()


class SpreadQuoted(Event, category="referring", registry=classes):
    """Its legs are defined below."""

    legs: tuple[Leg, ...]
    hedge: Leg | None = None


class Spread(Entity, category="referring entity"):
    """Its legs are defined below."""

    legs: tuple[Leg, ...] = ()
    note: str = ""


class Lost(Event, category="referring", registry=classes):
    """It refers to what is nowhere."""

    legs: tuple[NowhereDefined, ...]  # type: ignore[name-defined]  # noqa: F821 - that is the point


class Keyed(Event, category="referring", registry=classes):
    """It refers to what cannot be kept."""

    account: Account


class Leg(BaseModel):
    """A part."""

    price: Decimal


class Account(BaseModel):
    """A part with a secret."""

    key: SecretStr


def row(type_: str, data: str) -> list[object]:
    """A row of the log."""
    given = {
        "position": 5,
        "stream_id": UUID(int=1),
        "version": 1,
        "event_id": UUID(int=2),
        "category": "referring",
        "type": type_,
        "schema_version": 1,
        "data": data,
        "metadata": "{}",
        "occurred_at": NINE,
        "recorded_at": NINE,
    }
    return [given[name] for name in COLUMNS]


def test_a_program_that_only_reads_reads_it():
    """Nothing of the class was used before: another program tells."""
    code = (
        "from tests.unit import test_forward_references as t;"
        "assert not t.SpreadQuoted.__pydantic_complete__;"
        '(e,) = t.decode_page([t.row(\'SpreadQuoted\', \'{"legs":[{"price":"1.50"}]}\')], classes=t.classes);'
        "print(repr(e.event.legs[0].price))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr) == ("Decimal('1.50')", "")


def test_a_program_that_writes_reads_it():
    """It is written with the type's own checks."""
    event = SpreadQuoted(legs=(Leg(price=Decimal("1.0")),), hedge=Leg(price=Decimal(2)), occurred_at=NINE)
    staged = StagedEvent(UUID(int=1), 1, PendingEvent(UUID(int=2), event))
    (data,) = to_columns([staged], classes=classes).data
    (recorded,) = decode_page([row("SpreadQuoted", data)], classes=classes)
    assert recorded.event == event


async def test_an_entity_is_saved_and_loaded():
    """By its creating event, which was made before the part was defined, and by what is assigned."""
    spread = Spread(legs=(Leg(price=Decimal("1.0")),), note="a")
    factory = InMemoryUnitOfWorkFactory(InMemoryDatabase())
    async with factory.create_unit_of_work() as uow:
        await uow.entities(Spread).save(spread)
        spread.legs = (*spread.legs, Leg(price=Decimal(3)))
        await uow.entities(Spread).update(spread)
    async with factory.create_unit_of_work() as uow:
        found = await uow.entities(Spread).get(spread.id)
    assert found is not None
    assert [leg.price for leg in found.legs] == [Decimal("1.0"), Decimal(3)]


def test_what_is_nowhere_defined_is_named():
    """By who reads such an event, with its place; and who makes one is told by pydantic."""
    with pytest.raises(
        EventDecodingError, match="Lost refers to NowhereDefined, which is not defined"
    ) as told:
        decode_page([row("Lost", '{"legs":[]}')], classes=classes)
    assert told.value.position == 5
    assert isinstance(told.value.__cause__, ConfigurationError)


def test_what_can_never_be_read_back_is_found_at_the_append():
    """Where it could not be found when the class was defined."""
    event = Keyed(account=Account(key=SecretStr("a")))
    with pytest.raises(ConfigurationError, match="field account of Keyed: a secret"):
        to_columns([StagedEvent(UUID(int=1), 1, PendingEvent(UUID(int=2), event))], classes=classes)
