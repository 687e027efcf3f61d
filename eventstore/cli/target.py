"""The database of a command: `--url`, `--data`, or the environment."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from eventstore.cli.running import uninterrupted
from eventstore.database import ConnectionFactory, DatabaseConfig, PostgreSQLAdapter
from eventstore.database.embedded import EmbeddedServer
from eventstore.errors import ConfigurationError

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The database: postgresql://user@host:port/name. Default: the variable DATABASE_URL. Other users of the "
        "machine can see a command's options, so put a password into the variable, PGPASSWORD or ~/.pgpass.",
    ),
]
"""The option `--url`."""

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The folder of an embedded PostgreSQL, which runs during the command.",
    ),
]
"""The option `--data`."""


Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="The schema of the store. Default: the variable DATABASE_SCHEMA, or the first schema of the search "
        "path.",
    ),
]
"""The option `--schema`, which every command with `--url` has."""

_schema: ContextVar[str | None] = ContextVar("schema", default=None)


def with_schema_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the option `--schema` added, if it has the option `--url`."""
    signature = inspect.signature(command)
    if "url" not in signature.parameters:
        return command

    @wraps(command)
    def in_schema(*args: Any, schema: str | None = None, **kwargs: Any) -> Any:
        _schema.set(schema)
        return command(*args, **kwargs)

    # typer reads the options from the signature and the annotations; unresolved annotations are strings.
    hints = get_type_hints(command, include_extras=True) | {"schema": Schema}
    added = inspect.Parameter("schema", inspect.Parameter.KEYWORD_ONLY, default=None)
    in_schema.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            each.replace(annotation=hints[each.name]) for each in (*signature.parameters.values(), added)
        ]
    )
    in_schema.__annotations__ = hints
    return in_schema


@contextmanager
def configuration(url: str | None, data: Path | None, *, make: bool = False) -> Iterator[DatabaseConfig]:
    """Yield the configuration of the command's database for a block.

    Args:
        url: The option `--url`.
        data: The option `--data`; its server runs at least until the end of the block.
        make: Whether the folder may be new.

    Raises:
        ConfigurationError: Both or neither are given and no variable names a database, or a value is wrong.
        ConnectionError: The embedded server does not start.
    """
    if url is not None and data is not None:
        raise ConfigurationError("--url and --data both name a database: give only one of them")
    if data is not None:
        with embedded_server(data if make else existing_folder(data)) as server:
            yield _of_command(server.config())
    elif url is not None:
        yield _of_command(DatabaseConfig.from_url(url))
    elif any(name.startswith("DATABASE_") for name in os.environ):
        yield _of_command(DatabaseConfig.from_env())
    else:
        raise ConfigurationError(
            "no database is named: give --url URL, --data DIR, or the variable DATABASE_URL"
        )


def _of_command(config: DatabaseConfig) -> DatabaseConfig:
    """Return the configuration in the schema of `--schema`; the process is the library's own, and so is its collector."""
    schema = _schema.get()
    config = config if schema is None else config.replace(schema=schema)
    return config if "DATABASE_POSTPONE_GC" in os.environ else config.replace(postpone_gc=True)


@contextmanager
def embedded_server(data: Path | None) -> Iterator[EmbeddedServer]:
    """Run an embedded server for a block; an interruption does not leave it half started or running.

    Raises:
        ConfigurationError, ConnectionError: As `EmbeddedServer.start`.
    """
    server: EmbeddedServer | None = None
    try:
        with uninterrupted():
            server = EmbeddedServer.start(data)
        yield server
    finally:
        if server is not None:
            with uninterrupted():
                server.stop()


def existing_folder(data: Path) -> Path:
    """Return the folder of an embedded server.

    Raises:
        ConfigurationError: The folder holds no embedded server.
    """
    if not (data / "PG_VERSION").is_file():
        raise ConfigurationError(f"{data} holds no database: create one with `eventstore url --data {data}`")
    return data


@asynccontextmanager
async def adapter_for(config: DatabaseConfig) -> AsyncIterator[PostgreSQLAdapter]:
    """Connect with few connections, and close at the end of the block.

    Raises:
        ConfigurationError: A setting is wrong, or the server is too old.
        ConnectionError: The database cannot be reached.
    """
    connection = await ConnectionFactory.create_connection(config.replace(min_pool_size=1))
    try:
        yield PostgreSQLAdapter(connection)
    finally:
        await connection.close()
