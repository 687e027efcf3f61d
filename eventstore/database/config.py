"""The address of the database and the settings for its use: `DatabaseConfig`."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from eventstore.database.url import URL_PARAMETERS, parse_url
from eventstore.errors import ConfigurationError
from eventstore.suggestions import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

SSLMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
TargetSessionAttrs = Literal["any", "primary"]
UnsavedChanges = Literal["error", "save"]
"""How a commit treats unsaved changes of a known entity: `error` refuses the commit, `save` saves them."""
Loads = Literal["row", "stream"]
"""The source of an entity: its row and the events after it, or its whole stream."""

_VARIABLES: dict[str, tuple[str, str]] = {
    "host": ("DATABASE_HOST", "a host name, an address, or the absolute path of a socket's folder"),
    "port": ("DATABASE_PORT", "a whole number from 1 to 65535"),
    "database": ("DATABASE_NAME", "a name of 1 to 63 bytes"),
    "user": ("DATABASE_USER", "a name of 1 to 63 bytes"),
    "password": ("DATABASE_PASSWORD", "text without NUL"),
    "schema": (
        "DATABASE_SCHEMA",
        "a name of 1 to 63 bytes, not pg_..., information_schema or with a control character",
    ),
    "target_session_attrs": ("DATABASE_TARGET_SESSION_ATTRS", "one of any, primary"),
    "min_pool_size": ("DATABASE_MIN_POOL_SIZE", "a whole number from 0 to DATABASE_MAX_POOL_SIZE"),
    "max_pool_size": ("DATABASE_MAX_POOL_SIZE", "a whole number from 1 to 1000"),
    "max_idle_time": ("DATABASE_MAX_IDLE_TIME", "seconds from 0 (never) to 86400"),
    "max_lifetime": ("DATABASE_MAX_LIFETIME", "seconds from 0 (for ever) to 604800"),
    "command_timeout": ("DATABASE_COMMAND_TIMEOUT", "seconds from 0.001 to 86400"),
    "connect_timeout": ("DATABASE_CONNECT_TIMEOUT", "seconds from 0.001 to 3600"),
    "ssl_mode": (
        "DATABASE_SSL_MODE",
        "one of disable, allow, prefer, require, verify-ca, verify-full",
    ),
    "ssl_cert_file": ("DATABASE_SSL_CERT_FILE", "the path of a readable file"),
    "ssl_key_file": ("DATABASE_SSL_KEY_FILE", "the path of a readable file"),
    "ssl_root_cert_file": ("DATABASE_SSL_ROOT_CERT_FILE", "the path of a readable file"),
    "statement_cache_size": ("DATABASE_STATEMENT_CACHE_SIZE", "a whole number from 0 (none) to 10000"),
    "group_commit": ("DATABASE_GROUP_COMMIT", "true or false"),
    "fold_delay": ("DATABASE_FOLD_DELAY", "seconds from 0 to 60"),
    "unsaved": ("DATABASE_UNSAVED", "error or save"),
    "loads": ("DATABASE_LOADS", "row or stream"),
    "postpone_gc": ("DATABASE_POSTPONE_GC", "true or false"),
    "direct_url": ("DATABASE_DIRECT_URL", "a URL such as postgresql://user:password@host:5432/database"),
}
_ADDRESS = ("host", "port", "database", "user", "password")
_IN_URL = {name: parameter for parameter, name in URL_PARAMETERS.items()}
_MIN_POOL_SIZE = 5
_NAME_BYTES_MAX = 63  # NAMEDATALEN - 1: the server silently truncates a longer name


class _Environment(PydanticBaseSettingsSource):
    """The `DATABASE_...` variables; an empty variable counts as not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return os.environ.get(_VARIABLES[field_name][0]) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value = self.get_field_value(field, name)[0]
            if value is not None:
                values[name] = value
        url = os.environ.get("DATABASE_URL")
        if url:
            for name in ("host", "port", "database", "user"):
                values.pop(name, None)
            values.update(parse_url(url, source="DATABASE_URL"))
        return values


with warnings.catch_warnings():
    # pydantic warns that the field hides BaseModel.schema(), a method that it has deprecated.
    warnings.simplefilter("ignore", UserWarning)

    class _InSchema(BaseSettings):
        schema: str | None = None  # type: ignore[assignment]


