"""A limit, a time-out or a position that is none is refused everywhere, in the same words."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import projections
from eventstore import ConnectionFactory, DatabaseConfig, EventLog, MigrationManager, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.portfolio import Portfolio
from eventstore.errors import ConfigurationError, LimitError, RepositoryError
from eventstore.evidence.sealer import seal
from eventstore.examples.ticks import read_ticks
from eventstore.export.arrow import read_batches
from eventstore.export.lines import export_lines
from eventstore.export.restore import import_lines
from eventstore.limits import check_count, check_position, check_seconds
from eventstore.log import StreamAppend
from eventstore.log.causation import causation_tree
from eventstore.repositories import PostgreSQLTransactionManager
from eventstore.repositories.backend import PostgreSQLBackend
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory
from eventstore.testing.strategies import event_logs, order_histories
from projections import OrdersProjection, ProjectionRunner, ProjectionWorker
from projections.engine.lease import PartitionLease
from projections.engine.partitions import ensure_partitions, set_partitions
from projections.laws import check_laws
from projections.quarantine import discard
from projections.rebuild import rebuild
from tests.entities import started
from tools.lint import findings as files

if TYPE_CHECKING:
    from eventstore.store import EventStore

COUNTS: tuple[Any, ...] = (0, -1, 1.5, True, "1", None, Decimal(2), math.nan, 2**31)
SECONDS: tuple[Any, ...] = (0, -1, -0.001, math.nan, "1", True)
POSITIONS: tuple[Any, ...] = (-1, 1.0, "0", True, 2**63)


def unit_of_work() -> Any:
    return InMemoryUnitOfWorkFactory().create_unit_of_work()


async def first(iterator: Any) -> Any:
    return await anext(aiter(iterator))


async def lists(value: Any) -> None:
    async with unit_of_work() as uow:
        await uow.orders.get_active_orders(limit=value)


async def run_projections(store: EventStore, **arguments: Any) -> None:
    async with projections.run(store.connection, [OrdersProjection()], **arguments):
        pytest.fail("it ran")


async def none(_uow: Any) -> None:
    """Do nothing, as an operation."""


# By what it limits: how it is called with a value that is no limit. What waits for nothing returns at once where it is let through.
CALLS: dict[str, tuple[tuple[Any, ...], Callable[[EventStore, Any], Any]]] = {
    "limit of a list": (COUNTS[:-4] + COUNTS[-3:], lambda _, n: lists(n)),
    "limit of a history of snapshots": (
        (0, -1),
        lambda _, n: _history(n),
    ),
    "read_stream limit": ((0, -1, 1.5), lambda store, n: store.log.read_stream(uuid4(), limit=n)),
    "read_stream after_version": (
        POSITIONS,
        lambda store, n: store.log.read_stream(uuid4(), after_version=n),
    ),
    "read_range limit": (COUNTS, lambda store, n: store.log.read_range(after=0, through=1, limit=n)),
    "read_range after": (POSITIONS, lambda store, n: store.log.read_range(after=n, through=1)),
    "read_range through": (POSITIONS, lambda store, n: store.log.read_range(after=0, through=n)),
    "read_all batch_events_max": (COUNTS, lambda store, n: first(store.log.read_all(batch_events_max=n))),
    "read_all after": (POSITIONS, lambda store, n: first(store.log.read_all(after=n))),
    "subscribe batch_events_max": (COUNTS, lambda store, n: store.log.subscribe(batch_events_max=n)),
    "subscribe after": (POSITIONS, lambda store, n: store.log.subscribe(after=n)),
    "import batch_events_max": (COUNTS, lambda store, n: store.log.import_events([], batch_events_max=n)),
    "find_correlated limit": (COUNTS, lambda store, n: store.log.find_correlated("c", limit=n)),
    "causation_tree limit": (COUNTS, lambda store, n: causation_tree(store.log, "c", limit=n)),
    "EventLog resend_within_s": (SECONDS, lambda store, s: EventLog(store.connection, resend_within_s=s)),
    "StreamAppend expected_version": (POSITIONS, lambda _, n: StreamAppend(uuid4(), n, started().events)),
    "replay page_events_max": (COUNTS, lambda store, n: store.replay(page_events_max=n)),
    "as_of position": (POSITIONS, lambda store, n: _entered(store.as_of(position=n))),
    "as_of position in memory": (
        POSITIONS,
        lambda _, n: _entered(InMemoryUnitOfWorkFactory().as_of(position=n)),
    ),
    "snapshot_versions": (COUNTS, lambda store, n: store.state_snapshots.make(snapshot_versions=n)),
    "segment_events": (COUNTS, lambda store, n: store.state_snapshots.make(segment_events=n)),
    "seal block_events_max": (COUNTS, lambda store, n: seal(store.log, block_events_max=n)),
    "export after": (POSITIONS, lambda store, n: export_lines(store.log, None, after=n)),  # type: ignore[arg-type]
    "import line_bytes_max": (COUNTS, lambda store, n: import_lines(store.log, [], line_bytes_max=n)),
    "read_batches batch_rows_max": (
        COUNTS,
        lambda store, n: first(read_batches(store.log, "events", batch_rows_max=n)),
    ),
    "wait_for timeout_s": (SECONDS, lambda store, s: store.wait_for(0, timeout_s=s)),
    "wait_for position": (POSITIONS, lambda store, n: store.wait_for(n)),
    "discard position": (
        POSITIONS,
        lambda store, n: discard(
            store.log, OrdersProjection(), "k", discarded_by="me", reason="test", position=n
        ),
    ),
    "close timeout_s": (SECONDS, lambda store, s: store.close(timeout_s=s)),
    "connection close timeout_s": (SECONDS, lambda store, s: store.connection.close(timeout_s=s)),
    "acquire timeout_s": (SECONDS, lambda store, s: store.connection.acquire(timeout_s=s)),
    "acquire_for_user timeout_s": (SECONDS, lambda store, s: store.connection.acquire_for_user(timeout_s=s)),
    "health_check timeout_s": (SECONDS, lambda store, s: store.connection.health_check(timeout_s=s)),
    "adapter health_check": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).health_check(timeout_s=s),
    ),
    "fetch_one timeout_s": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).fetch_one("SELECT 1", timeout_s=s),
    ),
    "fetch_all timeout_s": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).fetch_all("SELECT 1", timeout_s=s),
    ),
    "fetch_value timeout_s": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).fetch_value("SELECT 1", timeout_s=s),
    ),
    "execute timeout_s": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).execute("SELECT 1", timeout_s=s),
    ),
    "execute_many timeout_s": (
        SECONDS,
        lambda store, s: PostgreSQLAdapter(store.connection).execute_many("SELECT 1", [[]], timeout_s=s),
    ),
    "migrations timeout_s": (
        SECONDS,
        lambda store, s: MigrationManager(PostgreSQLAdapter(store.connection), timeout_s=s),
    ),
    "migrations lock_timeout_s": (
        (*SECONDS, math.inf),
        lambda store, s: MigrationManager(PostgreSQLAdapter(store.connection), lock_timeout_s=s),
    ),
    "embedded timeout_s": (SECONDS, lambda _, s: EmbeddedServer.start(timeout_s=s)),
    "backend idle_in_transaction_timeout_s": (
        (*SECONDS, math.inf),
        lambda store, s: PostgreSQLBackend(store.log, {}, idle_in_transaction_timeout_s=s),
    ),
    "backend transaction_timeout_s": (
        (*SECONDS, math.inf),
        lambda store, s: PostgreSQLBackend(store.log, {}, transaction_timeout_s=s),
    ),
    "worker partition": (
        (-1, 256, 0.5, "0"),
        lambda store, n: ProjectionWorker(store.log, OrdersProjection(), partition=n),
    ),
    "worker batch_events_max": (
        COUNTS,
        lambda store, n: ProjectionWorker(store.log, OrdersProjection(), batch_events_max=n),
    ),
    "worker lease_s": (
        (*SECONDS, math.inf),
        lambda store, s: ProjectionWorker(store.log, OrdersProjection(), lease_s=s),
    ),
    "worker fold_delay_s": (
        tuple(one for one in (*SECONDS, math.inf) if one),
        lambda store, s: ProjectionWorker(store.log, OrdersProjection(), fold_delay_s=s),
    ),
    "runner lease_s": (
        (*SECONDS, math.inf),
        lambda store, s: ProjectionRunner(store.log, OrdersProjection(), lease_s=s),
    ),
    "lease lease_s": (
        (*SECONDS, math.inf),
        lambda store, s: PartitionLease(store.log, "orders", 0, lease_s=s),
    ),
    "run lease_s": ((*SECONDS, math.inf), lambda store, s: run_projections(store, lease_s=s)),
    "run partitions": ((0, -1, 257, 1.5), lambda store, n: run_projections(store, partitions=n)),
    "set_partitions": ((0, -1, 257, 1.5), lambda store, n: set_partitions(store.log, OrdersProjection(), n)),
    "ensure_partitions": (
        (0, -1, 257, 1.5),
        lambda store, n: ensure_partitions(store.log, OrdersProjection(), n),
    ),
    "rebuild processes": (
        (0, -1, 65, 1.5),
        lambda store, n: rebuild(store.log, OrdersProjection(), processes=n),
    ),
    "rebuild swap_timeout_s": (
        SECONDS,
        lambda store, s: rebuild(store.log, OrdersProjection(), swap_timeout_s=s),
    ),
    "rebuild lease_s": (
        (*SECONDS, math.inf),
        lambda store, s: rebuild(store.log, OrdersProjection(), lease_s=s),
    ),
    "laws examples": (COUNTS, lambda _, n: check_laws(OrdersProjection, examples=n)),
    "event_logs streams_max": (COUNTS, lambda _, n: event_logs(order_histories(), streams_max=n)),
    "memory lock_timeout_s": (SECONDS, lambda _, s: InMemoryDatabase(lock_timeout_s=s)),
    "memory idle_timeout_s": (SECONDS, lambda _, s: InMemoryDatabase().begin(idle_timeout_s=s)),
    "ticks limit": ((0, -1, 1.5), lambda _, n: read_ticks("no such file", limit=n)),
    "max_retries": (
        (-1, 1.5, math.nan),
        lambda _, n: PostgreSQLTransactionManager(InMemoryUnitOfWorkFactory()).execute_with_retry(
            none, max_retries=n
        ),
    ),
}


async def _made(made: Callable[[EventStore, Any], Any], store: EventStore, value: Any) -> None:
    result = made(store, value)
    if inspect.isawaitable(result):
        await result


async def _history(limit: int) -> None:
    async with unit_of_work() as uow:
        portfolio = await uow.portfolios.save_portfolio(Portfolio(name="a", initial_capital=Decimal(1)))
        point = portfolio.created_at
        await uow.portfolios.get_portfolio_history(portfolio, point, point, limit=limit)


async def _entered(opening: Any) -> None:
    async with opening:
        pytest.fail("it was opened")


@pytest.mark.parametrize("call", CALLS)
async def test_what_is_no_limit_is_refused(store: EventStore, call: str):
    """At once, in one line that names the argument, before anything else is done."""
    values, made = CALLS[call]
    for value in values:
        with pytest.raises(LimitError) as raised:
            await _made(made, store, value)
        assert isinstance(raised.value, ConfigurationError)
        assert isinstance(raised.value, RepositoryError)
        assert str(raised.value).startswith(f"{raised.value.name} must be ")
        assert "\n" not in str(raised.value)
    assert not store.is_closed


async def test_an_append_without_events_is_refused(store: EventStore):
    """It would write nothing, and its version would not be checked."""
    nothing: tuple[Any, ...] = ((), [])
    for events in nothing:
        with pytest.raises(ConfigurationError, match="has no events"):
            StreamAppend(uuid4(), 7, events)
    assert await store.log.head() == 0


def test_the_words_are_the_same():
    """How many, for how long, and where."""
    for wrong, words in (
        (0, "n must be 1 to 8, not 0"),
        (1.5, "n must be a whole number, 1 to 8, not 1.5"),
        (9, "n must be 1 to 8, not 9"),
    ):
        with pytest.raises(LimitError, match=re.escape(words)):
            check_count("n", wrong, most=8)
    for late, words in (
        (0, "t_s must be above 0 seconds, not 0"),
        ("x", "t_s must be a number of seconds, not 'x'"),
    ):
        with pytest.raises(LimitError, match=re.escape(words)):
            check_seconds("t_s", late)
    with pytest.raises(LimitError, match="after must be 0 or more, not -1"):
        check_position("after", -1)
    assert (check_count("n", 8, most=8), check_seconds("t_s", 1), check_position("p", 0)) == (8, 1.0, 0)
    assert math.isinf(check_seconds("t_s", math.inf))


# A public argument with such a name is a limit.
_LIMIT = re.compile(r"^(limit|examples|partition|partitions|processes)$|_(s|max)$")
# What is checked by whoever it is passed on to, or is no limit of a user's.
_PASSED_ON = {
    "Account.run", "Backoff.__init__", "BulkLoad.__init__", "Build.step", "RebuildLease.__init__", "RebuildLease.take", "DataFolder.locked", "DataFolder.use",
    "IndependentFold.advance", "IndependentFold.fold", "LogSegments.keep_up", "BatchReader.read", "Metrics.folded", "MockPostgreSQLAdapter",
    "ProjectionLagError.__init__", "Query.answer", "HighWaterMark.advance", "Storage.find", "Subscription.__init__", "Window.__init__",
    "Table.differences", "batches_of", "commit", "copy_rows", "process_pool", "partition_of", "read_batch", "storable", "wait_until_set",
    # Lists of a strategy: Hypothesis refuses what is negative, and none is a list too.
    "order_commands", "order_histories", "portfolio_commands", "portfolio_histories", "position_commands",
    "position_histories", "trading_days",
    # Protocols, and what they are read from.
    "Session.find", "PostgreSQLStorage.find", "PastStorage.find", "InMemoryStorage.find", "InMemoryPastStorage.find",
    "check_page",
    # Measured times and lengths, which are not a user's.
    "LoopWatch.note", "LoopWatch.stall_since", "Metrics.append_failed", "Metrics.appended", "cut", "explained", "text", "within",
}  # fmt: skip


def test_every_limit_is_in_the_table():
    """A new limit that nobody refuses would go unnoticed."""
    known = " ".join(CALLS)
    missing = []
    for path in files.python_files("eventstore", "projections"):
        if "cli" in Path(path).parts:
            continue
        for owner, node in _functions(ast.parse(path.read_text())):
            name = f"{owner}.{node.name}" if owner else node.name
            if name in _PASSED_ON or owner in _PASSED_ON or "Repository" in owner:
                continue
            missing += [
                f"{files.shown(path)}: {name}({argument.arg})"
                for argument in (*node.args.args, *node.args.kwonlyargs)
                if _LIMIT.search(argument.arg) and argument.arg not in known
            ]
    assert missing == []


def _functions(tree: ast.AST, owner: str = "") -> Any:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _functions(node, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            yield owner, node


async def test_none_still_means_no_limit(database_config: DatabaseConfig):
    """Where an argument may be None, it is."""
    connection = await ConnectionFactory.create_connection(database_config)
    assert await PostgreSQLAdapter(connection).fetch_value("SELECT 1", timeout_s=None) == 1
    assert await connection.health_check(timeout_s=None)
    assert await PostgreSQLAdapter(connection).fetch_value("SELECT 1", timeout_s=math.inf) == 1
    await connection.close(timeout_s=math.inf)
