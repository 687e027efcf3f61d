"""Python's garbage collector belongs to the program: the library leaves it alone unless it was asked to postpone it."""

from __future__ import annotations

import asyncio
import gc
from decimal import Decimal

import pytest

from eventstore import EventStore
from eventstore.database import DatabaseConfig
from eventstore.domain import Order, OrderSide
from eventstore.errors import ConnectionError
from projections import ProjectionWorker
from projections.builtin import OrdersProjection
from projections.rebuild import rebuild
from tests.long_log import FILLS, long_log

SWITCHES = ("disable", "enable", "freeze", "set_threshold", "collect")


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to the collector, as it is done."""
    done: list[str] = []

    def watch(name: str) -> None:
        switch = getattr(gc, name)

        def noted(*arguments: int) -> None:
            done.append(name)
            switch(*arguments)

        monkeypatch.setattr(gc, name, noted)

    for name in SWITCHES:
        watch(name)
    return done


async def use(config: DatabaseConfig) -> None:
    """Whatever decodes or folds many events: loads, lists, replays, a worker, a rebuild, states and the past."""
    orders = [Order.create_market_order("ES", Decimal(number), OrderSide.BUY) for number in range(1, 40)]
    async with EventStore.open(config, workers=False) as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_many(orders)
        async with store.unit_of_work() as uow:
            assert len(await uow.orders.get_active_orders()) == len(orders)
        head = await store.log.head()
        assert len([one async for one in store.replay()]) == len(orders)
        await ProjectionWorker(store.log, OrdersProjection()).catch_up(head)
        async with store.unit_of_work() as uow:
            assert await uow.orders.get_order_by_id(orders[0].id) == orders[0]
        await rebuild(store.log, OrdersProjection())
        assert len(await store.rebuild_state(Order)) == len(orders)
        async with store.as_of(position=head) as past:
            assert len(await past.orders.get_active_orders()) == len(orders)


async def test_the_collector_is_left_alone(migrated_config: DatabaseConfig, switched: list[str]):
    """By default nothing switches it, sets its thresholds, or runs it."""
    await use(migrated_config)
    assert switched == []


async def test_the_collector_is_postponed_where_that_was_asked_for(
    migrated_config: DatabaseConfig, switched: list[str]
):
    """Then it is off during each page and looks less often during a rebuild; afterwards all is as before, for later stores too."""
    before = gc.isenabled(), gc.get_threshold()
    await use(migrated_config.replace(postpone_gc=True))
    assert {"disable", "enable", "set_threshold"} <= {*switched}
    assert (gc.isenabled(), gc.get_threshold()) == before
    switched.clear()
    async with EventStore.open(migrated_config, workers=False) as store:
        assert len([one async for one in store.replay()]) == 39
    assert switched == []


async def test_a_store_that_did_not_open_postpones_nothing(
    migrated_config: DatabaseConfig, switched: list[str]
):
    """The setting holds while a store is open."""
    with pytest.raises(ConnectionError):
        async with EventStore.open(
            migrated_config.replace(postpone_gc=True, host="/nowhere", connect_timeout=0.1), workers=False
        ):
            pass
    async with EventStore.open(migrated_config, workers=False) as store:
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
        assert len([one async for one in store.replay()]) == 1
    assert switched == []


async def test_a_report_does_not_look_again_at_what_it_has_read(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """Where collections may be postponed, only new objects are looked at; afterwards all is as before."""
    monkeypatch.setattr("eventstore.garbage_collection._COLLECT_AFTER_OBJECTS", 2_000)
    older, has_begun = 0, False

    def note(phase: str, info: dict[str, int]) -> None:
        nonlocal older, has_begun
        has_begun = has_begun or gc.get_threshold() != before
        older += phase == "start" and has_begun and info["generation"] > 0

    async with EventStore.open(migrated_config.replace(postpone_gc=True), workers=False) as store:
        await long_log(store)
        before = gc.get_threshold()
        gc.callbacks.append(note)
        try:
            report = await store.reports.fills()
            assert (has_begun, older) == (True, 0)
        finally:
            gc.callbacks.remove(note)
        assert len(report) > FILLS
        await asyncio.sleep(0)
        assert gc.get_threshold() == before
