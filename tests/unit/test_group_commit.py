"""Which appends share a statement: the order of those that wait, what is fair, and what it costs where many wait."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st

from eventstore.errors import ConcurrencyError
from eventstore.log.group_commit import GroupCommit
from eventstore.log.records import AppendColumns, AppendResult

AT = datetime(2024, 1, 2, tzinfo=UTC)
EVENTS_MAX = 1_000
"""Of one statement."""


def append_to(streams: Sequence[int], *, events: int = 1, characters: int = 2) -> AppendColumns:
    """An append to some streams, of so many events of each."""
    ids = [UUID(int=stream) for stream in streams for _ in range(events)]
    size = len(ids)
    data = ["x" * characters] * size
    return AppendColumns(
        {UUID(int=stream): 0 for stream in streams},
        ids,
        [1] * size,
        ids,
        ["order"] * size,
        ["Placed"] * size,
        [1] * size,
        data,
        [""] * size,
        [AT] * size,
    )


class Server:
    """Takes statements, and answers when it is told to, or at once."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.in_flight: list[tuple[AppendColumns, asyncio.Future[None]]] = []
        self.sent: list[AppendColumns] = []

    async def send(self, columns: AppendColumns, *, lock_timeout: str | None = None) -> AppendResult:
        """Answer with a position for each event."""
        del lock_timeout
        sent = columns
        for other, _ in self.in_flight:
            assert not other.heads.keys() & sent.heads.keys(), "two statements in flight share a stream"
        self.sent.append(sent)
        if not self.at_once:
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.in_flight.append((sent, answered))
            await answered
        return AppendResult(tuple(range(len(sent.versions))), AT)

    async def send_alone(self, columns: AppendColumns, lost: Exception | None = None) -> AppendResult:
        """No test of this file needs it."""
        raise AssertionError((columns, lost))

    def answer(self, number: int) -> None:
        """Answer one of the statements in flight."""
        _, answered = self.in_flight.pop(number % len(self.in_flight))
        answered.set_result(None)


async def turns_of_the_loop(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_appends_of_one_stream_are_sent_in_the_order_in_which_they_came():
    """However many wait for the one in flight."""
    server = Server()
    group_commit = GroupCommit(server.send, server.send_alone)
    tasks = []
    for events in range(1, 5):
        tasks.append(asyncio.create_task(group_commit.append(append_to([1], events=events))))
        await turns_of_the_loop(3)
    while server.in_flight:
        server.answer(0)
        await turns_of_the_loop()
    await asyncio.gather(*tasks)
    assert [len(sent.versions) for sent in server.sent] == [1, 2, 3, 4]


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"),
            st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
            st.sampled_from([1, 1, 1, 300, 600, 1_200]),
        ),
        st.tuples(st.just("answer"), st.integers(0, 1), st.just(0)),
    ),
    min_size=1,
    max_size=40,
)


@given(steps=steps)
@settings(deadline=None)
def test_any_appends_in_any_order(steps):
    """Each is sent once, after those that came before it on any of its streams, within the limits of a statement."""

    async def run() -> None:
        server = Server()
        group_commit = GroupCommit(server.send, server.send_alone)
        came: list[AppendColumns] = []
        tasks: list[asyncio.Task[AppendResult]] = []
        for kind, what, events in steps:
            if kind == "append":
                came.append(append_to(what, events=events))
                tasks.append(asyncio.create_task(group_commit.append(came[-1])))
                await turns_of_the_loop(1)
            elif server.in_flight:
                server.answer(what)
                await turns_of_the_loop()
        await turns_of_the_loop()
        while server.in_flight:
            server.answer(0)
            await turns_of_the_loop()
        for appended, task in zip(came, tasks, strict=True):
            assert len((await task).positions) == len(appended.versions)
        for stream in {stream for appended in came for stream in appended.heads}:
            sizes = [appended.stream_ids.count(stream) for appended in came if stream in appended.heads]
            assert [sent.stream_ids.count(stream) for sent in server.sent if stream in sent.heads] == sizes
        assert all(
            len(sent.versions) <= EVENTS_MAX or sum(sent.versions == one.versions for one in came)
            for sent in server.sent
        )
        assert (group_commit._blocked, group_commit._ready, group_commit._sending) == ({}, [], [])

    asyncio.run(run())


