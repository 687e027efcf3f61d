"""Reads of the past: replays, as-of reads, histories, last metadata, equity curves and tax lots."""

from eventstore.replay.as_of import Past
from eventstore.replay.equity import EquityCurve, EquityPoint
from eventstore.replay.history import Changes, FieldChange, HistoryEntry
from eventstore.replay.last_metadata import LastMetadata
from eventstore.replay.lots import TaxLotReport, TaxLotTotal
from eventstore.replay.point_in_time import PointInTime
from eventstore.replay.replay import OnProgress, Replay, ReplayProgress
from eventstore.replay.state_snapshots import StateSnapshots

__all__ = [
    "Changes",
    "EquityCurve",
    "EquityPoint",
    "FieldChange",
    "HistoryEntry",
    "LastMetadata",
    "OnProgress",
    "Past",
    "PointInTime",
    "Replay",
    "ReplayProgress",
    "StateSnapshots",
    "TaxLotReport",
    "TaxLotTotal",
]
