"""The server that is measured, its databases, the bare tables beside the store's own, and `pgbench`."""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg

from eventstore import EventStore, Order, OrderSide
from eventstore.database.config import DatabaseConfig
from eventstore.database.embedded import EmbeddedServer
from eventstore.log.copy_rows import COPIED_COLUMNS

__all__ = ["BARE_COLUMNS", "EVENT_JSON", "FULL", "QUICK", "TINY", "Bench", "Sizes", "new_order"]

# Durable as PostgreSQL comes (fsync and synchronous_commit on); room enough that no checkpoint falls into a round.
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "max_connections": "200",
}
_POOL = 40
_TPS = re.compile(rb"^tps = ([0-9.]+)", re.MULTILINE)

BARE_COLUMNS = COPIED_COLUMNS[1:]
"""The columns that an INSERT into a bare table sets: all except the position, which the table draws."""

_BARE = """
CREATE SEQUENCE {name}_position;
CREATE TABLE {name} (
    position bigint NOT NULL DEFAULT nextval('{name}_position'), occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL, version integer NOT NULL, schema_version smallint NOT NULL,
    stream_id uuid NOT NULL, event_id uuid NOT NULL, category text NOT NULL, type text NOT NULL,
    data jsonb NOT NULL, metadata jsonb NOT NULL, PRIMARY KEY (stream_id, version) {more}
)
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done in a round.

    Attributes:
        rounds: How often each workload and its floor are measured in turn.
        appends: Units of Work of concurrent writers.
        single_appends: Units of Work of one writer after another.
        contended: Units of Work on one stream.
        reads: Loads and lists.
        long_stream: Events of a portfolio that is loaded.
        history_events: Events of the log that is replayed, rebuilt and folded.
        bulk_events: Events that are loaded in bulk.
        fills: Fills of a position that is never flat.
        lag_s: Seconds for which the lag of a projection is watched.
    """

    rounds: int
    appends: int
    single_appends: int
    contended: int
    reads: int
    long_stream: int
    history_events: int
    bulk_events: int
    fills: int
    lag_s: float


FULL = Sizes(5, 12_000, 1_500, 1_200, 600, 10_000, 1_000_000, 100_000, 100_000, 5.0)
QUICK = Sizes(1, 3_000, 400, 300, 150, 2_000, 40_000, 10_000, 5_000, 1.0)
TINY = Sizes(1, 40, 10, 10, 5, 30, 500, 100, 100, 0.2)


def new_order() -> Order:
    """An order as an engine makes one."""
    return Order.create_limit_order("ESU3", Decimal(5), OrderSide.BUY, limit_price=Decimal("1640.25"))


EVENT_JSON = new_order().pending_events[0].event.to_json().decode()


class Bench:
    """An embedded server, one store without workers, and the bare tables.

    Attributes:
        server: The server.
        sizes: How much is done.
        store: The store that appends are measured on.
        bare: A pool of asyncpg as a user would make it, with its reset query at each release.
        plain: The same without the reset.
        notes: Lines to print under the table.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        sizes: Sizes,
        store: EventStore,
        bare: Any,
        plain: Any,
        *,
        stack: AsyncExitStack,
    ) -> None:
        self.server = server
        self.sizes = sizes
        self.store = store
        self.bare = bare
        self.plain = plain
        self.notes: list[str] = []
        self._stack = stack
        self._stores: dict[str, EventStore] = {"bench": store}

    @classmethod
    @asynccontextmanager
    async def start(cls, sizes: Sizes, **settings: str) -> AsyncIterator[Self]:
        """Start everything, with more settings for the server, and stop it at the end of the block."""
        async with AsyncExitStack() as stack:
            server = stack.enter_context(_server(settings))
            store = await stack.enter_async_context(_open(server, "bench"))
            url = server.database_url("bench")
            bare = await stack.enter_async_context(asyncpg.create_pool(url, min_size=_POOL, max_size=_POOL))
            plain = await stack.enter_async_context(
                asyncpg.create_pool(url, min_size=_POOL, max_size=_POOL, reset=_no_reset)
            )
            await bare.execute(_BARE.format(name="bare", more=""))
            await bare.execute(_BARE.format(name="bare_both", more=", UNIQUE (position)"))
            # As a program would that cannot wait 50 ms for the collector: it looks through what is made from now on.
            gc.collect()
            gc.freeze()
            yield cls(server, sizes, store, bare, plain, stack=stack)

    async def database(self, name: str) -> EventStore:
        """Return a store on another database of the server, made at the first call."""
        if name not in self._stores:
            self._stores[name] = await self._stack.enter_async_context(_open(self.server, name))
        return self._stores[name]

    @asynccontextmanager
    async def working_store(self) -> AsyncIterator[EventStore]:
        """Open a second store on the first database for the block, with its workers in this process."""
        async with EventStore.open(self._config("bench"), workers=True) as store:
            await store.wait_for(await store.log.head())
            yield store

    def _config(self, name: str) -> DatabaseConfig:
        return self.server.config(database=name, min_pool_size=4, max_pool_size=_POOL)

    def config(self, name: str = "bench") -> DatabaseConfig:
        """Return how to connect to a database of the server."""
        return self.server.config(database=name)

    @property
    def has_pgbench(self) -> bool:
        """Whether there is a `pgbench` on this machine."""
        return self._program("pgbench") is not None

    async def pgbench(self, script: str, *, clients: int, transactions: int) -> float | None:
        """Return the transactions per second of `pgbench -M prepared`; None without pgbench."""
        program = self._program("pgbench")
        if program is None:
            self._note("pgbench was not found: one INSERT through asyncpg replaces it")
            return None
        parts = urlsplit(self.server.database_url("bench"))
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            process = await asyncio.create_subprocess_exec(
                program,
                *("-n", "-M", "prepared", "-f", file.name, "-c", str(clients), "-j", str(min(clients, 2))),
                *("-t", str(max(transactions // clients, 1)), "-U", "postgres"),
                *("-h", parse_qs(parts.query)["host"][0], "bench"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = await process.communicate()
        found = _TPS.search(output)
        if process.returncode or found is None:
            raise RuntimeError(f"pgbench failed: {errors.decode()}")
        return float(found[1])

    @asynccontextmanager
    async def worker(self, name: str = "bench", *projections: str) -> AsyncIterator[None]:
        """Run `eventstore work` in a second process for the block."""
        options = [word for one in projections for word in ("--projection", one)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "eventstore.cli", "work", "--url", self.server.database_url(name)),
            *options,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()  # it prints that it is working
        try:
            yield
        finally:
            process.terminate()
            await process.communicate()

    def _program(self, name: str) -> str | None:
        own = self.server.psql.parent / name
        if own.exists():
            return str(own)
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(installed[-1]) if installed else shutil.which(name)

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)


@contextmanager
def _server(settings: Mapping[str, str]) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(settings={**_SETTINGS, **settings}) as server:
        yield server


@asynccontextmanager
async def _open(server: EmbeddedServer, name: str) -> AsyncIterator[EventStore]:
    server.create_database(name)
    config = server.config(database=name, min_pool_size=4, max_pool_size=_POOL)
    async with EventStore.open(config, workers=False, migrate=True) as store:
        yield store


async def _no_reset(_connection: Any) -> None:
    pass
