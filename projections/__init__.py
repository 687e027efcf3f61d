"""The read side: projections fold the final events of the log into tables."""

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
from projections.lots import PositionLots, PositionLotsProjection
from projections.projection import EntityProjection, Projection
from projections.table import Table
from projections.table_shape import check_table

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
