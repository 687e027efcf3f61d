"""Which change of an event class would break old events; `tests/golden/event_schemas.json` holds this library to it."""

from __future__ import annotations

import enum
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, create_model

import eventstore.store  # noqa: F401 - the built-in events
from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry, registry
from eventstore.core.schema_changes import SchemaChange, compare_snapshots
from eventstore.core.schema_snapshot import parse_snapshot, snapshot_of, write_snapshot
from eventstore.core.upcasting import upcaster
from eventstore.errors import ConfigurationError

SNAPSHOT = Path(__file__).parents[1] / "golden" / "event_schemas.json"


class Two(enum.Enum):
    """Two values."""

    A = "a"
    B = "b"


class Three(enum.Enum):
    """And one more."""

    A = "a"
    B = "b"
    C = "c"


class Leg(BaseModel):
    """A part of a field."""

    symbol: str


class LegWithRatio(BaseModel):
    """As `Leg`, with a required field more."""

    symbol: str
    ratio: int


class LegWithNote(BaseModel):
    """As `Leg`, with an optional field more."""

    symbol: str
    note: str | None = None


def event(fields: dict[str, Any], *, classes: EventRegistry, schema_version: int = 1) -> type[Event]:
    """An event class with these fields: of each its type, or its type and default."""
    given: Any = {name: each if isinstance(each, tuple) else (each, ...) for name, each in fields.items()}
    options: Any = {"category": "x", "type": "Y", "schema_version": schema_version, "registry": classes}
    return create_model("Y", __base__=Event, __cls_kwargs__=options, **given)


def changes(
    before: dict[str, Any], after: dict[str, Any] | None, *, version: int = 1, upcast: bool = False
) -> list[SchemaChange]:
    """What the comparison says, of an event class before and after."""
    old, new = EventRegistry(), EventRegistry()
    event(before, classes=old)
    if after is not None:
        event(after, classes=new, schema_version=version)
    if upcast:
        upcaster("x", "Y", 1, registry=new)(lambda data, _: data)
    return compare_snapshots(snapshot_of(old), snapshot_of(new), new)


BREAKING = {
    "removed": ({"a": int, "b": str}, {"a": int}, "the field b was removed"),
    "renamed": ({"a": int}, {"b": int}, r"the field a was removed \(renamed to b\?\)"),
    "required": ({"a": int}, {"a": int, "b": str}, "new field b is required"),
    "no longer optional": ({"a": (str, "x")}, {"a": str}, "a is now required"),
    "another type": ({"a": str}, {"a": int}, "a may no longer be string: it is integer"),
    "narrowed": ({"a": int | str}, {"a": int}, "a may no longer be string"),
    "no longer null": ({"a": (str | None, None)}, {"a": (str, "x")}, "a may no longer be null"),
    "a text that is a time": ({"a": str}, {"a": datetime}, "the format of a was None and is 'date-time'"),
    "a time that is an id": ({"a": datetime}, {"a": UUID}, "the format of a was 'date-time' and is 'uuid'"),
    "a decimal that is whole": ({"a": Decimal}, {"a": int}, "a may no longer be decimal: it is integer"),
    "value removed": ({"a": Three}, {"a": Two}, "a may no longer be c"),
    "literal": ({"a": Literal["x", "y"]}, {"a": Literal["x"]}, "a may no longer be y"),
    "free to few": ({"a": str}, {"a": Two}, "a had any value and must now be one of a, b"),
    "tighter below": (
        {"a": Annotated[int, Field(ge=0)]},
        {"a": Annotated[int, Field(gt=0)]},
        "the lower bound of a was tightened",
    ),
    "tighter above": (
        {"a": Annotated[Decimal, Field(le=10)]},
        {"a": Annotated[Decimal, Field(lt=10)]},
        "the upper bound of a was tightened",
    ),
    "bounded": ({"a": int}, {"a": Annotated[int, Field(le=3)]}, "the upper bound of a was tightened"),
    "shorter": (
        {"a": Annotated[str, Field(max_length=9)]},
        {"a": Annotated[str, Field(max_length=8)]},
        "maxLength of a was 9 and is 8",
    ),
    "longer": ({"a": str}, {"a": Annotated[str, Field(min_length=1)]}, "minLength of a was 0 and is 1"),
    "pattern": ({"a": str}, {"a": Annotated[str, Field(pattern="^x")]}, "the pattern of a"),
    "unit": (
        {"a": Annotated[int, Field(json_schema_extra={"unit": "cents"})]},
        {"a": Annotated[int, Field(json_schema_extra={"unit": "dollars"})]},
        "the unit of a was 'cents' and is 'dollars'",
    ),
    "default": ({"a": (int, 1)}, {"a": (int, 2)}, "the default of a was 1 and is 2"),
    "default of none": (
        {"a": (int | None, None)},
        {"a": (int | None, 5)},
        "the default of a was None and is 5",
    ),
    "deep": ({"a": Leg}, {"a": LegWithRatio}, r"new field a\.ratio is required"),
    "in a list": (
        {"a": tuple[Leg, ...]},
        {"a": tuple[LegWithRatio, ...]},
        r"new field an item of a\.ratio is required",
    ),
    "in an optional one": (
        {"a": (Leg | None, None)},
        {"a": (LegWithRatio | None, None)},
        r"a\.ratio is required",
    ),
    "fewer digits": (
        {"a": Annotated[Decimal, Field(max_digits=10)]},
        {"a": Annotated[Decimal, Field(max_digits=9)]},
        "max_digits of a was 10 and is 9",
    ),
    "fewer places": (
        {"a": (Decimal | None, None)},
        {"a": (Annotated[Decimal, Field(decimal_places=2)] | None, None)},
        "decimal_places of a was unlimited and is 2",
    ),
    "a bound that no float holds": (
        {"a": Annotated[Decimal, Field(le=Decimal("0.30000000000000000001"))]},
        {"a": Annotated[Decimal, Field(le=Decimal("0.3"))]},
        "the upper bound of a was tightened",
    ),
    "a decimal that is a float or a text": ({"a": Decimal}, {"a": float | str}, "a may no longer be decimal"),
    "another default from a factory": (
        {"a": (tuple[int, ...], Field(default_factory=tuple))},
        {"a": (tuple[int, ...], Field(default_factory=lambda: (1,)))},
        r"the default of a was \[\] and is \[1\]",
    ),
    "keys of a map": ({"a": dict[str, int]}, {"a": dict[int, int]}, "a key of a may no longer be string"),
    "fewer keys of a map": ({"a": dict[Three, int]}, {"a": dict[Two, int]}, "a key of a may no longer be c"),
    "few keys of a map": (
        {"a": dict[str, int]},
        {"a": dict[Two, int]},
        "a key of a had any value and must now be one of",
    ),
    "in a map": ({"a": dict[str, int | str]}, {"a": dict[str, int]}, "a value of a may no longer be string"),
    "fewer in a list": (
        {"a": tuple[int, ...]},
        {"a": Annotated[tuple[int, ...], Field(max_length=2)]},
        "maxItems of a was unlimited and is 2",
    ),
}

