"""An event is appended where a reader finds its very class; else it is refused, in one line that says what to do."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import pytest

from eventstore.core.event import Event, PendingEvent
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.upcasting import upcaster
from eventstore.errors import ConfigurationError
from eventstore.log.bulk_batches import batches_of
from eventstore.log.records import COLUMNS, StagedEvent, StreamAppend, decode_page, to_columns
from eventstore.testing import InMemoryDatabase

T = TypeVar("T")
mine = EventRegistry()


class RobotEvent(Event, category="inherited robot"):
    """What each event of a robot has."""

    sent_by: str


class RobotMade(RobotEvent):
    """It takes its category from above."""

    name: str


class RobotPainted(RobotMade):
    """From further above."""

    colour: str


class Reading(Event, Generic[T], category="inherited robot"):
    """An event of a value of any type."""

    value: T


class IntReading(Reading[int]):
    """An event of a number, with a name."""


class Guarded(Event, category="guarded", registry=mine):
    """An event of another registry."""


class GuardedToo(Guarded):
    """It goes where its parent is."""


class Homeless(Event):
    """An event without a category."""


def columns(event: Event, classes: EventRegistry = registry) -> Any:
    """The columns of an append of one event."""
    return to_columns([StagedEvent(UUID(int=1), 1, PendingEvent(uuid4(), event))], classes=classes)


def read(event: Event, classes: EventRegistry = registry) -> Event:
    """What is read of an event."""
    row = dict(zip(COLUMNS[1:10], columns(event, classes).per_event, strict=True))
    values = {"position": [1], "recorded_at": [event.occurred_at], **row}
    (found,) = decode_page([[values[name][0] for name in COLUMNS]], classes=classes)
    return found.event


@pytest.mark.parametrize(
    "event",
    [
        RobotEvent(sent_by="a"),
        RobotMade(sent_by="a", name="R2"),
        RobotPainted(sent_by="a", name="R2", colour="red"),
        Reading(value="x"),
        IntReading(value=2**70),
    ],
)
def test_a_class_that_inherits_its_category_is_registered(event: Event):
    """At any depth; it has a type of its own."""
    assert registry.find("inherited robot", type(event).__name__) is type(event)
    assert read(event) == event


def test_a_class_that_inherits_its_category_has_the_registry_of_its_parent():
    """It is read where its parent is."""
    assert set(mine) == {Guarded, GuardedToo}
    event = GuardedToo()
    assert read(event, mine) == event


def again() -> Any:
    """A class that each call defines anew, as a cell of a notebook does."""

    class Noted(Event, category="noted again"):
        text: str

    return Noted


STALE = again()
TODAY = again()
REFUSED = [
    (
        Reading[int](value=1),
        r"Reading\[int\].*a program that only reads has no such class: declare a subclass",
    ),
    (Homeless(), 'the class has no category: declare `class Homeless\\(Event, category="..."\\)`'),
    (Guarded(), "guarded/Guarded is not in the registry of the log"),
    (STALE(text="a"), "Noted was defined again after this event's class, as happens in a notebook"),
]


@pytest.mark.parametrize(("event", "words"), REFUSED)
async def test_a_class_that_no_reader_would_find_is_refused(event: Event, words: str):
    """By an append, by an import and in memory, before anything is written."""
    staged = StagedEvent(UUID(int=1), 1, PendingEvent(uuid4(), event))
    database = InMemoryDatabase()

    async def imported() -> None:
        stream = StreamAppend(UUID(int=1), 0, (PendingEvent(uuid4(), event),))
        _ = [batch async for batch in batches_of([stream], {}, 10, registry)]

    async def appended() -> None:
        columns(event)

    for writes in (appended, imported, lambda: database.append([staged])):
        with pytest.raises(ConfigurationError, match=words) as caught:
            await writes()
        assert "\n" not in str(caught.value)
    assert database.events == []


def test_a_class_that_was_defined_again_is_used():
    """The newest is the one that counts."""
    event = TODAY(text="a")
    assert read(event) == event
    assert registry.find("noted again", "Noted") is TODAY


def test_an_old_version_is_appended_where_an_upcaster_takes_it():
    """A reader makes of it what the upcaster says."""
    old, today = EventRegistry(), EventRegistry()

    class Moved(Event, category="upcast robot", registry=old):
        steps: int

    class MovedFurther(Event, category="upcast robot", type="Moved", schema_version=2, registry=today):
        distance: int

    with pytest.raises(ConfigurationError, match=r"would be read as .*MovedFurther"):
        columns(Moved(steps=1), today)

    @upcaster("upcast robot", "Moved", 1, registry=today)
    def _measure(data: Any, _context: Any) -> Any:
        return {"distance": data["steps"] * 2**70}

    assert vars(read(Moved(steps=3), today))["distance"] == 3 * 2**70


@pytest.mark.parametrize("name", ["a\x00", "\ud800"])
def test_a_type_that_cannot_be_stored_is_refused(name: str):
    """Where the class is defined."""
    with pytest.raises(ConfigurationError, match="valid Unicode text without NUL that is not empty"):

        class Odd(Event, category="odd", type=name):
            """An event."""
