"""Group commit: appends of one process that arrive while another is in flight share a statement.

Most of the cost of a commit in PostgreSQL is per transaction: a round trip, a flush of the
write-ahead log, parsing and planning. Sharing a transaction weakens no guarantee: each append keeps
its own checks, idempotency and outcome. No two appends of one statement touch the same stream. A
statement that meets a conflict, or a lock that is not free at once, writes nothing. Its appends are
then sent separately, each on its own connection, so no append fails or waits because of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Protocol
from uuid import UUID

from eventstore.database.cancellation import Outcome, finish
from eventstore.errors import ConcurrencyError
from eventstore.log.records import AppendColumns, AppendResult
from eventstore.portable import PortableError

_GROUP_LOCK_TIMEOUT = "50ms"  # longer than an append takes, and a short wait for unrelated locks
_STATEMENTS_MAX = 2  # one is prepared while the other is in flight; more would only be smaller
_SPLIT_MEMBERS_MIN = 8  # a smaller group is not worth two statements
# A caller with an outcome may append again in the next step of the event loop, and the next writer of its stream in the one after.
_LOOKS = 2
_GROUP_EVENTS_MAX = 1_000
_GROUP_MEMBERS_MAX = 256
_PASSED_OVER_MAX = 64  # stop looking for an append that fits after this many
_GROUP_CHARACTERS_MAX = 1_000_000  # of JSON; a statement takes several times as much memory


class AnswerLostError(PortableError):
    """An append was sent and no answer arrived, so it may have been written."""


class _Send(Protocol):
    def __call__(
        self, columns: AppendColumns, *, lock_timeout: str | None = None
    ) -> Awaitable[AppendResult]: ...


class _SendAlone(Protocol):
    def __call__(self, columns: AppendColumns, lost: Exception | None = None) -> Awaitable[AppendResult]: ...


_OnResult = Callable[[AppendResult], None]


class _AppendAtOnce(Protocol):
    def __call__(self, columns: AppendColumns, on_result: _OnResult | None) -> Awaitable[AppendResult]: ...


@dataclass(frozen=True, slots=True)
class _GoAlone:
    lost: Exception | None


@dataclass(slots=True, eq=False)
class _Member:
    """An append that waits for a statement, or is in one.

    Attributes:
        columns: The events.
        outcome: The future result.
        characters: The length of the JSON.
        number: The place in the order of arrival.
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
    """Collects appends that arrive while others are in flight, and sends them together.

    Up to two statements are in flight, so that the writers of one prepare their next appends while
    the server works on the other. No two statements in flight share a stream, nor do two appends of
    one statement. If no statement is in flight, an append is sent with those of the same iteration
    of the event loop, so a single writer never waits. If none was in flight either when the append
    before it arrived, the writer is alone: its append is sent at once, without any of this.

    Args:
        send: Sends columns once, with a limit on the wait for locks.
        send_alone: Sends the columns of one append until there is an answer.
        append_at_once: Appends in the task of a lone writer; None to let it share as all others.
    """

    def __init__(
        self, send: _Send, send_alone: _SendAlone, append_at_once: _AppendAtOnce | None = None
    ) -> None:
        self._send = send
        self._send_alone = send_alone
        self._append_at_once = append_at_once
        self._is_shared = True
        """Whether another append was on its way when the latest one arrived."""
        self._lone: AppendColumns | None = None
        """The append of a lone writer that is in flight."""
        self._arrivals = count()
        self._ready: list[tuple[int, _Member]] = []
        """A heap, by number, of the members that hold all their streams and wait to be sent."""
        self._blocked: dict[UUID, deque[_Member] | None] = {}
        """The streams that members hold, each with the members that wait for it, in order.

        A member holds a stream from its arrival, or from the end of the member before it, until its
        answer.
        """
        self._sending: list[list[_Member]] = []
        """The groups in flight."""
        self._in_flight = 0
        self._starting = False
        self._looking = 0
        """How many tasks in flight have their answer and are about to take the next group."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, columns: AppendColumns, on_result: _OnResult | None = None) -> AppendResult:
        """Append, alone or with others. It raises the errors that the append would raise alone.

        A cancellation waits for the outcome, and is raised afterwards.

        Args:
            columns: The append.
            on_result: Called with the result, even if a cancellation is raised.
        """
        number, is_held = next(self._arrivals), False
        if not (self._is_shared or self._in_flight or self._blocked or self._append_at_once is None):
            result = await self._append_lone(columns, on_result, self._append_at_once)
            if result is not None:
                return result
            is_held = True
        characters = sum(map(len, columns.data)) + sum(map(len, columns.metadata))
        # If the caller is cancelled, the append still finishes, without a separate task.
        outcome: Outcome[AppendResult | _GoAlone] = Outcome(loop=asyncio.get_running_loop())
        self._enqueue(_Member(columns, outcome, characters, number), is_held=is_held)
        self._start_if_idle()
        try:
            known = await outcome
        except asyncio.CancelledError as cancelled:
            outcome.add_earlier(cancelled)
            if not outcome.cancelled() and outcome.exception() is None:
                with suppress(Exception):  # also if the append is refused, the cancellation is raised
                    await self._conclude(columns, outcome.result(), on_result)
            raise
        if isinstance(known, _GoAlone):
            return await finish(self._alone(columns, known.lost, on_result))
        if on_result is not None:
            on_result(known)
        return known

    async def _append_lone(
        self, columns: AppendColumns, on_result: _OnResult | None, append: _AppendAtOnce
    ) -> AppendResult | None:
        """Append in the caller's task; return None, with its streams held, if others came in the same step of the loop."""
        self._lone = columns
        self._blocked.update(dict.fromkeys(columns.heads))
        is_held = False
        try:
            await asyncio.sleep(0)
            is_held = self._is_shared
            if is_held:
                return None
            self._in_flight += 1
            try:
                return await append(columns, on_result)
            finally:
                self._in_flight -= 1
        finally:
            self._lone = None
            if not is_held:
                self._give_back(columns)
                if self._ready:
                    self._start_if_idle()

    async def _conclude(
        self,
        columns: AppendColumns,
        known: AppendResult | _GoAlone,
        on_result: _OnResult | None,
    ) -> None:
        if isinstance(known, _GoAlone):
            await finish(self._alone(columns, known.lost, on_result))
        elif on_result is not None:
            on_result(known)

    async def _alone(
        self, columns: AppendColumns, lost: Exception | None, on_result: _OnResult | None
    ) -> AppendResult:
        result = await self._send_alone(columns, lost)
        if on_result is not None:
            on_result(result)
        return result

    def _start_if_idle(self) -> None:
        """Start a task that sends the waiting members and those that arrive before it runs, unless another will do so."""
        if self._in_flight == _STATEMENTS_MAX or self._starting or self._looking:
            return
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
                if not (self._is_shared or self._ready):
                    break  # the next append of a lone writer is sent at once
                self._looking += 1
                try:
                    for _ in range(_LOOKS):
                        await asyncio.sleep(0)  # callers with an outcome may append again at once
                        if self._ready:
                            break
                finally:
                    self._looking -= 1
        finally:
            self._in_flight -= 1

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before it started
            self._starting = False
            self._release()

    def _release(self) -> None:
        """Let the waiting members send their appends separately.

        The event loop is ending, and a new task would never be awaited.
        """
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
        if self._lone is not None:
            self._blocked.update(dict.fromkeys(self._lone.heads))
        for number in sorted(waiting):
            waiting[number].resolve(_GoAlone(None))

    # The cost of an append does not depend on how many wait. Each is examined when it arrives, when
    # it becomes the first on its streams, and when it is sent.

    def _enqueue(self, member: _Member, *, is_held: bool = False) -> None:
        """Let a member hold its free streams, and queue for the others behind earlier members.

        Args:
            member: The member.
            is_held: Whether it holds all its streams already.
        """
        blocked = self._blocked
        self._is_shared = bool(blocked)
        for stream_id in () if is_held else member.columns.heads:
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
        """Take the members that may be sent together, in the order of arrival."""
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
                passed_over.append(member)  # it keeps its streams, and is sent before later members
                continue
            group.append(member)
            events += size
            characters += member.characters
        for member in passed_over:
            heappush(self._ready, (member.number, member))
        return group

    def _give_back(self, columns: AppendColumns) -> None:
        """Pass the streams of a finished append to the next members."""
        for stream_id in columns.heads:
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
            for member in group:
                self._give_back(member.columns)

    async def _send_and_resolve(self, group: list[_Member]) -> None:
        columns = group[0].columns
        if len(group) > 1:
            columns = columns.extended(member.columns for member in group[1:])
        try:
            result = await self._send(columns, lock_timeout=_GROUP_LOCK_TIMEOUT)
        except AnswerLostError as error:
            _let_go_alone(group, error)
        except Exception as error:  # noqa: BLE001 - sent alone, each member gets its own error
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
                _let_go_alone(group)  # each was written at a different time
            else:
                await self._share_out(result, group)

    async def _share_out(self, result: AppendResult, group: list[_Member]) -> None:
        """Give each member its result, in two halves if a large group is alone in flight.

        Otherwise all its writers would append again at the same time, and from then on the server
        and the writers would wait for each other in turns. So the next appends of the first half
        are sent before the second half continues.
        """
        half = len(group) // 2 if self._in_flight == 1 and len(group) >= _SPLIT_MEMBERS_MIN else len(group)
        start = _resolve(result, group[:half], 0)
        try:
            if half < len(group):
                await asyncio.sleep(0)  # the first half appends
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
