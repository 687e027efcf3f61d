"""The event log: append, gap detection, reading in order, subscriptions. It knows nothing of trading."""

from eventstore.log.event_log import EventLog
from eventstore.log.high_water_mark import HighWaterMark
from eventstore.log.records import AppendResult, StagedEvent, StreamAppend
from eventstore.log.subscription import Subscription

__all__ = ["AppendResult", "EventLog", "HighWaterMark", "StagedEvent", "StreamAppend", "Subscription"]
