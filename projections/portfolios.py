"""The table `portfolios`: one row for each portfolio."""

from __future__ import annotations

from eventstore.domain.portfolio import Portfolio
from projections.projection import EntityProjection
from projections.table import Table

__all__ = ["PortfoliosProjection"]


class PortfoliosProjection(EntityProjection[Portfolio]):
    """Folds the events of portfolios into the table `portfolios`."""

    name = "portfolios"

    def __init__(self) -> None:
        super().__init__(
            Portfolio, Table("portfolios", row=Portfolio, key=("id",), types={"version": "integer"})
        )
