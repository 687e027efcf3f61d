"""The read tables of the trading entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.domain.entity import Entity
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.portfolio_snapshot import PortfolioSnapshot
from eventstore.domain.position import Position
from eventstore.repositories.storage import ReadTable

__all__ = ["READ_TABLES"]

READ_TABLES: Mapping[type[Entity], ReadTable[Any]] = {
    Order: ReadTable(Order, projection="orders", load="orders/load"),
    Position: ReadTable(Position, projection="positions", load="positions/load"),
    Portfolio: ReadTable(Portfolio, projection="portfolios", load="portfolios/load"),
    PortfolioSnapshot: ReadTable(
        PortfolioSnapshot, projection="portfolio_snapshots", load="portfolio_snapshots/load"
    ),
}
"""Where the state of each class of entities is read from."""
