"""The statements about log segments look up what they need by index: they never search a list of streams for each stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.sql import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import EventStore

STATEMENTS = {
    "replay/keep_log_segments": ("'order'", "1000000", "2000", "8"),
    "replay/differing": ("'order'", "500000", "NULL", "NULL", "1000000", "1000000", "500000"),
}


def below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from below(child)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_list_is_searched_for_each_stream(store: EventStore, name: str):
    """Where lists are too large to be hashed, each search in one would take as long as the list."""
    async with store.connection.acquire_for_user() as connection, connection.transaction():
        await connection.execute("SET LOCAL work_mem = '64kB'; SET LOCAL hash_mem_multiplier = 1")
        statement = load(name, connection)
        for number, value in enumerate(STATEMENTS[name], 1):
            statement = statement.replace(f"${number}::", f"{value}::")
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}"))
    for node in below(plan[0]["Plan"]):
        assert "(ANY (" not in str(node.get("Filter")), node
        if node.get("Parent Relationship") == "SubPlan":
            assert not [one for one in below(node) if one["Node Type"] == "CTE Scan"], node
