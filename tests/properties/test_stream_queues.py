"""Operations that take turns on a stream: whatever they do, each reads what is newest, and no success is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hypothesis import given, settings, strategies as st

from eventstore.database.cancellation import finish
from eventstore.repositories import stream_queues
from eventstore.testing import InMemoryDatabase, InMemoryUnitOfWorkFactory
from tests.rival_writers import STEPS, Rivals, Step, new_order
from tests.scale import examples

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.core.event import RecordedEvent
    from eventstore.log.records import AppendResult, StagedEvent
    from eventstore.repositories.backend import OnResult


class Dawdling(InMemoryDatabase):
    """A database whose answer to a commit takes a while, in which others come, read and write."""

    steps = 0

    async def append(self, staged: Sequence[StagedEvent], on_result: OnResult | None = None) -> AppendResult:
        """Append, and tell it later."""
        return await finish(self._append_and_dawdle(staged, on_result))

    async def _append_and_dawdle(
        self, staged: Sequence[StagedEvent], on_result: OnResult | None
    ) -> AppendResult:
        result = await super().append(staged)
        for _ in range(self.steps):
            await asyncio.sleep(0)
        if on_result is not None:
            on_result(result)
        return result


scripts = st.lists(
    st.tuples(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6), st.integers(0, 4)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=examples(150), deadline=None)
@given(scripts, st.integers(0, 30))
def test_rivals_lose_nothing_and_see_the_newest(scripts: list[tuple[list[Step], int]], dawdling: int):
    """Any number of tasks that count, fail, flush, list, are cancelled, or write past the turns of the others."""
    asyncio.run(_rival(scripts, dawdling))


async def _rival(scripts: Sequence[tuple[Sequence[Step], int]], dawdling: int) -> None:
    database = Dawdling()
    factory = InMemoryUnitOfWorkFactory(database)
    order = new_order()
    async with factory.create_unit_of_work() as uow:
        await uow.orders.save_order(order)

    async def history(stream_id: UUID) -> list[RecordedEvent]:
        return database.history(stream_id)

    database.steps = dawdling
    rivals = Rivals(factory, history, order.id)
    async with asyncio.TaskGroup() as tasks:
        for steps, pause in scripts:
            tasks.create_task(rivals.run(steps, pause))
    await rivals.check()
    assert not stream_queues._queues
