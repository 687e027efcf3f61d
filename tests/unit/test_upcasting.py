"""Old events are brought to today's schema when they are read."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest

from eventstore.core.event import RecordedEvent, UpcastEvents
from eventstore.core.registry import EventRegistry
from eventstore.core.registry_check import registry_problems, require_sound_registry
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster
from eventstore.errors import EventDecodingError, UnknownEventTypeError
from eventstore.log.records import decode
from tests.old_robot_events import NOW, STREAM, Robot, RobotWalked, moved_class, split_registry, stored


@pytest.fixture
def mine() -> EventRegistry:
    """An empty registry, so that no test sees what another one registers."""
    return EventRegistry()


# ---- one step, and many --------------------------------------------------------------------------------------------


def test_an_event_of_today_is_not_touched(mine: EventRegistry):
    """Its class is found at once."""
    moved = moved_class(mine, 1)
    event = decode(stored("RobotMoved", {"metres": "1.50"}), classes=mine)
    assert type(event) is RecordedEvent
    assert event.event == moved(metres=Decimal("1.50"), occurred_at=NOW)
    assert event.upcast_events == (event,)


def test_steps_compose_and_cross_a_rename(mine: EventRegistry):
    """RobotWent v1 -> v2 -> RobotMoved v1 -> v2 -> v3: each step has its function, in order."""
    moved = moved_class(mine, 3)

    @upcaster("old robot", "RobotWent", 1, registry=mine)
    def _feet(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return {"feet": data["distance"]}

    @upcaster("old robot", "RobotWent", 2, to="RobotMoved", registry=mine)
    def _renamed(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _metric(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return {"metres": str(Decimal(data["feet"]) * Decimal("0.3048"))}

    @upcaster("old robot", "RobotMoved", 2, registry=mine)
    def _who(data: dict[str, Any], context: EventContext) -> dict[str, Any]:
        return data | {"by": context.metadata.get("actor")}

    require_sound_registry(mine)
    row = stored("RobotWent", {"distance": "10"}, metadata='{"actor":"ada"}')
    event = decode(row, classes=mine)
    assert event.event == moved(metres=Decimal("3.0480"), by="ada", occurred_at=NOW)
    assert str(event.event.metres) == "3.0480"  # type: ignore[attr-defined]
    assert (event.type, event.position, event.version) == ("RobotMoved", 1, 1)
    later = decode(stored("RobotMoved", {"metres": "2"}, schema_version=2), classes=mine)
    assert later.event == moved(metres=Decimal(2), by=None, occurred_at=NOW)


def test_digits_do_not_depend_on_the_reader(mine: EventRegistry):
    """An upcaster computes in the library's decimal context, whatever that of the program is."""
    moved = moved_class(mine, 2)

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _third(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return {"metres": str(Decimal(data["metres"]) / 3)}

    with localcontext(prec=5):
        event = decode(stored("RobotMoved", {"metres": "1"}), classes=mine)
    assert event.event == moved(metres=Decimal("0." + "3" * 34), occurred_at=NOW)


def test_a_default_comes_from_the_envelope(mine: EventRegistry):
    """An upcaster sees the envelope as it was stored."""
    moved_class(mine, 2)
    seen: list[EventContext] = []

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _look(data: dict[str, Any], context: EventContext) -> dict[str, Any]:
        seen.append(context)
        return data

    decode(stored("RobotMoved", {"metres": "1"}, position=9, version=4, metadata='{"a":1}'), classes=mine)
    assert seen == [
        EventContext(
            category="old robot",
            type="RobotMoved",
            schema_version=1,
            position=9,
            stream_id=STREAM,
            version=4,
            event_id=UUID(int=9),
            metadata={"a": 1},
            occurred_at=NOW,
            recorded_at=NOW + timedelta(seconds=1),
        )
    ]


# ---- several, or none ----------------------------------------------------------------------------------------------


@pytest.fixture
def split() -> EventRegistry:
    """A registry with upcasters that make several events of one, or none."""
    return split_registry()


def test_one_event_becomes_several(split: EventRegistry):
    """They have one envelope; what the log says of the stored event stays as it is."""
    event = decode(stored("RobotToured", {"walks": ["1", "2"]}, position=5, version=3), classes=split)
    assert isinstance(event, UpcastEvents)
    assert (event.position, event.version, event.event_id) == (5, 3, UUID(int=5))
    assert (event.category, event.type, event.occurred_at) == ("old robot", "RobotToured", NOW)
    assert [part.event for part in event.upcast_events] == [
        RobotWalked(metres=Decimal(1), occurred_at=NOW),
        RobotWalked(metres=Decimal(2), occurred_at=NOW + timedelta(minutes=1)),
    ]
    assert {(part.position, part.version, part.event_id) for part in event.upcast_events} == {
        (5, 3, UUID(int=5))
    }


def test_parts_share_nothing(mine: EventRegistry):
    """What the next step changes in one part, it changes in that part alone, though both were made of one JSON."""
    moved = moved_class(mine, 2)

    @upcaster("old robot", "RobotWent", 1, to={"RobotMoved": 1}, registry=mine)
    def _twice(data: dict[str, Any], _: EventContext) -> list[UpcastEvent]:
        return [UpcastEvent("RobotMoved", data)] * 2

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _metric(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        data["metres"] = str(Decimal(data["metres"]) * data["of"].pop())
        del data["of"]
        return data

    event = decode(stored("RobotWent", {"metres": "2", "of": [5, 3]}), classes=mine)
    assert [part.event for part in event.upcast_events] == [moved(metres=Decimal(6), occurred_at=NOW)] * 2


def test_a_part_has_a_time_in_utc(mine: EventRegistry):
    """Whatever zone its upcaster gave, and in local time where it gave none; what is no time is an error of its own."""
    moved = moved_class(mine, 1)
    times: list[Any] = [NOW.astimezone(timezone(timedelta(hours=5))), NOW.astimezone().replace(tzinfo=None)]

    @upcaster("old robot", "RobotWent", 1, to={"RobotMoved": 1}, registry=mine)
    def _when(data: dict[str, Any], _: EventContext) -> list[UpcastEvent]:
        return [UpcastEvent("RobotMoved", dict(data), occurred_at=times[0])]

    for _ in range(2):
        event = decode(stored("RobotWent", {"metres": "1"}), classes=mine)
        assert event.event == moved(metres=Decimal(1), occurred_at=NOW)
        assert event.occurred_at.tzinfo is UTC
        times.pop(0)
    times.append("2026-01-01")
    with pytest.raises(EventDecodingError, match="occurred_at"):
        decode(stored("RobotWent", {"metres": "1"}), classes=mine)


def test_the_one_event_of_several_is_not_to_be_had(split: EventRegistry):
    """So nobody takes the first for all of them, or a dropped one for something."""
    for row in (stored("RobotToured", {"walks": ["1", "2"]}), stored("RobotPinged", {})):
        with pytest.raises(EventDecodingError, match=r"use \.upcast_events"):
            _ = decode(row, classes=split).event


def test_several_that_are_one_are_an_event_like_any(split: EventRegistry):
    """A list of one needs no special care."""
    event = decode(stored("RobotToured", {"walks": ["1"]}), classes=split)
    assert type(event) is RecordedEvent
    assert event.event == RobotWalked(metres=Decimal(1), occurred_at=NOW)


def test_an_entity_is_folded_from_parts(split: EventRegistry):
    """Each part counts once, and the version is the stream's, also after an event that was dropped."""
    rows = [
        stored("RobotPinged", {}, position=1, version=1),
        stored("RobotDelivered", {"name": "r", "metres": "1"}, position=2, version=2),
        stored("RobotToured", {"walks": ["2", "3"]}, position=3, version=3),
        stored("RobotWalked", {"metres": "4"}, position=4, version=4),
        stored("RobotPinged", {}, position=5, version=5),
    ]
    events = [decode(row, classes=split) for row in rows]
    robot = Robot.fold(events)
    assert robot is not None
    assert (robot.walked, robot.walks, robot.version, robot.name) == (Decimal(10), 4, 5, "r")
    # What a state has already, it does not take twice.
    assert Robot.fold(events[1:4], robot) == robot
    begun = Robot.fold(events[:2])
    assert begun is not None
    assert Robot.fold(events, begun) == robot
    assert begun.walks == 1


def test_what_upcasters_made_can_be_compared_and_shown(split: EventRegistry):
    """Two reads of one event are equal, and its representation names what it is."""
    row = stored("RobotToured", {"walks": ["1", "2"]}, position=5)
    one, two = decode(row, classes=split), decode(row, classes=split)
    assert one == two
    assert one != decode(row | {"position": 6}, classes=split)
    assert "RobotWalked" in repr(one)
    assert "position=5" in repr(one)


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_an_unknown_type_is_named(mine: EventRegistry):
    """With its category, stream and position; and so is one that an upcaster leads to."""
    with pytest.raises(
        UnknownEventTypeError, match=rf"old robot/RobotFlew \(stream {STREAM}, position 3\)"
    ) as caught:
        decode(stored("RobotFlew", {}, position=3), classes=mine)
    assert (caught.value.category, caught.value.type) == ("old robot", "RobotFlew")
    assert (caught.value.stream_id, caught.value.position) == (STREAM, 3)

    @upcaster("old robot", "RobotFlew", 1, to="RobotSoared", registry=mine)
    def _soar(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    with pytest.raises(UnknownEventTypeError, match="old robot/RobotSoared"):
        decode(stored("RobotFlew", {}), classes=mine)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (1, r'no upcaster from version 1: register one with @upcaster\("old robot", "RobotMoved", 1\)'),
        (3, "a newer program"),
    ],
)
def test_a_version_without_a_way_is_named(mine: EventRegistry, version: int, words: str):
    """Older: which upcaster is missing. Newer: the program is out of date."""
    moved_class(mine, 2)
    with pytest.raises(EventDecodingError, match=words) as caught:
        decode(stored("RobotMoved", {"metres": "1"}, schema_version=version, position=8), classes=mine)
    assert (caught.value.stream_id, caught.value.position) == (STREAM, 8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "returned None: return the new JSON"),
        ("text", "returned 'text'"),
        ([{"metres": "1"}], "returned"),
        ([UpcastEvent("RobotFlew", {})], "returned a RobotFlew, but it leads to RobotMoved"),
        ({"metres": "1", "wrong": 1}, "does not fit the class Moved"),
        ({}, "does not fit the class Moved"),
        ({"metres": "no number"}, "does not fit the class Moved"),
    ],
    ids=["none", "text", "list of dicts", "undeclared", "extra", "missing", "malformed"],
)
def test_what_an_upcaster_must_not_give(mine: EventRegistry, given: Any, words: str):
    """It is refused by name, with stream and position; nothing is guessed."""
    moved_class(mine, 2)

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _wrong(_data: dict[str, Any], _context: EventContext) -> Any:
        return given

    with pytest.raises(EventDecodingError, match=words) as caught:
        decode(stored("RobotMoved", {"metres": "1"}, position=8), classes=mine)
    assert caught.value.position == 8


