"""Keys that are equal and not written alike, and keys that no row can have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.errors import ConfigurationError, ProjectionError
from projections import Projection, ProjectionWorker, Table, run
from projections.check import check, compare_with_rebuild
from projections.engine import set_partitions
from projections.fresh_rows import FreshRows
from projections.quarantine import discard, list_quarantined, retry
from projections.rebuild import RebuildLimits, rebuild
from tests.hit_projections import (
    Hit,
    HitsAt,
    HitsByNumber,
    HitsByParity,
    HitsByPrice,
    HitsByTime,
    Parity,
    fold_all,
    hit,
    hits,
    hits_table,
    rows_of,
)

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore

D = Decimal


def as_price(number: int) -> Hit:
    """A hit at 1.5, with zeros behind it."""
    return Hit(number=number, price=D("1.5" + "0" * (number % 5)))


def as_time(number: int) -> Hit:
    """A hit at one point in time, by the clock of one zone or another."""
    at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    return Hit(number=number, at=at.astimezone(timezone(timedelta(hours=number % 5 - 2))))


class HitsByThird(HitsByPrice):
    """By a decimal that is computed."""

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """A third of the price."""
        return (hit(event).price / 3,)

    def evolve(self, row: HitsAt | None, event: RecordedEvent) -> HitsAt | None:
        """One more."""
        return HitsAt(hit(event).price / 3, (*(row.numbers if row else ()), hit(event).number))


async def test_a_key_and_a_row_are_computed_alike_everywhere(store: EventStore):
    """A read of the tail, a worker, a change of partitions and a rebuild compute in one decimal context, whatever the program's is."""
    projection = HitsByThird()
    await hits_table(store, projection)
    expected = [HitsAt(D("0." + "3" * 34), (1, 2)), HitsAt(D("0." + "6" * 33 + "7"), (3,))]
    with localcontext(prec=5):
        await store.log.append(hits(*(Hit(number=n, price=D(1 + n // 3)) for n in (1, 2, 3))))
        rows = FreshRows(store.log, projection)
        assert await rows.list() == expected
        await fold_all(store, projection)
        assert await rows_of(store, projection) == expected
        await set_partitions(store.log, projection, 2)
        assert (await check(store.log, [projection])).is_sound
        await rebuild(store.log, projection)
        assert await rows.list() == expected


@pytest.mark.parametrize(("projection", "make"), [(HitsByPrice(), as_price), (HitsByTime(), as_time)])
async def test_equal_keys_are_of_one_partition(store: EventStore, projection: Projection[Any], make: Any):
    """Equal decimals and equal points in time, however they are written, are folded in order by one worker of several."""
    await hits_table(store, projection)
    await store.log.append(hits(make(0)))
    await fold_all(store, projection)
    await set_partitions(store.log, projection, 4)
    await store.log.append(hits(*(make(number) for number in range(1, 20))))
    await fold_all(store, projection, batch_events_max=3)
    assert [row.numbers for row in await rows_of(store, projection)] == [tuple(range(20))]
    assert (await check(store.log, [projection])).findings == ()
    assert (await rebuild(store.log, projection)).rows == 1


async def test_tables_of_equal_decimals_are_what_the_log_says(store: EventStore):
    """Whichever digits the key had last: a check, a rebuild and a fresh read find what the table has."""
    projection = HitsByPrice()
    await hits_table(store, projection)
    await store.log.append(
        hits(*(as_price(number) for number in range(7)), Hit(number=9, price=D(100_000)), as_price(7))
    )
    await fold_all(store, projection, batch_events_max=2)
    assert (await check(store.log, [projection])).findings == ()
    assert (await compare_with_rebuild(store.log, projection)).is_equal
    assert (await rebuild(store.log, projection)).rows == 2
    assert [row.numbers for row in await rows_of(store, projection)] == [tuple(range(8)), (9,)]
    row = await FreshRows(store.log, projection).get(D("1.500000"))
    assert row is not None
    assert row.numbers == tuple(range(8))


async def test_a_key_in_quarantine_waits_however_it_is_written(store: EventStore):
    """1.5 is in quarantine, so 1.50 waits with it; a fresh read of either says so."""
    projection = HitsByPrice()
    await hits_table(store, projection)
    await store.log.append(hits(as_price(0), Hit(number=1, price=D("1.5"), is_poison=True)))
    await fold_all(store, projection)
    await store.log.append(hits(as_price(2)))
    await fold_all(store, projection)
    assert [row.numbers for row in await rows_of(store, projection)] == [(0,)]
    (held,) = await list_quarantined(store.log)
    assert (held.key, held.position) == ('["1.5"]', 2)
    with pytest.raises(ProjectionError, match="cannot fold the events"):
        await FreshRows(store.log, projection).get(D("1.50"))
    projection.is_broken = False
    assert await retry(store.log, projection, held.key)
    assert [row.numbers for row in await rows_of(store, projection)] == [(0, 1, 2)]


async def test_an_enum_may_be_a_key(store: EventStore):
    """Also one whose members are no text: batches, rebuild, check and fresh reads agree."""
    projection = HitsByParity()
    await hits_table(store, projection)
    await store.log.append(hits(*(Hit(number=number) for number in range(6))))
    await fold_all(store, projection, batch_events_max=2)
    expected = {Parity.EVEN: (0, 2, 4), Parity.ODD: (1, 3, 5)}
    assert {row.parity: row.numbers for row in await rows_of(store, projection)} == expected
    assert (await rebuild(store.log, projection)).rows == 2
    assert (await check(store.log, [projection])).findings == ()
    row = await FreshRows(store.log, projection).get(Parity.ODD)
    assert row is not None
    assert row.numbers == expected[Parity.ODD]


def test_a_key_that_is_kept_as_json_is_refused():
    """Two equal values may have two texts there, so the table says at once which types a key may have."""

    @dataclass
    class Row:
        share: float

    with pytest.raises(
        ConfigurationError, match=r"share \(float\) is stored as JSON.*a key must be of Decimal"
    ):
        Table("shares", row=Row, key=("share",))


TOO_LARGE = 2**63 + 5


async def test_a_key_that_no_column_takes_stops_itself_alone(store: EventStore):
    """A number beyond bigint is in quarantine, in the live table and in a rebuilt one; all others go on."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1), Hit(number=TOO_LARGE), Hit(number=1)))
    await fold_all(store, projection)
    await store.log.append(hits(Hit(number=TOO_LARGE), Hit(number=2)))
    await fold_all(store, projection)
    for _ in range(2):
        assert [(row.number, row.hits) for row in await rows_of(store, projection)] == [(1, 2), (2, 1)]
        assert [one.position for one in await list_quarantined(store.log)] == [2]
        assert [one.kind for one in (await check(store.log, [projection])).findings] == ["quarantine"]
        assert (await rebuild(store.log, projection)).quarantined == 1
    await set_partitions(store.log, projection, 3)
    assert not await retry(store.log, projection, f"[{TOO_LARGE}]")
    assert not await discard(
        store.log, projection, f"[{TOO_LARGE}]", discarded_by="desk", reason="no such number"
    )
    assert [one.position for one in await list_quarantined(store.log)] == [4]


async def test_a_rebuild_that_reads_rows_back_takes_such_a_key_too(store: EventStore):
    """Also where the rows do not all fit in memory, so that they are looked up by their keys."""
    limits = RebuildLimits(rows_kept_max=1, step_events_max=2, page_events_max=2)
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(
        hits(*(Hit(number=number) for number in (1, 2, 1, 2, TOO_LARGE, 1, TOO_LARGE, 2, 1)))
    )
    assert (await rebuild(store.log, projection, limits=limits)).quarantined == 1
    assert [(row.number, row.hits) for row in await rows_of(store, projection)] == [(1, 4), (2, 3)]


@dataclass(frozen=True)
class Named:
    """How many hits a long name had."""

    name: str
    hits: int


class HitsByName(Projection[Named]):
    """By a text that no index can hold where the number is 1."""

    name = "hits"
    table = Table("hits", row=Named, key=("name",))
    events = (Hit,)

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The name."""
        number = hit(event).number
        return (
            "".join(blake2b(b"%d" % part).hexdigest() for part in range(100 if number == 1 else 0))
            + str(number),
        )

    def evolve(self, row: Named | None, event: RecordedEvent) -> Named | None:
        """One more."""
        return Named(self.key(event)[0], 1 + (row.hits if row else 0))


class HitsByLargeNumber(HitsByNumber):
    """By an integer of more than 64 bits where the number is 1."""

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The number, or a hundred bits of it."""
        number = hit(event).number
        return (number << 100 if number == 1 else number,)


@pytest.mark.parametrize("projection", [HitsByName(), HitsByLargeNumber()], ids=["text", "integer"])
async def test_a_key_that_is_too_long_stops_itself_alone(store: EventStore, projection: Projection[Any]):
    """Longer than any index takes, or than JSON's integers are: it is in quarantine, under a name that is short and its own."""
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1), Hit(number=2), Hit(number=1), Hit(number=2)))
    await fold_all(store, projection)
    await set_partitions(store.log, projection, 3)
    for _ in range(2):
        assert [row.hits for row in await rows_of(store, projection)] == [2]
        (held,) = await list_quarantined(store.log)
        assert (held.position, len(held.key) <= 1_000) == (1, True)
        assert [one.kind for one in (await check(store.log, [projection])).findings] == ["quarantine"]
        assert (await rebuild(store.log, projection)).quarantined == 1
    assert not await discard(store.log, projection, held.key, discarded_by="desk", reason="no such name")
    assert [one.position for one in await list_quarantined(store.log)] == [3]


async def test_a_key_that_fails_names_its_event(store: EventStore):
    """Whose row it is is not known, so the projection stops; it says at which event, and nothing is passed over."""

    class Failing(HitsByNumber):
        def key(self, event: RecordedEvent) -> tuple[Any, ...]:
            return (1 // (hit(event).number - 3),)

    await hits_table(store, Failing())
    await store.log.append(hits(Hit(number=1), Hit(number=3)))
    async with run(store.connection, [Failing()]) as here:
        with pytest.raises(ProjectionError, match="has ended") as caught:
            await here.wait_for(2)
    assert "key() of projection hits failed at position 2 (event Hit of stream" in str(caught.value.__cause__)
    assert await ProjectionWorker(store.log, Failing()).checkpoint() == 0
