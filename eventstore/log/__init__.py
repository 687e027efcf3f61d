"""The event log: append, settle, read in order, subscribe. It knows nothing of trading."""

from eventstore.log.event_log import EventLog
from eventstore.log.records import AppendResult, StagedEvent, StreamAppend
from eventstore.log.settlement import Settlement
from eventstore.log.subscription import Subscription

__all__ = ["AppendResult", "EventLog", "Settlement", "StagedEvent", "StreamAppend", "Subscription"]
