"""What the log knows of the past: replays, rebuilt state, histories and curves."""

from eventstore.replay.equity import EquityCurve, EquityPoint
from eventstore.replay.history import Changes, FieldChange, HistoryEntry
from eventstore.replay.replay import OnProgress, Replay, ReplayProgress

__all__ = [
    "Changes",
    "EquityCurve",
    "EquityPoint",
    "FieldChange",
    "HistoryEntry",
    "OnProgress",
    "Replay",
    "ReplayProgress",
]
