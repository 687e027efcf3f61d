"""Rows that may not be written: the event that broke the rule is named, and no other row suffers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.core.event import RecordedEvent
from eventstore.domain.order import OrderCreated
from eventstore.errors import ProjectionVersionError
from eventstore.repositories.read_tables import LISTS, READ_TABLES
from eventstore.store import built_in_projections
from projections import ProjectionWorker
from projections.check import compare_with_fold
from projections.fresh_rows import FreshRows
from projections.quarantine import list_quarantined, retry
from projections.rebuild import rebuild
from tests.order_quantities import Ordered, OrderedBySymbol, create_table, place, rows

if TYPE_CHECKING:
    from eventstore.store import EventStore


class Misplaced(OrderedBySymbol):
    """Gives the row of another symbol for an order of 13."""

    is_repaired = False

    def evolve(self, row: Ordered | None, event: RecordedEvent) -> Ordered:
        """One order more, of the wrong symbol where it is 13."""
        after = super().evolve(row, event)
        created = event.event
        assert isinstance(created, OrderCreated)
        is_wrong = not self.is_repaired and created.quantity == 13
        return replace(after, symbol="GOOD") if is_wrong else after


class SecondVersion(OrderedBySymbol):
    """The projection with another version of its code."""

    version = 2


@pytest.mark.parametrize("batch_events_max", [1, 2, 100])
async def test_the_event_that_the_database_refuses_is_named_whatever_the_batch(
    store: EventStore, batch_events_max: int
):
    """The row has the events before it, and goes on from there when the rule is gone."""
    projection = OrderedBySymbol()
    await create_table(store, projection)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE ordered ADD CONSTRAINT small CHECK (quantity < 100)")
    await place(store, 1, 2, 200, 3)
    await place(store, 5, symbol="GOOD")
    await ProjectionWorker(store.log, projection, batch_events_max=batch_events_max).catch_up(5)
    (held,) = await list_quarantined(store.log)
    assert held.position == 3
    assert await rows(store) == {"ES": (2, Decimal(3)), "GOOD": (1, Decimal(5))}
    assert (await compare_with_fold(store.log, projection)).is_equal
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE ordered DROP CONSTRAINT small")
    assert await retry(store.log, projection, held.key)
    assert await rows(store) == {"ES": (4, Decimal(206)), "GOOD": (1, Decimal(5))}


async def test_a_row_of_another_key_takes_no_place(store: EventStore):
    """A row that `evolve` gave another key than its event's is in quarantine; the row of that key stays as it is."""
    projection = Misplaced()
    await create_table(store, projection)
    await place(store, 5, symbol="GOOD")
    await place(store, 1, 13, symbol="ES")
    await ProjectionWorker(store.log, projection).catch_up(3)
    (held,) = await list_quarantined(store.log)
    assert (held.position, held.key) == (3, '["ES","BUY"]')
    assert "evolve of projection ordered returned a row with the key ('GOOD'" in held.error
    assert await rows(store) == {"ES": (1, Decimal(1)), "GOOD": (1, Decimal(5))}
    assert (await rebuild(store.log, projection)).quarantined == 1
    assert await rows(store) == {"ES": (1, Decimal(1)), "GOOD": (1, Decimal(5))}
    projection.is_repaired = True
    assert await retry(store.log, projection, held.key)
    assert await rows(store) == {"ES": (2, Decimal(14)), "GOOD": (1, Decimal(5))}


async def test_fresh_rows_are_not_made_of_two_versions(store: EventStore):
    """The rows of one version are not gone on with by the fold of another."""
    await create_table(store, OrderedBySymbol())
    await place(store, 5)
    await ProjectionWorker(store.log, OrderedBySymbol()).catch_up(1)
    assert len(await FreshRows(store.log, OrderedBySymbol()).list()) == 1
    with pytest.raises(ProjectionVersionError, match="eventstore rebuild ordered"):
        await FreshRows(store.log, SecondVersion()).list()


def test_the_statements_of_lists_and_loads_name_the_versions_of_the_code():
    """Whoever raises the version of a built-in projection changes what is read of its table with it."""
    versions = {projection.name: projection.version for projection in built_in_projections()}
    assert {table.projection: table.version for table in READ_TABLES.values()} == versions
    assert {(one.table, one.version) for one in LISTS.values()} == set(versions.items())
