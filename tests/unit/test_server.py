"""What is known of a server, and what becomes of it when another one takes its place."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from eventstore.database.server import KnownServer, Remembered, ServerIdentity
from eventstore.errors import ConnectionError, RestoredLogError, ServerChangedError
from eventstore.log.subscription import Mark

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
ID_A, ID_B = UUID(int=1), UUID(int=2)
FIRST = ServerIdentity(NOW, 7, "00000001")


def met(server: KnownServer, identity: ServerIdentity, *, wal: int | None = None, before: int = 0) -> int:
    """Have a connection learn of a server; return the generation."""
    server.connected(identity, wal=wal, wal_before=before)
    return server.generation


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(FIRST, system_identifier=8), id="another cluster"),
        pytest.param(replace(FIRST, timeline="00000002"), id="promoted"),
        pytest.param(replace(FIRST, started_at=NOW + timedelta(microseconds=1)), id="base backup or restart"),
    ],
)
def test_each_mark_of_a_server_tells_it_from_another(other: ServerIdentity):
    """One is enough; and the way back is a change, too."""
    server = KnownServer()
    assert [met(server, one) for one in (FIRST, FIRST, other, other, FIRST)] == [0, 0, 1, 1, 2]


def test_what_a_server_does_not_say_tells_nothing():
    """As behind a pooler, or on a service that is like PostgreSQL: the start is compared then."""
    server, bare = KnownServer(), ServerIdentity(NOW)
    assert [met(server, one) for one in (bare, FIRST, bare, ServerIdentity(NOW + timedelta(1)))] == [
        0,
        0,
        0,
        1,
    ]


def test_a_standby_is_nobodys_successor():
    """No position is remembered of one, and connections to several of them change nothing."""
    server = KnownServer()
    standby = replace(FIRST, started_at=NOW - timedelta(1), in_recovery=True)
    assert [met(server, one) for one in (standby, FIRST, standby, FIRST)] == [0, 0, 0, 0]


def test_a_machine_that_was_put_back_to_a_snapshot_is_another_server():
    """It has the same start, and has written less of its write-ahead log than it had when it was asked."""
    server = KnownServer()
    assert met(server, FIRST, wal=900) == 0
    assert met(server, FIRST, wal=700, before=600) == 0  # asked before the other had answered
    assert met(server, FIRST, wal=800, before=server.wal) == 1
    assert server.wal == 800


def test_what_is_remembered_is_of_one_generation():
    """It is empty in the next, and what is still written to that of the server before is seen by nobody."""
    server = KnownServer()
    met(server, FIRST)
    positions: Remembered[list[int]] = Remembered(server, list)
    before = positions.value
    before.append(49)
    assert positions.value == [49]
    met(server, replace(FIRST, timeline="00000002"))
    assert positions.value == []
    before.append(50)
    assert positions.value == []
    positions.value.append(11)
    positions.forget()
    assert positions.value == []


def test_steady_blocks_hold_for_all_that_they_are_in():
    """The outer one counts inside the inner one, and another server's block does not."""
    server, other = KnownServer(), KnownServer()
    met(server, FIRST)
    with server.steady() as generation, other.steady(17):
        assert (generation, server.is_steady) == (0, True)
        server.require_steady()
        met(server, replace(FIRST, timeline="00000002"))
        with server.steady(), pytest.raises(ServerChangedError) as caught:
            server.require_steady()
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.retryable
        with pytest.raises(ServerChangedError):
            other.require_steady()
    assert not server.is_steady
    server.require_steady()


async def test_steady_blocks_hold_for_the_tasks_that_they_start():
    """And for no others."""
    server = KnownServer()
    met(server, FIRST)
    gate = asyncio.Event()

    async def look() -> bool:
        await gate.wait()
        return server.is_steady

    outside = asyncio.create_task(look())
    with server.steady():
        inside = asyncio.create_task(look())
    gate.set()
    assert (await outside, await inside) == (False, True)


async def test_a_new_server_is_checked_until_it_holds():
    """The first one is not, since the store has looked at it; `being_repaired` leaves the checks out for a block."""
    server: Any = KnownServer()
    looks: list[Any] = []

    async def check(connection: Any) -> None:
        looks.append(connection)
        if len(looks) < 3:
            raise RestoredLogError("it lacks events")

    server.checks.append(check)
    met(server, FIRST)
    await server.check("first")
    met(server, replace(FIRST, timeline="00000002"))
    for _ in range(2):
        with pytest.raises(RestoredLogError):
            await server.check("second")
    with server.being_repaired():
        await server.check("second")
    assert not server.is_checked
    await server.check("second")
    await server.check("second")
    assert looks == ["second"] * 3


def test_who_wants_to_know_is_told_of_each_change():
    """When the generation has risen already."""
    server, told = KnownServer(), []
    server.at_change(lambda: told.append(server.generation))
    met(server, FIRST)
    met(server, replace(FIRST, timeline="00000002"))
    met(server, replace(FIRST, timeline="00000003"))
    assert told == [1, 2]


def row(position: int | None, event_id: Any, *, head: int, sequence: int | None) -> dict[str, Any]:
    """What the log says of a place."""
    return {"position": position, "event_id": event_id, "head": head, "sequence": sequence}


def test_a_mark_beyond_the_end_is_refused():
    """The sequence's last value counts where it may be seen: positions that nothing has are not assigned again."""
    assert Mark.of(12, row(9, ID_A, head=9, sequence=12)) == Mark(12, 9, ID_A)
    for sequence in (11, None):
        with pytest.raises(RestoredLogError, match="position 12 is beyond the end of the log") as caught:
            Mark.of(12, row(9, ID_A, head=9, sequence=sequence))
        assert (caught.value.position, caught.value.end) == (12, sequence or 9)


@pytest.mark.parametrize("now", [Mark(9, 9, ID_B), Mark(9, 8, ID_A), Mark(9)])
def test_a_mark_whose_event_is_another_one_is_refused(now: Mark):
    """Whatever the log has instead, or nothing."""
    Mark(9, 9, ID_A).require_kept(Mark(9, 9, ID_A))
    with pytest.raises(RestoredLogError, match="was read but is no longer in the log") as caught:
        Mark(9, 9, ID_A).require_kept(now)
    assert caught.value.position == 9
