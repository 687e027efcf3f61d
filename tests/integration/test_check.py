"""The audit names whatever is broken, and finds nothing where all is sound."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest

from eventstore.domain.order import Order
from eventstore.log import EventLog
from eventstore.store import built_in_projections
from projections import OrdersProjection, ProjectionWorker
from projections.check import Finding, audit as checking, check
from projections.engine import set_partitions
from projections.quarantine import discard, list_quarantined
from projections.rebuild import rebuild
from tests.checked_tables import catch_up, tamper
from tests.command_line import run
from tests.conftest import url_of
from tests.filled_log import fill_the_log
from tests.ordered_by_symbol import place

if TYPE_CHECKING:
    from eventstore.core.event import RecordedEvent
    from eventstore.database import DatabaseConfig
    from eventstore.store import EventStore


async def fill(store: EventStore) -> None:
    """Orders, positions and a portfolio, all folded; in two partitions where it is the orders."""
    await fill_the_log(store)
    await set_partitions(store.log, OrdersProjection(), 2)
    await place(store, 7)
    await catch_up(store.log)


async def findings(store: EventStore) -> list[Finding]:
    """What an audit of the built-in projections finds."""
    return list((await check(store.log, built_in_projections())).findings)


async def test_a_sound_database_has_no_findings(store: EventStore):
    """After work, a change of partitions and a rebuild, everything was delivered once and all rows are right."""
    assert await findings(store) == []
    await fill(store)
    audit = await check(store.log, built_in_projections())
    assert audit.findings == ()
    assert {one.projection: one.rows_equal for one in audit.checked} == {
        "orders": 8,
        "positions": 17,
        "portfolios": 1,
        "portfolio_snapshots": 0,
        "instruments": 0,
    }
    await rebuild(store.log, OrdersProjection())
    await place(store, 8)
    await catch_up(store.log)
    assert await findings(store) == []


async def test_what_is_appended_and_folded_meanwhile_is_no_finding(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A check of a database at work: every partition has passed the position at which the log ended when it began."""
    await fill(store)
    versions = checking._of_versions

    async def and_then_more(log: EventLog) -> list[Finding]:
        found = await versions(log)
        await place(store, 9)
        await catch_up(log)
        return found

    monkeypatch.setattr(checking, "_of_versions", and_then_more)
    assert await findings(store) == []


BROKEN = {
    "sequence": (
        "SELECT setval('events_position_seq', 3)",
        [("sequence", None, "the sequence of positions is at 3", "eventstore repair")],
    ),
    "row": (
        "UPDATE orders SET filled_quantity = filled_quantity + 1 WHERE id = (SELECT min(id::text)::uuid FROM orders)",
        [("rows", "orders", "1 row(s) do not match the log", "rebuild orders")],
    ),
    "row too many": (
        (
            "INSERT INTO portfolio_snapshots SELECT gen_random_uuid(), 1, gen_random_uuid(), now(), NULL, '[]', "
            "1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1"
        ),
        [
            (
                "rows",
                "portfolio_snapshots",
                "1 row(s) do not match the log",
                "rebuild portfolio_snapshots",
            )
        ],
    ),
    "delivered count": (
        "UPDATE projection_delivery_counts SET events = events - 1 WHERE projection = 'positions'",
        [("delivery counts", "positions", "of positions 0 to 65535", "rebuild positions")],
    ),
    "delivered digest": (
        "UPDATE projection_delivery_counts SET digest = digest # 1 WHERE projection = 'positions'",
        [("delivery counts", "positions", "but not the same as in the log", "rebuild positions")],
    ),
    "checkpoint ahead": (
        "UPDATE projection_checkpoints SET position = 999 WHERE projection = 'portfolios'",
        [
            ("sequence", None, "position 999 was assigned already", "eventstore repair"),
            (
                "checkpoint ahead",
                "portfolios",
                "up to position 999, but the log ends at",
                "eventstore repair",
            ),
        ],
    ),
    "shape of the table": (
        "ALTER TABLE orders ALTER filled_quantity TYPE numeric(12,2)",
        [
            (
                "table shape",
                "orders",
                "orders.filled_quantity: the model has Decimal (numeric), the table has numeric(12,2)",
                "change the table or the model",
            ),
        ],
    ),
    "version of the table": (
        "UPDATE projections SET version = 2 WHERE name = 'orders'",
        [("table version", "orders", "built by version 2, this code has version 1", "newer code")],
    ),
    "a rebuild that was left": (
        "INSERT INTO projection_rebuilds (projection, version, position, lease_owner) VALUES ('orders', 1, 3, 'host/7/x')",
        [("rebuild left", "orders", "by host/7/x has ended at position 3", "--abandon")],
    ),
}


