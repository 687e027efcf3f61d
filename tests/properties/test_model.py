"""The whole engine against a model of a few lines, on a real PostgreSQL.

Any sequence of appends, held transactions, crashes, lost leases, quarantines, retries, rebuilds and changes of partitions.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eventstore.core.event import Event, PendingEvent, RecordedEvent
from eventstore.database.protocols import the_row
from eventstore.errors import CheckpointMovedError, ConcurrencyError, QuarantinedKeysError
from eventstore.log import EventLog
from eventstore.log.high_water_mark import HighWaterMark
from eventstore.log.records import AppendColumns, AppendResult, StagedEvent, to_columns
from eventstore.sql import load, template
from eventstore.testing.scratch import EventLoopThread, ScratchDatabase, scratch_database
from projections import Projection, ProjectionWorker, Table, fresh_rows
from projections.check import compare_with_fold
from projections.engine import partitions, set_partitions, worker
from projections.engine.batch import fold_into
from projections.engine.lease import PartitionLease
from projections.fresh_rows import FreshRows
from projections.keys import key_text, partition_of
from projections.quarantine import list_quarantined, retry
from projections.rebuild import rebuild
from tests.scale import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.database import DatabaseConfig

SYMBOLS = ("A", "B", "C")
STREAMS = tuple(UUID(int=number) for number in range(1, 5))
HELD_MAX = 2


class Noted(Event, category="tested note"):
    """Something to be counted once and in order; poison cannot be folded while the code is broken."""

    symbol: str
    is_poison: bool = False


@dataclass(frozen=True)
class Notes:
    """Every event of a symbol that was folded, in the order in which it was."""

    symbol: str
    seen: tuple[str, ...]


class NotesProjection(Projection[Notes]):
    """Keeps the order of what it folds, so that nothing twice, missing or out of order escapes."""

    name = "notes"
    table = Table("notes", row=Notes, key=("symbol",))
    events = (Noted,)
    is_broken = False
    crash_in: int | None = None

    def key(self, event: RecordedEvent) -> tuple[Any, ...]:
        """The symbol: events of several streams meet in a row."""
        return (_noted(event).symbol,)

    def evolve(self, row: Notes | None, event: RecordedEvent) -> Notes | None:
        """One more, unless the code is broken and it is poison."""
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise CrashError
        note = _noted(event)
        if note.is_poison and type(self).is_broken:
            raise ValueError(f"the code is broken: {note}")
        row = row or Notes(note.symbol, ())
        return replace(row, seen=(*row.seen, told(event.stream_id, event.version)))


class CrashError(BaseException):
    """The worker's process ends here."""


def _noted(event: RecordedEvent) -> Noted:
    assert isinstance(event.event, Noted)
    return event.event


def told(stream_id: UUID, version: int) -> str:
    """An event's name in a row."""
    return f"{stream_id.int}/{version}"


@dataclass(frozen=True)
class Fact:
    """What the model knows of an event."""

    position: int
    stream_id: UUID
    version: int
    symbol: str
    is_poison: bool


@dataclass
class Held:
    """A transaction that has drawn positions and is not decided."""

    stack: AsyncExitStack
    transaction: Any
    facts: list[Fact]


notes = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.sampled_from([False, False, False, True])), min_size=1, max_size=3
)
streams = st.sampled_from(STREAMS)
Drawn = list[tuple[str, bool]]


