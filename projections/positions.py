"""The table `positions`: one row for each position, open or closed."""

from __future__ import annotations

from eventstore.domain.position import Position
from projections.projection import EntityProjection
from projections.table import Table

__all__ = ["PositionsProjection"]


class PositionsProjection(EntityProjection[Position]):
    """Folds the events of positions into the table `positions`."""

    name = "positions"

    def __init__(self) -> None:
        super().__init__(
            Position, Table("positions", row=Position, key=("id",), types={"version": "integer"})
        )
