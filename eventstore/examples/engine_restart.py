"""An order engine that is killed during its run, restarts from the log alone, and ends with the same state.

`python -m eventstore.examples.engine_restart` shows it: one run is never killed; another one, in a separate
process, is killed by SIGKILL several times. Then it compares their logs and their states field by field.

What makes it work:

- Each decision is one Unit of Work, and its events name the print at which it was made (`row` in their
  metadata). So the log shows how far each strategy has come. A print without a decision leaves nothing that
  could be lost.
- Ids are derived from the strategy, the print and a count. If the outcome of a decision is unknown, the
  strategy makes it again with the same events and ids, and the log recognises the second append as a repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from eventstore import EventStore
from eventstore.core import Entity, use_ids
from eventstore.database import ConnectionFactory, DatabaseConfig, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.order import Order
from eventstore.domain.portfolio import Portfolio
from eventstore.domain.position import Position
from eventstore.examples.mean_reversion import E_MINI, PLANS, Instrument, MeanReversion, Plan
from eventstore.examples.order_engine import CAPITAL, OrderEngine
from eventstore.examples.ticks import Tick, packaged_tape, read_ticks

# This includes the time in which the server finishes the last statement of a killed process.
_ALL_THERE_WILL_BE = 2**63 - 1
_PRINTS_BETWEEN_PAUSES = 500
_TIME_BITS, _VERSION, _VARIANT = 80, 0x7 << 76, 0x2 << 62


class TickIds:
    """Reproducible ids, derived from the strategy's name, the row of the print and a count.

    They have the format of UUIDv7, so they ascend with the time of the tape.
    """

    def __init__(self, name: str, begins_at: datetime) -> None:
        self._name = name
        self.begin(0, begins_at)

    def begin(self, row: int, at: datetime) -> None:
        """Begin another print."""
        self._row, self._made, self._milliseconds = row, 0, int(at.timestamp() * 1000)

    def __call__(self) -> UUID:
        """Return the next id of the print."""
        self._made += 1
        digest = hashlib.sha256(f"{self._name}/{self._row}/{self._made}".encode()).digest()
        rest = int.from_bytes(digest[:10], "big") & ~(0xF << 76) & ~(0x3 << 62)
        return UUID(int=self._milliseconds << _TIME_BITS | rest | _VERSION | _VARIANT)


class RestartableEngine(OrderEngine):
    """An `OrderEngine` whose run another process can continue: see `resume`.

    Attributes:
        rows_done: The last print of each strategy in the log; 0 before the first.
        on_saved: Receives the strategy's name and the row after each saved decision.
    """

    def __init__(
        self,
        store: EventStore,
        tape: Sequence[Tick],
        *,
        plans: Iterable[Plan] = PLANS,
        instrument: Instrument = E_MINI,
        capital: Decimal = CAPITAL,
        on_saved: Callable[[str, int], None] = lambda _name, _row: None,
    ) -> None:
        super().__init__(store, tape, plans=(), instrument=instrument, capital=capital)
        self.rows_done: dict[str, int] = {}
        self.on_saved = on_saved
        for plan in plans:
            with use_ids(TickIds(plan.name, tape[0].at)):
                self.strategies.append(MeanReversion(plan, instrument, capital, begins_at=tape[0].at))
            self.rows_done[plan.name] = 0

    async def _trade(self, strategy: MeanReversion) -> None:
        name = strategy.plan.name
        ids = TickIds(name, self._tape[0].at)
        last = self._tape[-1]
        with use_ids(ids):
            for tick in islice(self._tape, self.rows_done[name], None):
                ids.begin(tick.row, tick.at)
                if strategy.on_tick(tick):
                    await self._save(strategy, tick.row)
                elif tick.row % _PRINTS_BETWEEN_PAUSES == 0:
                    await asyncio.sleep(0)
                self.prints_done += 1
            if self.rows_done[name] <= last.row:
                ids.begin(last.row + 1, last.at)
                strategy.mark(last)
                await self._save(strategy, last.row + 1)

    async def _save(self, strategy: MeanReversion, row: int) -> None:
        await super()._save(strategy, row)
        self.rows_done[strategy.plan.name] = row
        self.on_saved(strategy.plan.name, row)


async def resume(store: EventStore, tape: Sequence[Tick], **settings: Any) -> RestartableEngine:
    """Return an engine that continues from the log, or begins if the log is empty.

    Only this engine may write to the log.

    Args:
        store: The store of the previous run.
        tape: The same tape.
        **settings: The same arguments of `RestartableEngine`, and `on_saved`.
    """
    engine = RestartableEngine(store, tape, **settings)
    replay = store.replay(through=_ALL_THERE_WILL_BE)
    async for page in replay.pages():
        for recorded in page:
            # Rows ascend in each strategy's events, so the last assignment is the highest.
            engine.rows_done[recorded.metadata["actor"]] = recorded.metadata["row"]
    through = replay.position
    orders = await store.rebuild_state(Order, through=through)
    positions = await store.rebuild_state(Position, where=lambda one: one.is_open, through=through)
    portfolios = await store.rebuild_state(Portfolio, through=through)
    for strategy in engine.strategies:
        name = strategy.plan.name
        seen = tape[: engine.rows_done[name]]
        if not seen:
            continue
        own = [order for order in orders.values() if order.strategy == name]
        entries = [order for order in own if order.is_active and order.tags[0] in ("entry", "turn")]
        strategy.take_up(
            seen,
            portfolio=portfolios[strategy.portfolio.id],
            position=next((one for one in positions.values() if one.strategy == name), None),
            orders=own,
            entered_row=await _row_of(store, entries[0]) if entries else 0,
        )
    return engine


async def _row_of(store: EventStore, order: Order) -> int:
    """Return the row of the print at which an order was created."""
    created = (await store.log.read_stream(order.id, limit=1))[0]
    row: int = created.metadata["row"]
    return row


async def differences(one: EventStore, other: EventStore) -> list[str]:
    """Return a line for each event, and for each field of an order, a position or a portfolio, that differs."""
    lines = []
    mine, theirs = [await _events(store) for store in (one, other)]
    lines += [
        f"event {key} differs" for key in sorted(mine.keys() | theirs) if mine.get(key) != theirs.get(key)
    ]
    kinds: tuple[type[Entity], ...] = (Order, Position, Portfolio)
    for kind in kinds:
        first, second = [await store.rebuild_state(kind) for store in (one, other)]
        for id in sorted(first.keys() | second):
            if id not in first or id not in second:
                lines.append(f"{kind.category} {id} is in only one of them")
                continue
            lines += [
                f"{kind.category} {id}: {name} differs"
                for name in kind.model_fields
                if repr(getattr(first[id], name)) != repr(getattr(second[id], name))
            ]
    return lines


async def _events(store: EventStore) -> dict[tuple[UUID, int], Any]:
    """Return the parts of all events that two equal runs share: not their order, nor the database's clock."""
    return {
        (one.stream_id, one.version): (one.event_id, one.type, one.event, one.metadata)
        async for one in store.replay()
    }