HARMLESS = {
    "optional": ({"a": int}, {"a": int, "b": (str | None, None)}, "a new optional field b"),
    "optional now": ({"a": int}, {"a": (int, 0)}, "a is now optional"),
    "wider type": ({"a": int}, {"a": int | str}, "a may be string now"),
    "may be null": ({"a": int}, {"a": int | None}, "a may be null now"),
    "value added": ({"a": Two}, {"a": Three}, "a may be c now"),
    "few to free": ({"a": Two}, {"a": str}, "a may be anything now"),
    "wider below": (
        {"a": Annotated[int, Field(gt=0)]},
        {"a": Annotated[int, Field(ge=0)]},
        "the lower bound of a was widened",
    ),
    "no bound": ({"a": Annotated[Decimal, Field(le=10)]}, {"a": Decimal}, "the upper bound of a was widened"),
    "longer text": (
        {"a": Annotated[str, Field(max_length=8)]},
        {"a": Annotated[str, Field(max_length=9)]},
        "maxLength of a was 8 and is 9",
    ),
    "more digits": (
        {"a": Annotated[Decimal, Field(max_digits=9, decimal_places=2)]},
        {"a": Annotated[Decimal, Field(max_digits=10, decimal_places=2)]},
        "max_digits of a was 9 and is 10",
    ),
    "more keys of a map": ({"a": dict[Two, int]}, {"a": dict[Three, int]}, "a key of a may be c now"),
    "no pattern": ({"a": Annotated[str, Field(pattern="^x")]}, {"a": str}, "no longer needs the pattern"),
    "deep": ({"a": Leg}, {"a": LegWithNote}, r"a new optional field a\.note"),
}


