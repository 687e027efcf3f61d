"""An import that is killed has imported all or nothing, and the next one has all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventstore.errors import ConfigurationError
from eventstore.evidence import seal, verify
from eventstore.export import import_lines
from eventstore.store import EventStore
from tests.concurrency.dying import dying_process
from tests.conftest import url_of
from tests.entities import started
from tests.exported_files import clear, everything, exported

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig
    from tests.conftest import DatabaseMaker


@pytest.mark.parametrize("when", ["before", "sent", "after"])
async def test_an_import_killed_at_any_statement(
    store: EventStore, make_database: DatabaseMaker, migrated_template: str, tmp_path: Path, when: str
):
    """By SIGKILL before, during or after its n-th statement: there is nothing, or all of it; nobody is locked out.

    Where there is nothing, the same import then succeeds; where there is all, it says so and changes nothing.
    """
    for _ in range(3):
        await store.log.append(started(tunings=3), started())
        await seal(store.log, block_events_max=4)
    wanted, lines = await everything(store), await exported(store)
    head = (await verify(store.log)).head
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"".join(lines))
    async with (
        make_database(migrated_template) as config,
        EventStore.open(config, workers=False) as other,
        dying_process("dying_import", url_of(config), str(file)) as run,
    ):
        statements = int(await run("never", 0))
        found = []
        for at in range(1, statements + 1):
            await clear(other)
            assert await run(when, at) == "killed"
            await ended(config)
            left = await everything(other)
            assert left in ({"events": [], "event_seals": []}, wanted), at
            found.append(left == wanted)
            if found[-1]:
                with pytest.raises(ConfigurationError, match="import into an empty"):
                    await import_lines(other.log, lines)
            else:
                await import_lines(other.log, lines)
            assert await everything(other) == wanted
            assert (await verify(other.log, against=head)).is_sound
            appended = await other.log.append(started())
            assert appended.last_position > wanted["events"][-1][0]
        assert statements >= 15
        assert found == sorted(found)  # nothing before the commit, all after it
        if when != "sent":  # a COMMIT that was sent may have come too late
            assert any(found) == (when == "after")


async def ended(config: DatabaseConfig) -> None:
    """Wait until the server has ended the sessions of the killed process: its transaction with them."""
    async with (
        EventStore.open(config, workers=False) as store,
        store.connection.acquire() as connection,
        connection.transaction(),
    ):
        await connection.execute("LOCK TABLE events IN EXCLUSIVE MODE")
