"""What a failed connection is said to be, by the server's SQLSTATE, and when it is tried again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from eventstore import DatabaseConfig
from eventstore.database.connecting import Connector
from eventstore.errors import ConnectionError, ConnectionRejectedError

PASSES = ["08006", "53100", "53200", "53300", "53400", "55P03", "57014", "57P01", "57P02", "57P03", "58030"]
LASTS = ["28000", "28P01", "3D000", "42501", "55000", "57P04"]


def refused(sqlstate: str) -> asyncpg.PostgresError:
    """The server's answer to an attempt to connect."""
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"C": sqlstate, "M": "no"})
    return error


@pytest.mark.parametrize("sqlstate", [*PASSES, *LASTS])
def test_only_what_passes_may_be_tried_again(sqlstate: str):
    """A server without memory or disk, or with a short time limit, has not refused the password, the role or the database."""
    explained = Connector(DatabaseConfig(host="h", database="d")).explain(refused(sqlstate))
    kind = ConnectionError if sqlstate in PASSES else ConnectionRejectedError
    assert (type(explained), explained.retryable, explained.sqlstate) == (kind, sqlstate in PASSES, sqlstate)


@pytest.mark.parametrize("sqlstate", [*PASSES, *LASTS])
async def test_what_passes_is_waited_for(sqlstate: str):
    """A later attempt succeeds, within `connect_timeout`; what stays as it is fails at once."""
    connector = Connector(DatabaseConfig(host="h", database="d"))
    answers: list[asyncpg.PostgresError] = []

    async def connect(**_: Any) -> Any:
        if answers:
            raise answers.pop()
        return SimpleNamespace(get_server_version=lambda: SimpleNamespace(major=15))

    await connector.connect(connect)
    answers.append(refused(sqlstate))
    if sqlstate in LASTS:
        with pytest.raises(ConnectionRejectedError):
            await connector.connect(connect)
    else:
        assert await connector.connect(connect)
