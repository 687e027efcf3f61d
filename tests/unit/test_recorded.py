"""Events with their envelope, as pages of them are made: frozen, like those of the constructor."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventstore.core.event import RecordedEvent, recorded
from eventstore.domain.order import Order, OrderSide
from eventstore.log.records import COLUMNS
from eventstore.sql import render, template

NINE = datetime(2024, 1, 2, 9, tzinfo=UTC)
EVENT = Order.create_market_order("ES", 10, OrderSide.BUY, occurred_at=NINE).pending_events[0].event  # type: ignore[arg-type]
FIELDS = (7, UUID(int=1), 1, UUID(int=2), EVENT, {"actor": "me"}, NINE)


def test_it_is_what_the_constructor_makes():
    """Same type, same fields, equal, with the same text."""
    made, constructed = recorded(*FIELDS), RecordedEvent(*FIELDS)
    assert type(made) is RecordedEvent
    assert made == constructed
    assert repr(made) == repr(constructed)
    assert [getattr(made, field.name) for field in fields(made)] == list(FIELDS)
    assert (made.category, made.parts) == ("order", (made,))


def test_it_is_frozen():
    """No field of it can be set, and it has no room for others."""
    made = recorded(*FIELDS)
    with pytest.raises(FrozenInstanceError):
        made.position = 8  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        made.more = 1  # type: ignore[attr-defined]
    assert not hasattr(made, "__dict__")


def test_it_can_be_copied():
    """It survives pickle and copy, and `replace` makes another."""
    made = recorded(*FIELDS)
    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == copy.deepcopy(made) == made
    assert replace(made, position=8).position == 8


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
