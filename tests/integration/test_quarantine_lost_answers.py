"""Retries and discards whose answer is lost, and those of two people at once: no event is left out that nobody chose."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database.access import read_rows
from eventstore.errors import KeyNotQuarantinedError, TransactionCommitError
from eventstore.store import EventStore
from projections import ProjectionWorker
from projections.quarantine import discard, list_quarantined, operations, retry
from tests.ordered_by_symbol import OrderedBySymbol, create_table, place, rows
from tests.relayed_connections import connected, relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.relay import Relay

__all__ = ["relay"]

KEY = '["BAD"]'
BY: dict[str, Any] = {"discarded_by": "risk desk", "reason": "a test order"}


def projection() -> OrderedBySymbol:
    """A projection that two events of a key cannot be folded into."""
    spoilt = OrderedBySymbol()
    spoilt.poison = frozenset({Decimal(13), Decimal(14)})
    return spoilt


async def spoil(store: EventStore) -> None:
    """Put the key into quarantine at its second event; the third cannot be folded either."""
    await create_table(store)
    await place(store, 1, 13, 14, 2, symbol="BAD")
    await ProjectionWorker(store.log, projection()).catch_up(4)


@asynccontextmanager
async def spoilt(relay: Relay) -> AsyncIterator[EventStore]:
    """A store behind the relay, with a key in quarantine."""
    async with connected(relay, connect_timeout=0.2, min_pool_size=0, max_pool_size=1) as connection:
        store = EventStore.of(connection)
        await spoil(store)
        yield store


async def discarded(store: EventStore) -> list[int]:
    """The positions on the skip list."""
    return [
        row["position"] for row in await read_rows(store.connection, "projections/list_discards", "ordered")
    ]


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_discard_without_an_answer_leaves_out_one_event(relay: Relay, when: str):
    """The answer to the COMMIT is lost: the discard says what came of it, and the event behind is not left out."""
    async with spoilt(relay) as store:
        setattr(relay, when, b"COMMIT")
        assert not await discard(store.log, projection(), KEY, **BY)
        assert relay.lost == 1
        assert await discarded(store) == [2]
        assert [held.position for held in await list_quarantined(store.log)] == [3]


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_retry_without_an_answer_says_what_came_of_it(relay: Relay, when: str):
    """The key is up to date, and that is the answer."""
    async with spoilt(relay) as store:
        setattr(relay, when, b"COMMIT")
        assert await retry(store.log, OrderedBySymbol(), KEY)
        assert await list_quarantined(store.log) == []
        assert await rows(store) == {"BAD": (4, Decimal(30))}


async def test_a_discard_that_nobody_knows_of_is_not_said_to_be_repeatable(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
):
    """The server stays away: the error names the position, with which the discard may be repeated."""
    monkeypatch.setattr(operations, "_RESOLVED_WITHIN_S", 0.5)
    async with spoilt(relay) as store:
        relay.lose_after, relay.refuse = b"COMMIT", True
        with pytest.raises(TransactionCommitError, match="repeat it with position 2") as caught:
            await discard(store.log, projection(), KEY, **BY)
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
        relay.refuse = False
        assert not await discard(store.log, projection(), KEY, position=2, **BY)
        assert await discarded(store) == [2]


async def test_only_the_event_that_was_decided_on_is_left_out(store: EventStore):
    """Two people decide on the same event, one after the other, or at once: the next event waits for a decision."""
    await spoil(store)
    together = [discard(store.log, projection(), KEY, position=2, **BY) for _ in range(2)]
    assert await asyncio.gather(*together) == [False, False]
    assert not await discard(store.log, projection(), KEY, position=2, **BY)
    assert await discarded(store) == [2]
    with pytest.raises(KeyNotQuarantinedError, match="position 4"):
        await discard(store.log, projection(), KEY, position=4, **BY)
    assert await discard(store.log, projection(), KEY, position=3, **BY)
    assert await discard(store.log, projection(), KEY, position=3, **BY)
    with pytest.raises(KeyNotQuarantinedError):
        await discard(store.log, projection(), KEY, **BY)
    assert await discarded(store) == [2, 3]
    assert await rows(store) == {"BAD": (2, Decimal(3))}


async def test_two_discards_at_once_leave_out_one_event(store: EventStore):
    """Both have seen the key wait at the same event, so neither speaks of the next one."""
    await spoil(store)
    first, second = await asyncio.gather(
        *(discard(store.log, projection(), KEY, **BY) for _ in range(2)), return_exceptions=True
    )
    assert (first, second) == (False, False)
    assert await discarded(store) == [2]
