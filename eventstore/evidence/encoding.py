"""The encoding that hashes rest on."""

from __future__ import annotations

from eventstore.database.protocols import Connection
from eventstore.errors import ConfigurationError

_UNICODE = frozenset({"UTF8", "UNICODE"})


def require_unicode(connection: Connection) -> None:
    """Refuse a database that is not encoded in UTF-8.

    What is hashed is always UTF-8. But PostgreSQL orders the members of a jsonb by their bytes in the database's encoding, so
    the same event would have another hash after a move to a database of another encoding.

    Raises:
        ConfigurationError: It is not.
    """
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding not in _UNICODE:
        raise ConfigurationError(
            f"the database is encoded in {encoding}, so the hashes of its events would not hold elsewhere: move it to one "
            "with ENCODING 'UTF8' (pg_dump, CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, pg_restore)"
        )