def test_an_upcaster_that_fails_is_named(mine: EventRegistry):
    """Its own error is the cause."""
    moved_class(mine, 2)

    @upcaster("old robot", "RobotMoved", 1, registry=mine)
    def _fails(data: dict[str, Any], _context: EventContext) -> dict[str, Any]:
        return {"metres": data["feet"]}

    with pytest.raises(EventDecodingError, match="_fails failed: KeyError") as caught:
        decode(stored("RobotMoved", {"metres": "1"}), classes=mine)
    assert isinstance(caught.value.__cause__, KeyError)


def test_several_targets_need_a_list(mine: EventRegistry):
    """With two types to choose from, JSON alone says too little."""

    @upcaster("old robot", "RobotToured", 1, to={"A": 1, "B": 1}, registry=mine)
    def _tour(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    with pytest.raises(EventDecodingError, match="leads to A, B: return a list"):
        decode(stored("RobotToured", {}), classes=mine)


def test_a_circle_ends(mine: EventRegistry):
    """Also where nobody checked the registry."""

    @upcaster("old robot", "A", 1, to="B", registry=mine)
    def _there(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    @upcaster("old robot", "B", 1, to="A", registry=mine)
    def _back(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
        return data

    with pytest.raises(EventDecodingError, match="its upcasters form a circle"):
        decode(stored("A", {}), classes=mine)
    assert registry_problems(mine) == [
        "upcasters form a circle: old robot/A version 1 -> old robot/B version 1 -> old robot/A version 1"
    ]


def test_part_of_several_is_taken(split: EventRegistry):
    """An event can be had with some of its parts: the envelope stays."""
    event = decode(stored("RobotToured", {"walks": ["1", "2"]}), classes=split)
    assert isinstance(event, UpcastEvents)
    part = event.with_events(event.upcast_events[1:])
    assert part.upcast_events == event.upcast_events[1:]
    assert part != event
    assert event.upcast_events[0]._replace(position=9).position == 9
    moved = event._replace(position=9)
    assert (moved.position, {one.position for one in moved.upcast_events}) == (9, {9})
