"""What was ever stored can be read, to the same state, digit for digit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

import eventstore.store  # noqa: F401 - the built-in events
from eventstore.core import Entity
from eventstore.core.event import RecordedEvent
from eventstore.core.registry import registry
from eventstore.domain import Instrument, Order, Portfolio, Position
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from eventstore.log.records import decode
from tests.golden.streams import FOLDER, STREAMS

FILES = sorted(FOLDER.glob("*.jsonl"))
ENTITIES: dict[str, type[Entity]] = {
    each.category: each for each in (Order, Position, Portfolio, PortfolioSnapshot, Instrument)
}
RECORDED_AT = datetime(2026, 1, 3, tzinfo=UTC)


def lines(path: Any) -> Iterator[dict[str, Any]]:
    """The lines of a file."""
    yield from map(orjson.loads, path.read_bytes().splitlines())


def row(line: dict[str, Any], position: int) -> dict[str, Any]:
    """A line as a row of `events`."""
    return line | {
        "position": position,
        "stream_id": UUID(line["stream_id"]),
        "event_id": UUID(line["event_id"]),
        "occurred_at": datetime.fromisoformat(line["occurred_at"]),
        "recorded_at": RECORDED_AT,
        "metadata": "{}",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_events_fold_to_what_they_did(path: Any):
    """Each line is decoded, and the states are those that were kept, to the last digit."""
    events: list[RecordedEvent] = []
    states = 0
    for line in lines(path):
        if "state" in line:
            entity = ENTITIES[events[0].category].fold(events)
            if line["state"] is None:
                assert entity is None
            else:
                assert entity is not None
                assert entity.version == len(events)
                # A field that came later has its default here; what was there then is what it was.
                assert orjson.loads(entity.model_dump_json()).items() >= orjson.loads(line["state"]).items()
            states += 1
        else:
            events.append(decode(row(line, len(events) + 1)))
    assert events
    assert states


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_events_of_today_are_stored_as_they_were(path: Any):
    """To the byte: what an event is stored as is a contract too, with other programs that read the log."""
    for line in lines(path):
        if "state" in line:
            continue
        found = registry.current.get((line["category"], line["type"], line["schema_version"]))
        if found is not None:
            event = found.from_stored(orjson.loads(line["data"]), datetime.fromisoformat(line["occurred_at"]))
            assert event.to_json().decode() == line["data"]


def test_every_version_of_every_event_has_a_golden_line():
    """A type without one, or a version: add a stream to `tests/golden/streams.py` before it is released."""
    golden = {
        (line["category"], line["type"], line["schema_version"])
        for path in FILES
        for line in lines(path)
        if "state" not in line
    }
    expected = {
        (each.category, each.type, version)
        for each in registry
        if each.__module__.startswith("eventstore.")
        for version in range(1, each.schema_version + 1)
    }
    assert expected - golden == set()


def test_each_stream_has_its_file():
    """One that was added is written by `python -m tests.golden.streams`."""
    assert {path.stem for path in FILES} >= {make.__name__ for make in STREAMS}
