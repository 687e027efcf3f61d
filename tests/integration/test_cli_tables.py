"""`eventstore table`: the statement that makes the table of a projection of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventstore.examples.turnover import TurnoverProjection
from projections.table_shape import table_differences
from tests.command_line import assert_refused, run

if TYPE_CHECKING:
    from eventstore.store import EventStore

MODULE = "eventstore.examples.turnover"


async def test_what_it_prints_makes_a_table_that_fits(store: EventStore):
    """The statement can be run as it is printed, and the rows fit into what it makes."""
    done = run("table", f"{MODULE}:TurnoverProjection")
    assert (done.returncode, done.stderr) == (0, "")
    async with store.connection.acquire() as connection:
        await connection.execute(done.stdout)
        assert await table_differences(connection, TurnoverProjection.table) == ()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("turnover", "MODULE:CLASS"),
        ("no.such.module:Turnover", "no module no"),
        (f"{MODULE}:Missing", f"{MODULE} has no Missing"),
        (f"{MODULE}:Turnover", "is not a projection"),
        ("projections:EntityProjection", "without constructor arguments"),
    ],
)
def test_what_is_no_projection_is_refused(path: str, words: str):
    """One line says what was wrong with the name."""
    assert_refused(run("table", path), words)
