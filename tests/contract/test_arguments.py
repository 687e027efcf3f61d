"""What a repository refuses to be asked: in one line, and the same in memory."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import pytest

from eventstore.errors import ConfigurationError, RepositoryError
from tests.contract.databases import Database, a_position


@pytest.mark.parametrize("wrong", ["not-an-id", 7, b"0" * 16], ids=repr)
async def test_what_is_no_id_is_refused(database: Database, wrong: Any):
    """In one line, by what was asked for, and the same in memory."""
    async with database.unit_of_work() as uow:
        for call in (
            uow.orders.get_order_by_id,
            uow.orders.delete_order,
            uow.positions.close_position,
            uow.positions.get_positions_by_portfolio,
            uow.portfolios.get_portfolio_summary,
        ):
            with pytest.raises(
                RepositoryError, match=f"an id must be a UUID or the .* itself, not {re.escape(repr(wrong))}"
            ):
                await call(wrong)
        assert await uow.portfolios.get_portfolio_by_id(None) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, -1, 2.5, "3", 2**70])
async def test_a_page_of_no_length_is_refused(database: Database, limit: Any):
    """A limit is a whole number that a page can have."""
    async with database.unit_of_work() as uow:
        with pytest.raises(
            RepositoryError, match=r"limit must be (a whole number, )?1 (or more|to 2147483647), not"
        ):
            await uow.orders.get_active_orders(limit=limit)


async def test_a_page_goes_on_after_an_entity_of_its_kind(database: Database):
    """Neither an id nor another kind of entity says where a page ended."""
    async with database.unit_of_work() as uow:
        for wrong in (uuid4(), a_position()):
            after: Any = wrong
            with pytest.raises(RepositoryError, match="after must be the last Order of the previous page"):
                await uow.orders.get_active_orders(after=after)


@pytest.mark.parametrize("wrong", [date(2024, 3, 1), "2024-03-01", None], ids=repr)
async def test_a_range_has_a_time_at_each_end(database: Database, wrong: Any):
    """A date is not a point in time: whether its day belongs to the range is for the caller to say."""
    async with database.unit_of_work() as uow:
        with pytest.raises(ConfigurationError, match="must be a datetime"):
            await uow.orders.get_orders_by_date_range(wrong, datetime.max)
        with pytest.raises(ConfigurationError, match="must be a datetime"):
            await uow.positions.get_positions_by_date_range(datetime.min, wrong)


async def test_a_status_that_is_none_is_refused(database: Database):
    """The line names the statuses there are; a status given as its text is that status."""
    async with database.unit_of_work() as uow:
        for wrong in ("NOPE", None, 5):
            status: Any = wrong
            with pytest.raises(ConfigurationError, match=r"there is no order status .*'PENDING'"):
                await uow.orders.get_orders_by_status(status)
        text: Any = "PENDING"
        assert await uow.orders.get_orders_by_status(text) == []
