"""Reading beside the peers: one entity of a thousand events loaded by its fold, and every event of a log."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks import peer_eventsourcing
from benchmarks.bench import Bench
from benchmarks.report import shown
from benchmarks.workload import Result
from eventstore import EventStore
from eventstore.core import Entity, Event, applies

__all__ = ["compare_reading"]

_STREAM_EVENTS = 1_000
_STREAMS = 20
_GOAL = 1.5
_OURS = "ours"
_BARE = "asyncpg and orjson, no objects"
_PAGE_EVENTS = 1_000
_LOAD = f"load a stream of {_STREAM_EVENTS:,} domain events"
_READ = "read all domain events"
_NAMES = {_LOAD: "peers_load_stream", _READ: "peers_read_all"}

Reader = Callable[[], Awaitable[int]]
"""Reads, and returns how many events there were."""


class MeterRead(Event, category="meter"):
    """A meter was read."""

    amount: Decimal
    source: str


class Meter(Entity, category="meter"):
    """An entity as a user writes one, whose every event adds to a sum."""

    total: Decimal = Decimal(0)
    count: int = 0

    def read(self, amount: Decimal, source: str) -> None:
        """Add an amount."""
        self.emit(MeterRead(amount=amount, source=source))

    @applies(MeterRead)
    def _was_read(self, event: MeterRead) -> None:
        self.set(total=self.total + event.amount, count=self.count + 1)


async def compare_reading(bench: Bench, rounds: int, report: Console) -> list[Result]:
    """Measure everybody in turn, round after round; print the medians, and return the results of the two goals."""
    bench.server.create_database("eventsourcing_reading")
    with peer_eventsourcing.opened_for_reading(
        bench.config("eventsourcing_reading"), streams=_STREAMS, events=_STREAM_EVENTS
    ) as peer:
        store = await bench.database("reading")
        ids = await _meters(store)
        works: Mapping[str, Mapping[str, Reader]] = {
            _LOAD: {
                _OURS: lambda: _load(store, ids),
                "eventsourcing": lambda: asyncio.to_thread(peer.load),
                _BARE: lambda: _load_bare(store, ids),
            },
            _READ: {
                _OURS: lambda: _read(store),
                "eventsourcing": lambda: asyncio.to_thread(peer.read_all),
                _BARE: lambda: _read_bare(store),
            },
        }
        measured: dict[tuple[str, str], list[float]] = {}
        for number in range(1, rounds + 1):
            for work, readers in works.items():
                for name, read in readers.items():
                    report.print(f"[dim]round {number} of {rounds}: {work}, {name}[/dim]")
                    measured.setdefault((work, name), []).append(await _rate(read))
    return _reported(measured, rounds, report)


async def _rate(read: Reader) -> float:
    began = time.perf_counter()
    return await read() / (time.perf_counter() - began)


def _reported(measured: Mapping[tuple[str, str], list[float]], rounds: int, report: Console) -> list[Result]:
    medians = {key: statistics.median(values) for key, values in measured.items()}
    table = Table("reading", "who", "events/s", "spread", "ours to it", title=f"medians of {rounds} rounds")
    for (work, name), values in measured.items():
        median = medians[work, name]
        spread = f"{shown(min(values))} - {shown(max(values))}"
        table.add_row(work, name, shown(median), spread, f"{medians[work, _OURS] / median:.2f}")
    report.print(table)
    results = []
    for work, goal_name in _NAMES.items():
        value = medians[work, _OURS]
        best = max(
            median for (of, name), median in medians.items() if of == work and name not in (_OURS, _BARE)
        )
        ratio = value / best
        met = ratio >= _GOAL
        report.print(
            f"{work}: ours to the best peer {ratio:.2f}, goal at least {_GOAL:g}: {'met' if met else 'NOT met'}"
        )
        results.append(Result(goal_name, value, "events/s", best, ratio, _GOAL, "at_least", met, rounds))
    return results


async def _meters(store: EventStore) -> list[UUID]:
    ids = []
    for _ in range(_STREAMS):
        meter = Meter()
        for number in range(_STREAM_EVENTS - 1):
            meter.read(Decimal(number) / 4, "line A")
        async with store.unit_of_work() as uow:
            await uow.entities(Meter).save(meter)
        ids.append(meter.id)
    return ids


async def _load(store: EventStore, ids: list[UUID]) -> int:
    for one in ids:
        async with store.unit_of_work() as uow:
            meter = await uow.entities(Meter).get(one)
        if meter is None or meter.version != _STREAM_EVENTS:
            raise RuntimeError("what was saved is gone")
    return _STREAM_EVENTS * len(ids)


async def _read(store: EventStore) -> int:
    found = 0
    async for events in store.replay().pages():
        found += len(events)
    return found


async def _load_bare(store: EventStore, ids: list[UUID]) -> int:
    async with store.connection.acquire_for_user() as connection:
        for one in ids:
            _decode(await connection.fetch("SELECT * FROM events WHERE stream_id = $1 ORDER BY version", one))
    return _STREAM_EVENTS * len(ids)


async def _read_bare(store: EventStore) -> int:
    found, after = 0, 0
    statement = "SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2"
    async with store.connection.acquire_for_user() as connection:
        while rows := await connection.fetch(statement, after, _PAGE_EVENTS):
            _decode(rows)
            found, after = found + len(rows), rows[-1]["position"]
    return found


def _decode(rows: list[Any]) -> None:
    for row in rows:
        orjson.loads(row["data"])
