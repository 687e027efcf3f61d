"""A rebuilt table equals the live one; a row that was tampered with is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventstore.errors import ProjectionError
from projections import (
    OrdersProjection,
    PortfoliosProjection,
    PositionsProjection,
    Projection,
)
from projections.check import compare_with_fold, compare_with_rebuild
from tests.filled_log import fill_the_log

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def test_a_rebuild_of_real_work_is_equal(store: EventStore):
    """Every row of the three tables equals the rebuilt one and an independent fold; nothing is left beside."""
    await fill_the_log(store)
    expected: list[tuple[Projection[Any], int]] = [
        (OrdersProjection(), 7),
        (PositionsProjection(), 17),
        (PortfoliosProjection(), 1),
    ]
    for projection, rows in expected:
        for compared in (
            await compare_with_rebuild(store.log, projection),
            await compare_with_fold(store.log, projection),
        ):
            assert compared.is_equal
            assert (compared.rows_equal, compared.rows_different, compared.different_keys) == (rows, 0, ())
            assert compared.position == await store.log.head()
    async with store.connection.acquire() as connection:
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '__(rebuild|compare)'")
            == 0
        )


@pytest.mark.parametrize(
    ("statement", "different"),
    [
        ("UPDATE orders SET filled_quantity = filled_quantity + 1 WHERE id = $1", 1),
        ("UPDATE orders SET version = version + 1 WHERE id = $1", 1),
        ("UPDATE orders SET quantity = quantity + 0.000 WHERE id = $1", 1),
        ("UPDATE orders SET executions = '[]' WHERE id = $1", 1),
        ("DELETE FROM orders WHERE id = $1", 1),
    ],
)
async def test_a_tampered_row_is_found(store: EventStore, statement: str, different: int):
    """A digit, a version, a lost execution, a lost row: both comparisons find it and name its key."""
    await fill_the_log(store)
    async with store.connection.acquire() as connection:
        order_id = await connection.fetchval("SELECT id FROM orders ORDER BY id LIMIT 1")
        await connection.execute(statement, order_id)
    compared = await compare_with_rebuild(store.log, OrdersProjection())
    assert (compared.rows_different, compared.rows_equal) == (different, 6)
    assert str(order_id) in compared.different_keys[0]
    if (
        "0.000" not in statement
    ):  # equal as a number, not to the last digit: the table's own comparison sees it
        folded = await compare_with_fold(store.log, OrdersProjection())
        assert (folded.rows_different, folded.rows_equal) == (different, 6)
        assert str(order_id) in folded.different_keys[0]


async def test_a_row_too_many_is_found(store: EventStore):
    """A row that no event has made."""
    await fill_the_log(store)
    async with store.connection.acquire() as connection:
        await connection.execute(
            "CREATE TEMPORARY TABLE forged AS SELECT * FROM orders LIMIT 1; "
            "UPDATE forged SET id = gen_random_uuid(); INSERT INTO orders SELECT * FROM forged; DROP TABLE forged"
        )
    assert (await compare_with_rebuild(store.log, OrdersProjection())).rows_different == 1
    assert (await compare_with_fold(store.log, OrdersProjection())).rows_different == 1


async def test_what_was_never_folded_cannot_be_compared(store: EventStore):
    """The error says that a worker must run first."""
    for compare in (compare_with_rebuild, compare_with_fold):
        with pytest.raises(ProjectionError, match="worker"):
            await compare(store.log, OrdersProjection())
