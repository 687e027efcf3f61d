"""What is written of an event, before any database sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from eventstore.core.event import Event, PendingEvent
from eventstore.errors import ConfigurationError
from eventstore.log.records import VERSION_MAX, StagedEvent, encode_metadata, to_columns

ID = UUID(int=5)


class RecordsNoted(Event, category="records"):
    """Something to append."""


@pytest.mark.parametrize(
    "value",
    [
        {"a"},
        object(),
        float("nan"),
        float("inf"),
        [1, {"deep": float("-inf")}],
        Decimal("NaN"),
        "\x00",
        "\ud800",
    ],
    ids=["set", "object", "nan", "inf", "deep inf", "decimal nan", "nul", "surrogate"],
)
def test_metadata_that_json_cannot_hold_is_refused(value: Any):
    """It is refused, and not written as something else."""
    with pytest.raises(ConfigurationError, match="metadata"):
        encode_metadata({"key": value})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.50"),
        (ID, str(ID)),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (None, None),
        (1.5, 1.5),
        ([1, {"deep": None}], [1, {"deep": None}]),
    ],
    ids=repr,
)
def test_metadata_keeps_what_it_says(value: Any, text: Any):
    """Decimals, ids and times are kept as text, the rest as JSON has it."""
    assert orjson.loads(encode_metadata({"key": value})) == {"key": text}


def _versions(*staged: tuple[int, int]) -> dict[UUID, int]:
    """What an append of these streams and versions expects of each stream; each id is an object of its own."""
    return to_columns(
        [
            StagedEvent(UUID(int=stream), version, PendingEvent(ID, RecordsNoted()))
            for stream, version in staged
        ]
    ).heads


def test_events_of_several_streams_may_be_staged_in_turn():
    """Each stream is expected at the version before its first event, wherever its events lie."""
    assert _versions((1, 4), (2, 1), (1, 5), (2, 2), (2, 3), (1, 6)) == {UUID(int=1): 3, UUID(int=2): 0}


@pytest.mark.parametrize(
    "staged",
    [
        [(1, 4), (1, 4)],
        [(1, 4), (1, 6)],
        [(1, 4), (2, 1), (1, 4)],
        [(1, 4), (2, 1), (1, 6)],
        [(1, 4), (2, 5), (2, 6), (1, 7)],
        [(1, 0)],
    ],
)
def test_versions_of_a_stream_follow_each_other(staged: list[tuple[int, int]]):
    """A version that repeats another or leaves a hole is refused, also if events of another stream lie between."""
    with pytest.raises(ConfigurationError, match="version"):
        _versions(*staged)


def test_a_version_beyond_the_columns_type_is_refused():
    """The message names the limit; nothing is sent."""
    with pytest.raises(ConfigurationError, match=str(VERSION_MAX)):
        to_columns([StagedEvent(ID, VERSION_MAX + 1, PendingEvent(ID, RecordsNoted()))])
