"""The event log: appends, gap detection, reads in order and subscriptions.

It knows nothing of trading.
"""

from eventstore.limits import APPEND_BYTES_MAX, EVENT_BYTES_MAX
from eventstore.log.bulk_load import ImportResult
from eventstore.log.event_log import EventLog
from eventstore.log.high_water_mark import HighWaterMark
from eventstore.log.lookup import TimeBounds
from eventstore.log.records import AppendResult, StagedEvent, StreamAppend, decode
from eventstore.log.subscription import Subscription
from eventstore.log.unreadable import OnUnreadable, UnreadableEvent

__all__ = [
    "APPEND_BYTES_MAX",
    "EVENT_BYTES_MAX",
    "AppendResult",
    "EventLog",
    "HighWaterMark",
    "ImportResult",
    "OnUnreadable",
    "StagedEvent",
    "StreamAppend",
    "Subscription",
    "TimeBounds",
    "UnreadableEvent",
    "decode",
]
