"""One stored event whose parts are of several keys: a decision about one of them is about no other."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from eventstore.domain.order import OrderFilled
from projections import Projection, Table
from projections.check import check, compare_with_rebuild
from projections.fresh_rows import FreshRows
from projections.quarantine import discard
from projections.rebuild import rebuild
from tests.renewed_orders import OrderTraded, classes, fold, new_order, renewed, stream

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.store import EventStore

__all__ = ["classes", "renewed"]


@dataclass(frozen=True)
class FilledOfQuantity:
    """How often so much was filled at once."""

    quantity: Decimal
    fills: int


class FillsByQuantity(Projection[FilledOfQuantity]):
    """The parts of one stored event are of several keys."""

    name = "fills"
    table = Table("fills", row=FilledOfQuantity, key=("quantity",))
    events = (OrderFilled,)
    poison: frozenset[int] = frozenset()

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The quantity."""
        assert isinstance(event.event, OrderFilled)
        return (event.event.quantity,)

    def evolve(self, row: FilledOfQuantity | None, event: RecordedEvent) -> FilledOfQuantity | None:
        """One more."""
        (quantity,) = self.key(event)
        if quantity in self.poison:
            raise ValueError(f"cannot take {quantity}")
        return FilledOfQuantity(quantity, 1 + (row.fills if row else 0))


async def test_a_part_is_left_out_for_its_key_alone(renewed: EventStore):
    """Of three parts of one event two are discarded, one after the other: the third is in every table, and each is on record."""
    projection = FillsByQuantity()
    projection.poison = frozenset({2, 3})
    async with renewed.connection.acquire() as connection:
        await connection.execute(projection.table.create())
    order, created = new_order()
    await renewed.log.append(stream(order.id, 0, created, OrderTraded(broker="B", fills=("2", "3", "5"))))
    await fold(renewed, projection)
    for number, key in enumerate(('["2"]', '["3"]'), 1):
        assert await discard(renewed.log, projection, key, discarded_by="desk", reason="twice")
        kinds = [one.kind for one in (await check(renewed.log, [projection])).findings]
        assert kinds == ["quarantine"] * (2 - number) + ["discard"] * number
    assert (await rebuild(renewed.log, projection)).folded_again == ()
    assert (await compare_with_rebuild(renewed.log, projection)).is_equal
    fives = FilledOfQuantity(Decimal(5), 1)
    assert await FreshRows(renewed.log, projection).list() == [fives]
    async with renewed.connection.acquire() as connection:
        await connection.execute("DELETE FROM fills; UPDATE projection_checkpoints SET position = 0")
    assert await FreshRows(renewed.log, projection).list() == [fives]
    projection.poison = frozenset({2})
    assert (await rebuild(renewed.log, projection)).folded_again == (2,)
    assert [one.kind for one in (await check(renewed.log, [projection])).findings] == ["discard"]
    assert await FreshRows(renewed.log, projection).list() == [FilledOfQuantity(Decimal(3), 1), fives]
