"""The contract of a commit: what it writes, all or nothing, and what conflicts."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from eventstore.domain import OrderStatus
from eventstore.errors import ConcurrencyError, ConfigurationError, UnsavedChangesError
from eventstore.log.records import StagedEvent
from tests.contract.databases import Database, an_order, load, minute, save, types


class TestCommit:
    """What a commit writes."""

    async def test_the_envelope(self, database: Database):
        """Versions count from 1 in each stream, positions ascend in the order of staging, metadata is kept."""
        first, second = an_order(0), an_order(1)
        async with database.unit_of_work(actor="me", correlation_id=7) as uow:
            await uow.orders.save_order(first)
            await uow.orders.save_order(second)
            first.submit("B-1", occurred_at=minute(2))
            await uow.orders.update_order(first)
        mine, theirs = await database.history(first.id), await database.history(second.id)
        assert [event.version for event in mine] == [1, 2]
        assert [event.version for event in theirs] == [1]
        assert mine[0].position < theirs[0].position < mine[1].position == uow.last_position
        assert [event.occurred_at for event in mine] == [minute(0), minute(2)]
        assert len({event.recorded_at for event in mine + theirs}) == 1
        assert mine[0].recorded_at.utcoffset() is not None
        assert all(event.metadata == {"actor": "me", "correlation_id": 7} for event in mine + theirs)
        assert len({event.event_id for event in mine + theirs}) == 3
        assert (mine[0].category, mine[0].stream_id) == ("order", first.id)

    async def test_positions_ascend_over_commits(self, database: Database):
        """A later commit has higher positions."""
        positions = []
        for _ in range(3):
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(an_order())
            positions.append(uow.last_position)
        assert positions == sorted(set(positions))  # type: ignore[type-var]

    async def test_all_or_nothing(self, database: Database):
        """A conflict on one stream keeps everything out of the others."""
        order, other = an_order(), an_order()
        await save(database, order)
        async with database.unit_of_work() as stale:
            mine = await load(stale, order.id)
        order.submit("B-1")
        await save(database, order)
        mine.limit_price = Decimal(1)
        with pytest.raises(ConcurrencyError) as raised:  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(other)
                await uow.orders.update_order(mine)
        assert (raised.value.stream_id, raised.value.expected, raised.value.actual) == (order.id, 1, 2)
        assert raised.value.retryable
        assert await types(database, other.id) == []
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_a_failed_commit_is_rolled_back_by_hand(self, database: Database):
        """The Unit of Work stays active until it is rolled back, and can then be used again."""
        order = an_order()
        await save(database, order)
        uow = database.unit_of_work()
        await uow.begin_transaction()
        mine = await load(uow, order.id)
        mine.limit_price = Decimal(1)
        await uow.orders.update_order(mine)
        order.submit("B-1")
        await save(database, order)
        with pytest.raises(ConcurrencyError):
            await uow.commit()
        assert uow.is_active
        await uow.rollback()
        async with uow:
            assert (await load(uow, order.id)).status is OrderStatus.SUBMITTED

    async def test_a_conflict_is_found_by_a_retry_that_loads_again(self, database: Database):
        """Loading again and repeating the change succeeds."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            mine = await load(uow, order.id)
        order.submit("B-1")
        await save(database, order)
        mine.cancel()
        with pytest.raises(ConcurrencyError):
            await save(database, mine)
        async with database.unit_of_work() as uow:
            again = await load(uow, order.id)
            again.cancel()
            await uow.orders.update_order(again)
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted", "OrderCancelled"]

    async def test_two_new_entities_of_one_id(self, database: Database):
        """The second commit of another new entity with the id conflicts: the version is taken."""
        identifier = uuid4()
        await save(database, an_order(id=identifier))
        with pytest.raises(ConcurrencyError) as raised:
            await save(database, an_order(id=identifier))
        assert (raised.value.expected, raised.value.actual) == (0, 1)

    async def test_the_same_events_count_once(self, database: Database):
        """An entity that two Units of Work were given is appended by one; the other finds its own events there."""
        order = an_order()
        first, second = database.unit_of_work(), database.unit_of_work()
        async with first, second:
            await first.orders.save_order(order)
            await second.orders.save_order(order)
        assert await types(database, order.id) == ["OrderCreated"]
        assert first.last_position == second.last_position
        assert order.version == 1
        order.submit("B-1")
        await save(database, order)
        assert order.version == 2

    async def test_the_same_event_with_another_one_behind_it_is_a_conflict(self, database: Database):
        """Only a whole append is repeated: half of one that was longer is a conflict."""
        order = an_order()
        uow = database.unit_of_work()
        await uow.begin_transaction()
        await uow.orders.save_order(order)
        order.submit("B-1")
        async with database.unit_of_work() as other:
            await other.orders.save_order(order)
        assert order.version == 2
        with pytest.raises(ConcurrencyError):
            await uow.commit()
        await uow.rollback()
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_a_rolled_back_entity_can_be_saved_again(self, database: Database):
        """Its events are pending again, and another Unit of Work appends them, once."""
        order = an_order()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(order)
                order.submit("B-1")
                await uow.orders.update_order(order)
                raise ZeroDivisionError
        assert (order.version, order.status) == (0, OrderStatus.SUBMITTED)
        await save(database, order)
        assert order.version == 2
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_an_entity_goes_from_one_unit_of_work_to_the_next(self, database: Database):
        """It carries its version along."""
        order = an_order()
        await save(database, order)
        async with database.unit_of_work() as uow:
            order.submit("B-1")
            await uow.orders.update_order(order)
        async with database.unit_of_work() as uow:
            order.cancel()
            await uow.orders.update_order(order)
        assert order.version == 3

    async def test_one_of_two_entities_is_not_the_commit(self, database: Database):
        """Only a whole append is repeated: that of one of its entities is a conflict."""
        first, second = an_order(0), an_order(1)
        staged = [StagedEvent(one.id, 1, one.pending_events[0], {}) for one in (first, second)]
        backend = database.unit_of_work()._backend
        done = await backend.append(staged)
        for some in (staged[:1], staged[1:]):
            with pytest.raises(ConcurrencyError):
                await backend.append(some)
        again = await backend.append(staged)
        assert (again.repeated, again.positions) == (True, done.positions)

    async def test_changes_after_the_save_are_not_lost(self, database: Database):
        """What was done after `save_order`, and not saved, refuses the commit; it stays pending, and can be saved."""
        order = an_order()
        with pytest.raises(UnsavedChangesError) as raised:  # noqa: PT012 - the end of the block raises
            async with database.unit_of_work() as uow:
                await uow.orders.save_order(order)
                order.submit("B-1")
        assert (raised.value.entity_id, raised.value.events) == (order.id, ("OrderSubmitted",))
        assert await types(database, order.id) == []
        await save(database, order)
        assert await types(database, order.id) == ["OrderCreated", "OrderSubmitted"]

    async def test_only_written_streams_conflict(self, database: Database):
        """What was only read may have changed meanwhile."""
        read, written = an_order(0), an_order(1)
        await save(database, read, written)
        async with database.unit_of_work() as uow:
            await load(uow, read.id)
            mine = await load(uow, written.id)
            read.submit("B-1")
            await save(database, read)
            mine.submit("B-2")
            await uow.orders.update_order(mine)
        assert (await types(database, written.id))[-1] == "OrderSubmitted"

    @pytest.mark.parametrize("metadata", [{"bad": object}, {"nul": "a\x00b"}, {"set": {1}}])
    async def test_metadata_that_cannot_be_kept(self, database: Database, metadata: dict[str, object]):
        """What JSON cannot hold is refused, and nothing is written."""
        order = an_order()
        uow = database.unit_of_work(**metadata)
        await uow.begin_transaction()
        await uow.orders.save_order(order)
        with pytest.raises(ConfigurationError, match="metadata"):
            await uow.commit()
        await uow.rollback()
        assert await types(database, order.id) == []
