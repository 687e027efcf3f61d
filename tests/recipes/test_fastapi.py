"""The application of docs/recipes/fastapi.md, asked by httpx, where the page makes promises that its own blocks do not show."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import Depends, Request

from eventstore import EventStore, Order
from eventstore.database import DatabaseConfig
from tests.conftest import url_of
from tests.recipes.pages import shown_blocks

PAGE = "docs/recipes/fastapi.md"


@pytest.fixture
async def page(migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The module that the page's program makes, with the application started."""
    monkeypatch.setenv("DATABASE_URL", url_of(migrated_config))
    module: Any = ModuleType("orders_app")
    monkeypatch.setitem(sys.modules, "orders_app", module)
    for block in shown_blocks(PAGE, "python"):
        if "import httpx" not in block.code:
            exec(compile(block.code, PAGE, "exec", dont_inherit=True), vars(module))
    async with module.app.router.lifespan_context(module.app):
        yield module


def in_function(page: Any) -> Any:
    """The dependency that the page calls `UnitOfWork`."""
    (dependency,) = page.UnitOfWork.__metadata__
    return dependency


@asynccontextmanager
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as one:
        yield one


async def place(one: httpx.AsyncClient) -> str:
    """The path of a new order."""
    body = {"symbol": "ES", "side": "BUY", "quantity": "2", "limit_price": "5000"}
    answer = await one.post("/orders", json=body, headers={"x-user": "ada"})
    assert answer.status_code == 201
    return f"/orders/{answer.json()['id']}"


@pytest.mark.parametrize(("scope", "committed"), [("function", True), ("request", False)])
async def test_the_answer_leaves_after_the_commit(page: Any, scope: Any, committed: bool):
    """When the first byte of the answer is sent, the events are in the log; with FastAPI's default they are not."""
    dependency = Depends(page.unit_of_work, scope=scope)

    async def probe(order_id: UUID, uow: Any = dependency) -> None:
        order = await uow.orders.get_order_by_id(order_id)
        order.cancel()
        await uow.orders.update_order(order)

    page.app.add_api_route("/probe/{order_id}", probe, methods=["POST"])

    store: EventStore = page.app.state.store
    seen: list[bool] = []

    async def watched(asked: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and asked["path"].startswith("/probe"):
                events = await store.log.read_stream(UUID(asked["path"].rpartition("/")[2]))
                seen.append("OrderCancelled" in [one.type for one in events])
            await send(message)

        await page.app(asked, receive, sending)

    async with client(watched) as one:
        path = await place(one)
        assert (await one.post(path.replace("/orders", "/probe"))).status_code == 200
    assert seen == [committed]


async def test_a_rival_between_the_read_and_the_commit_is_a_409(page: Any):
    """The commit's conflict reaches the client as 409 with the version that the order has now, and nothing is written."""
    dependency = in_function(page)

    async def probe(request: Request, order_id: UUID, uow: Any = dependency) -> None:
        order = await uow.orders.get_order_by_id(order_id)
        async with request.app.state.store.unit_of_work() as rival:
            same = await rival.orders.get_order_by_id(order_id)
            same.submit("B-1")
            await rival.orders.update_order(same)
        order.cancel()
        await uow.orders.update_order(order)

    page.app.add_api_route("/probe/{order_id}", probe, methods=["POST"])

    async with client(page.app) as one:
        path = await place(one)
        answer = await one.post(path.replace("/orders", "/probe"))
        assert (answer.status_code, answer.json()["version"]) == (409, 2)
        assert (await one.get(path)).json()["status"] == "SUBMITTED"


async def test_an_error_of_the_function_rolls_back(page: Any):
    """What was saved before an HTTPException is not stored."""
    dependency = in_function(page)

    async def probe(order_id: UUID, uow: Any = dependency) -> None:
        order = await uow.orders.get_order_by_id(order_id)
        order.cancel()
        await uow.orders.update_order(order)
        raise page.HTTPException(418)

    page.app.add_api_route("/probe/{order_id}", probe, methods=["POST"])

    async with client(page.app) as one:
        path = await place(one)
        assert (await one.post(path.replace("/orders", "/probe"))).status_code == 418
        assert (await one.get(path)).json()["status"] == "PENDING"


async def test_a_command_that_is_decided_again_meets_no_conflict(page: Any):
    """Eight clients cancel one order at once: one does, the others learn the rule, and none gets 409."""
    async with client(page.app) as one:
        path = await place(one)
        answers = await asyncio.gather(*(one.post(f"{path}/cancel") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *7 * [422]]
    assert {answer.json().get("rule") for answer in answers} == {None, "order.not_active"}


async def test_the_actor_is_in_the_log(page: Any):
    """The header of the request names the actor of its events."""
    async with client(page.app) as one:
        path = await place(one)
    (created,) = await page.app.state.store.log.read_stream(UUID(path.rpartition("/")[2]))
    assert created.metadata == {"actor": "ada"}


async def test_a_request_repeated_under_its_own_id_is_a_conflict(page: Any):
    """An id that the client chose is used once: the repeat is a 409."""
    id = uuid4()
    dependency = in_function(page)

    async def probe(uow: Any = dependency) -> None:
        order = Order.create_market_order("ES", page.Decimal(1), page.OrderSide.BUY, id=id)
        await uow.orders.save_order(order)

    page.app.add_api_route("/probe", probe, methods=["POST"])

    async with client(page.app) as one:
        assert [(await one.post("/probe")).status_code for _ in range(2)] == [200, 409]
