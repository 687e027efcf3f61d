"""The read side: projections fold the final events of the log into tables.

`PositionLotsProjection` is imported on first use: `eventstore work` runs the built-in projections and those of the user that
are loaded, and this one is for users who create its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import projections.installation  # noqa: F401 - refuses a module of the user's in place of `eventstore`
from projections.builtin import (
    InstrumentsProjection,
    OrdersProjection,
    PortfolioSnapshotsProjection,
    PortfoliosProjection,
    PositionsProjection,
)
from projections.engine import ProjectionRunner, ProjectionWorker, Supervisor, run, set_partitions
from projections.fresh_rows import FreshRows
from projections.projection import EntityProjection, Projection
from projections.table import Table
from projections.table_shape import check_table

if TYPE_CHECKING:
    from projections.lots import PositionLots, PositionLotsProjection

__all__ = [
    "EntityProjection",
    "FreshRows",
    "InstrumentsProjection",
    "OrdersProjection",
    "PortfolioSnapshotsProjection",
    "PortfoliosProjection",
    "PositionLots",
    "PositionLotsProjection",
    "PositionsProjection",
    "Projection",
    "ProjectionRunner",
    "ProjectionWorker",
    "Supervisor",
    "Table",
    "check_table",
    "run",
    "set_partitions",
]


def __getattr__(name: str) -> Any:
    if name in {"PositionLots", "PositionLotsProjection"}:
        from projections import lots  # noqa: PLC0415

        return getattr(lots, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