@pytest.mark.parametrize(("before", "after", "words"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_old_events_is_named(before: dict[str, Any], after: dict[str, Any], words: str):
    """With the field, and with the version and the upcaster that the change needs."""
    breaking = [change for change in changes(before, after) if change.breaks]
    assert any(re.search(words, change.text) for change in breaking), breaking
    for change in breaking:
        assert change.text.endswith('; raise schema_version to 2 and register @upcaster("x", "Y", 1)')
        assert str(change).startswith("BREAKS OLD EVENTS: x/Y: ")


@pytest.mark.parametrize(("before", "after", "words"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_is_said_to_be(before: dict[str, Any], after: dict[str, Any], words: str):
    """Old events can be read as they are."""
    found = changes(before, after)
    assert not any(change.breaks for change in found), found
    assert any(re.search(words, change.text) for change in found), found


@pytest.mark.parametrize(("before", "after", "words"), BREAKING.values(), ids=BREAKING)
def test_a_new_version_with_an_upcaster_may_change_anything(
    before: dict[str, Any], after: dict[str, Any], words: str
):
    """Without the upcaster it may not."""
    assert words
    assert not any(change.breaks for change in changes(before, after, version=2, upcast=True))
    (missing,) = changes(before, after, version=2)
    assert missing.breaks
    assert missing.text == 'now at version 2, but @upcaster("x", "Y", 1) is missing'


def test_a_type_is_given_up_with_an_upcaster():
    """What it was is still in the log."""
    (gone,) = changes({"a": int}, None)
    assert gone.breaks
    assert 'register @upcaster("x", "Y", 1)' in gone.text
    (upcast,) = changes({"a": int}, None, upcast=True)
    assert not upcast.breaks


def test_a_type_that_was_given_up_keeps_its_upcasters():
    """Each version of it is still in the log, also when the snapshot has taken up that the class is gone."""
    old, gone, less, none = (EventRegistry() for _ in range(4))
    event({"a": int}, classes=old, schema_version=2)
    for version, registries in ((1, (old, gone)), (2, (gone, less))):
        for one in registries:
            upcaster("x", "Y", version, to={}, registry=one)(lambda _data, _context: [])
    assert [change.breaks for change in compare_snapshots(snapshot_of(old), snapshot_of(gone), gone)] == [
        False
    ]
    (missing,) = compare_snapshots(snapshot_of(old), snapshot_of(less), less)
    assert missing.breaks
    assert 'register @upcaster("x", "Y", 1)' in missing.text
    kept = parse_snapshot(write_snapshot(snapshot_of(gone)), name="f")
    assert compare_snapshots(kept, snapshot_of(gone), gone) == []
    for classes in (less, none):
        (missing,) = compare_snapshots(kept, snapshot_of(classes), classes)
        assert missing.breaks
        assert 'register @upcaster("x", "Y", 1)' in missing.text
    assert not any(change.breaks for change in compare_snapshots(kept, snapshot_of(old), old))
    back = EventRegistry()
    event({"a": int}, classes=back, schema_version=1)
    (older,) = compare_snapshots(kept, snapshot_of(back), back)
    assert older.breaks
    assert "went down from 2 to 1" in older.text


def test_a_set_is_written_in_one_order():
    """That of a set differs from process to process, and nothing has changed."""
    names = frozenset(f"name {number}" for number in range(20))
    classes = EventRegistry()
    fields = {
        "a": (frozenset[str], names),
        "b": (frozenset[str] | None, Field(default_factory=lambda: names)),
    }
    event(fields, classes=classes)
    written = snapshot_of(classes)["x/Y"]["fields"]
    assert [written[name]["default"] for name in "ab"] == [sorted(names)] * 2


def test_a_default_that_a_factory_draws_is_none():
    """What may differ from call to call is no default that an old event could have, though two calls gave the same."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    for kind, factory in ((UUID, uuid4), (datetime, lambda: noon), (tuple[UUID, ...], lambda: (uuid4(),))):
        classes = EventRegistry()
        event({"a": (kind, Field(default_factory=factory))}, classes=classes)
        assert "default" not in snapshot_of(classes)["x/Y"]["fields"]["a"]


def test_a_version_never_falls():
    """Events of the higher one are in the log."""
    old, new = EventRegistry(), EventRegistry()
    event({"a": int}, classes=old, schema_version=3)
    event({"a": int}, classes=new, schema_version=2)
    (change,) = compare_snapshots(snapshot_of(old), snapshot_of(new), new)
    assert change.breaks
    assert "went down from 3 to 2" in change.text


def test_a_new_type_and_the_same_schema_are_harmless():
    """Words of documentation, and the time that the envelope has, are no part of it."""
    old, new = EventRegistry(), EventRegistry()
    event({"a": int}, classes=old)
    event({"a": Annotated[int, Field(description="Said better.", title="A")]}, classes=new)
    assert compare_snapshots(snapshot_of(old), snapshot_of(new), new) == []
    assert compare_snapshots({}, snapshot_of(new), new) == [SchemaChange("x/Y", False, "a new event type")]
    assert "occurred_at" not in snapshot_of(new)["x/Y"]["fields"]


def test_a_snapshot_is_read_as_it_was_written():
    """And what is none is refused with its name."""
    classes = EventRegistry()
    event({"a": Decimal, "b": tuple[Leg, ...], "c": (Two | None, None)}, classes=classes)
    written = write_snapshot(snapshot_of(classes))
    assert compare_snapshots(parse_snapshot(written, name="f"), snapshot_of(classes), classes) == []
    for content in (b"", b"[]", b"{}", b'{"format":2,"events":{}}', b'{"format":1,"events":{"a":1}}'):
        with pytest.raises(ConfigurationError, match=r"f\.json"):
            parse_snapshot(content, name="f.json")


def test_this_librarys_own_events_can_be_read():
    """The committed snapshot is that of today: a change shows in its diff, and a breaking one is refused here.

    `eventstore schema snapshot --update --snapshot tests/golden/event_schemas.json` takes up a harmless one.
    """
    committed = parse_snapshot(SNAPSHOT.read_bytes(), name=str(SNAPSHOT))
    today = snapshot_of(each for each in registry if each.__module__.startswith("eventstore."))
    assert list(map(str, compare_snapshots(committed, today, registry))) == []
    assert write_snapshot(today) == SNAPSHOT.read_bytes()
