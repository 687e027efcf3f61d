"""A relay between a client and PostgreSQL that loses what a test wants lost."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


class Relay:
    """Pass bytes on between clients and the socket of a server, until a message is to be lost.

    Attributes:
        lose_before: The connection ends before a message of the client with these bytes is passed on.
        lose_after: Such a message is passed on, and the connection ends before its answer. Either is done once,
            for `times` messages.
        hold_after: Such a message is passed on, and then nothing more either way, though the connection stays open: as
            where a client is stopped, or a network is cut. Once.
        passing: While it is not set, answers of the server wait: as where a network is slow.
        silent: Nothing is passed on any more, though no connection ends: as where a network is cut.
        refuse: New connections end at once.
        keep_open: If the server ends a connection, the client gets its last message, and the connection stays open: as where the
            end of the connection is still on its way.
        requests: How many messages of clients were passed on; a statement that is prepared already is one.
    """

    def __init__(self, server: DatabaseConfig) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="evrelay-"))
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.lose_before: bytes | None = None
        self.lose_after: bytes | None = None
        self.times = 1
        self.lost = 0
        self.requests = 0
        self.passing = asyncio.Event()
        self.passing.set()
        self.silent = False
        self.refuse = False
        self.keep_open = False
        self.hold_after: bytes | None = None
        self.held = asyncio.Event()
        """Set when a connection is held."""
        self.released = asyncio.Event()
        """Set it to end the connections that are held."""
        self.arrived = asyncio.Event()
        """Set when the server has answered a message whose answer is lost."""

    def config(self, **overrides: Any) -> DatabaseConfig:
        """The configuration to reach the server through the relay."""
        return self._server.replace(**({"host": str(self._folder), "port": 1} | overrides))

    async def switch_to(self, server: DatabaseConfig) -> None:
        """End all connections, and lead new ones to another server: as where an address is moved."""
        self._server = server
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(self._serve, str(self._folder / ".s.PGSQL.1"))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_writer = None
        try:
            if self.refuse:
                return
            path = f"{self._server.host}/.s.PGSQL.{self._server.port}"
            server_reader, server_writer = await asyncio.open_unix_connection(path)
            answers = asyncio.ensure_future(self._pass_on(server_reader, writer))
            try:
                await self._pass_requests(reader, server_reader, server_writer, answers)
            finally:
                answers.cancel()
                await asyncio.wait([answers])
        except (OSError, asyncio.CancelledError):
            pass  # either end may go away at any time
        finally:
            self._tasks.discard(task)
            for one in (writer, server_writer):
                if one is not None:
                    one.transport.abort()

    async def _pass_requests(
        self,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(65536):
            if self.silent:
                continue
            if self._loses(self.lose_before, data):
                return
            lose = self._loses(self.lose_after, data)
            if lose:
                answers.cancel()
                await asyncio.wait([answers])
            self.requests += 1
            server_writer.write(data)
            await server_writer.drain()
            if self.hold_after is not None and self.hold_after in data:
                self.hold_after = None
                answers.cancel()
                self.held.set()
                await self.released.wait()
                return
            if lose:
                await server_reader.read(1)  # the server has done it
                self.arrived.set()
                return

    def _loses(self, message: bytes | None, data: bytes) -> bool:
        if message is None or message not in data or self.lost >= self.times:
            return False
        self.lost += 1
        return True

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.passing.wait()
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            if not (self.keep_open or asyncio.current_task().cancelling()):  # type: ignore[union-attr]
                writer.transport.abort()
