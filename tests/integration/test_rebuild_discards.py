"""Rebuilds and decisions: which events are left out of the new table, and that no decision is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from projections.check import compare_with_rebuild
from projections.quarantine import list_quarantined, retry
from projections.rebuild import RebuildLimits, RebuildProgress, coordinator as rebuilding, rebuild
from tests.discarded_keys import AT_MOST_TWO, counts, kinds, leave_out
from tests.hit_projections import Hit, HitsByNumber, fold_all, hits, hits_table

if TYPE_CHECKING:
    from eventstore.store import EventStore


@pytest.mark.parametrize("step_events_max", [50_000, 1])
async def test_what_the_database_refuses_stays_left_out(store: EventStore, step_events_max: int):
    """A discarded event whose row is refused is left out of a rebuilt table, too; without the rule it is folded."""
    limits = RebuildLimits(step_events_max=step_events_max, page_events_max=step_events_max)
    projection = HitsByNumber()
    await hits_table(store, projection, AT_MOST_TWO)
    await store.log.append(hits(*(Hit(number=1) for _ in range(4)), Hit(number=2)))
    await fold_all(store, projection)
    for _ in range(2):  # the fourth is refused as the third was
        await leave_out(store, projection, "[1]")
    assert await counts(store, projection) == {1: 2, 2: 1}
    assert (await rebuild(store.log, projection, limits=limits)).folded_again == ()
    assert await counts(store, projection) == {1: 2, 2: 1}
    assert await kinds(store, projection) == ["discard", "discard"]
    assert (await compare_with_rebuild(store.log, projection, limits=limits)).is_equal
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE hits DROP CONSTRAINT at_most_two")
    assert (await rebuild(store.log, projection, limits=limits)).folded_again == (3, 4)
    assert await counts(store, projection) == {1: 4, 2: 1}
    assert await kinds(store, projection) == []


async def test_what_can_be_folded_again_is_beside_a_row_that_is_refused(store: EventStore):
    """Another key's row is refused, so that each key is written by itself: the discarded event is folded all the same."""
    projection = HitsByNumber()
    await hits_table(store, projection, AT_MOST_TWO)
    await store.log.append(hits(Hit(number=1, is_poison=True), *(Hit(number=2) for _ in range(3))))
    await fold_all(store, projection)
    await leave_out(store, projection, "[1]")
    projection.is_broken = False
    assert (await rebuild(store.log, projection)).folded_again == (1,)
    assert await counts(store, projection) == {1: 1, 2: 2}
    assert [one.key for one in await list_quarantined(store.log)] == ["[2]"]
    assert await kinds(store, projection) == ["quarantine"]


async def test_a_discard_during_a_rebuild_is_kept(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """Decided between the build and the swap: the new table leaves it out, its key goes on, and it is on record."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1, is_poison=True), Hit(number=1)))
    await fold_all(store, projection)
    whole = rebuilding.prove  # type: ignore[attr-defined]

    async def and_then_decide(*given: Any) -> Any:
        proved = await whole(*given)
        if await list_quarantined(store.log):
            await leave_out(store, projection, "[1]")
        return proved

    monkeypatch.setattr(rebuilding, "prove", and_then_decide)
    assert (await rebuild(store.log, projection)).quarantined == 0
    assert await counts(store, projection) == {1: 1}
    assert await kinds(store, projection) == ["discard"]


async def test_a_retry_during_a_rebuild_by_repaired_code_loses_nothing(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """Old code rebuilds while repaired code gets the key out: the table of the rebuild has the key in quarantine again."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1, is_poison=True), Hit(number=1)))
    await fold_all(store, projection)
    repaired = HitsByNumber()
    repaired.is_broken = False
    whole = rebuilding.prove  # type: ignore[attr-defined]

    async def and_then_repair(*given: Any) -> Any:
        proved = await whole(*given)
        assert await retry(store.log, repaired, "[1]")
        return proved

    monkeypatch.setattr(rebuilding, "prove", and_then_repair)
    assert (await rebuild(store.log, projection)).quarantined == 1
    assert await kinds(store, projection) == ["quarantine"]
    assert await retry(store.log, repaired, "[1]")
    assert await counts(store, repaired) == {1: 2}
    assert await kinds(store, repaired) == []


async def test_a_discard_between_a_killed_rebuild_and_the_next_is_kept(store: EventStore):
    """What was built did not know of it, so the next one begins at nothing."""
    projection = HitsByNumber()
    await hits_table(store, projection)
    await store.log.append(hits(Hit(number=1, is_poison=True), Hit(number=1)))
    await fold_all(store, projection)

    def end(progress: RebuildProgress) -> None:
        if progress.stage == "prove":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(store.log, projection, on_progress=end)
    await leave_out(store, projection, "[1]")
    assert (await rebuild(store.log, projection)).quarantined == 0
    assert await counts(store, projection) == {1: 1}
    assert await kinds(store, projection) == ["discard"]
