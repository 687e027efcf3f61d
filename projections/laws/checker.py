"""The laws that every projection must satisfy, with a search for counter-examples on a real PostgreSQL.

    totality       `key` and `evolve` accept every event of the logs, and raise no error
    purity         `evolve` returns the same row for the same arguments each time, and does not change them
    batches        any split of the log into batches gives the same rows
    restarts       a crash and a restart anywhere give the same rows
    rebuild        a rebuild gives the same rows as the table that grew
    interleavings  any interleaving of the keys gives the same rows
    round trip     PostgreSQL returns a row unchanged, under the key of its events
    fresh reads    the row and the events after it give what the table has when it has caught up

A key whose event is refused stays in quarantine, whatever is done with the log, so it shows nothing about the
other laws: that is why totality is the first law. Each law is tested alone, with everything else fixed: for
example, batches are not cut while restarts are tested. So the error names the law that a projection breaks.
Needs the extra `testing`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.errors import ConfigurationError
from eventstore.limits import check_count
from eventstore.portable import PortableError

if importlib.util.find_spec("hypothesis") is None:  # pragma: no cover - a test runs it without
    raise ConfigurationError(
        "projections.laws.checker needs Hypothesis: pip install 'trading-eventstore[testing]'"
    )

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, strategies as st

from eventstore.core.event import Event
from eventstore.testing.scratch import EventLoopThread, scratch_database
from eventstore.testing.strategies import (
    LoggedEvent,
    enveloped,
    event_logs,
    events_of,
    histories_of,
    order_histories,
    portfolio_histories,
    position_histories,
)
from projections.laws.plans import LAWS, BrokenLawError, Plan
from projections.laws.trials import Trial
from projections.projection import EntityProjection, Projection

if TYPE_CHECKING:
    from eventstore.database.config import DatabaseConfig

EXAMPLES = 20
"""The default number of logs for each law."""

_KNOWN = {
    "order": order_histories,
    "position": position_histories,
    "portfolio": portfolio_histories,
}
_STREAMS = 3
# A projection that breaks one of these laws breaks every other law too.
_FIRST = ("totality", "purity")
_EVENTS_MAX = 12


class LawsBrokenError(PortableError, AssertionError):
    """A projection breaks laws.

    Attributes:
        laws: Their names.
    """

    def __init__(self, projection: str, broken: Sequence[BrokenLawError]) -> None:
        told = "\n\n".join(str(error) for error in broken)
        super().__init__(f"the projection {projection} breaks {len(broken)} law(s)\n\n{told}")
        self.laws = tuple(error.law for error in broken)


def check_laws(
    projection: Callable[[], Projection[Any]],
    *,
    events: st.SearchStrategy[Any] | None = None,
    database: DatabaseConfig | str | None = None,
    refusals: tuple[type[Exception], ...] = (),
    examples: int = EXAMPLES,
) -> None:
    """Check that a projection satisfies every law, on a database that is created for it and dropped.

    Call it from a plain test function. It also works in a coroutine, but blocks the event loop.

    Args:
        projection: Its class, or a function that makes one: the laws need new instances, as other processes have.
        events: The source of logs: a strategy of events, which are put on a few streams, or of whole logs (sequences
            of `LoggedEvent`). None for `default_logs`.
        database: A server, or its URL, whose user may create databases. None for the one that
            `EVENTSTORE_TEST_DATABASE_URL` names, or an embedded one.
        refusals: Errors by which `evolve` refuses an event on purpose. The event's key is then in quarantine,
            however the log is folded.
        examples: The number of logs for each law; more if none of them gave a row.

    Raises:
        LimitError: `examples` is below 1.
        LawsBrokenError: Laws are broken. Each is named with the shortest log that was found and its result.
        ConfigurationError: No log gave a row for a law, so it checked nothing; the table does not fit its rows; or
            there is no server.
        ConnectionError: The server cannot be reached.
    """
    check_count("examples", examples)
    one = projection()
    plans = _plans(default_logs(one) if events is None else _logs(events))
    with EventLoopThread() as thread, thread.entered(scratch_database(database)) as scratch:
        trial = Trial(scratch, projection, refusals)
        thread.run(trial.prepare())
        broken = []
        rows = {}
        for law in LAWS:
            for logs in (examples, 4 * examples, 16 * examples):
                error, rows[law] = _search(law, plans, thread, trial, logs)
                if error is not None or rows[law]:
                    break
            if error is not None:
                broken.append(error)
                if law in _FIRST:
                    break
    if broken:
        raise LawsBrokenError(one.name, broken)
    idle = [law for law, seen in rows.items() if not seen]
    if idle:
        what = (
            "nothing was checked" if len(idle) == len(LAWS) else f"nothing was checked of {', '.join(idle)}"
        )
        raise ConfigurationError(
            f"no log gave a row of projection {one.name}, so {what}: give events=, "
            "a strategy of events that it can fold"
        )


def default_logs(projection: Projection[Any]) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Return a strategy of logs for a projection, by its event types.

    Events of orders, positions and portfolios form legal life cycles; those of another entity's projection form
    streams that begin with the creating event; all others are any events of these types, generated from their fields.
    """
    if isinstance(projection, EntityProjection) and projection.entity.category not in _KNOWN:
        return histories_of(projection.entity)
    known: list[Any] = [_KNOWN[category]() for category in projection.categories if category in _KNOWN]
    if known and len(known) == len(projection.categories):
        return event_logs(*known)
    return _on_streams(events_of(*projection.events))


def _logs(given: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """Accept a strategy of events or of logs."""
    streams = st.integers(0, _STREAMS - 1)

    def as_logs(first: Any) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
        if not isinstance(first, Event):
            return st.just(tuple(first))
        others = st.lists(st.tuples(streams, given), max_size=_EVENTS_MAX - 1)
        return enveloped(others.map(lambda more: _placed([(0, first), *more])))

    return given.flatmap(as_logs)


def _on_streams(events: st.SearchStrategy[Event]) -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    placed = st.tuples(st.integers(0, _STREAMS - 1), events)
    return enveloped(st.lists(placed, min_size=1, max_size=_EVENTS_MAX).map(_placed))


def _placed(drawn: Sequence[tuple[int, Event]]) -> tuple[LoggedEvent, ...]:
    # A stream has one category.
    return tuple(
        LoggedEvent(UUID(int=1 + number + _STREAMS * _place(event.category)), event)
        for number, event in drawn
    )


def _place(category: str) -> int:
    return int.from_bytes(category.encode(), "big") % 9973


def _plans(logs: st.SearchStrategy[tuple[LoggedEvent, ...]]) -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan,
        log=logs.filter(bool),
        cuts=st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple),
        at=st.integers(0, _EVENTS_MAX),
        order=st.lists(st.integers(0, 8), min_size=1, max_size=2 * _EVENTS_MAX).map(tuple),
    )


def _search(
    law: str, plans: st.SearchStrategy[Plan], thread: EventLoopThread, trial: Trial, examples: int
) -> tuple[BrokenLawError | None, int]:
    """Search for a log that breaks a law; return the shortest that was found, and how many rows were compared."""
    rows = 0

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(plans)
    def tried(plan: Plan) -> None:
        nonlocal rows
        rows += thread.run(trial.run(law, plan))

    try:
        tried()
    except BrokenLawError as error:
        return error, rows
    return None, rows
