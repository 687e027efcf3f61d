"""The size limits of an event and of an append, which are checked before anything is sent.

PostgreSQL stores the JSON of an event as jsonb, which has its own limits: 268,435,455 bytes for an
array, an object or a string, and one gigabyte of memory for its members. Any JSON of at most 32 MiB
stays within these limits. The most expensive JSON, an array of small numbers, takes six times its
length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from eventstore.errors import AppendTooLargeError
from eventstore.limits import APPEND_BYTES_MAX, EVENT_BYTES_MAX

if TYPE_CHECKING:
    from eventstore.log.records import AppendColumns

ENVELOPE_BYTES = 512
"""The bytes of an event in an append besides its JSON: ids, names and times."""

# A character takes at most four bytes. Text of up to this length fits without being measured.
EVENT_LENGTH_UNCHECKED = EVENT_BYTES_MAX // 4
APPEND_LENGTH_UNCHECKED = APPEND_BYTES_MAX // 4


def require_event_fits(
    names: tuple[str, str], stream_id: UUID, version: int, data: str, metadata: str
) -> None:
    """Refuse an event that is too large.

    Args:
        names: The category and the type of the event.
        stream_id: The stream of the event.
        version: The version of the event in the stream.
        data: The JSON of the event.
        metadata: The JSON of its metadata.

    Raises:
        AppendTooLargeError: The event is larger than `EVENT_BYTES_MAX`.
    """
    size_bytes = _bytes(data) + _bytes(metadata)
    if size_bytes > EVENT_BYTES_MAX:
        raise AppendTooLargeError.of_event(
            *names, stream_id, version, size_bytes=size_bytes, limit_bytes=EVENT_BYTES_MAX
        )


def require_append_fits(columns: AppendColumns) -> None:
    """Refuse an append that is too large.

    Raises:
        AppendTooLargeError: The append is larger than `APPEND_BYTES_MAX`.
    """
    events = len(columns.versions)
    size_bytes = sum(map(_bytes, columns.data)) + sum(map(_bytes, columns.metadata)) + events * ENVELOPE_BYTES
    if size_bytes > APPEND_BYTES_MAX:
        raise AppendTooLargeError.of_append(events, size_bytes=size_bytes, limit_bytes=APPEND_BYTES_MAX)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