# ---- the command -------------------------------------------------------------------------------------------


async def trade(config: DatabaseConfig, tape: Sequence[Tick], **settings: Any) -> int:
    """Begin or continue to the end of the tape; return the number of events that this run has saved."""
    async with EventStore.open(config, workers=False) as store:
        engine = await resume(store, tape, **settings)
        await engine.run()
        return engine.events_saved


async def show(tape_file: Path, prints: int, kills: int, seed: int) -> int:
    """Run once without kills and once with kills, compare, and return the exit status."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    with EmbeddedServer.start() as server:
        whole, killed = [await _database(server.config(), name) for name in ("whole", "killed")]
        tape = read_ticks(tape_file, limit=prints)
        events = await trade(whole, tape)
        _say(f"never killed: {len(tape)} prints, {events} events")
        for number in range(1, kills + 1):
            _run_and_kill(killed, tape_file, prints, chance.randrange(1, 2 * events // (5 * kills) + 2))
            async with EventStore.open(killed, workers=False) as store:
                engine = await resume(store, tape)
                _say(f"kill {number}: {_summary(engine, await store.log.head())}")
        await trade(killed, tape)
        async with (
            EventStore.open(whole, workers=False) as one,
            EventStore.open(killed, workers=False) as other,
        ):
            found = await differences(one, other)
        for line in found[:10]:
            _say(line)
        _say(f"both runs compared, event by event and field by field: {len(found)} differences")
    return 1 if found else 0


def _summary(engine: RestartableEngine, head: int) -> str:
    orders = [order for one in engine.strategies for order in (one.entry, one.target, one.stop) if order]
    positions = sum(one.position is not None for one in engine.strategies)
    cash = sum((one.portfolio.cash_balance for one in engine.strategies), Decimal(0))
    return (
        f"{head} events, back at print {max(engine.rows_done.values())} with {len(orders)} open orders, "
        f"{positions} positions and {cash:,.2f} dollars"
    )


def _run_and_kill(config: DatabaseConfig, tape_file: Path, prints: int, decisions: int) -> None:
    """Run the engine in a separate process, and kill it after `decisions` decisions."""
    child = subprocess.Popen(  # noqa: S603 - this program itself
        [sys.executable, "-m", __spec__.name, "--ticks", str(tape_file), "--prints", str(prints), "--trade"],
        env=os.environ | {"DATABASE_URL": _url(config)},
        stdout=subprocess.PIPE,
    )
    with child:
        if child.stdout is not None:
            for _ in islice(child.stdout, decisions):
                pass
        child.send_signal(signal.SIGKILL)


def _url(config: DatabaseConfig) -> str:
    return (
        f"postgresql://{config.user}@/{config.database}?host={config.host}&port={config.port}&sslmode=disable"
    )


async def _database(config: DatabaseConfig, name: str) -> DatabaseConfig:
    connection = await ConnectionFactory.create_connection(config)
    try:
        await PostgreSQLAdapter(connection).execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    made = config.replace(database=name)
    async with EventStore.open(made, workers=False, migrate=True):
        return made


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(description="An order engine that is killed and restarts.")
    parser.add_argument("--ticks", type=Path, help="a tape; default: the tape of mlfinpy")
    parser.add_argument("--prints", type=int, default=20_000, help="the number of prints to play")
    parser.add_argument("--kills", type=int, default=4, help="the number of kills")
    parser.add_argument("--seed", type=int, default=1, help="the seed for the times of the kills")
    parser.add_argument("--trade", action="store_true", help="only begin or continue a run, on DATABASE_URL")
    given = parser.parse_args()
    tape_file = given.ticks or packaged_tape()
    if given.trade:
        tape = read_ticks(tape_file, limit=given.prints)
        saved: Callable[[str, int], None] = lambda name, row: _say(f"{name} {row}")  # noqa: E731
        asyncio.run(trade(DatabaseConfig.from_env(), tape, on_saved=saved))
        return 0
    return asyncio.run(show(tape_file, given.prints, given.kills, given.seed))


if __name__ == "__main__":
    sys.exit(main())
