"""Reading all events that came from one command."""

from __future__ import annotations

from uuid import UUID

from eventstore.core.causation import CausationTree, correlation_of
from eventstore.limits import COUNT_MAX, check_count
from eventstore.log.event_log import EventLog
from eventstore.log.lookup import CORRELATED_EVENTS_MAX


async def causation_tree(
    log: EventLog, id: str | UUID, *, limit: int = CORRELATED_EVENTS_MAX
) -> CausationTree:
    """Return all events that came from one command, as a tree.

    Args:
        log: The log.
        id: A correlation id, or the id of any event of the correlation.
        limit: The maximum number of events; `is_complete` says whether the tree has all of them.

    Raises:
        LimitError: `limit` is below 1.
        ConnectionError, TimeoutError: Safe to retry.
        UnknownEventTypeError, EventDecodingError: An event cannot be read.
    """
    check_count("limit", limit, most=COUNT_MAX - 1)
    correlation_id = str(id)
    events = await log.find_correlated(correlation_id, limit=limit + 1)
    if len(events) <= 1:  # not a correlation id, but perhaps the id of an event that has one
        named = next(iter(events), None)
        if named is not None and correlation_of(named) != correlation_id:
            correlation_id = correlation_of(named)
            events = await log.find_correlated(correlation_id, limit=limit + 1)
    return CausationTree.of(correlation_id, events[:limit], is_complete=len(events) <= limit)
