"""What the statements of the lists rely on when they leave events of the log's tail out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import given, strategies as st

from eventstore.core.context import decimal_arithmetic
from eventstore.core.entity_state import apply, begin
from eventstore.domain.position_events import PositionMarked, PositionOpened, PositionSplit
from eventstore.testing.strategies import order_histories, portfolio_histories, position_histories

if TYPE_CHECKING:
    from eventstore.core.entity import Entity

CLOSE_NOTHING = (PositionOpened, PositionMarked, PositionSplit)
ASKED_BY = {"symbol", "broker_order_id", "strategy", "portfolio_id", "account", "name"}


def steps(entity: Entity) -> list[tuple[Any, dict[str, Any]]]:
    """Each event of an entity, and the state after it."""
    entity.record_assignments()
    first, *rest = (one.event for one in entity.pending_events)
    state = begin(type(entity), entity.id, first)
    found = [(first, dict(state.__dict__))]
    with decimal_arithmetic():
        for event in rest:
            apply(state, event)
            found.append((event, dict(state.__dict__)))
    return found


@given(history=st.one_of(order_histories(), position_histories(), portfolio_histories()))
def test_a_field_becomes_what_the_json_of_an_event_says(history: Any):
    """A list may pass over an event whose JSON does not have what is asked for under the field's name."""
    for entity in history.play():
        before: dict[str, Any] = {}
        for event, after in steps(entity):
            data = orjson.loads(event.to_json())
            for name in ASKED_BY & after.keys():
                if after[name] not in (None, before.get(name)):
                    assert data[name] == str(after[name])
            if not before and "status" in after:  # a later event may change it, whatever its JSON has
                assert data["status"] == after["status"]
            if type(event) in CLOSE_NOTHING and data.get("closed_at") is None:
                assert after["closed_at"] == before.get("closed_at")
            before = after