class Engine(RuleBasedStateMachine):
    """What can happen to a log and one projection of it."""

    thread: EventLoopThread
    scratch: ScratchDatabase
    group_commit = True

    def __init__(self) -> None:
        super().__init__()
        NotesProjection.is_broken = True
        self.committed: list[Fact] = []
        self.held: list[Held] = []
        self.workers: list[ProjectionWorker[Notes]] = []
        self.log = EventLog(self.scratch.connection, group_commit=self.group_commit)
        self.run(self.scratch.empty("notes"))
        self.workers = [self.new_worker(0)]
        self.run(self.workers[0].run_once(wait=False))

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.thread.run(work)

    def new_worker(self, partition: int, *, batch_events_max: int = 100) -> ProjectionWorker[Notes]:
        """A worker that knows nothing yet."""
        return ProjectionWorker(
            self.log, NotesProjection(), partition=partition, batch_events_max=batch_events_max
        )

    # ---- writers ---------------------------------------------------------------------------------------------

    def _is_free(self, stream_id: UUID) -> bool:
        return all(fact.stream_id != stream_id for one in self.held for fact in one.facts)

    def _staged(self, stream_id: UUID, drawn: Drawn) -> list[StagedEvent]:
        version = sum(fact.stream_id == stream_id for fact in self.committed)
        return [
            StagedEvent(
                stream_id, version + number, PendingEvent(uuid4(), Noted(symbol=symbol, is_poison=poison))
            )
            for number, (symbol, poison) in enumerate(drawn, 1)
        ]

    @staticmethod
    def _facts(staged: list[StagedEvent], positions: tuple[int, ...]) -> list[Fact]:
        facts = []
        for one, position in zip(staged, positions, strict=True):
            event = one.pending.event
            assert isinstance(event, Noted)
            facts.append(Fact(position, one.stream_id, one.version, event.symbol, event.is_poison))
        return facts

    @rule(stream_id=streams, drawn=notes)
    def append(self, stream_id: UUID, drawn: Drawn) -> None:
        """A writer commits."""
        if self._is_free(stream_id):
            staged = self._staged(stream_id, drawn)
            result = self.run(self.log.append_staged(staged))
            self.committed += self._facts(staged, result.positions)

    @rule(stream_id=streams, drawn=notes, behind=st.sampled_from([-1, 1]))
    def conflict(self, stream_id: UUID, drawn: Drawn, behind: int) -> None:
        """A writer who has seen another version is refused, and nothing of his is written."""
        version = sum(fact.stream_id == stream_id for fact in self.committed)
        if self._is_free(stream_id) and version + behind >= 0:
            staged = [one._replace(version=one.version + behind) for one in self._staged(stream_id, drawn)]
            with pytest.raises(ConcurrencyError):
                self.run(self.log.append_staged(staged))

    @rule(drawn=st.dictionaries(streams, notes, min_size=2), stale=st.none() | streams)
    def append_together(self, drawn: dict[UUID, Drawn], stale: UUID | None) -> None:
        """Writers commit at once, one of them perhaps with another version: he alone is refused."""
        staged = {
            stream_id: [
                one._replace(version=one.version + (stream_id == stale))
                for one in self._staged(stream_id, each)
            ]
            for stream_id, each in drawn.items()
            if self._is_free(stream_id)
        }
        outcomes = self.run(self._append_together(list(staged.values())))
        facts = list(self.committed)
        for (stream_id, events), outcome in zip(staged.items(), outcomes, strict=True):
            if stream_id == stale:
                assert isinstance(outcome, ConcurrencyError)
            else:
                assert isinstance(outcome, AppendResult)
                facts += self._facts(events, outcome.positions)
        assert len({fact.position for fact in facts}) == len(facts)
        self.committed = sorted(facts, key=lambda fact: fact.position)

    async def _append_together(self, appends: list[list[StagedEvent]]) -> list[AppendResult | BaseException]:
        return await asyncio.gather(*map(self.log.append_staged, appends), return_exceptions=True)

    @precondition(lambda self: len(self.held) < HELD_MAX)
    @rule(stream_id=streams, drawn=notes)
    def hold(self, stream_id: UUID, drawn: Drawn) -> None:
        """A writer draws positions and does not end his transaction."""
        if self._is_free(stream_id):
            staged = self._staged(stream_id, drawn)
            self.held.append(self.run(self._hold(staged, to_columns(staged))))

    async def _hold(self, staged: list[StagedEvent], columns: AppendColumns) -> Held:
        stack = AsyncExitStack()
        connection = await stack.enter_async_context(self.scratch.connection.acquire())
        transaction = connection.transaction()
        await transaction.start()
        result = await self.log.append_in(connection, columns)
        return Held(stack, transaction, self._facts(staged, result.positions))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), commits=st.booleans())
    def release(self, data: st.DataObject, commits: bool) -> None:
        """A held transaction commits, so that events appear before others; or rolls back, so that they never do."""
        one = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.run(self._release(one, commits=commits))
        if commits:
            self.committed = sorted([*self.committed, *one.facts], key=lambda fact: fact.position)

    @staticmethod
    async def _release(one: Held, *, commits: bool) -> None:
        await (one.transaction.commit() if commits else one.transaction.rollback())
        await one.stack.aclose()

    @rule(stream_id=streams, drawn=notes)
    def roll_back(self, stream_id: UUID, drawn: Drawn) -> None:
        """A writer draws positions and rolls back: a gap for ever."""
        if self._is_free(stream_id):
            staged = self._staged(stream_id, drawn)
            self.run(self._release(self.run(self._hold(staged, to_columns(staged))), commits=False))

    # ---- workers ---------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 7))
    def step(self, number: int) -> None:
        """A worker folds a batch, if it may: one whose partition was taken over or is gone is refused, and starts anew."""
        index = number % len(self.workers)
        one = self.workers[index]
        try:
            self.run(one.run_once(wait=False))
        except CheckpointMovedError:
            self.workers[index] = self.new_worker(one.partition if one.partition < self._partitions() else 0)

    @rule(number=st.integers(0, 7), at=st.integers(0, 3))
    def crash(self, number: int, at: int) -> None:
        """A worker dies in the middle of a batch, and another one comes."""
        index = number % len(self.workers)
        partition = self.workers[index].partition
        dying = self.new_worker(partition if partition < self._partitions() else 0)
        dying.projection.crash_in = at  # type: ignore[attr-defined]
        try:
            self.run(dying.run_once(wait=False))
        except CrashError:
            self.workers[index] = self.new_worker(dying.partition)

    @rule(partition=st.integers(0, 2))
    def lose_lease(self, partition: int) -> None:
        """Another worker takes the partition over, as after a pause: whoever had it may write no more."""
        if partition < self._partitions():
            heir = PartitionLease(self.log, "notes", partition, lease_s=0.001)
            assert self.run(heir.take()) is not None
            self.run(heir.release())

    @rule(count=st.integers(1, 3), stream_id=streams, drawn=notes)
    def change_partitions(self, count: int, stream_id: UUID, drawn: Drawn) -> None:
        """The projection is split anew while a worker is at work; the workers of before go on until they are refused."""
        self.step(len(self.workers) - 1)
        self.run(set_partitions(self.log, NotesProjection(), count))
        self.workers = [*self.workers[-2:], *(self.new_worker(partition) for partition in range(count))]
        self.append(stream_id, drawn)
        self.step(len(self.workers) - count - 1)

    def _partitions(self) -> int:
        return len(self.run(self._fetch("projections/list_partitions", "notes")))

    # ---- quarantine and rebuild --------------------------------------------------------------------------------

    @rule(is_broken=st.booleans())
    def deploy(self, is_broken: bool) -> None:
        """Another version of the code runs: poison can be folded, or no longer."""
        NotesProjection.is_broken = is_broken

    @rule()
    def retry(self) -> None:
        """Every key in quarantine is tried again; it comes out where the code is repaired, and only there."""
        for one in self.run(list_quarantined(self.log, "notes")):
            is_repaired = self.run(retry(self.log, NotesProjection(), one.key))
            assert is_repaired or NotesProjection.is_broken

    @precondition(lambda self: not self.held)
    @rule()
    def rebuild(self) -> None:
        """The table is built anew and put in the place of the live one."""
        self.run(rebuild(self.log, NotesProjection()))

    # ---- what holds at every point in time ----------------------------------------------------------------------------

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        async with self.scratch.connection.acquire() as connection:
            rows: list[Any] = await connection.fetch(load(statement, connection), *arguments)
            return rows

    async def _table(self) -> dict[str, tuple[str, ...]]:
        async with self.scratch.connection.acquire() as connection:
            rows = await connection.fetch(NotesProjection.table.select_all())
        decoded = [NotesProjection.table.codec.decode(row) for row in rows]
        return {row.symbol: row.seen for row in decoded}

    def _of(self, symbol: str) -> list[Fact]:
        return [fact for fact in self.committed if fact.symbol == symbol]

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """No checkpoint passes what is undecided; each event is folded once and in order; reads are fresh."""
        self.run(self._check())

    async def _check(self) -> None:
        checkpoints = [row["position"] for row in await self._fetch("projections/list_partitions", "notes")]
        undecided = [fact.position for one in self.held for fact in one.facts]
        assert not undecided or max(checkpoints) < min(undecided), "a checkpoint passed an undecided position"
        held = {one.key: one.position for one in await list_quarantined(self.log, "notes")}
        table = await self._table()
        stuck = set()
        for symbol in SYMBOLS:
            facts = self._of(symbol)
            key = key_text((symbol,))
            folded = [
                f for f in facts if f.position <= checkpoints[partition_of((symbol,), len(checkpoints))]
            ]
            if key in held:
                (first,) = (fact for fact in facts if fact.position == held[key])
                assert first.is_poison, "a key is in quarantine for an event that is no poison"
                folded = [fact for fact in folded if fact.position < held[key]]
            wanted = tuple(told(fact.stream_id, fact.version) for fact in folded)
            assert table.get(symbol, ()) == wanted, f"the row of {symbol}"
            if NotesProjection.is_broken and any(fact.is_poison for fact in facts[len(folded) :]):
                stuck.add(key)
        try:
            fresh = {row.symbol: row.seen for row in await FreshRows(self.log, NotesProjection()).list()}
        except QuarantinedKeysError as error:
            refused = set(error.keys)
            assert refused == stuck, "a fresh read refused other keys"
        else:
            assert not stuck, "a fresh read passed over what cannot be folded"
            wanted_now = {
                symbol: tuple(told(f.stream_id, f.version) for f in self._of(symbol)) for symbol in SYMBOLS
            }
            assert fresh == {symbol: seen for symbol, seen in wanted_now.items() if seen}, "a fresh read"

    def teardown(self) -> None:
        """In the end all is decided, the code is repaired, and the table has every event that was committed."""
        NotesProjection.is_broken = False
        for one in self.held:
            self.run(self._release(one, commits=False))
        self.held = []
        for partition in range(self._partitions()):
            last = self.new_worker(partition)
            while self.run(last.run_once()):
                pass
        self.retry()
        self.all_is_as_the_model_says()
        self.run(self._all_is_folded())

    async def _all_is_folded(self) -> None:
        table = await self._table()
        assert sorted(name for seen in table.values() for name in seen) == sorted(
            told(fact.stream_id, fact.version) for fact in self.committed
        )
        assert (await compare_with_fold(self.log, NotesProjection())).is_equal


