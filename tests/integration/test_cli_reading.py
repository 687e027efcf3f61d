"""`eventstore history`, `show` and `tail`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from eventstore.domain.order import Order, OrderSide
from eventstore.store import EventStore
from tests import command_line
from tests.command_line import assert_not_found, assert_refused, run
from tests.conftest import url_of
from tests.entities import started

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig


async def filled_order(store: EventStore) -> Order:
    """An order with three events, by two actors."""
    order = Order.create_limit_order("AAPL", Decimal(10), OrderSide.BUY, limit_price=Decimal("150.10"))
    async with store.unit_of_work(metadata={"actor": "desk"}) as uow:
        order.submit("B-1")
        await uow.orders.save_order(order)
    order.fill(Decimal(4), Decimal("150.00"), "E-1", commission=Decimal("0.40"))
    async with store.unit_of_work(metadata={"actor": "gateway"}) as uow:
        await uow.orders.save_order(order)
    return order


def json_lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What a command printed with --json."""
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_history(store: EventStore, migrated_config: DatabaseConfig):
    """A table of versions, times, actors and changes; as JSON the same with decimals as strings."""
    order = await filled_order(store)
    url = url_of(migrated_config)
    done = run("history", "order", str(order.id), "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("OrderSubmitted", "gateway", "filled_quantity: 0 → 4", "status: ", "broker_order_id: B-1"):
        assert word in done.stdout
    told = json_lines(run("history", "order", str(order.id), "--json", "--url", url))
    assert [(one["version"], one["type"], one["actor"]) for one in told] == [
        (1, "OrderCreated", "desk"),
        (2, "OrderSubmitted", "desk"),
        (3, "OrderFilled", "gateway"),
    ]
    assert told[0]["changes"]["limit_price"] == {"old": None, "new": "150.10"}
    assert told[2]["changes"]["filled_quantity"] == {"old": "0", "new": "4"}
    assert_not_found(run("history", "order", str(uuid4()), "--url", url), "there is no order with the id")
    assert_refused(run("history", "colour", str(order.id), "--url", url), "colour", "order", "portfolio")
    assert_refused(run("history", "position", str(order.id), "--url", url), "category order")
    assert_not_found(run("history", "order", "x", "--url", url), "there is no order 'x'")


async def test_show(store: EventStore, migrated_config: DatabaseConfig):
    """A stream as it is stored, also of types that this process does not know."""
    stream = started("日本", tunings=1)
    await store.log.append(stream, metadata={"actor": "desk"})
    url = url_of(migrated_config)
    done = run("show", str(stream.stream_id), "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "StrategyTuned" in done.stdout
    assert "name=日本" in done.stdout
    told = json_lines(run("show", str(stream.stream_id), "--json", "--url", url))
    assert [(one["version"], one["position"], one["type"]) for one in told] == [
        (1, 1, "StrategyStarted"),
        (2, 2, "StrategyTuned"),
    ]
    assert told[1]["data"] == {"parameter": "x", "value": "0"}
    assert told[1]["metadata"] == {"actor": "desk"}
    assert_not_found(run("show", str(uuid4()), "--url", url), "there is no stream with the id")


async def test_tail(store: EventStore, migrated_config: DatabaseConfig):
    """The last events, of what is asked for, the newest last."""
    order = await filled_order(store)
    await store.log.append(started(tunings=2))
    url = url_of(migrated_config)

    def told(*arguments: str) -> list[int]:
        return [one["position"] for one in json_lines(run("tail", "--json", "--url", url, *arguments))]

    assert told() == [1, 2, 3, 4, 5, 6]
    assert told("-n", "2") == [5, 6]
    assert told("--category", "order", "-n", "2") == [2, 3]
    assert told("--type", "OrderFilled", "--type", "StrategyStarted") == [3, 4]
    assert told("--type", "OrderExpired") == told("-n", "0") == []
    lines = run("tail", "-n", "4", "--url", url).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["3", "4", "5", "6"]
    assert f"{order.id} v3" in lines[0]
    assert "price=150.00" in lines[0]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "pipe"])
async def test_tail_follows_until_told_to_stop(
    store: EventStore, migrated_config: DatabaseConfig, end: signal.Signals | None
):
    """What is appended comes, once each; a signal ends it with status 0, a reader who has left with that of a broken pipe."""
    await store.log.append(started(tunings=1))
    process = command_line.start(
        "tail", "--follow", "-n", "1", "--type", "StrategyTuned", "--json", "--url", url_of(migrated_config)
    )
    try:
        assert process.stdout is not None
        seen = []
        for _ in range(4):
            line = await asyncio.to_thread(process.stdout.readline)
            seen.append(json.loads(line)["position"])
            await store.log.append(started(tunings=1))
        assert seen == [2, 4, 6, 8]
        if end is None:
            process.stdout.close()
        else:
            os.kill(process.pid, end)
        status = await asyncio.to_thread(process.wait, 30)
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    assert status == (128 + signal.SIGPIPE if end is None else 0)


async def test_what_the_log_holds_ends_no_command_in_a_traceback(
    store: EventStore, migrated_config: DatabaseConfig
):
    """A time beyond the year 9999, an amount beyond all arithmetic, JSON that is nested too deeply: one line each."""
    order = await filled_order(store)
    url = url_of(migrated_config)
    async with store.connection.acquire() as connection:
        await connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        change = "UPDATE events SET data = jsonb_set(data, '{quantity}', '\"1E+999999\"') WHERE position = 3"
        await connection.execute(change)
    history = ("history", "order", str(order.id), "--url", url)
    assert_refused(run(*history), "order/OrderFilled", f"stream {order.id}, position 3")
    async with store.connection.acquire() as connection:
        deep = '{"a": ' * 2_000 + "1" + "}" * 2_000
        await connection.execute("UPDATE events SET metadata = $1::text::jsonb WHERE position = 2", deep)
    assert_refused(run(*history), "position 2")
    assert run("show", str(order.id), "--url", url).returncode == 0
    async with store.connection.acquire() as connection:
        await connection.execute("UPDATE events SET occurred_at = '20000-01-01' WHERE position = 1")
    for command in (history, ("show", str(order.id), "--url", url), ("tail", "--url", url)):
        assert_refused(run(*command), "before the year 1 or after 9999")
