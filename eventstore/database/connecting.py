"""Opening one connection to PostgreSQL: arguments, attempts, and errors that say what to do."""

from __future__ import annotations

import asyncio
import builtins
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import asyncpg

from eventstore import errors
from eventstore.database.error_mapping import DRIVER_ERRORS
from eventstore.database.protocols import Connection
from eventstore.loop_stalls import Stopwatch, TimeLimit
from eventstore.sql import quoted
from eventstore.waiting import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.database.config import DatabaseConfig

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
_SERVER_VERSION_MIN = 15
_ADVICE: dict[str, tuple[type[errors.EventStoreError], str]] = {
    "28": (errors.ConnectionRejectedError, "correct the user or the password, or the server's pg_hba.conf"),
    "3D000": (errors.ConnectionRejectedError, "create it, or correct DATABASE_NAME"),
    "53300": (errors.ConnectionError, "lower max_pool_size, or raise the server's max_connections"),
    "53": (
        errors.ConnectionError,
        "the server lacks memory, disk or another resource: try again when it has it",
    ),
    "58": (
        errors.ConnectionError,
        "the server's operating system reports an error: repair it, and try again",
    ),
    "55P03": (
        errors.ConnectionError,
        "try again, or raise lock_timeout of the role, the database or the server",
    ),
    "57014": (
        errors.ConnectionError,
        "try again, or raise statement_timeout of the role, the database or the server",
    ),
    "08": (errors.ConnectionError, "try again when the server is up"),
    "57P04": (errors.ConnectionRejectedError, "create it, or correct DATABASE_NAME"),
    "57P": (errors.ConnectionError, "try again when the server is up"),
}
_TRANSIENT = ("08", "53", "55P03", "57014", "57P01", "57P02", "57P03", "58")


def connect_arguments(config: DatabaseConfig) -> dict[str, Any]:
    """Return the keyword arguments of `asyncpg.connect` for a configuration.

    The start-up parameters are `application_name` and, if a schema is configured, `search_path`.
    PgBouncer refuses parameters that it does not know, see `Connector.connect`.
    """
    tls = {
        "sslmode": config.ssl_mode,
        "sslcert": config.ssl_cert_file,
        "sslkey": config.ssl_key_file,
        "sslrootcert": config.ssl_root_cert_file,
    }
    return {
        # asyncpg accepts certificate files, and interprets them for each mode, only in a URL.
        "dsn": "postgresql://?" + urlencode({name: value for name, value in tls.items() if value}),
        "host": config.host,
        "port": config.port,
        "database": config.database,
        "user": config.user,
        # A callable, so that none of our local variables holds the password; for asyncpg's see `without_frames`.
        "password": None if config.password is None else config.password.get_secret_value,
        "target_session_attrs": config.target_session_attrs,
        "command_timeout": config.command_timeout,
        "statement_cache_size": config.statement_cache_size,
        "server_settings": {"application_name": "eventstore"}
        | ({} if config.schema is None else {"search_path": f'{quoted(config.schema)}, "$user", public'}),
        "timeout": None,
    }