@pytest.fixture(scope="module")
def engine(server_config: DatabaseConfig) -> Iterator[type[Engine]]:
    """The machine, on a database for this module."""
    with EventLoopThread() as thread, thread.entered(scratch_database(server_config)) as scratch:
        thread.run(_create(scratch))

        class OnScratch(Engine):
            pass

        OnScratch.thread, OnScratch.scratch = thread, scratch
        yield OnScratch


async def _create(scratch: ScratchDatabase) -> None:
    async with scratch.connection.acquire() as connection:
        await connection.execute(NotesProjection.table.create())


def play(engine: type[Engine], *, max_examples: int, steps: int = 30, shrinks: bool = True) -> None:
    """Let Hypothesis look for a sequence of rules that breaks an invariant."""
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    run_state_machine_as_test(
        engine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.parametrize("group_commit", [True, False], ids=["group-commit", "each-alone"])
def test_the_engine_is_what_the_model_says(engine: type[Engine], group_commit: bool):
    """Any sequence of rules: nothing undecided is passed, each event counts once and in order, reads are fresh."""

    class Played(engine):  # type: ignore[misc, valid-type]
        pass

    Played.group_commit = group_commit
    play(Played, max_examples=examples(6))


# ---- the model finds what it is there to find ---------------------------------------------------------------


def _ignore_gaps(patch: pytest.MonkeyPatch) -> None:
    """Whatever is visible is taken to be final."""

    async def advance(self: HighWaterMark, after: int, **_: Any) -> int:
        async with self._source.acquire() as connection:
            head: int = the_row(
                await connection.fetchrow(load("log/scan_positions", connection), after, 10_000)
            )["head"]
        return max(after, head)

    patch.setattr(HighWaterMark, "advance", advance)


def _statement(patch: pytest.MonkeyPatch, module: Any, name: str, before: str, after: str) -> None:
    """Change the text of one statement."""
    assert before in template(name)
    patch.setattr(
        module,
        "load",
        lambda one, connection: (
            load(one, connection).replace(before, after) if one == name else load(one, connection)
        ),
    )


def _move_any_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """A checkpoint is moved wherever it is and whoever holds it."""
    name = "projections/move_checkpoint"
    text = template(name)
    start = text.index("AND projection_checkpoints.position = $3::bigint")
    end = text.index("epoch = $4::bigint") + len("epoch = $4::bigint")
    _statement(patch, worker, name, text[start:end], "AND $3::bigint + $4::bigint IS NOT NULL")


def _fold_twice(patch: pytest.MonkeyPatch) -> None:
    """A batch is folded twice."""

    async def twice(*arguments: Any, **more: Any) -> None:
        await fold_into(*arguments, **more)
        await fold_into(*arguments, **more)

    patch.setattr(worker, "fold_into", twice)


def _keep_epochs(patch: pytest.MonkeyPatch) -> None:
    """A change of partitions leaves their epochs, so that the workers of before go on."""
    _statement(
        patch,
        partitions,
        "projections/set_partitions",
        "epoch = EXCLUDED.epoch",
        "epoch = projection_checkpoints.epoch",
    )


def _forget_quarantine(patch: pytest.MonkeyPatch) -> None:
    """A fresh read does not look for what waits in quarantine."""
    original = fresh_rows._Tail.__init__

    def without(self: Any, projection: Any, rows: Any, _held: Any, *more: Any, **named: Any) -> None:
        original(self, projection, rows, [], *more, **named)

    patch.setattr(fresh_rows._Tail, "__init__", without)


def _forget_to_wait(patch: pytest.MonkeyPatch) -> None:
    """Later events of a key in quarantine are folded as if nothing had happened."""

    async def none(*_: Any) -> frozenset[str]:
        return frozenset()

    patch.setattr(worker, "quarantined_keys", none)


MUTATIONS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "gap detection ignores gaps": _ignore_gaps,
    "any worker moves the checkpoint": _move_any_checkpoint,
    "a batch is folded twice": _fold_twice,
    "a change of partitions keeps the epochs": _keep_epochs,
    "fresh reads forget the quarantine": _forget_quarantine,
    "keys in quarantine do not wait": _forget_to_wait,
}


@pytest.mark.full
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_model_finds_a_mutation(engine: type[Engine], monkeypatch: pytest.MonkeyPatch, mutation: str):
    """The code is changed in one place: the machine finds it."""
    MUTATIONS[mutation](monkeypatch)
    with pytest.raises((AssertionError, CheckpointMovedError)):
        play(engine, max_examples=400, steps=40, shrinks=False)
