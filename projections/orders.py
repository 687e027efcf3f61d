"""The table `orders`: one row for each order."""

from __future__ import annotations

from eventstore.domain.order import Order
from projections.projection import EntityProjection
from projections.table import Table

__all__ = ["OrdersProjection"]


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
