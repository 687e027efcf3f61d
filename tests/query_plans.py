"""What the plan of a list reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

# A row for each projection, or for each key in trouble.
SMALL = {"projections", "projection_checkpoints", "projection_quarantine", "log_segments"}


ID = UUID(int=7)


TIME = datetime(2026, 1, 1, tzinfo=UTC)


LISTS: dict[str, tuple[Any, ...]] = {
    "orders/by_symbol": ("S7",),
    "orders/by_status": ("SUBMITTED",),
    "orders/active": (),
    "orders/by_broker_order_id": ("B-77",),
    "orders/by_client_order_id": ("C-77",),
    "orders/by_parent_id": (ID,),
    "orders/by_list_id": ("L-77",),
    "orders/by_account": ("A-7",),
    "orders/by_creation": (TIME, TIME),
    "positions/open_by_symbol": ("S7", None, None, None, None),
    "positions/open_of_order": ("S7", ID, None, None, None),
    "positions/by_symbol": ("S7",),
    "positions/active": (),
    "positions/closed": (),
    "positions/by_strategy": ("T7",),
    "positions/by_account": ("A7",),
    "positions/by_portfolio": (ID,),
    "positions/open_by_portfolio": (ID,),
    "positions/by_opening": (TIME, TIME),
    "portfolios/by_name": ("N7",),
    "portfolios/latest": (),
    "portfolios/all": (),
    "portfolios/by_strategy": ("T7",),
    "instruments/all": (),
    "instruments/by_symbol": ("S7",),
    "instruments/latest_by_symbol": ("S7", None),
    "portfolio_snapshots/by_portfolio": (ID, TIME, TIME),
}


def sequential_scans(plan: dict[str, Any]) -> Iterator[str]:
    """The large tables that a plan reads from end to end."""
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] not in SMALL:
        yield plan["Relation Name"]
    for child in plan.get("Plans", ()):
        yield from sequential_scans(child)
