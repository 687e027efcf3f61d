"""Lanes: a projection split by a stable hash of its key, so that several workers share it."""

from __future__ import annotations

from functools import partial
from typing import Any

from eventstore.database.error_mapping import mapped_errors
from eventstore.errors import ConfigurationError, ProjectionError
from eventstore.log.event_log import EventLog
from eventstore.sql import load
from projections.folding import fold_into, quarantined_keys
from projections.keys import key_text, lane_of
from projections.projection import Projection

__all__ = ["LANES_MAX", "set_lanes"]

LANES_MAX = 256
"""The most lanes of one projection: each reads the whole log, so many cost more than they bring."""

_BATCH_EVENTS_MAX = 2_000


async def set_lanes(log: EventLog, projection: Projection[Any], lanes: int) -> None:
    """Split a projection into another number of lanes, while events flow and workers work.

    In one transaction all lanes are held, the ones behind are folded up to the one ahead, and every epoch goes up, so
    that no worker of the old lanes can write any more. It may be run again.

    Raises:
        ConfigurationError: `lanes` is not 1 to 256.
        ProjectionError: The projection has never been folded.
        ConnectionError, TimeoutError: Nothing was changed, or all of it. Safe to run again.
    """
    if not 1 <= lanes <= LANES_MAX:
        raise ConfigurationError(f"a projection has 1 to {LANES_MAX} lanes, not {lanes}")
    async with log.connection.acquire() as connection:
        with mapped_errors(own_statement=True, connection=connection):
            async with connection.transaction():
                pinned = await connection.fetch(load("projections/pin_lanes"), projection.name)
                if not pinned:
                    raise ProjectionError(
                        f"projection {projection.name} was never folded: let its worker run first"
                    )
                target = max(lane["position"] for lane in pinned)
                for lane in pinned:
                    await _catch_up(log, connection, projection, lane, lanes=len(pinned), target=target)
                epoch = max(lane["epoch"] for lane in pinned) + 1
                await connection.execute(load("projections/set_lanes"), projection.name, lanes, target, epoch)


async def _catch_up(
    log: EventLog, connection: Any, projection: Projection[Any], lane: Any, *, lanes: int, target: int
) -> None:
    after: int = lane["position"]
    while after < target:
        events = await log.read_range(
            after=after,
            through=target,
            limit=_BATCH_EVENTS_MAX,
            categories=projection.categories,
            connection=connection,
        )
        held = await quarantined_keys(connection, projection)
        await fold_into(
            connection,
            projection,
            events,
            takes=partial(_is_in, lane=lane["lane"], lanes=lanes, held=held),
        )
        after = events[-1].position if len(events) == _BATCH_EVENTS_MAX else target


def _is_in(key: tuple[Any, ...], *, lane: int, lanes: int, held: frozenset[str]) -> bool:
    return lane_of(key, lanes) == lane and key_text(key) not in held