@pytest.mark.parametrize(("statement", "expected"), BROKEN.values(), ids=BROKEN)
async def test_what_is_broken_is_named(
    store: EventStore, statement: str, expected: list[tuple[str, str | None, str, str]]
):
    """Each kind of damage gives its finding, no other, and says how to repair it."""
    await fill(store)
    await tamper(store, statement)
    found = await findings(store)
    assert [(one.kind, one.projection) for one in found] == [(one[0], one[1]) for one in expected]
    for one, (_, _, what, repairing) in zip(found, expected, strict=True):
        assert what in one.what
        assert repairing in one.repair


async def test_an_event_that_was_skipped_is_found(store: EventStore):
    """A checkpoint that moved past an event without it, as a faulty reader's would: delivery counts and row both tell."""
    await fill(store)
    await place(store, 9)
    await tamper(
        store,
        "UPDATE projection_checkpoints SET position = (SELECT max(position) FROM events) WHERE projection = 'orders'",
    )
    found = {(one.kind, one.projection) for one in await findings(store)}
    assert found == {("delivery counts", "orders"), ("rows", "orders")}


async def test_a_missing_event_is_found(store: EventStore):
    """An event that was removed from the middle of a stream leaves a gap in its versions."""
    await fill(store)
    async with store.connection.acquire() as connection:
        stream_id = await connection.fetchval("SELECT stream_id FROM events WHERE version = 3 LIMIT 1")
    await tamper(store, f"DELETE FROM events WHERE stream_id = '{stream_id}' AND version = 2")
    named = [one for one in await findings(store) if one.kind == "versions"]
    assert [one.projection for one in named] == [None]
    assert str(stream_id) in named[0].what


async def test_a_projection_that_nobody_works_on_is_found(store: EventStore):
    """Events that wait for longer than a minute are named; fresh ones are no finding."""
    await fill(store)
    await place(store, 9)
    assert await findings(store) == []
    await tamper(
        store,
        "UPDATE events SET recorded_at = recorded_at - interval '5 min' WHERE position = (SELECT max(position) FROM events)",
    )
    found = await findings(store)
    assert {one.kind for one in found} == {"checkpoint behind"}
    assert "eventstore work" in found[0].repair


class Failing(OrdersProjection):
    """Cannot fold a second event."""

    def evolve(self, row: Order | None, event: RecordedEvent) -> Order | None:
        """Fails."""
        if event.version == 2:
            raise ValueError("not today")
        return super().evolve(row, event)


async def test_quarantine_and_discards_are_named_until_a_rebuild(store: EventStore):
    """A key in quarantine, then the event that was left out for good; after a rebuild neither."""
    (order,) = await place(store, 1)
    async with store.unit_of_work() as uow:
        order.submit("B-1")
        await uow.orders.update_order(order)
    await ProjectionWorker(store.log, Failing()).catch_up(2)
    (held,) = await findings(store)
    assert (held.kind, held.projection) == ("quarantine", "orders")
    assert "not today" in held.what
    (key,) = await list_quarantined(store.log)
    await discard(store.log, Failing(), key.key, discarded_by="risk desk", reason="a test order")
    (left_out,) = await findings(store)
    assert left_out.kind == "discard"
    assert "risk desk: a test order" in left_out.what
    await rebuild(store.log, OrdersProjection())
    assert await findings(store) == []
    assert order.quantity == Decimal(1)


async def test_the_command(migrated_config: DatabaseConfig, store: EventStore):
    """Status 0 and one line for each table where all is sound; status 1, the finding and its repairing where not."""
    await fill(store)
    sound = await asyncio.to_thread(run, "check", "--url", url_of(migrated_config))
    assert sound.returncode == 0, sound.stderr
    assert sound.stdout.splitlines()[-1] == "all is sound"
    assert len(sound.stdout.splitlines()) == 6
    await tamper(store, "DELETE FROM portfolios")
    broken = await asyncio.to_thread(
        run, "check", "--projection", "portfolios", "--json", "--url", url_of(migrated_config)
    )
    assert broken.returncode == 1, broken.stderr
    told = orjson.loads(broken.stdout)
    assert not told["is_sound"]
    assert [(one["kind"], one["projection"]) for one in told["findings"]] == [("rows", "portfolios")]
    repaired = await asyncio.to_thread(run, "rebuild", "portfolios", "--url", url_of(migrated_config))
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.startswith("portfolios: 1 rows of 1")
    again = await asyncio.to_thread(run, "check", "--url", url_of(migrated_config))
    assert again.returncode == 0, again.stdout
