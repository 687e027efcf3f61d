"""Replaying a long log: to folded orders, and to a table that is built anew."""

from __future__ import annotations

import resource
import time
from typing import Any
from uuid import UUID

import orjson

from benchmarks.bench import Bench
from benchmarks.by_hand import fold_by_hand, forget_by_hand, rows_that_differ
from benchmarks.history import History, history
from benchmarks.workload import Figure, Goal, Workload, seconds
from eventstore import Order
from projections import OrdersProjection, ProjectionWorker
from projections.rebuild import RebuildProgress, rebuild

__all__ = ["CatchUp", "Rebuild", "Replay", "replay_orders"]

_PAGE_EVENTS = 1_000
_CATCH_UP_SHARE = 5
_PROCESSES = 2


class Replay(Workload):
    """Every event of the log, folded to orders."""

    name = "replay"
    title = "replay to folded orders, one core / raw asyncpg pages decoded with orjson"
    unit = "events/s"
    goals = (Goal(0.5), Goal(1.0, floor=100_000, suffix="_rate"))

    async def measure(self, bench: Bench) -> Figure:
        """Measure both, and how much the memory grew."""
        found = await history(bench, bench.sizes.history_events)
        before = _memory_mb()
        value = found.events / await seconds(replay_orders(found))
        grown = _memory_mb() - before
        floor = found.events / await seconds(_pages(found))
        bench.notes[:] = [note for note in bench.notes if not note.startswith("replay:")]
        bench.notes.append(
            f"replay: {found.events:,} events; the process grew by {grown:.0f} MB while it ran"
        )
        return Figure(value, floor)


async def replay_orders(found: History) -> None:
    """Fold the log; what can no longer trade is let go, as an engine that starts anew would."""
    active: dict[UUID, Order] = {}
    async for changed in found.store.replay_states(Order, states=active):
        for order in changed.values():
            if order is not None and not order.is_active:
                del active[order.id]


async def _pages(found: History) -> None:
    after = 0
    async with found.store.connection.acquire() as connection:
        while True:
            rows: list[Any] = await connection.fetch(
                "SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2", after, _PAGE_EVENTS
            )
            for row in rows:
                orjson.loads(row["data"])
            if len(rows) < _PAGE_EVENTS:
                return
            after = rows[-1]["position"]


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class CatchUp(Workload):
    """A worker that has a long log before it: it is measured over the first fifth."""

    name = "catch_up"
    title = "a worker catching up, one process, rows written / the same rows written by a batch program without the library"
    unit = "events/s"
    goals = (Goal(0.5),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both on an empty table, and compare the rows."""
        found = await history(bench, bench.sizes.history_events)
        await found.forget_rows()
        worker = ProjectionWorker(found.store.log, OrdersProjection())
        took = await seconds(worker.catch_up(_share_of(found)))
        folded = await worker.checkpoint()
        return Figure(folded / took, await _by_hand(found, compared_through=folded))


class Rebuild(Workload):
    """The table of orders, built anew beside the live one and compared with it."""

    name = "rebuild"
    title = (
        "rebuild of orders in two processes / the same rows written by a batch program without the library"
    )
    unit = "events/s"
    goals = (Goal(0.8),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure with two processes, and with one, each of which gives the same table."""
        found = await history(bench, bench.sizes.history_events)
        projection, reached = OrdersProjection(), dict[str, float]()
        began = time.perf_counter()

        def note(progress: RebuildProgress) -> None:
            reached.setdefault(progress.stage, time.perf_counter() - began)

        took = await seconds(rebuild(found.store.log, projection, processes=_PROCESSES, on_progress=note))
        alone = await seconds(rebuild(found.store.log, projection))
        beside = {
            "in one process": found.events / alone,
            "without its proof and indexes": found.events / reached["index"],
            "the same without the start of the processes": found.events
            / (reached["index"] - reached["build"]),
        }
        return Figure(found.events / took, await _by_hand(found), beside)


def _share_of(found: History) -> int:
    return max(found.events // _CATCH_UP_SHARE, 1)


async def _by_hand(found: History, *, compared_through: int | None = None) -> float:
    """Return the events a second of the program by hand, over the first fifth.

    Args:
        found: The log.
        compared_through: Up to here the projection's rows are complete, and must be those of the program.
    """
    async with found.store.connection.acquire_for_user() as connection:
        await forget_by_hand(connection)
        began = time.perf_counter()
        folded = await fold_by_hand(connection, _share_of(found))
        took = time.perf_counter() - began
        through = min(folded, compared_through or 0)
        if through and (differ := await rows_that_differ(connection, through)):
            raise RuntimeError(f"{differ} rows of the projection are not those of the program by hand")
    return folded / took
