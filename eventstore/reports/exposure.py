"""The report of exposure: what is open, by symbol, strategy, portfolio and currency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from eventstore.core.event import RecordedEvent
from eventstore.domain.position import Position
from eventstore.reports.columns import amounts, integers
from eventstore.reports.filters import Question
from eventstore.reports.folding import BEFORE, Stream
from eventstore.reports.grouping import Groups, group_columns
from eventstore.reports.money import Rates
from eventstore.reports.periods import Periods, checked_by
from eventstore.reports.positions import valued
from eventstore.reports.reading import Moment, Reader, converter_of, has
from eventstore.reports.report import Report
from eventstore.time_slices import Slices, ordered

_AMOUNTS = ("long", "short", "gross", "net")
_BY = ("symbol", "strategy", "portfolio", "currency")


class Exposure:
    """The report of exposure, before it is read. See `Reports.exposure`."""

    def __init__(
        self, filters: Mapping[str, Any], *, by: Sequence[str] | str, rates: Rates | None, base: str | None
    ) -> None:
        self._by = checked_by(by, _BY)
        self.question = Question.of("exposure", filters, without=("from_",))
        self._rates, self._base = rates, base
        until = self.question.until
        self._before = None if until is None else _PositionsBefore(until)

    async def readers(self, _: Moment) -> Sequence[Reader]:
        """Return what reads the positions before the end of the range, if there is one."""
        return [] if self._before is None else [self._before]

    async def report(self, moment: Moment) -> Report:
        """Return the report."""
        if self._before is None:
            held = [pair async for pair in moment.open_positions()]
        else:
            held = await self._before.found(moment)
        positions = [(one, currency) for one, currency in held if one.is_open]
        portfolios = {one.portfolio_id for one, _ in positions}
        converter = await converter_of(moment, self._base, self._rates, portfolios)
        groups = Groups(self._by, Periods(None), ("positions", *_AMOUNTS), converter)
        slices = Slices()
        for one, currency in positions:
            await slices.rest()
            value = valued(one)
            side = {"long": value} if one.is_long else {"short": value}
            groups.add(one, None, currency, {**side, "gross": abs(value), "net": value})
            groups.count(one, None, currency, "positions")
        return Report(
            "exposure",
            (*group_columns(self._by), *integers("positions"), *amounts(*_AMOUNTS)),
            [
                (*of, int(sums["positions"]), *(sums[name] for name in _AMOUNTS))
                for of, sums in await groups.rows()
            ],
            through=moment.through,
            display=await moment.display(),
        )


class _PositionsBefore:
    """The positions before a time, as they are known at the moment."""

    types = Position.event_classes()
    streams: Collection[UUID] | None = None

    def __init__(self, until: datetime) -> None:
        self._until = until
        self._streams: dict[UUID, Stream[Position]] = {}

    def take(self, part: RecordedEvent) -> None:
        """Take the next event of a position in."""
        if part.occurred_at < self._until:
            self._streams.setdefault(part.stream_id, Stream(Position)).add(BEFORE, part)

    async def found(self, moment: Moment) -> list[tuple[Position, str | None]]:
        """Return those of the question with their currencies."""
        slices, wanted = Slices(), []
        for one in self._streams.values():
            await slices.rest()
            async for _, state, _ in one.states():
                if state is not None and has(moment.question, state):
                    wanted.append(state)
        return await moment.with_currencies(await ordered(wanted, key=lambda one: (one.opened_at, one.id)))
