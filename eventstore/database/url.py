"""Reading a database URL. No message of this module repeats any part of the URL: it may hold a password."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from eventstore.errors import ConfigurationError

URL_PARAMETERS = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "user",
    "password": "password",
    "sslmode": "ssl_mode",
    "sslcert": "ssl_cert_file",
    "sslkey": "ssl_key_file",
    "sslrootcert": "ssl_root_cert_file",
    "connect_timeout": "connect_timeout",
    "target_session_attrs": "target_session_attrs",
    "schema": "schema",
}
"""The parameters that a URL may have, and the field of `DatabaseConfig` that each sets."""


def parse_url(url: str, *, source: str) -> dict[str, str]:
    """Return the settings that a URL names, by the names of `DatabaseConfig`'s fields.

    Args:
        url: The URL, in libpq's form.
        source: What messages call it, such as `DATABASE_URL`.

    Raises:
        ConfigurationError: The URL cannot be read.
    """
    try:
        parts = urlsplit(url)
        # A plus sign is itself, as in libpq; in a form's query it would be a space.
        query = parts.query.replace("+", "%2B")
        parameters = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:  # its text may repeat the URL
        parts = None
    if parts is None:
        raise ConfigurationError(f"{source} cannot be read: {_HINT}")
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ConfigurationError(f"{source} must begin with postgresql://")
    login, _, where = parts.netloc.rpartition("@")
    if parts.fragment or "@" in parts.path:  # else what follows a bare / or # of a password would be shown
        raise ConfigurationError(f"{source} has a reserved character in its wrong place: {_HINT}")
    values = _host_and_port(where, source=source)
    user, _, password = login.partition(":")
    named = {"user": user, "password": password, "database": parts.path.removeprefix("/")}
    values |= {name: unquote(value) for name, value in named.items() if value}
    for name, value in parameters:
        if name not in URL_PARAMETERS:
            allowed = ", ".join(URL_PARAMETERS)
            raise ConfigurationError(f"{source} has a parameter that is not known: allowed are {allowed}")
        if value:
            values[URL_PARAMETERS[name]] = value
    return values


_HINT = (
    "the form is postgresql://user:password@host:port/database?sslmode=require, and in a name or password "
    "each of : / ? # [ ] @ % is written percent-encoded (as %3A %2F %3F %23 %5B %5D %40 %25)"
)


def _host_and_port(where: str, *, source: str) -> dict[str, str]:
    if "," in where:
        raise ConfigurationError(f"{source} names several hosts: name one")
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        well_formed = bool(bracket) and (not port or port.startswith(":"))
        port = port.removeprefix(":")
    else:
        host, _, port = where.partition(":")
        well_formed = ":" not in port
    if not well_formed or (port and not (port.isascii() and port.isdigit())):
        raise ConfigurationError(f"{source} has no readable host and port: {_HINT}")
    named = {"host": unquote(host), "port": port}
    return {name: value for name, value in named.items() if value}