async def test_one_that_does_not_fit_is_the_first_next_time():
    """Smaller ones pass it once, since there is room for them, and not again."""
    server = Server()
    group_commit = GroupCommit(server.send, server.send_alone)
    appended = [
        append_to([0], events=1),
        append_to([1], events=1),
        append_to([2], events=600),
        append_to([3], events=600),
    ]
    appended += [append_to([4 + number]) for number in range(3)]
    tasks = []
    for one in appended:
        tasks.append(asyncio.create_task(group_commit.append(one)))
        await turns_of_the_loop(3)
    # Two statements are in flight, with the first two; the others wait.
    assert [set(sent.heads) for sent in server.sent] == [{UUID(int=0)}, {UUID(int=1)}]
    server.answer(0)
    await turns_of_the_loop()
    assert set(server.sent[2].heads) == {UUID(int=number) for number in (2, 4, 5, 6)}
    server.answer(0)
    await turns_of_the_loop()
    assert set(server.sent[3].heads) == {UUID(int=3)}
    while server.in_flight:
        server.answer(0)
        await turns_of_the_loop()
    await asyncio.gather(*tasks)


async def test_an_append_of_two_streams_waits_for_both():
    """Later ones of either stream wait behind it, however free their stream is."""
    server = Server()
    group_commit = GroupCommit(server.send, server.send_alone)
    tasks = []
    for streams in ([1], [1, 2], [2]):
        tasks.append(asyncio.create_task(group_commit.append(append_to(streams))))
        await turns_of_the_loop(3)
    assert [len(sent.heads) for sent in server.sent] == [1]
    for _ in tasks:
        server.answer(0)
        await turns_of_the_loop()
    assert [sorted(one.int for one in sent.heads) for sent in server.sent] == [[1], [1, 2], [2]]
    await asyncio.gather(*tasks)


async def test_a_failed_statement_gives_its_streams_back():
    """The next append of the stream is sent."""
    server = Server(at_once=True)

    async def refuse(columns: AppendColumns, *, lock_timeout: str | None = None) -> AppendResult:
        del lock_timeout
        raise ConcurrencyError(next(iter(columns.heads)), expected=0, actual=1)

    group_commit = GroupCommit(refuse, server.send_alone)
    for _ in range(2):
        with pytest.raises(ConcurrencyError):
            await group_commit.append(append_to([1]))


def _seconds(work: Callable[[int], Coroutine[Any, Any, None]], size: int) -> float:
    """The least processor time that the work takes of three times, without what else is running or in memory."""
    taken = []
    gc.collect()
    gc.disable()  # what it looks through is mostly what other tests have left
    try:
        for _ in range(3):
            began = time.process_time()
            asyncio.run(work(size))
            taken.append(time.process_time() - began)
    finally:
        gc.enable()
    return min(taken)


async def _one_stream(size: int) -> None:
    server = Server(at_once=True)
    group_commit = GroupCommit(server.send, server.send_alone)
    await asyncio.gather(*(group_commit.append(append_to([1])) for _ in range(size)))
    assert len(server.sent) == size


async def _hot_and_cold(size: int) -> None:
    """Half of them want one stream; each of the others wants that one and one of its own."""
    server = Server(at_once=True)
    group_commit = GroupCommit(server.send, server.send_alone)
    hot, cold = size // 2, size - size // 2
    await asyncio.gather(
        *(group_commit.append(append_to([1])) for _ in range(hot)),
        *(group_commit.append(append_to([1, 2 + number])) for number in range(cold)),
    )


async def _large(size: int) -> None:
    """No two of them fit into one statement."""
    server = Server(at_once=True)
    group_commit = GroupCommit(server.send, server.send_alone)
    large = [append_to([number], characters=600_000) for number in range(2)]
    await asyncio.gather(
        *(
            group_commit.append(large[0]._replace(heads={UUID(int=number): 0}, stream_ids=[UUID(int=number)]))
            for number in range(size)
        )
    )
    assert len(server.sent) == size


@pytest.mark.parametrize(
    "work", [_one_stream, _hot_and_cold, _large], ids=lambda work: work.__name__.strip("_")
)
def test_the_cost_of_an_append_does_not_grow_with_those_that_wait(work):
    """Four times as many take about four times as long; where each looked at all the others, sixteen times."""
    # The least of several: what else runs on the machine only ever adds.
    few = min(_seconds(work, 1_000) for _ in range(3))
    many = min(_seconds(work, 4_000) for _ in range(3))
    assert many / few < 10
