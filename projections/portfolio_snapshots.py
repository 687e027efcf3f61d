"""The table `portfolio_snapshots`: one row for each snapshot."""

from __future__ import annotations

from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from projections.projection import EntityProjection
from projections.table import Table

__all__ = ["PortfolioSnapshotsProjection"]


class PortfolioSnapshotsProjection(EntityProjection[PortfolioSnapshot]):
    """Folds the events of snapshots into the table `portfolio_snapshots`."""

    name = "portfolio_snapshots"

    def __init__(self) -> None:
        super().__init__(
            PortfolioSnapshot,
            Table("portfolio_snapshots", row=PortfolioSnapshot, key=("id",), types={"version": "integer"}),
        )