class Connector:
    """Opens connections for one configuration, and retries while a server restarts."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._arguments = connect_arguments(config)
        self._has_connected = False
        self.last_failure: BaseException | None = None
        """The error of the newest attempt; None if it succeeded."""

    async def connect(self, open_connection: Callable[..., Any], **options: Any) -> Any:
        """Connect; once a connection has succeeded, retry at growing intervals for `connect_timeout`.

        Before the first success an unreachable server raises at once, but a server that is starting up
        is waited for.

        Raises:
            ConfigurationError: The server is older than PostgreSQL 15, or a certificate cannot be used.
            ConnectionRejectedError: The server refuses the connection.
            ConnectionError: The server could not be reached in time.
        """
        limit_s, taken = self._config.connect_timeout, Stopwatch()
        backoff = Backoff(_BACKOFF_FIRST_S, _BACKOFF_MAX_S, jitter=0.25)
        while True:
            try:
                async with TimeLimit(limit_s - taken.elapsed_s):
                    connection = await open_connection(**self._arguments, **options)
            except DRIVER_ERRORS as error:
                if self._is_refused_parameter(error):
                    continue
                self.last_failure = without_frames(error)
                pause_s = backoff.next_s()
                if not self._worth_another_attempt(error) or taken.elapsed_s + pause_s >= limit_s:
                    raise self.explain(error) from error
            else:
                break
            await asyncio.sleep(pause_s)
        self.last_failure = None
        self._has_connected = True
        self._check_version(connection)
        return connection

    def _is_refused_parameter(self, error: BaseException) -> bool:
        """Whether a pooler refuses the search path as a start-up parameter; it is then left out from now on.

        The library's own statements name the schema; only users' statements depend on the search path.
        """
        if (
            getattr(error, "sqlstate", None) != "08P01"
            or "search_path" not in self._arguments["server_settings"]
        ):
            return False
        self._arguments["server_settings"] = {"application_name": "eventstore"}
        return True

    def _worth_another_attempt(self, error: BaseException) -> bool:
        sqlstate = getattr(error, "sqlstate", None)
        if sqlstate is not None:
            return sqlstate == "57P03" or (self._has_connected and sqlstate.startswith(_TRANSIENT))
        if isinstance(error, (ssl.SSLError, builtins.TimeoutError)):
            return False
        # A standby may be promoted to primary soon.
        return self._has_connected and isinstance(error, (OSError, asyncpg.TargetServerAttributeNotMatched))

    def _check_version(self, connection: Connection) -> None:
        major = connection.get_server_version().major
        if major < _SERVER_VERSION_MIN:
            connection.terminate()
            raise errors.ConfigurationError(
                f"the server at {self._config.address} is PostgreSQL {major}: "
                f"{_SERVER_VERSION_MIN} or newer is needed, upgrade it or name another"
            )

    def explain(self, error: BaseException | None) -> errors.EventStoreError:
        """Return the error to raise for a failed attempt; `error` is None if no answer came in time."""
        prefix = f"cannot connect to PostgreSQL at {self._config.address}: "
        sqlstate: str | None = getattr(error, "sqlstate", None)
        explained = self._explained(error, sqlstate, prefix)
        explained.sqlstate = sqlstate
        return explained

    def _explained(  # noqa: PLR0911 - one return for each kind
        self, error: BaseException | None, sqlstate: str | None, prefix: str
    ) -> errors.EventStoreError:
        reason = _reason(error)
        if error is None or isinstance(error, builtins.TimeoutError):
            limit = f"{self._config.connect_timeout:g} s (connect_timeout, DATABASE_CONNECT_TIMEOUT)"
            return errors.ConnectionError(
                f"{prefix}no answer within {limit}: check the address, and that the server is running"
            )
        if sqlstate is not None:
            for start, (kind, advice) in _ADVICE.items():
                if sqlstate.startswith(start):
                    return kind(f"{prefix}{reason}: {advice}")
            return errors.ConnectionRejectedError(f"{prefix}{reason} (SQLSTATE {sqlstate})")
        if isinstance(error, ssl.SSLError):
            return errors.ConnectionRejectedError(
                f"{prefix}the encryption failed: {reason}: correct ssl_mode or the certificates"
            )
        if isinstance(error, asyncpg.ClientConfigurationError):
            return errors.ConfigurationError(f"{prefix}{reason}")
        if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
            return errors.ConnectionError(
                f"{prefix}the server is a standby, and its data may be old: name the primary, or set "
                "DATABASE_TARGET_SESSION_ATTRS to any"
            )
        if isinstance(error, socket.gaierror):
            return errors.ConnectionError(f"{prefix}the host is not known: correct DATABASE_HOST")
        return errors.ConnectionError(f"{prefix}{reason}: start the server, or correct the address")


def without_frames(error: BaseException) -> BaseException:
    """Remove the frames of an error and of its causes: asyncpg's frames have the password as a local variable.

    A crash reporter, for example, may show local variables.
    """
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            chain += [one.__cause__, one.__context__]
    return error


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    text = str(error.args[0]) if error.args else ""
    return text.splitlines()[0] if text else type(error).__name__