class DatabaseConfig(_InSchema):
    """The address of the database and the limits of its use; immutable.

    A keyword wins over `DATABASE_URL`, which wins over the other `DATABASE_...` variables, which win over
    the defaults. No `.env` file is read. Without a password, PostgreSQL's `PGPASSWORD` and `~/.pgpass`
    are used. No repr, log line or exception contains the password.

    Attributes:
        host: A host name, an IPv4 or IPv6 address, or the absolute path of the folder of a Unix socket.
        port: The port, 1 to 65535; of a Unix socket the number at the end of its name.
        database: The database's name.
        user: The role to log in as.
        password: The role's password; None for no password.
        schema: The schema of the store, so that several stores can share one database. It need not be in
            the search path; sessions get it as their first schema, for your own statements. None for the
            first schema of the session's search path that exists, which is `public` unless the role or
            the database is configured differently.
        target_session_attrs: `primary` refuses a standby, which may lag behind committed events; `any`
            accepts every server, and reads from a standby are as old as its replication.
        min_pool_size: The number of connections kept open, 0 to `max_pool_size`; by default 5, or
            `max_pool_size` if that is less.
        max_pool_size: The largest number of open connections, 1 to 1000.
        max_idle_time: Seconds after which an unused connection above `min_pool_size` is closed; 0 for
            never.
        max_lifetime: Seconds after which a connection is replaced, less up to a tenth at random so that
            not all are replaced at once; 0 for never.
        command_timeout: Seconds that a statement may take; then it is cancelled on the server.
        connect_timeout: Seconds to wait for a free connection of the pool, or for a new one with all its
            attempts.
        ssl_mode: As in libpq.
        ssl_cert_file: The client's certificate, PEM.
        ssl_key_file: The client's private key, PEM, without a passphrase.
        ssl_root_cert_file: The authorities that may sign the server's certificate, PEM.
        statement_cache_size: Prepared statements kept by each connection; use 0 behind PgBouncer before
            1.21, or any pooler in transaction mode without prepared statements.
        group_commit: Whether Units of Work that commit while an append of this process is in flight share the next
            statement.
        fold_delay: Seconds for which a worker of this process collects events before it folds them, if nobody waits
            for the read tables; 0 folds each event as soon as it can. Reads of the repositories have every committed
            event either way, because they read what is not folded yet from the log.
        unsaved: How a commit treats unsaved changes of an entity: `error` refuses the commit, `save`
            saves them. Each Unit of Work may override it.
        loads: The source of an entity: `row` takes its row in the read table, if its stream has the
            row's version and position, and the events after it; `stream` folds every event of its stream
            and ignores the row. Use `stream` if you do not trust the roles that may write the read
            tables. Its cost grows with the length of the stream.
        postpone_gc: Whether the library may postpone Python's garbage collection in this process while it
            decodes and folds many events. It switches the collector off for one page of events at most,
            and lets it run less often while a rebuild runs in this process. The setting applies to the
            whole process, as long as a connection with it is open.
        direct_url: A URL that reaches PostgreSQL directly, for LISTEN, if the address is a pooler.

    Raises:
        ConfigurationError: A value is not allowed; the message names the variable and the allowed values.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_file=None, validate_default=True
    )

    host: str = Field("localhost", min_length=1, max_length=4096)
    port: int = Field(5432, ge=1, le=65535)
    database: str = Field("postgres", min_length=1)
    user: str = Field("postgres", min_length=1)
    password: SecretStr | None = None
    target_session_attrs: TargetSessionAttrs = "primary"
    min_pool_size: int = Field(_MIN_POOL_SIZE, ge=0, le=1000)
    max_pool_size: int = Field(20, ge=1, le=1000)
    max_idle_time: float = Field(300.0, ge=0, le=86400, allow_inf_nan=False)
    max_lifetime: float = Field(3600.0, ge=0, le=604800, allow_inf_nan=False)
    command_timeout: float = Field(30.0, ge=0.001, le=86400, allow_inf_nan=False)
    connect_timeout: float = Field(10.0, ge=0.001, le=3600, allow_inf_nan=False)
    ssl_mode: SSLMode = "prefer"
    ssl_cert_file: str | None = None
    ssl_key_file: str | None = None
    ssl_root_cert_file: str | None = None
    statement_cache_size: int = Field(100, ge=0, le=10000)
    group_commit: bool = True
    fold_delay: float = Field(0.05, ge=0, le=60, allow_inf_nan=False)
    unsaved: UnsavedChanges = "error"
    loads: Loads = "row"
    postpone_gc: bool = False
    direct_url: SecretStr | None = None

    if not TYPE_CHECKING:  # a type checker sees the fields as keywords instead

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                # Not chained: pydantic's error contains the input, which may include the password.
                explained = ConfigurationError(_explain(error))
            else:
                return
            raise explained

        def __setattr__(self, name: str, value: Any) -> None:
            # pydantic's own error would repeat the value.
            raise ConfigurationError(
                f"{name} of a DatabaseConfig cannot be changed: create another one with replace()"
            )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes all by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read keywords, then the environment, and nothing else."""
        return init_settings, _Environment(settings_cls)

    @classmethod
    def from_env(cls) -> Self:
        """Read the configuration from the environment.

        If `DATABASE_URL` is set, the address (host, port, database, user) comes from it alone. Other
        settings that the URL does not name (password, TLS, limits) come from the other variables.

        Raises:
            ConfigurationError: A variable's value is not allowed.
        """
        return cls()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read the address from a URL; TLS settings and limits not in the URL come from the environment.

        Args:
            url: `postgresql://user:password@host:port/database?sslmode=require`. Reserved characters are
                percent-encoded; `?host=/folder` names a Unix socket's folder; an IPv6 address is in
                brackets. Parameters: `host`, `port`, `dbname`, `user`, `password`, `sslmode`, `sslcert`,
                `sslkey`, `sslrootcert`, `connect_timeout`, `target_session_attrs`, `schema`.

        Raises:
            ConfigurationError: The URL cannot be read, or names a value that is not allowed.
        """
        address = {name: cls.model_fields[name].default for name in _ADDRESS}
        return cls(**(address | parse_url(url, source="the database URL")))

    @classmethod
    def of(cls, given: DatabaseConfig | str | None) -> DatabaseConfig:
        """Return a configuration unchanged, the configuration of a URL, or for None that of the environment.

        Raises:
            ConfigurationError: The URL or the environment has a value that is not allowed, or the
                argument has another type.
        """
        if given is None:
            return cls.from_env()
        if isinstance(given, str):
            return cls.from_url(given)
        if isinstance(given, DatabaseConfig):
            return given
        raise ConfigurationError(
            f"a database must be given as a DatabaseConfig or a URL such as postgresql://user@host/database, "
            f"not as {type(given).__name__}"
        )

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with some fields changed.

        A smaller `max_pool_size` also lowers `min_pool_size`, unless `min_pool_size` is given too.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        values = {name: getattr(self, name) for name in _VARIABLES}
        if "max_pool_size" in changes:
            del values["min_pool_size"]
            changes = {"min_pool_size": _at_most(self.min_pool_size, changes["max_pool_size"])} | changes
        return type(self)(**(values | changes))

    def direct(self) -> DatabaseConfig | None:
        """Return the configuration that reaches PostgreSQL directly, for LISTEN; None without `direct_url`."""
        if self.direct_url is None:
            return None
        values = parse_url(self.direct_url.get_secret_value(), source="DATABASE_DIRECT_URL")
        address = {name: type(self).model_fields[name].default for name in _ADDRESS}
        return self.replace(**(address | values), direct_url=None, min_pool_size=0, max_pool_size=1)

    @property
    def address(self) -> str:
        """The address in words, without the password, for messages."""
        where = self.host if self.host.startswith("/") else f"{self.host}:{self.port}"
        return f'{where}, database "{self.database}", user "{self.user}"'

    @model_validator(mode="before")
    @classmethod
    def _lower_the_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "min_pool_size" in values or "max_pool_size" not in values:
            return values
        return values | {"min_pool_size": _at_most(_MIN_POOL_SIZE, values["max_pool_size"])}

    @field_validator("database", "user")
    @classmethod
    def _fits_a_name(cls, value: str) -> str:
        if len(value.encode()) > _NAME_BYTES_MAX or "\0" in value:
            raise ValueError
        return value

    @field_validator("schema")
    @classmethod
    def _is_a_schema(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not 1 <= len(value.encode()) <= _NAME_BYTES_MAX or not value.isprintable():
            raise ValueError
        if value.startswith("pg_") or value == "information_schema":
            raise ValueError
        return value

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if any(c.isspace() or c in "\0," for c in value) and not value.startswith("/"):
            raise ValueError
        return value.removeprefix("[").removesuffix("]") if ":" in value else value

    @field_validator("password")
    @classmethod
    def _is_a_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if "\0" in value.get_secret_value():
            raise ValueError
        return value

    @field_validator("ssl_cert_file", "ssl_key_file", "ssl_root_cert_file")
    @classmethod
    def _is_readable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            with open(value, "rb") as file:  # noqa: PTH123 - a NUL in the path is a ValueError either way
                file.read(1)
        except OSError:
            raise ValueError from None
        return value

    @field_validator("direct_url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_url(value.get_secret_value(), source="DATABASE_DIRECT_URL")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_pool_size > self.max_pool_size:
            raise ConfigurationError(
                f"DATABASE_MIN_POOL_SIZE (min_pool_size) is {self.min_pool_size}, but must be 0 to "
                f"DATABASE_MAX_POOL_SIZE (max_pool_size), which is {self.max_pool_size}"
            )
        if self.ssl_key_file is not None and self.ssl_cert_file is None:
            raise ConfigurationError(
                "DATABASE_SSL_KEY_FILE (ssl_key_file) needs DATABASE_SSL_CERT_FILE (ssl_cert_file)"
            )
        try:
            self.direct()
        except ConfigurationError as error:
            raise ConfigurationError(f"in DATABASE_DIRECT_URL (direct_url): {error}") from None
        return self


def _at_most(size: int, limit: Any) -> int:
    """Return `size`, or `limit` if that is less and a valid size of a pool."""
    try:
        return min(size, int(limit)) if int(limit) > 0 else size
    except (TypeError, ValueError):  # the validation of the field reports what is wrong
        return size


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(detail) for detail in error.errors(include_input=False, include_url=False))


def _explain_one(detail: Mapping[str, Any]) -> str:
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return str(cause)
    name = str(detail["loc"][0]) if detail["loc"] else ""
    if name not in _VARIABLES:
        return f"DatabaseConfig has no setting {name!r}: {suggestion(name, _VARIABLES)}"
    variable, allowed = _VARIABLES[name]
    where = f"{name}, or {_IN_URL[name]} of a URL" if name in _IN_URL else name
    return f"{variable} ({where}) must be {allowed}"
