"""The read side: projections fold the settled events of the log into tables."""

import projections.installation  # noqa: F401 - refuses a module of the user's in place of `eventstore`
from projections.engine import ProjectionRunner, ProjectionWorker, Running, run
from projections.orders import OrdersProjection
from projections.portfolio_snapshots import PortfolioSnapshotsProjection
from projections.portfolios import PortfoliosProjection
from projections.positions import PositionsProjection
from projections.projection import EntityProjection, Projection
from projections.table import Table

__all__ = [
    "EntityProjection",
    "OrdersProjection",
    "PortfolioSnapshotsProjection",
    "PortfoliosProjection",
    "PositionsProjection",
    "Projection",
    "ProjectionRunner",
    "ProjectionWorker",
    "Running",
    "Table",
    "run",
]
