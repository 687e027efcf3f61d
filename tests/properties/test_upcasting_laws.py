"""Law: an old event, upcast, is the new event; whatever kind of change lies between, and however many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from hypothesis import given, settings, strategies as st

from eventstore.core.event import Event, RecordedEvent
from eventstore.core.registry import EventRegistry
from eventstore.core.registry_check import require_sound_registry
from eventstore.core.upcasting import EventContext, UpcastEvent, upcaster
from eventstore.log.records import NO_METADATA, decode
from tests.scale import examples

START = datetime(2026, 1, 1, tzinfo=UTC)
classes = EventRegistry()


class TripEnded(Event, category="trip", schema_version=3, registry=classes):
    """Version 1: `name` ("first last") and `km`; 2: `driver`, and metres; 3: the name is two, and an actor is known."""

    first: str
    last: str
    metres: Decimal
    ended_by: str


class TripCharged(Event, category="trip", schema_version=2, registry=classes):
    """Version 1 was in dollars; before that it was `TripBilled`, versions 1 (`amount`) and 2 (`dollars`)."""

    cents: int


class TripNoted(Event, category="trip", registry=classes):
    """Was a list of notes once: `TripRemarked`; `TripPinged` is no longer kept."""

    text: str


@upcaster("trip", "TripEnded", 1, registry=classes)
def _rename_and_change_the_unit(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    return {"driver": data["name"], "metres": str(Decimal(data["km"]) * 1000)}


@upcaster("trip", "TripEnded", 2, registry=classes)
def _split_a_field_and_add_one(data: dict[str, Any], context: EventContext) -> dict[str, Any]:
    first, _, last = data.pop("driver").partition(" ")
    return data | {"first": first, "last": last, "ended_by": context.metadata.get("actor", "nobody")}


@upcaster("trip", "TripBilled", 1, registry=classes)
def _rename_a_field(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    return {"dollars": data["amount"]}


@upcaster("trip", "TripBilled", 2, to="TripCharged", registry=classes)
def _rename_the_type(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    return data


@upcaster("trip", "TripCharged", 1, registry=classes)
def _to_cents(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    return {"cents": int(Decimal(data["dollars"]) * 100)}


@upcaster("trip", "TripRemarked", 1, to={"TripRemarked": 2, "TripNoted": 1}, registry=classes)
def _several(data: dict[str, Any], context: EventContext) -> list[UpcastEvent]:
    later = context.occurred_at + timedelta(seconds=1)
    last = [UpcastEvent("TripRemarked", {"note": data["notes"][-1]}, later)] if data["notes"] else []
    return [*(UpcastEvent("TripNoted", {"text": note}) for note in data["notes"][:-1]), *last]


@upcaster("trip", "TripRemarked", 2, to="TripNoted", registry=classes)
def _one(data: dict[str, Any], _: EventContext) -> dict[str, Any]:
    return {"text": data["note"]}


@upcaster("trip", "TripPinged", 1, to={}, registry=classes)
def _nothing(_data: dict[str, Any], _context: EventContext) -> list[UpcastEvent]:
    return []


require_sound_registry(classes)


@dataclass(frozen=True)
class Stored:
    """One fact, as each version of the program would have stored it, oldest first, and as the events of today."""

    forms: tuple[tuple[str, int, dict[str, Any]], ...]
    metadata: dict[str, Any]
    today: tuple[Event, ...]


WORDS = st.text("abcdefgü", min_size=1, max_size=5)
TIMES = st.integers(0, 10**6).map(lambda seconds: START + timedelta(seconds=seconds))


@st.composite
def facts(draw: st.DrawFn) -> tuple[Stored, datetime]:
    """A fact of any of the types, and when it was."""
    at = draw(TIMES)
    actor = draw(st.none() | WORDS)
    metadata = {} if actor is None else {"actor": actor}
    kind = draw(st.sampled_from(["ended", "charged", "noted", "pinged"]))
    if kind == "ended":
        first, last = draw(WORDS), draw(WORDS)
        km = draw(st.decimals(0, 10_000, places=3))
        metres = str(km * 1000)
        who = actor or "nobody"
        return (
            Stored(
                (
                    ("TripEnded", 1, {"name": f"{first} {last}", "km": str(km)}),
                    ("TripEnded", 2, {"driver": f"{first} {last}", "metres": metres}),
                    ("TripEnded", 3, {"first": first, "last": last, "metres": metres, "ended_by": who}),
                ),
                metadata,
                (TripEnded(first=first, last=last, metres=Decimal(metres), ended_by=who, occurred_at=at),),
            ),
            at,
        )
    if kind == "charged":
        cents = draw(st.integers(0, 10**9))
        dollars = str(Decimal(cents) / 100)
        return (
            Stored(
                (
                    ("TripBilled", 1, {"amount": dollars}),
                    ("TripBilled", 2, {"dollars": dollars}),
                    ("TripCharged", 1, {"dollars": dollars}),
                    ("TripCharged", 2, {"cents": cents}),
                ),
                metadata,
                (TripCharged(cents=cents, occurred_at=at),),
            ),
            at,
        )
    if kind == "noted":
        notes = draw(st.lists(WORDS, max_size=4))
        points = [at] * (len(notes) - 1) + [at + timedelta(seconds=1)]
        today = tuple(
            TripNoted(text=text, occurred_at=when) for text, when in zip(notes, points, strict=False)
        )
        return Stored((("TripRemarked", 1, {"notes": notes}),), metadata, today), at
    return Stored((("TripPinged", 1, {}),), metadata, ()), at


def read(form: tuple[str, int, dict[str, Any]], metadata: dict[str, Any], at: datetime) -> RecordedEvent:
    """The event that a stored form is today."""
    type_, schema_version, data = form
    return decode(
        {
            "position": 7,
            "stream_id": UUID(int=1),
            "version": 3,
            "event_id": UUID(int=2),
            "category": "trip",
            "type": type_,
            "schema_version": schema_version,
            "data": orjson.dumps(data).decode(),
            "metadata": orjson.dumps(metadata).decode() if metadata else "{}",
            "occurred_at": at,
            "recorded_at": at,
        },
        classes=classes,
    )


@settings(max_examples=examples(150))
@given(facts())
def test_an_old_event_upcast_is_the_new_event(fact: tuple[Stored, datetime]):
    """Every form of a fact reads as the same events, with the same digits; the envelope is the stored one's."""
    stored, at = fact
    for form in stored.forms:
        event = read(form, stored.metadata, at)
        assert [part.event for part in event.upcast_events] == list(stored.today), form
        for part in event.upcast_events:
            assert (
                part.event.model_dump_json()
                == stored.today[event.upcast_events.index(part)].model_dump_json()
            )
            assert (part.position, part.version, part.event_id) == (7, 3, UUID(int=2))
        assert (event.position, event.version, event.stream_id) == (7, 3, UUID(int=1))
        assert event.metadata == (stored.metadata or NO_METADATA)


@settings(max_examples=examples(50))
@given(facts())
def test_reading_twice_gives_the_same(fact: tuple[Stored, datetime]):
    """An upcaster that keeps nothing and changes nothing but its argument is a function."""
    stored, at = fact
    for form in stored.forms:
        assert read(form, stored.metadata, at) == read(form, stored.metadata, at)
