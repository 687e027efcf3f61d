"""The connection pool: `ConnectionFactory` and `DatabaseConnection`."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakSet

import asyncpg

from eventstore import errors, garbage_collection
from eventstore.database.answers import AnswerLoop
from eventstore.database.cancellation import finish
from eventstore.database.config import DatabaseConfig
from eventstore.database.connecting import Connector, without_frames
from eventstore.database.error_mapping import DRIVER_ERRORS, map_error, mapped_errors
from eventstore.database.health import HealthStatus, PoolStatistics
from eventstore.database.pooled import (
    CLEAN_UP_TIMEOUT_S,
    PooledConnection,
    close_idle,
    end_session,
    recover,
    reset,
    within,
)
from eventstore.database.server import KnownServer
from eventstore.database.session import learn, learn_types
from eventstore.database.session_effects import Effect
from eventstore.limits import check_seconds
from eventstore.loop_stalls import Stopwatch, TimeLimit, watch
from eventstore.sql import own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

_logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0
"""The default number of seconds that running work has when a connection is closed."""

_SWEEP_INTERVAL_MAX_S = 30.0
_LIFETIME_JITTER = 0.1
_NO_SUCH_STATEMENT = "26000"
_PING = own("SELECT 1")
_WARM_S = 1.0  # a busy process never waits for the pool; an idle process soon holds no connection

_INTERRUPTIONS = (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError, errors.ConnectionError)


class DatabaseConnection:
    """A pool of connections to one database, for one event loop; `ConnectionFactory` creates it."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._connector = Connector(config)
        self.server = KnownServer()
        """The server behind the address, as far as it is known; internal to the library."""
        self.server.at_change(self._retire)
        self._connections: WeakSet[PooledConnection] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._forbid_gc: Callable[[], object] = _nothing
        self.attachments: dict[Any, Any] = {}
        """Objects that belong to this connection and end with it, such as its event log; internal."""
        self._at_close: list[Callable[[], Awaitable[None]]] = []
        self._waits: set[TimeLimit] = set()
        self._closing = False
        self._hurried = False
        self._closed = asyncio.Event()
        self._sweeper: asyncio.TimerHandle | None = None
        self._warm: list[tuple[Any, PooledConnection]] = []
        self._cooling: asyncio.TimerHandle | None = None
        self._pool = asyncpg.create_pool(
            min_size=config.min_pool_size,
            max_size=config.max_pool_size,
            max_inactive_connection_lifetime=config.max_idle_time,
            max_queries=float("inf"),
            connection_class=PooledConnection,
            connect=self._connect,
            reset=reset,
        )

    @property
    def config(self) -> DatabaseConfig:
        """The configuration of the pool."""
        return self._config

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called, or the event loop of this connection has ended."""
        return self._closing or self._loop.is_closed()

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this connection belongs to."""
        return self._loop

    async def open(self) -> None:
        """Open the first connections; `ConnectionFactory.create_connection` does it, with the same errors."""
        if self._config.postpone_gc:
            garbage_collection.allow()
            self._forbid_gc = weakref.finalize(self, garbage_collection.forbid)
        try:
            await self._pool
        except BaseException:
            self._forbid_gc()
            self._closing = True
            self._closed.set()
            raise
        watch().pools += 1
        self._sweep()

    def acquire(self, *, timeout_s: float | None = None) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Lend a connection for a block.

        The next borrower does not notice what you do with the connection. After your own statements the
        session is reset, which costs a round trip. The connection is closed if the text of a statement
        shows that it changes the session (`SET`, `LISTEN`, `PREPARE`, `CREATE TEMP TABLE`, an advisory
        lock ...), or if you set a type codec, a listener or a query logger. The next borrower then pays
        for a new connection.

        Some changes stay, because no reset undoes them and no text shows them: a library that your
        function loads, variables that PL/Perl and PL/Python share, connections of dblink. Use
        `acquire_for_user` for these.

        A transaction that is still open at the end of the block is rolled back. Cancelling the block, or
        the wait for the connection, does not leak the connection.

        Args:
            timeout_s: Seconds to wait for a connection; None for `connect_timeout`.

        Raises:
            ConnectionClosedError: `close` was called.
            ConnectionRejectedError: The server refuses the user, the password or the database.
            ConnectionError: The server could not be reached in time.
            TimeoutError: All connections stayed in use for that time.
            LimitError: `timeout_s` is not above 0.
            ConfigurationError: The server is older than PostgreSQL 15, or another event loop is running.
        """
        return _Loan(self, _checked(timeout_s), for_user=False)

    def acquire_for_user(
        self, *, timeout_s: float | None = None
    ) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Lend a connection for any statements; it is closed after the block if one of your statements ran.

        So every change of the session ends with the block, also temporary tables, locks and listeners,
        and no other borrower gets that session. The next borrower pays some milliseconds for a new
        connection. Arguments and errors are those of `acquire`.
        """
        return _Loan(self, _checked(timeout_s), for_user=True)

    def _take_warm(self) -> tuple[Any, PooledConnection] | None:
        """Take a ready connection; None if there is none that can be used as it is."""
        self._check_usable()
        if not self._warm or self.server.is_steady:
            return None
        connection = self._warm[-1][1]
        return None if connection.is_closed() or not self._leads_here(connection) else self._warm.pop()

    async def _take(self, timeout_s: float | None) -> tuple[Any, PooledConnection]:
        """Take a connection, after `_take_warm` found none."""
        while True:
            if self._warm:
                proxy, connection = self._warm.pop()
            else:
                proxy = await self._take_from_pool(timeout_s)
                connection = proxy.unwrapped()
            if connection.is_closed():
                await self._release(proxy)
            elif not self._leads_here(connection):
                connection.terminate()  # this also returns it to asyncpg's pool
            else:
                break
        if self.server.is_steady:
            await self._require_steady(proxy, connection)
        return proxy, connection

    async def _require_steady(self, proxy: Any, connection: PooledConnection) -> None:
        try:
            with mapped_errors(own_statement=True, reads_only=True, connection=connection):
                await self.server.require_steady_on(connection)
        except errors.ServerChangedError:
            self._keep_warm(proxy, connection)
            raise
        except BaseException:
            connection.terminate()
            raise

    async def _take_from_pool(self, timeout_s: float | None) -> Any:
        limit_s = self._config.connect_timeout if timeout_s is None else timeout_s
        limit = TimeLimit(limit_s)
        try:
            async with limit:
                self._waits.add(limit)
                proxy = await self._pool.acquire()
        except TimeoutError as error:
            if self._hurried:
                raise _closed_error() from without_frames(error)
            raise self._explain_wait(limit_s) from without_frames(error)
        except asyncpg.InterfaceError as error:
            if self._closing or self._hurried:
                raise _closed_error() from error
            raise map_error(error) from error
        finally:
            self._waits.discard(limit)
        if self._closing:
            await self._pool.release(proxy)
            raise _closed_error()
        return proxy

    def _check_usable(self) -> None:
        if self._closing or self._loop.is_closed():
            raise _closed_error()
        if asyncio.get_running_loop() is not self._loop:
            raise errors.ConfigurationError(
                "a DatabaseConnection belongs to the event loop that created it: create another one in this event loop"
            )

    def _explain_wait(self, limit_s: float) -> errors.EventStoreError:
        now = self.statistics()
        if now.size < now.max_size:
            return self._connector.explain(self._connector.last_failure)
        return errors.TimeoutError(
            f"no connection was free within {limit_s:g} s (connect_timeout, or timeout_s of the call), as all "
            f"{now.max_size} are in use and {now.waiting} callers wait: end transactions sooner, or raise "
            "max_pool_size"
        )

    def _give_back(
        self, proxy: Any, connection: PooledConnection, *, interrupted: bool, ends: bool
    ) -> Awaitable[None] | None:
        """Give a connection back; return what must be awaited for that."""
        expired = connection.expires_at_s is not None and self._loop.time() >= connection.expires_at_s
        ends = ends or expired or connection.effect is Effect.LASTING
        is_calm = not interrupted and not connection.is_closed() and connection.is_quiet()
        if is_calm and not ends:
            connection.leased = False
            if connection.effect is not Effect.NONE or self._waits or self._closing:
                return self._release(proxy)
            self._keep_warm(proxy, connection)
            return None
        task = self._loop.create_task(self._clean_up(proxy, connection, is_calm=is_calm, ends=ends))
        self._own(task)
        return asyncio.shield(task)

    async def _clean_up(self, proxy: Any, connection: PooledConnection, *, is_calm: bool, ends: bool) -> None:
        if not is_calm:
            await recover(connection)
        connection.forget_transaction()
        connection.leased = False
        if ends:
            await end_session(connection)
        await self._release(proxy)

    def _keep_warm(self, proxy: Any, connection: PooledConnection) -> None:
        """Keep a connection ready for the next loan: asyncpg's pool is slower than many statements."""
        self._warm.append((proxy, connection))
        if self._cooling is None:
            self._cooling = self._loop.call_later(_WARM_S, self._cool)

    def _cool(self) -> None:
        """Return all ready connections to the pool, which closes connections that stay idle."""
        self._cooling = None
        warm, self._warm = self._warm, []
        for proxy, _ in warm:
            self._own(self._loop.create_task(self._release(proxy)))

    async def _release(self, proxy: Any) -> None:
        try:
            await self._pool.release(proxy)
        except DRIVER_ERRORS as error:
            # asyncpg has closed the connection after its last statement, so the caller is not affected.
            _logger.info("lost a connection while returning it to the pool", exc_info=error)

    async def _connect(self, *_: Any, **options: Any) -> PooledConnection:
        connection: PooledConnection = await self._connector.connect(self._open_one, **options)
        lifetime_s = self._config.max_lifetime
        if lifetime_s:
            lifetime_s *= 1 - random.random() * _LIFETIME_JITTER  # noqa: S311 - not for secrets
            connection.expires_at_s = self._loop.time() + lifetime_s
        self._connections.add(connection)
        return connection

    async def _open_one(self, **options: Any) -> PooledConnection:
        """Connect, and find out which server it is."""
        server, generation, wal_before = self.server, self.server.generation, self.server.wal
        connection: PooledConnection = await asyncpg.connect(**options | {"loop": AnswerLoop(self._loop)})
        try:
            learn_types(connection)
            learned = await learn(connection)
        except BaseException:
            connection.terminate()
            raise
        if server.generation != generation and not server.is_known(learned.server):
            # While this connection was being opened to the previous server, another one reached the new server.
            connection.terminate()
            raise ConnectionResetError("another server has taken the place of this one")
        connection.store_schema = self._config.schema or learned.schema
        is_later = server.generation != generation
        server.connected(learned.server, wal=learned.wal, wal_before=0 if is_later else wal_before)
        connection.generation = server.generation
        if not learned.is_pooled:
            connection.server = learned.server
        return connection

    def _retire(self) -> None:
        """Drop the connections to the previous server; one in use is closed when it is returned."""
        for connection in list(self._connections):
            if self._leads_here(connection) or connection.is_closed():
                continue
            connection.expires_at_s = 0.0
            self._own(self._loop.create_task(close_idle(connection)))

    def _leads_here(self, connection: PooledConnection) -> bool:
        return connection.server is None or connection.generation == self.server.generation

    def _sweep(self) -> None:
        """Close idle connections past their lifetime, now and at intervals."""
        if self._closing or not self._config.max_lifetime:
            return
        now_s = self._loop.time()
        for connection in list(self._connections):
            expires_at_s = connection.expires_at_s
            if expires_at_s is not None and expires_at_s <= now_s and not connection.is_closed():
                self._own(self._loop.create_task(close_idle(connection)))
        interval_s = min(self._config.max_lifetime * _LIFETIME_JITTER, _SWEEP_INTERVAL_MAX_S)
        self._sweeper = self._loop.call_later(interval_s, self._sweep)

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def statistics(self) -> PoolStatistics:
        """Return the numbers of open, idle and lent connections and of waiting callers."""
        size = self._pool.get_size()
        idle = self._pool.get_idle_size() + len(self._warm)
        return PoolStatistics(
            size=size,
            idle=idle,
            in_use=size - idle,
            waiting=len(self._waits),
            min_size=self._config.min_pool_size,
            max_size=self._config.max_pool_size,
        )

    async def health_check(self, *, timeout_s: float | None = None) -> HealthStatus:
        """Check that the database answers; an error is part of the result and is not raised.

        Args:
            timeout_s: Seconds to wait for a connection and then for the answer; None for the configured
                time-outs.
        """
        _checked(timeout_s)
        taken = Stopwatch()
        try:
            async with self.acquire(timeout_s=timeout_s) as connection:
                await within(timeout_s, connection.fetchval, _PING)
        except Exception as error:  # noqa: BLE001 - any failure is the answer
            return HealthStatus(healthy=False, error=str(map_error(error)))
        return HealthStatus(healthy=True, latency_s=taken.elapsed_s)

    def at_close(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback` when `close` is called, before new work is refused, to end work on the pool."""
        self._at_close.append(callback)

    async def close(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Close the pool: refuse new callers, wait for running work, then terminate what is left.

        Closing twice is safe; a second caller waits for the first. A cancellation ends the running work,
        and is raised when everything is closed.

        Args:
            timeout_s: Seconds that running work has, the library's own included; then its connections are terminated,
                and the server rolls back open transactions.

        Raises:
            LimitError: `timeout_s` is not above 0.
        """
        check_seconds("timeout_s", timeout_s)
        if self._loop.is_closed():
            self._closing = True
            self._forbid_gc()
            return
        if self._closing:
            await self._closed.wait()
            return
        closing = self._loop.create_task(self._close(timeout_s), name="eventstore closing of a pool")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            self._hurry()
            await finish(_ended(closing))
            raise

    def _hurry(self) -> None:
        """Terminate all connections, and open none any more: what waits for one fails at once."""
        self._hurried = True
        self._pool.terminate()
        for limit in tuple(self._waits):
            limit.expire()

    async def _call_back(self) -> None:
        callbacks, self._at_close = self._at_close, []
        for callback in callbacks:
            await callback()

    async def _close(self, timeout_s: float) -> None:
        taken = Stopwatch()
        ending = self._loop.create_task(self._call_back(), name="eventstore ending of work on a pool")
        with suppress(TimeoutError):
            async with TimeLimit(timeout_s):
                await asyncio.wait([ending])
        if not ending.done():
            _logger.warning(
                "terminated connections of work that did not end when the time to close had passed"
            )
            self._hurry()
        await ending
        if self._closing:  # another caller has begun to close it meanwhile
            await self._closed.wait()
            return
        self._closing = True
        self._forbid_gc()
        for timer in (self._sweeper, self._cooling):
            if timer is not None:
                timer.cancel()
        self._cool()
        try:
            async with TimeLimit(0 if self._hurried else timeout_s - taken.elapsed_s):
                await self._pool.close()
        except TimeoutError:
            _logger.warning("terminated connections that were still in use when the time to close had passed")
        finally:
            watch().pools -= 1
            self._pool.terminate()
            self._closed.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=CLEAN_UP_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Loan:
    """A connection for the length of a block."""

    __slots__ = ("_connection", "_for_user", "_owner", "_proxy", "_timeout_s", "_watch")

    def __init__(self, owner: DatabaseConnection, timeout_s: float | None, *, for_user: bool) -> None:
        self._owner = owner
        self._timeout_s = timeout_s
        self._for_user = for_user

    async def __aenter__(self) -> asyncpg.Connection:
        taken = self._owner._take_warm()  # noqa: SLF001 - one module
        if taken is None:
            taken = await self._owner._take(self._timeout_s)  # noqa: SLF001
        # There is no await from here to the end, so a cancellation cannot interrupt it.
        self._proxy, self._connection = taken
        self._connection.leased = True
        self._watch = watch()
        self._connection.lent_s = self._watch.begin()
        return self._proxy

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._watch.end()
        # A statement may still be running on the server, and may yet open or end a transaction; or the
        # connection is out of sync with the server.
        interrupted = isinstance(error, _INTERRUPTIONS)
        ends = self._for_user and self._connection.effect is not Effect.NONE
        if error is not None and getattr(error, "sqlstate", None) == _NO_SUCH_STATEMENT:
            ends = True  # a function has deallocated statements that the driver had prepared
        unfinished = self._owner._give_back(  # noqa: SLF001
            self._proxy, self._connection, interrupted=interrupted, ends=ends
        )
        if unfinished is not None:
            await unfinished


class ConnectionFactory:
    """Creates connections, and knows the oldest open one of each event loop."""

    _open: ClassVar[list[DatabaseConnection]] = []
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    async def create_connection(cls, config: DatabaseConfig | str | None = None) -> DatabaseConnection:
        """Open a pool and return it when `min_pool_size` connections are open.

        Args:
            config: A configuration or a URL; None for `DatabaseConfig.from_env()`.

        Raises:
            ConfigurationError: The server is too old, a certificate cannot be used, or the environment has
                a value that is not allowed.
            ConnectionRejectedError: The server refuses the user, the password or the database.
            ConnectionError: The server cannot be reached. Safe to try again.
        """
        connection = DatabaseConnection(DatabaseConfig.of(config))
        await connection.open()
        with cls._lock:
            cls._open[:] = [one for one in cls._open if not one.is_closed]
            cls._open.append(connection)
        return connection

    @classmethod
    def default(cls) -> DatabaseConnection | None:
        """Return the oldest open connection of the running event loop; None if it has no connection.

        Raises:
            RuntimeError: No event loop is running.
        """
        loop = asyncio.get_running_loop()
        with cls._lock:
            cls._open[:] = [connection for connection in cls._open if not connection.is_closed]
            return next((connection for connection in cls._open if connection.event_loop is loop), None)


def _checked(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else check_seconds("timeout_s", timeout_s)


def require_connection(given: object, taker: str) -> None:
    """Refuse the address of a database in place of a connection.

    Raises:
        ConfigurationError: The argument is a configuration or a URL.
    """
    if isinstance(given, DatabaseConfig | str):
        raise errors.ConfigurationError(
            f"{taker} takes an open connection, not {'a URL' if isinstance(given, str) else 'a DatabaseConfig'}: "
            "pass the result of `await ConnectionFactory.create_connection(...)`"
        )


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})


def _closed_error() -> errors.ConnectionClosedError:
    return errors.ConnectionClosedError("this DatabaseConnection was closed: create another")


def _nothing() -> None:
    """Undo nothing: the garbage collector was left alone."""
