"""Entities of any kind: events pending, assignments, the fold, deletion, and a user's own entity."""

# mypy: disable-error-code="comparison-overlap, no-untyped-call"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventstore.core import Entity, Event, RecordedEvent, Tombstone, applies, use_clock
from eventstore.core.context import at
from eventstore.core.entity_state import become, mark_saved
from eventstore.domain import Portfolio
from eventstore.errors import DomainError, EventDecodingError
from tests.properties.recorded import digits, recorded

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
D = Decimal


class RobotTuned(Event, category="robot"):
    """A parameter was set."""

    speed: Decimal


class RobotNoise(Event, category="robot"):
    """Something no robot applies."""


class Robot(Entity, category="robot"):
    """A user's own entity, whose creating event is made for it."""

    name: str
    speed: Decimal = D(1)
    note: str | None = None

    def tune(self, speed: Decimal, *, occurred_at: datetime | None = None) -> None:
        """Set the speed."""
        if speed <= 0:
            raise DomainError("robot.speed", f"a speed is above 0, not {speed}")
        self.emit(RobotTuned(occurred_at=at(occurred_at), speed=speed))

    @applies(RobotTuned)
    def _tuned(self, event: RobotTuned) -> None:
        self.set(speed=event.speed)


def types_of(entity):
    return [pending.event.type for pending in entity.pending_events]


def test_a_constructed_entity_is_created_by_its_first_event():
    """The creating event comes first, whatever came after the constructor, and folds to the same state."""
    with use_clock(lambda: NINE):
        robot = Robot(name="R2")
        assert robot.has_unsaved_changes
        robot.note = "assigned before the first event"
        robot.tune(D(2), occurred_at=TEN)
    assert types_of(robot) == ["RobotCreated", "RobotTuned"]
    assert digits(Robot.fold(recorded(robot))) == digits(robot)


def test_an_event_occurred_at_a_finite_time():
    """The driver stores the first and the last datetime as infinity, and gives that back as another time."""
    tick = timedelta(microseconds=1)
    robot = Robot(name="R2")
    for extreme in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(ValueError, match="must be a finite time"):
            robot.tune(D(2), occurred_at=extreme)
    for at_the_edge in (datetime.min.replace(tzinfo=UTC) + tick, datetime.max.replace(tzinfo=UTC) - tick):
        robot.tune(D(2), occurred_at=at_the_edge)
    assert types_of(robot) == ["RobotCreated", "RobotTuned", "RobotTuned"]


def test_assignments_and_events_keep_their_order():
    """What was assigned before an event is recorded before it, at the event's time."""
    robot = Robot(name="R2")
    robot.tune(D(2), occurred_at=NINE)
    robot.note = "a"
    robot.tune(D(3), occurred_at=TEN)
    robot.note = "b"
    robot.record_assignments(occurred_at=TEN)
    assert types_of(robot) == ["RobotCreated", "RobotTuned", "RobotAmended", "RobotTuned", "RobotAmended"]
    assert robot.pending_events[2].event.occurred_at == TEN
    assert digits(Robot.fold(recorded(robot))) == digits(robot)


def test_an_assignment_back_is_no_change():
    """A field that was assigned and has its value again is not amended, and keeps its digits."""
    robot = Robot(name="R2", speed=D("1.50"))
    robot.record_assignments()
    robot.note = "a"
    robot.note = None
    robot.speed = D("1.5")
    robot.record_assignments()
    assert types_of(robot) == ["RobotCreated"]
    assert str(robot.speed) == "1.50"
    assert digits(Robot.fold(recorded(robot))) == digits(robot)


def test_an_assignment_outlives_a_clock_that_fails():
    """It is recorded as soon as the clock of the context tells the time again."""

    def fail() -> datetime:
        raise OverflowError

    robot = Robot(name="R2")
    robot.record_assignments()
    robot.note = "a"
    with use_clock(fail), pytest.raises(OverflowError):
        robot.record_assignments()
    assert robot.has_unsaved_changes
    robot.record_assignments()
    assert types_of(robot) == ["RobotCreated", "RobotAmended"]
    assert not robot.assigned_fields


def test_an_amendment_to_none_is_kept():
    """In an amendment None is a value, not an absence."""
    robot = Robot(name="R2", note="a")
    robot.record_assignments()
    robot.note = None
    robot.record_assignments()
    folded = Robot.fold(recorded(robot))
    assert folded is not None
    assert folded.note is None


def test_saving_takes_the_events_that_were_saved():
    """After a save the version is the stream's, and only what came later is pending; saying it twice is safe."""
    robot = Robot(name="R2")
    robot.tune(D(2))
    saved = robot.pending_events
    robot.tune(D(3))
    mark_saved(robot, version=2, events=saved)
    mark_saved(robot, version=2, events=saved)
    assert robot.version == 2
    assert types_of(robot) == ["RobotTuned"]
    assert robot.has_unsaved_changes
    mark_saved(robot, version=3, events=robot.pending_events)
    assert not robot.has_unsaved_changes


