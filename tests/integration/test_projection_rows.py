"""Rows that cannot be written, or not be read: which key it is, and nothing else stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from projections import Projection, Table
from projections.check import check, compare_with_rebuild
from projections.engine import batch as folding
from projections.quarantine import list_quarantined, retry
from projections.rebuild import rebuild
from tests.hit_projections import Hit, HitsByNumber, Parity, fold_all, hit, hits, hits_table, rows_of

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore

D = Decimal


@dataclass(frozen=True)
class Noted:
    """What is kept of the hits at a price."""

    price: Decimal
    size: int
    parity: Parity
    more: dict[str, Any]
    total: Decimal
    at: datetime | None


class NotedByPrice(Projection[Noted]):
    """Gives rows that no table takes for some numbers, while the code is broken."""

    name = "hits"
    table = Table("hits", row=Noted, key=("price",))
    events = (Hit,)
    is_broken = True

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The price."""
        return (hit(event).price,)

    def evolve(self, row: Noted | None, event: RecordedEvent) -> Noted | None:
        """The last number, and what comes of it."""
        one = hit(event)
        size, parity = one.number, Parity.EVEN
        more: dict[str, Any] = {}
        if self.is_broken:
            size = 2**63 if one.number == 1 else size
            parity = "even" if one.number == 2 else parity  # type: ignore[assignment]
            more = {"what": object()} if one.number == 3 else more
        return Noted(one.price, size, parity, more, one.price * (1 + (row.size if row else 0)), one.at)


@pytest.fixture(autouse=True, params=[1, 10_000], ids=["copied", "inserted"])
def new_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """New rows come by COPY, however few they are, or not."""
    monkeypatch.setattr(folding, "_COPY_VALUES_MIN", request.param)


async def test_a_row_that_the_driver_or_the_model_refuses_stops_its_key_alone(store: EventStore):
    """A number too large, a text for an enum, what JSON cannot say: named, in the live table and in a rebuilt one."""
    projection = NotedByPrice()
    await hits_table(store, projection)
    for _ in range(2):
        await store.log.append(hits(*(Hit(number=number, price=D(number)) for number in (0, 1, 2, 3))))
    await fold_all(store, projection)
    for _ in range(2):
        assert [row.price for row in await rows_of(store, projection)] == [D(0)]
        assert sorted(one.position for one in await list_quarantined(store.log)) == [2, 3, 4]
        assert {one.kind for one in (await check(store.log, [projection])).findings} == {"quarantine"}
        assert (await rebuild(store.log, projection)).quarantined == 3
    projection.is_broken = False
    for one in await list_quarantined(store.log):
        assert await retry(store.log, projection, one.key)
    assert len(await rows_of(store, projection)) == 4
    assert (await check(store.log, [projection])).findings == ()


@pytest.mark.parametrize(
    "rule",
    [
        "ALTER TABLE hits ADD CONSTRAINT hits_once UNIQUE (hits)",
        "ALTER TABLE hits ADD CONSTRAINT hits_once UNIQUE (hits) DEFERRABLE INITIALLY DEFERRED",
        "CREATE UNIQUE INDEX hits_once ON hits (hits)",
        "ALTER TABLE hits ADD CONSTRAINT hits_once EXCLUDE USING btree (hits WITH =)",
    ],
    ids=["constraint", "deferred", "index", "exclusion"],
)
async def test_a_rule_between_rows_stops_the_second_key(store: EventStore, rule: str):
    """Two rows may not be alike in a column: the key of the one that comes second is in quarantine, in a rebuilt table too."""
    projection = HitsByNumber()
    await hits_table(store, projection, rule)
    await store.log.append(hits(Hit(number=1), Hit(number=2), Hit(number=3), Hit(number=3)))
    await fold_all(store, projection)
    async with store.connection.acquire() as connection:
        before = await connection.fetch(RULES)
    for _ in range(2):
        assert [(row.number, row.hits) for row in await rows_of(store, projection)] == [(1, 1), (3, 2)]
        assert [one.position for one in await list_quarantined(store.log)] == [2]
        assert (await rebuild(store.log, projection)).quarantined == 1
    async with store.connection.acquire() as connection:
        assert await connection.fetch(RULES) == before
    await store.log.append(hits(Hit(number=1), Hit(number=1)))
    await fold_all(store, projection)
    assert await retry(store.log, projection, "[2]")
    assert (await check(store.log, [projection])).findings == ()


RULES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), pg_get_constraintdef(keys.oid), keys.conname
    FROM pg_index LEFT JOIN pg_constraint AS keys ON keys.conindid = indexrelid
    WHERE indrelid = 'hits'::regclass ORDER BY 1
"""


async def test_what_is_equal_in_the_table_is_no_difference(store: EventStore):
    """A point in time by another clock and a decimal with an exponent come back as others write them: no finding, no failed proof."""
    projection = NotedByPrice()
    await hits_table(store, projection)
    point = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    await store.log.append(
        hits(
            Hit(number=0, price=D("1E+3"), at=point.astimezone(timezone(timedelta(hours=2)))),
            Hit(number=0, price=D("-0.00"), at=point),
            Hit(number=4, price=D("-2E+5")),
        )
    )
    await fold_all(store, projection)
    assert (await check(store.log, [projection])).findings == ()
    assert (await rebuild(store.log, projection)).rows == 3
    assert (await compare_with_rebuild(store.log, projection)).is_equal


async def test_a_row_that_cannot_be_read_is_a_finding(store: EventStore):
    """Somebody has written to the table what the model does not have: the check names the row and does not fail itself."""
    projection = NotedByPrice()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=0, price=D(1)), Hit(number=0, price=D(2))))
    await fold_all(store, projection)
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE hits SET parity = 'neither' WHERE price = 1")
    (found,) = (await check(store.log, [projection])).findings
    assert (found.kind, "1 row(s)" in found.what) == ("rows", True)
    await store.log.append(hits(Hit(number=0, price=D(1)), Hit(number=0, price=D(2))))
    await fold_all(store, projection)
    (held,) = await list_quarantined(store.log)
    assert (held.key, held.position) == ('["1"]', 3)
    assert (await rebuild(store.log, projection)).quarantined == 0
    assert (await check(store.log, [projection])).findings == ()
