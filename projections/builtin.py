"""The projections of the library's own read tables: one row for each entity."""

from __future__ import annotations

from eventstore.domain.instrument import Instrument
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from eventstore.domain.position import Position
from projections.projection import EntityProjection
from projections.table import Table


class OrdersProjection(EntityProjection[Order]):
    """Folds the events of orders into the table `orders`."""

    name = "orders"

    def __init__(self) -> None:
        super().__init__(
            Order,
            Table(
                "orders",
                row=Order,
                key=("id",),
                types={
                    "version": "integer",
                    "side": "order_side",
                    "order_type": "order_type",
                    "status": "order_status",
                    "time_in_force": "time_in_force",
                },
            ),
        )


class PositionsProjection(EntityProjection[Position]):
    """Folds the events of positions into the table `positions`."""

    name = "positions"

    def __init__(self) -> None:
        super().__init__(
            Position, Table("positions", row=Position, key=("id",), types={"version": "integer"})
        )


class PortfoliosProjection(EntityProjection[Portfolio]):
    """Folds the events of portfolios into the table `portfolios`."""

    name = "portfolios"

    def __init__(self) -> None:
        super().__init__(
            Portfolio, Table("portfolios", row=Portfolio, key=("id",), types={"version": "integer"})
        )


class PortfolioSnapshotsProjection(EntityProjection[PortfolioSnapshot]):
    """Folds the events of snapshots into the table `portfolio_snapshots`."""

    name = "portfolio_snapshots"

    def __init__(self) -> None:
        super().__init__(
            PortfolioSnapshot,
            Table("portfolio_snapshots", row=PortfolioSnapshot, key=("id",), types={"version": "integer"}),
        )


class InstrumentsProjection(EntityProjection[Instrument]):
    """Folds the events of instruments into the table `instruments`."""

    name = "instruments"

    def __init__(self) -> None:
        super().__init__(
            Instrument, Table("instruments", row=Instrument, key=("id",), types={"version": "integer"})
        )
