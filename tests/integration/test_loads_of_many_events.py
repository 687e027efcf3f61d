"""A load whose row is far behind: the events that are not folded yet are read page by page, and none is left out."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from eventstore.domain.portfolio import Portfolio
from eventstore.errors import QuarantinedKeysError, UnknownEventTypeError
from eventstore.log.page_size import BATCH_BYTES_MAX
from eventstore.repositories import storage
from eventstore.repositories.lists import LOAD_EVENTS_MAX
from projections import PortfoliosProjection, ProjectionWorker

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore import EventStore
    from eventstore.errors import EventStoreError

LARGE = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), stream_id, version + next, gen_random_uuid(), category, type, schema_version, data,
    jsonb_build_object('note', (SELECT string_agg(md5(n::text || next::text), '') FROM generate_series(1, 15625) n)),
    occurred_at, recorded_at
FROM events, generate_series(1, {more}) AS next WHERE events.version = {last} ORDER BY next
"""


WRONG = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), stream_id, (SELECT max(version) + 1 FROM events WHERE stream_id = $1), gen_random_uuid(),
    category, $2, schema_version, data, metadata, occurred_at, recorded_at
FROM events WHERE stream_id = $1 AND version = 1
"""


async def saved(store: EventStore, deposits: int) -> Portfolio:
    """A portfolio with one deposit of 1 after another."""
    portfolio = Portfolio(name="Fund", initial_capital=Decimal(0))
    await deposit(store, portfolio, deposits)
    return portfolio


async def deposit(store: EventStore, portfolio: Portfolio, deposits: int) -> None:
    for _ in range(deposits):
        portfolio.deposit(Decimal(1))
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)


async def fold(store: EventStore) -> None:
    worker = ProjectionWorker(store.log, PortfoliosProjection())
    await worker.catch_up(await store.log.head())


async def load(store: EventStore, id: UUID) -> Portfolio | None:
    async with store.unit_of_work() as uow:
        return await uow.portfolios.get_portfolio_by_id(id)


@pytest.mark.parametrize("folded", [False, True], ids=["no-row", "row"])
@pytest.mark.parametrize(
    "later", [1, LOAD_EVENTS_MAX - 2, LOAD_EVENTS_MAX - 1, LOAD_EVENTS_MAX, LOAD_EVENTS_MAX + 1, 720]
)
async def test_a_load_has_every_later_event(
    store: EventStore, later: int, folded: bool, monkeypatch: pytest.MonkeyPatch
):
    """Around the number that one statement reads, and far beyond it, the state is that of the whole stream."""
    monkeypatch.setattr(storage, "EVENTS_AT_A_TIME", 100)
    portfolio = await saved(store, 2)
    if folded:
        await fold(store)
    await deposit(store, portfolio, later)
    found = await load(store, portfolio.id)
    assert found == Portfolio.fold(await store.log.read_stream(portfolio.id))
    assert found is not None
    assert found.version == later + 3


async def test_a_load_is_none_after_a_late_tombstone(store: EventStore):
    """An entity whose deletion comes pages later is not found."""
    portfolio = await saved(store, 2 * LOAD_EVENTS_MAX)
    portfolio.delete()
    async with store.unit_of_work() as uow:
        await uow.portfolios.save_portfolio(portfolio)
    assert await load(store, portfolio.id) is None


@pytest.mark.parametrize(
    ("type_", "error"),
    [("PortfolioVanished", UnknownEventTypeError), ("PortfolioCreated", QuarantinedKeysError)],
)
async def test_a_late_event_that_cannot_be_folded_is_told(
    store: EventStore, type_: str, error: type[EventStoreError]
):
    """The load is refused with the same error wherever the event is."""
    for deposits in (3, LOAD_EVENTS_MAX + 50):
        portfolio = await saved(store, deposits)
        async with store.connection.acquire_for_user() as connection:
            await connection.execute(WRONG, portfolio.id, type_)
        with pytest.raises(error):
            await load(store, portfolio.id)


async def test_a_load_of_large_events_is_bounded_in_bytes(store: EventStore):
    """Far behind, it has a page or two in memory, however large the events are."""
    portfolio = await saved(store, LOAD_EVENTS_MAX)
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(LARGE.format(more=80, last=LOAD_EVENTS_MAX + 1))
    tracemalloc.start()
    try:
        found = await load(store, portfolio.id)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.version == LOAD_EVENTS_MAX + 81
    assert peak < 3 * BATCH_BYTES_MAX < 80 * 500_000