def test_a_deleted_entity_takes_nothing_more():
    """After the tombstone no event and no assignment is taken, and the fold ends with nothing."""
    robot = Robot(name="R2")
    robot.delete(occurred_at=TEN)
    assert robot.is_deleted
    assert isinstance(robot.pending_events[-1].event, Tombstone)
    for command in (
        lambda: robot.tune(D(2)),
        lambda: setattr(robot, "note", "a"),
        lambda: robot.amend_to({"note": "a"}),
        robot.delete,
    ):
        with pytest.raises(DomainError, match="was deleted"):
            command()
    assert types_of(robot) == ["RobotCreated", "RobotDeleted"]
    assert Robot.fold(recorded(robot)) is None


def test_the_fold_goes_on_from_a_state_and_passes_over_what_it_has():
    """Events that a state has already do not count twice."""
    robot = Robot(name="R2")
    for speed in (2, 3, 4):
        robot.tune(D(speed))
    events = recorded(robot)
    half = Robot.fold(events[:2])
    assert half is not None
    assert digits(Robot.fold(events, half)) == digits(robot)
    assert (half.version, half.speed) == (2, 2)
    assert Robot.fold([]) is None


def test_a_stream_must_begin_with_its_creating_event():
    """A stream without its beginning is an error that names the event."""
    robot = Robot(name="R2")
    robot.tune(D(2))
    with pytest.raises(EventDecodingError, match="begins with RobotTuned, not RobotCreated"):
        Robot.fold(recorded(robot)[1:])


def test_an_event_without_an_applier_is_an_error():
    """An event that the entity does not know is not passed over in silence."""
    robot = Robot(name="R2")
    with pytest.raises(DomainError, match=r"no method marked @applies\(RobotNoise\)"):
        robot.emit(RobotNoise())


def test_id_and_version_cannot_be_assigned():
    """They are the log's business."""
    robot = Robot(name="R2")
    for name, value in (("id", robot.id), ("version", 3)):
        with pytest.raises(DomainError) as refusal:
            setattr(robot, name, value)
        assert refusal.value.rule == f"robot.{name}"
    with pytest.raises(DomainError):
        robot.amend_to({"version": 3})


def test_a_rule_of_the_whole_model_undoes_the_assignment():
    """Where an assigned value breaks a rule between fields, the entity is as it was."""
    portfolio = Portfolio(name="Main", initial_capital=D(1))
    with pytest.raises(DomainError, match="assign trades_count first"):
        portfolio.winning_trades = 1
    assert portfolio.winning_trades == 0
    portfolio.trades_count = 1
    portfolio.winning_trades = 1
    assert portfolio.win_rate == 1


def test_become_takes_the_other_state():
    """A refreshed entity has the other's state, and nothing pending of its own."""
    robot, other = Robot(name="R2"), Robot(name="R3")
    robot.tune(D(2))
    robot.note = "a"
    mark_saved(other, version=4, events=())
    become(robot, other)
    assert (robot.name, robot.version, robot.id, robot.has_unsaved_changes) == ("R3", 4, other.id, False)


def test_an_envelope_tells_what_it_holds():
    """Category, type and time of a recorded event are its event's."""
    robot = Robot(name="R2")
    robot.tune(D(2), occurred_at=TEN)
    event: RecordedEvent = recorded(robot)[1]
    assert (event.category, event.type, event.occurred_at) == ("robot", "RobotTuned", TEN)


def test_what_a_copy_is_given_is_an_assignment():
    """Pydantic's own copy would have the value, and the log would not."""
    robot = Robot(name="a")
    faster = robot.model_copy(update={"speed": 2, "note": "b"})
    assert (faster.speed, faster.note) == (D(2), "b")
    assert faster.assigned_fields == ("speed", "note")
    assert not robot.assigned_fields
    wrong: list[dict[str, Any]] = [{"speed": "many"}, {"sped": 1}, {"_assigned": {}}]
    for update in wrong:
        with pytest.raises(DomainError):
            robot.model_copy(update=update)
    assert robot.speed == D(1)
    assert robot.model_copy(update={"version": 3}).version == 3


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_has_assignments_of_its_own(deep):
    """An assignment to one of two copies is not one to the other."""
    robot = Robot(name="a")
    robot.note = "before"
    copied = robot.model_copy(deep=deep)
    copied.speed = D(2)
    assert copied.assigned_fields == ("note", "speed")
    assert robot.assigned_fields == ("note",)


def test_an_entity_is_validated_however_it_is_made():
    """Pydantic's `model_construct` would make one without its required fields, and without an event."""
    assert types_of(Robot.model_construct(name="a")) == types_of(Robot(name="a"))
    with pytest.raises(DomainError, match="name"):
        Robot.model_construct(speed=D(1))  # type: ignore[call-arg]
