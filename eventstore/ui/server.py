"""The server of the command `eventstore ui`: uvicorn, until it is asked to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from eventstore.errors import ConfigurationError

_SHUTDOWN_S = 3


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: The address, or a name of this machine.
        port: The port; 0 for a free one.

    Raises:
        ConfigurationError: The address is not of this machine, or the port is in use.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"nothing can listen at {host}:{port}: {error.strerror or error}; give another --host or --port"
        ) from error


async def serve(app: ASGIApp, listener: socket.socket, *, stop: asyncio.Event) -> None:
    """Serve an application until the event is set; answers that have begun get a few seconds.

    Args:
        app: The application.
        listener: As `listen` returns it; it is closed at the end.
        stop: Ends the server.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # an address may contain a token
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="eventstore inspector")
    stopping = asyncio.create_task(stop.wait(), name="eventstore wait for a signal")
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await asyncio.wait((serving, stopping))
    serving.result()
