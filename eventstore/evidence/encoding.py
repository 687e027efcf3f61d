"""The check that the database has the encoding that hashes depend on."""

from __future__ import annotations

from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError

_UNICODE = frozenset({"UTF8", "UNICODE"})


def require_unicode(connection: Connection) -> None:
    """Refuse a database that is not encoded in UTF-8.

    Hashes are always over UTF-8. But PostgreSQL orders the members of a jsonb by their bytes in the
    database's encoding, so the same event would have a different hash after a move to a database with
    a different encoding.

    Raises:
        ConfigurationError: The database has another encoding.
    """
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding not in _UNICODE:
        raise ConfigurationError(
            f"the database is encoded in {encoding}, so the hashes of its events would not be valid elsewhere: move it to a "
            "database with ENCODING 'UTF8' (pg_dump, CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, pg_restore)"
        )
