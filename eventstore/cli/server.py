"""`url` and `stop`: start and stop an embedded PostgreSQL that stays up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventstore.cli.output import say
from eventstore.cli.target import embedded_server
from eventstore.database.embedded import EmbeddedServer

_Folder = Annotated[Path, typer.Option("--data", metavar="DIR", help="The folder of the server's data.")]


def url(data: _Folder) -> None:
    """Start the embedded PostgreSQL of a folder and print its URL; create the folder if it is missing.

    The server stays up until `eventstore stop --data DIR`.
    """
    with embedded_server(data) as server:
        server.keep_running()
        say(server.url)


def stop(data: _Folder) -> None:
    """Stop the embedded PostgreSQL of a folder, even if other processes use it."""
    stopped = EmbeddedServer.shut_down(data)
    say(f"the server of {data} was stopped" if stopped else f"no server is running on {data}")
