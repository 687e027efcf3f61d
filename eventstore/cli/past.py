"""`as-of` and `snapshot`: as-of lists, and the state snapshots that make them faster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from eventstore.cli.output import TextTable, say, say_json, show_table
from eventstore.cli.running import NotFoundError
from eventstore.cli.target import Data, Url, configuration
from eventstore.database import DatabaseConfig
from eventstore.errors import ConfigurationError
from eventstore.replay.as_of import Past
from eventstore.store import EventStore

_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class What(StrEnum):
    """The entities to list."""

    ORDERS = "orders"
    POSITIONS = "positions"
    PORTFOLIOS = "portfolios"


def as_of(  # noqa: PLR0917 - the command's options
    point: Annotated[
        str,
        typer.Argument(
            metavar="TIME|POSITION", help="2026-03-02T15:59:59+00:00 (without offset: local), or 81734."
        ),
    ],
    what: Annotated[What, typer.Argument(help="What to list.")],
    active: Annotated[
        bool, typer.Option("--active", help="Only orders that may still trade, or positions that are open.")
    ] = False,
    symbol: Annotated[str | None, typer.Option("--symbol", metavar="S", help="Only this symbol.")] = None,
    occurred: Annotated[
        bool,
        typer.Option(
            "--occurred", help="Show what was true at TIME, with late reports; default: what was known."
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, with every field.")
    ] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """List the orders, positions or portfolios as they were at a point in time."""
    when = _when(point, occurred)
    if what is What.PORTFOLIOS and (active or symbol is not None):
        raise ConfigurationError(
            "portfolios have no symbol and are always active: leave out --active and --symbol"
        )
    with configuration(url, data) as config:
        found = asyncio.run(_list(config, when, what, active=active, symbol=symbol, limit=limit))
    if as_json:
        for entity in found:
            say_json(entity.model_dump_json())
        return
    texts, numbers, row = _COLUMNS[what]
    table = TextTable(f"{len(found)} {what} as of {point}", texts, numbers)
    for entity in found:
        table.add_row(*map(_shown, row(entity)))
    show_table(table)


def snapshot(  # noqa: PLR0917 - the command's options
    position: Annotated[
        int | None,
        typer.Option("--position", metavar="P", min=1, help="As of this position. Default: the last one."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            metavar="N",
            min=1,
            help="Run until stopped, and make one whenever the log has grown by N positions.",
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the state snapshots.")] = False,
    dropped: Annotated[
        bool, typer.Option("--drop", help="Drop all state snapshots, or the one at --position.")
    ] = False,
    url: Url = None,
    data: Data = None,
) -> None:
    """Store all states as of a position. `as-of` then begins there if now is further away."""
    if listed + dropped + (every is not None) > 1 or (position is not None and (listed or every is not None)):
        raise ConfigurationError(
            "--list, --drop and --every exclude each other, and only --drop accepts --position: give one of them"
        )
    with configuration(url, data) as config:
        asyncio.run(_state_snapshot(config, position, every, listed=listed, dropped=dropped))


async def _state_snapshot(
    config: DatabaseConfig, position: int | None, every: int | None, *, listed: bool, dropped: bool
) -> None:
    async with EventStore.open(config, workers=False) as store:
        if listed:
            for one in await store.state_snapshots.list():
                say(f"{one.position} {one.category}, made at {one.made_at.isoformat()}")
        elif dropped:
            dropped_now = await store.state_snapshots.drop(position=position)
            if position is not None and not dropped_now:
                raise NotFoundError(
                    f"there is no state snapshot at position {position}: --list shows the positions"
                )
            say(f"{dropped_now} dropped")
        elif every is not None:
            await store.state_snapshots.run(every_positions=every)
        else:
            say(f"state snapshot at position {await store.state_snapshots.make(position=position)}")


def _when(point: str, occurred: bool) -> dict[str, Any]:
    if point.isdecimal():
        if occurred:
            raise ConfigurationError(
                "--occurred needs a time, and a position is a place in the log: give a time"
            )
        return {"position": int(point)}
    try:
        time = datetime.fromisoformat(point)
    except ValueError as error:
        raise ConfigurationError(
            f"{point} is neither a position nor a time: write 81734, or 2026-03-02T15:59:59+00:00"
        ) from error
    return {"occurred_at" if occurred else "recorded_at": time}


async def _list(
    config: DatabaseConfig,
    when: dict[str, Any],
    what: What,
    *,
    active: bool,
    symbol: str | None,
    limit: int | None,
) -> Sequence[Any]:
    async with EventStore.open(config, workers=False) as store, store.as_of(**when) as past:
        found: Sequence[Any]
        if what is What.PORTFOLIOS:
            found = await past.portfolios.get_all_portfolios(limit=limit)
        elif symbol is not None:
            found = await _of_symbol(past, what, symbol)
        elif active and what is What.ORDERS:
            found = await past.orders.get_active_orders(limit=limit)
        elif active:
            found = await past.positions.get_active_positions(limit=limit)
        elif what is What.ORDERS:
            found = await past.orders.get_orders_by_date_range(*_EVER, limit=limit)
        else:
            found = await past.positions.get_positions_by_date_range(*_EVER, limit=limit)
    if active and symbol is not None:
        is_active: Callable[[Any], bool] = _IS_ACTIVE[what]
        found = list(filter(is_active, found))
    return found[:limit]


async def _of_symbol(past: Past, what: What, symbol: str) -> Sequence[Any]:
    if what is What.ORDERS:
        return await past.orders.get_orders_by_symbol(symbol)
    return await past.positions.get_positions_by_symbol(symbol)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else f"{value}"


_COLUMNS: dict[What, tuple[Sequence[str], Sequence[str], Callable[[Any], Sequence[Any]]]] = {
    What.ORDERS: (
        ("id", "symbol", "side", "status"),
        ("quantity", "open", "limit"),
        lambda o: (o.id, o.symbol, o.side, o.status, o.quantity, o.leaves_quantity, o.limit_price),
    ),
    What.POSITIONS: (
        ("id", "symbol"),
        ("quantity", "cost", "realized", "commission", "opened", "closed"),
        lambda p: (
            p.id,
            p.symbol,
            p.quantity,
            p.cost,
            p.realized_pnl,
            p.commission_paid,
            p.opened_at,
            p.closed_at,
        ),
    ),
    What.PORTFOLIOS: (
        ("id", "name"),
        ("cash", "realized", "commission", "trades"),
        lambda p: (
            p.id,
            p.name,
            p.cash_balance,
            p.total_realized_pnl,
            p.total_commission_paid,
            p.trades_count,
        ),
    ),
}

_IS_ACTIVE: dict[What, Callable[[Any], bool]] = {
    What.ORDERS: lambda order: bool(order.is_active),
    What.POSITIONS: lambda position: position.closed_at is None,
}
