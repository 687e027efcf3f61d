"""Group commit: appends of one process that are made while another is in flight share the next statement.

PostgreSQL's cost of a commit is mostly per transaction: a round trip, a flush of the write-ahead log, parsing and
planning. Sharing it does not weaken anything: the checks, the idempotency and the outcome of each append are its
own. No two appends of one statement touch the same stream. A statement that meets a conflict or a lock that is
not free at once writes nothing, and its members are then sent singly, each on its own connection, so none fails
or waits for another's sake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Protocol
from uuid import UUID

from eventstore.database.cancellation import Outcome, finish
from eventstore.errors import ConcurrencyError
from eventstore.log.records import AppendColumns, AppendResult
from eventstore.portable import PortableError

_GROUP_LOCK_TIMEOUT = "50ms"  # longer than any append takes, shorter than anyone would wait for a stranger
_STATEMENTS_MAX = 2  # one is prepared while the other is under way; more only make them smaller
_SPLIT_MEMBERS_MIN = 8  # fewer are not worth two statements
_GROUP_EVENTS_MAX = 1_000
_GROUP_MEMBERS_MAX = 256
_PASSED_OVER_MAX = 64  # how many that do not fit are looked at for one that does
_GROUP_CHARACTERS_MAX = 1_000_000  # of JSON; a statement takes several times as much memory


class AnswerLostError(PortableError):
    """An append was sent, and no answer came: it may have been applied."""


class _Send(Protocol):
    def __call__(
        self, columns: AppendColumns, *, lock_timeout: str | None = None
    ) -> Awaitable[AppendResult]: ...


class _SendAlone(Protocol):
    def __call__(self, columns: AppendColumns, lost: Exception | None = None) -> Awaitable[AppendResult]: ...


@dataclass(frozen=True, slots=True)
class _GoAlone:
    lost: Exception | None


@dataclass(slots=True, eq=False)
class _Member:
    """An append that waits for its statement, or is in one.

    Attributes:
        number: Its place in the order of arrival.
        blockers: How many of its streams an earlier member holds.
    """

    columns: AppendColumns
    outcome: Outcome[AppendResult | _GoAlone]
    characters: int
    number: int
    blockers: int = 0

    def resolve(self, outcome: AppendResult | _GoAlone) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class GroupCommit:
    """Appends of one process that come while others are in flight, and then go together.

    Up to two statements are in flight, so that the writers of one prepare their next appends while the server works
    on the other. No two statements in flight, and no two appends of one, share a stream. An append that finds none
    in flight goes with those made in the same turn of the event loop: idle writers pay nothing.

    Args:
        send: Sends columns once, with a bound on its wait for locks.
        send_alone: Sends columns of one append until there is an answer.
    """

    def __init__(self, send: _Send, send_alone: _SendAlone) -> None:
        self._send = send
        self._send_alone = send_alone
        self._arrivals = count()
        self._ready: list[tuple[int, _Member]] = []
        """A heap, by number, of the members that hold all of their streams and wait for a statement."""
        self._blocked: dict[UUID, deque[_Member] | None] = {}
        """Each stream that a member holds, from its arrival to its answer, and the members that wait for it, in order."""
        self._sending: list[list[_Member]] = []
        """The groups in flight."""
        self._in_flight = 0
        self._starting = False
        self._looking = 0
        """How many of those in flight have their answer, and are about to look who has come meanwhile."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(
        self, columns: AppendColumns, on_result: Callable[[AppendResult], None] | None = None
    ) -> AppendResult:
        """Append, alone or with others; raises what the append would have raised alone.

        A cancellation waits for the outcome, and is raised then.

        Args:
            columns: The append.
            on_result: Is told the result, also where a cancellation is raised.
        """
        characters = sum(map(len, columns.data)) + sum(map(len, columns.metadata))
        # No append needs a task of its own to be finished by when its caller is cancelled.
        outcome: Outcome[AppendResult | _GoAlone] = Outcome(loop=asyncio.get_running_loop())
        self._enqueue(_Member(columns, outcome, characters, next(self._arrivals)))
        if self._in_flight < _STATEMENTS_MAX and not self._starting and not self._looking:
            self._start()
        try:
            known = await outcome
        except asyncio.CancelledError as cancelled:
            outcome.add_earlier(cancelled)
            if not outcome.cancelled() and outcome.exception() is None:
                await self._conclude(columns, outcome.result(), on_result)
            raise
        return await self._conclude(columns, known, on_result)

    async def _conclude(
        self,
        columns: AppendColumns,
        outcome: AppendResult | _GoAlone,
        on_result: Callable[[AppendResult], None] | None,
    ) -> AppendResult:
        if isinstance(outcome, _GoAlone):
            return await finish(self._alone(columns, outcome.lost, on_result))
        if on_result is not None:
            on_result(outcome)
        return outcome

    async def _alone(
        self, columns: AppendColumns, lost: Exception | None, on_result: Callable[[AppendResult], None] | None
    ) -> AppendResult:
        result = await self._send_alone(columns, lost)
        if on_result is not None:
            on_result(result)
        return result

    def _start(self) -> None:
        """Have a task send those who wait; it takes all who come before its turn."""
        self._starting = True
        task = asyncio.create_task(self._send_waiting(), name="eventstore group commit")
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def _send_waiting(self) -> None:
        self._starting = False
        self._in_flight += 1
        try:
            while group := self._next_group():
                await self._send_group(group)
                self._looking += 1
                try:
                    await asyncio.sleep(0)  # who has its outcome now may come again at once
                finally:
                    self._looking -= 1
        finally:
            self._in_flight -= 1

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before it began
            self._starting = False
            self._release()

    def _release(self) -> None:
        """Let those who still wait send for themselves: a cancelled loop starts no task that nobody would end."""
        waiting = dict(self._ready)
        for members in self._blocked.values():
            waiting.update((member.number, member) for member in members or ())
        self._ready.clear()
        self._blocked = {
            stream_id: None
            for group in self._sending
            for member in group
            for stream_id in member.columns.heads
        }
        for number in sorted(waiting):
            waiting[number].resolve(_GoAlone(None))

    # An append costs the same however many wait: each is looked at when it comes, when it is the first on its streams, and
    # when it is sent.

    def _enqueue(self, member: _Member) -> None:
        """Let a member hold each of its streams that is free, and wait for the others behind those that came before."""
        blocked = self._blocked
        for stream_id in member.columns.heads:
            if stream_id not in blocked:
                blocked[stream_id] = None
                continue
            members = blocked[stream_id]
            if members is None:
                blocked[stream_id] = deque((member,))
            else:
                members.append(member)
            member.blockers += 1
        if not member.blockers:
            heappush(self._ready, (member.number, member))

    def _next_group(self) -> list[_Member]:
        """Take those that may be sent together, in the order in which they came."""
        group: list[_Member] = []
        passed_over: list[_Member] = []
        events = characters = 0
        while self._ready and len(group) < _GROUP_MEMBERS_MAX and len(passed_over) < _PASSED_OVER_MAX:
            _, member = heappop(self._ready)
            size = len(member.columns.versions)
            fits = (
                events + size <= _GROUP_EVENTS_MAX and characters + member.characters <= _GROUP_CHARACTERS_MAX
            )
            if group and not fits:
                passed_over.append(member)  # it holds its streams, and is taken before later ones next time
                continue
            group.append(member)
            events += size
            characters += member.characters
        for member in passed_over:
            heappush(self._ready, (member.number, member))
        return group

    def _give_back(self, group: list[_Member]) -> None:
        """Let the next ones have the streams of a statement that has ended."""
        for member in group:
            for stream_id in member.columns.heads:
                members = self._blocked.pop(stream_id)
                if not members:
                    continue
                following = members.popleft()
                self._blocked[stream_id] = members
                following.blockers -= 1
                if not following.blockers:
                    heappush(self._ready, (following.number, following))

    async def _send_group(self, group: list[_Member]) -> None:
        self._sending.append(group)
        try:
            await self._send_and_resolve(group)
        finally:
            self._sending.remove(group)
            self._give_back(group)

    async def _send_and_resolve(self, group: list[_Member]) -> None:
        columns = group[0].columns
        if len(group) > 1:
            columns = columns.extended(member.columns for member in group[1:])
        try:
            result = await self._send(columns, lock_timeout=_GROUP_LOCK_TIMEOUT)
        except AnswerLostError as error:
            _let_go_alone(group, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised by whom it concerns
            if len(group) == 1 and isinstance(error, ConcurrencyError):
                group[0].fail(error)
            else:
                _let_go_alone(group)
        except BaseException:  # cancelled, as at the end of the event loop
            for member in group:
                member.outcome.give_up()
            raise
        else:
            if len(group) == 1:
                group[0].resolve(result)
            elif result.repeated:
                _let_go_alone(group)  # each was written at a time of its own
            else:
                await self._share_out(result, group)

    async def _share_out(self, result: AppendResult, group: list[_Member]) -> None:
        """Tell each member its result; a large group that is alone in flight in two halves.

        Else all its writers would come again at once, and the server would wait for them, and they for the server,
        for ever. So the next appends of the first half are on their way before the second half goes on.
        """
        half = len(group) // 2 if self._in_flight == 1 and len(group) >= _SPLIT_MEMBERS_MIN else len(group)
        start = _resolve(result, group[:half], 0)
        try:
            if half < len(group):
                await asyncio.sleep(0)  # they append
                await asyncio.sleep(0)  # and their statement is sent
        finally:
            _resolve(result, group[half:], start)


def _let_go_alone(group: list[_Member], lost: Exception | None = None) -> None:
    for member in group:
        member.resolve(_GoAlone(lost))


def _resolve(result: AppendResult, members: list[_Member], start: int) -> int:
    for member in members:
        end = start + len(member.columns.versions)
        member.resolve(AppendResult(result.positions[start:end], result.recorded_at))
        start = end
    return start
