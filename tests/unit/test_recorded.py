"""Events with their envelope: immutable, and the same however they are made."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from eventstore.core.event import RecordedEvent, UpcastEvents
from eventstore.core.registry import EventRegistry
from eventstore.core.upcasting import UpcastEvent, upcaster
from eventstore.domain.order import Order, OrderSide
from eventstore.errors import EventDecodingError
from eventstore.log.records import COLUMNS, decode
from eventstore.sql import render, template
from projections.builtin import OrdersProjection

NINE = datetime(2024, 1, 2, 9, tzinfo=UTC)
EVENT = Order.create_market_order("ES", Decimal(10), OrderSide.BUY, occurred_at=NINE).pending_events[0].event
FIELDS: tuple[Any, ...] = (7, UUID(int=1), 1, UUID(int=2), EVENT, {"actor": "me"}, NINE)
ORDERS = OrdersProjection()
CLASSES = EventRegistry()
CLASSES.register(type(EVENT))


@upcaster("order", "OrderTwice", 1, to={EVENT.type: EVENT.schema_version}, registry=CLASSES)
def _twice(data: dict[str, Any], context: Any) -> list[UpcastEvent]:
    return [UpcastEvent(EVENT.type, orjson.loads(EVENT.to_json())) for _ in range(2)]


class _Annotated(RecordedEvent):
    """A subclass of a user's own."""

    __slots__ = ()


def decoded(data: bytes = EVENT.to_json(), type: str = EVENT.type, version: int = 1) -> RecordedEvent:
    """Return an event as a page of the log is decoded."""
    position, stream_id, number, event_id, _, metadata, at = FIELDS
    return decode(
        {
            "position": position,
            "stream_id": stream_id,
            "version": number,
            "event_id": event_id,
            "category": "order",
            "type": type,
            "schema_version": version,
            "data": data.decode(),
            "metadata": orjson.dumps(metadata).decode(),
            "occurred_at": NINE,
            "recorded_at": at,
        },
        classes=CLASSES,
    )


def of_several() -> RecordedEvent:
    """Return an event that an upcaster splits in two."""
    return decoded(b"{}", "OrderTwice", 1)


def test_it_is_what_the_constructor_makes():
    """A page's events have the class, the fields and the text of the constructor's; by position and by keyword."""
    made, constructed = decoded(), RecordedEvent(*FIELDS)
    assert type(made) is type(constructed) is RecordedEvent
    assert made == constructed == RecordedEvent(**dict(zip(RecordedEvent._fields, FIELDS, strict=True)))
    assert repr(made) == repr(constructed)
    assert [getattr(made, name) for name in RecordedEvent._fields] == list(FIELDS)
    assert (made.category, made.type, made.upcast_events) == ("order", EVENT.type, (made,))


@pytest.mark.parametrize("make", [decoded, of_several])
def test_it_is_immutable(make: Callable[[], RecordedEvent]):
    """No field of it can be set, and it has no room for others."""
    made = make()
    for name in ("position", "event", "more"):
        with pytest.raises(AttributeError):
            setattr(made, name, 1)
    assert not hasattr(made, "__dict__")


@pytest.mark.parametrize("make", [decoded, of_several])
def test_it_can_be_copied(make: Callable[[], RecordedEvent]):
    """It survives pickle and copy, equal and of its class, and `_replace` makes another."""
    made = make()
    copies = [pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)]
    assert [type(each) for each in copies] == [type(made)] * 3
    assert copies == [made] * 3
    changed = made._replace(position=8)
    assert changed != made
    assert (type(changed), changed.position, changed.upcast_events[0].position) == (type(made), 8, 8)


def test_one_of_several_is_read_by_its_upcast_events_alone():
    """Reading its one event raises an error that names what to read; whatever else it has is as it was stored."""
    several = of_several()
    assert isinstance(several, UpcastEvents)
    assert [one.event for one in several.upcast_events] == [EVENT, EVENT]
    assert {type(one) for one in several.upcast_events} == {RecordedEvent}
    assert (several.type, several.category, several.occurred_at) == ("OrderTwice", "order", NINE)
    assert several != decoded()
    with pytest.raises(EventDecodingError, match=r"was upcast to 2 events: use \.upcast_events"):
        several.event  # noqa: B018 - it raises


def test_a_subclass_is_folded_as_its_base():
    """Entities and projections take an event of a user's subclass like any other."""
    own = _Annotated(*FIELDS)
    assert own == decoded()
    assert Order.fold([own]) == Order.fold([decoded()])
    assert ORDERS.taken(own) == (own,)
    assert ORDERS.fold(None, own, ORDERS.key_of(own)) == Order.fold([own])


@pytest.mark.parametrize(
    "statement",
    [
        "log/read_stream",
        "log/read_range",
        "replay/read_page",
        "replay/read_streams_page",
        "rebuild/scan_window",
    ],
)
def test_pages_have_their_columns_in_one_order(statement):
    """Every statement whose rows are decoded by the order of their columns gives them in that order."""
    text = " ".join(render(template(statement), "public").split())
    columns = f"SELECT {', '.join(COLUMNS)}"
    assert f"{columns} FROM" in text or re.search(
        re.escape(columns) + r", bytes >= \$\d::bigint AS is_full FROM", text
    )
