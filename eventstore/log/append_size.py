"""How large an event and an append may be: what is larger is refused before it is sent.

PostgreSQL keeps the JSON of an event in a form that has its own limits: 268,435,455 bytes of an array, an object or a text,
and a gigabyte of memory for the members of one. JSON of 32 MiB is within them whatever it holds: the costliest is an
array of small numbers, which takes six times its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from eventstore.errors import AppendTooLargeError
from eventstore.limits import APPEND_BYTES_MAX, EVENT_BYTES_MAX

if TYPE_CHECKING:
    from eventstore.log.records import AppendColumns

ENVELOPE_BYTES = 512
"""What an event adds to an append besides its JSON: ids, names and times."""

# A character takes four bytes at most: text of this length need not be encoded to know that it fits.
EVENT_LENGTH_UNCHECKED = EVENT_BYTES_MAX // 4
APPEND_LENGTH_UNCHECKED = APPEND_BYTES_MAX // 4


def require_event_fits(
    names: tuple[str, str], stream_id: UUID, version: int, data: str, metadata: str
) -> None:
    """Refuse an event that is too large.

    Args:
        names: Its category and type.
        stream_id: Its stream.
        version: Its version in the stream.
        data: Its JSON.
        metadata: The JSON of its metadata.

    Raises:
        AppendTooLargeError: It is.
    """
    size_bytes = _bytes(data) + _bytes(metadata)
    if size_bytes > EVENT_BYTES_MAX:
        raise AppendTooLargeError.of_event(
            *names, stream_id, version, size_bytes=size_bytes, limit_bytes=EVENT_BYTES_MAX
        )


def require_append_fits(columns: AppendColumns) -> None:
    """Refuse an append that is too large.

    Raises:
        AppendTooLargeError: It is.
    """
    events = len(columns.versions)
    size_bytes = sum(map(_bytes, columns.data)) + sum(map(_bytes, columns.metadata)) + events * ENVELOPE_BYTES
    if size_bytes > APPEND_BYTES_MAX:
        raise AppendTooLargeError.of_append(events, size_bytes=size_bytes, limit_bytes=APPEND_BYTES_MAX)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
