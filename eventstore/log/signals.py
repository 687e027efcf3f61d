"""Wake-ups across processes: a NOTIFY after a commit, and a LISTEN on a separate connection.

Both are hints. A reader that waits for events also polls, so a lost hint only causes a short delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg

from eventstore.database.access import writing
from eventstore.database.cancellation import end
from eventstore.database.connecting import Connector
from eventstore.database.connection import DatabaseConnection
from eventstore.database.error_mapping import DRIVER_ERRORS
from eventstore.database.session import find_schema
from eventstore.errors import ConfigurationError, ConnectionRejectedError, EventStoreError
from eventstore.loop_stalls import TimeLimit, explained, now_s
from eventstore.sql import load
from eventstore.waiting import Backoff, wait_until_set

_logger = logging.getLogger(__name__)

CHANNEL = "eventstore"
"""The channel of NOTIFY; `sql/log/notify.sql` uses the same name."""

NOTIFY_INTERVAL_S = 0.05
"""The minimum interval between two NOTIFYs of a process; the first is sent at once."""

PROBE_INTERVAL_S = 15.0
"""How often the listening connection is probed, because a broken connection gives no sign."""

PROBE_TIMEOUT_S = 5.0
"""How long to wait for the answer to a probe; after that, the process connects again."""

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 10.0
# How often a hint lets writers go first while the pool is full.
_POLITE_TRIES = 20
_CLOSE_TIMEOUT_S = 1.0
# Errors that are not transient, such as those of a wrong direct_url.
_LASTING = (ConfigurationError, ConnectionRejectedError)


class Signals:
    """The wake-ups between this process and others on the same database.

    Args:
        connection: The pool; its configuration says how LISTEN reaches the server.
        on_signal: Called when another process has appended, and when a signal may have been missed.
    """

    def __init__(self, connection: DatabaseConnection, on_signal: Callable[[], None]) -> None:
        self._connection = connection
        self._on_signal = on_signal
        self._own = uuid4().hex
        self._pending = False
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._stopping = asyncio.Event()
        self._schema: str | None = None
        self.is_listening = False
        """Whether the signals of other processes arrive, as far as this process knows."""
        connection.at_close(self.stop)

    # ---- sending ---------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Notify the other processes of a commit, in a background task."""
        self._pending = True
        if self._sending is None and not self._connection.is_closed:
            self._sending = asyncio.create_task(self._send(), name="eventstore wake-up of other processes")

    async def _send(self) -> None:
        try:
            while self._pending:
                await self._wait_politely()
                self._pending = False
                await self._notify()
                await wait_until_set(self._stopping, NOTIFY_INTERVAL_S)
        except EventStoreError as error:
            # Readers that wait for the event also poll.
            _logger.info("could not notify other processes of an append", exc_info=error)
        finally:
            self._sending = None

    async def _notify(self) -> None:
        async with writing(self._connection) as connection:
            await connection.execute(load("log/notify", connection), self._own)

    async def _wait_politely(self) -> None:
        for _ in range(_POLITE_TRIES):
            now = self._connection.statistics()
            if now.in_use < now.max_size or await wait_until_set(self._stopping, NOTIFY_INTERVAL_S):
                return

    # ---- listening -------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Start to listen until the pool is closed. Later calls have no effect."""
        if self._listening is None and not self._connection.is_closed:
            self._listening = asyncio.create_task(
                self._listen(), name="eventstore wake-up by other processes"
            )

    def listen_again(self) -> None:
        """Connect again, because another server has taken over the address.

        The previous server may still keep the old connection open, without ever sending a signal.
        """
        self._lost.set()

    async def _listen(self) -> None:
        config = self._connection.config
        direct = config.direct()
        connector = Connector(direct or config)
        backoff = Backoff(_BACKOFF_FIRST_S, _BACKOFF_MAX_S, jitter=0.25)
        explained_s = now_s()
        while True:
            try:
                if not await self._listen_once(connector):
                    _logger.info(
                        "a pooler between this process and PostgreSQL loses NOTIFY: appends of other processes "
                        "are found by polling; set DATABASE_DIRECT_URL (direct_url) to receive wake-ups"
                    )
                    return
                backoff.reset()
            except (EventStoreError, *DRIVER_ERRORS, TimeoutError) as error:
                if explained(max(explained_s, now_s() - PROBE_INTERVAL_S - PROBE_TIMEOUT_S)):
                    explained_s = now_s()  # the stall explains this error, and no later one
                else:
                    level = logging.WARNING if isinstance(error, _LASTING) else logging.INFO
                    _logger.log(level, "retrying to listen for other processes", exc_info=error)
            await asyncio.sleep(backoff.next_s())

    async def _listen_once(self, connector: Connector) -> bool:
        """Listen until the connection is lost. If a pooler prevents it, return False at once."""
        connection = await connector.connect(asyncpg.connect)
        self._lost.clear()
        connection.add_termination_listener(self._terminated)
        try:
            self._schema = self._connection.config.schema or await find_schema(connection)
            async with TimeLimit(PROBE_TIMEOUT_S):
                # A pooler reports an invented process id to its clients.
                if connection.get_server_pid() != await connection.fetchval(
                    load("log/backend_pid", connection)
                ):
                    return False
                await connection.add_listener(CHANNEL, self._heard)
            self.is_listening = True
            self._on_signal()  # earlier signals were missed
            while not await wait_until_set(self._lost, PROBE_INTERVAL_S):
                async with TimeLimit(PROBE_TIMEOUT_S):
                    await connection.fetchval(load("log/backend_pid", connection))
        finally:
            self.is_listening = False
            connection.terminate()
        return True

    def _terminated(self, _connection: Any) -> None:
        self.is_listening = False
        self._lost.set()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        # PostgreSQL has one channel per name and database, so stores of several schemas share it.
        sender, _, schema = payload.partition(" ")
        if sender != self._own and schema == self._schema:
            self._on_signal()

    # ---- the end ---------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop listening, and send a pending signal."""
        self._stopping.set()
        if self._listening is not None:
            await end(self._listening)
        if self._sending is not None:
            sending = self._sending
            await asyncio.wait({sending}, timeout=_CLOSE_TIMEOUT_S)
            await end(sending)
