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
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from eventstore.errors import ConcurrencyError
from eventstore.log.records import AppendColumns, AppendResult

__all__ = ["AnswerLostError", "GroupCommit"]

_GROUP_LOCK_TIMEOUT = "50ms"  # longer than any append takes, shorter than anyone would wait for a stranger
_GROUP_EVENTS_MAX = 1_000
_GROUP_MEMBERS_MAX = 256


class AnswerLostError(Exception):
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
    columns: AppendColumns
    outcome: asyncio.Future[AppendResult | _GoAlone]

    def settle(self, outcome: AppendResult | _GoAlone) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class GroupCommit:
    """Appends that wait for the statement in flight, and then go together.

    An append that finds none in flight goes at once: idle writers pay nothing.

    Args:
        send: Sends columns once, with a bound on its wait for locks.
        send_alone: Sends columns of one append until there is an answer.
    """

    def __init__(self, send: _Send, send_alone: _SendAlone) -> None:
        self._send = send
        self._send_alone = send_alone
        self._waiting: deque[_Member] = deque()
        self._in_flight = False
        self._task: asyncio.Task[None] | None = None

    async def append(self, columns: AppendColumns) -> AppendResult:
        """Append, alone or with others; raises what the append would have raised alone."""
        member = _Member(columns, asyncio.get_running_loop().create_future())
        if self._in_flight:
            self._waiting.append(member)
        else:
            await self._send_and_hand_over([member])
        outcome = await member.outcome
        if isinstance(outcome, _GoAlone):
            return await self._send_alone(columns, outcome.lost)
        return outcome

    async def _send_and_hand_over(self, group: list[_Member]) -> None:
        """Send a group; those that came meanwhile are then sent by a task of their own."""
        self._in_flight = True
        try:
            await self._send_group(group)
        except BaseException:
            self._release()
            raise
        if self._waiting:
            self._task = asyncio.create_task(self._send_waiting(), name="eventstore group commit")
        else:
            self._in_flight = False

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._send_group(self._next_group())
        finally:
            self._release()

    def _release(self) -> None:
        """Let those who still wait send for themselves: a cancelled loop starts no task that nobody would end."""
        self._in_flight = False
        while self._waiting:
            self._waiting.popleft().settle(_GoAlone(None))

    def _next_group(self) -> list[_Member]:
        group: list[_Member] = []
        streams: set[UUID] = set()
        events = 0
        left: deque[_Member] = deque()
        while self._waiting and len(group) < _GROUP_MEMBERS_MAX:
            member = self._waiting.popleft()
            size = len(member.columns.versions)
            if streams.isdisjoint(member.columns.heads) and (not group or events + size <= _GROUP_EVENTS_MAX):
                group.append(member)
                events += size
            else:
                left.append(member)
            # A member left behind keeps its place before later ones of the same stream.
            streams.update(member.columns.heads)
        left.extend(self._waiting)
        self._waiting = left
        return group

    async def _send_group(self, group: list[_Member]) -> None:
        columns = group[0].columns
        if len(group) > 1:
            columns = columns.extended(member.columns for member in group[1:])
        try:
            result = await self._send(columns, lock_timeout=_GROUP_LOCK_TIMEOUT)
        except AnswerLostError as error:
            for member in group:
                member.settle(_GoAlone(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised by whom it concerns
            if len(group) == 1 and isinstance(error, ConcurrencyError):
                group[0].fail(error)
                return
            for member in group:
                member.settle(_GoAlone(None))
        except BaseException:  # cancelled, as at the end of the event loop
            for member in group:
                member.outcome.cancel()
            raise
        else:
            _share_out(result, group)


def _share_out(result: AppendResult, group: list[_Member]) -> None:
    start = 0
    for member in group:
        end = start + len(member.columns.versions)
        member.settle(AppendResult(result.positions[start:end], result.recorded_at, result.repeated))
        start = end
