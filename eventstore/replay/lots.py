"""The lots of positions, and the tax lots of a portfolio, from the executions in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, overload
from uuid import UUID

from eventstore.core.context import bound_in_utc, exact, plain
from eventstore.core.event import RecordedEvent, with_derived
from eventstore.domain.lot_steps import LotsOfPosition
from eventstore.domain.lots import Chosen, LotMatch, LotMethod, Lots, lot_method
from eventstore.domain.money import CurrencyAmount, add_amount
from eventstore.domain.portfolio import PortfolioCreated
from eventstore.domain.position import Position, PositionAmended, PositionMarked, PositionOpened
from eventstore.errors import ConfigurationError, DomainError, PortfolioNotFoundError, PositionNotFoundError
from eventstore.limits import check_count
from eventstore.log.event_log import EventLog
from eventstore.replay.bounds import Bound, bound
from eventstore.replay.replay import Replay
from eventstore.time_slices import Slices, ordered

_ZERO = Decimal(0)
_YEAR_MAX = 9998
_EXECUTIONS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class TaxLotTotal:
    """The sums of a tax-lot report in one currency.

    Attributes:
        currency: The currency of the amounts; None for positions without one.
        matches: How many matches they are of.
        proceeds: What was received.
        cost: What was paid.
        realized_pnl: Proceeds - cost, before commissions.
        commission: The commissions in this currency.
        other_commissions: The commissions in other currencies and coins.
    """

    currency: str | None
    matches: int
    proceeds: Decimal
    cost: Decimal
    realized_pnl: Decimal
    commission: Decimal
    other_commissions: tuple[CurrencyAmount, ...] = ()

    @property
    @exact
    def net_pnl(self) -> Decimal:
        """The result after the commissions in this currency."""
        return plain(self.realized_pnl - self.commission)


@dataclass(frozen=True, slots=True)
class TaxLotReport(Sequence[LotMatch]):
    """What a portfolio closed in a time, lot by lot: a sequence of matches, in the order of their closes.

    Attributes:
        portfolio_id: The portfolio.
        method: Which lot a trade closes first.
        start: Only closes at this time or later; None: from the beginning.
        end: Only closes before this time; None: to the end.
        matches: The matches.
    """

    portfolio_id: UUID
    method: LotMethod
    start: datetime | None
    end: datetime | None
    matches: tuple[LotMatch, ...]

    @overload
    def __getitem__(self, index: int) -> LotMatch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LotMatch]: ...
    def __getitem__(self, index: int | slice) -> LotMatch | Sequence[LotMatch]:
        return self.matches[index]

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[LotMatch]:
        return iter(self.matches)

    @property
    def totals(self) -> tuple[TaxLotTotal, ...]:
        """The sums, one for each currency: amounts of different currencies are never added up."""
        by_currency: dict[str | None, list[LotMatch]] = {}
        for match in self.matches:
            by_currency.setdefault(match.currency, []).append(match)
        return tuple(
            _total(currency, by_currency[currency])
            for currency in sorted(by_currency, key=lambda name: name or "")
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each match, as `pandas.DataFrame` or `pyarrow.Table.from_pylist` take them."""
        return [
            {
                "symbol": match.symbol,
                "currency": match.currency,
                "position_id": match.position_id,
                "quantity": match.quantity,
                "is_long": match.lot.is_long,
                "opened_at": match.opened_at,
                "closed_at": match.closed_at,
                "holding_days": match.holding_period.days,
                "opening_execution_id": match.lot.execution_id,
                "closing_execution_id": match.execution_id,
                "proceeds": match.proceeds,
                "cost": match.cost,
                "realized_pnl": match.realized_pnl,
                "commission": match.commission,
                "net_pnl": match.net_pnl,
                "is_chosen": match.is_chosen,
            }
            for match in self.matches
        ]


@exact
def _total(currency: str | None, matches: Sequence[LotMatch]) -> TaxLotTotal:
    others: tuple[CurrencyAmount, ...] = ()
    for match in matches:
        for one in match.other_commissions:
            others = add_amount(others, one.currency, one.amount)
    return TaxLotTotal(
        currency=currency,
        matches=len(matches),
        proceeds=plain(sum((match.proceeds for match in matches), _ZERO)),
        cost=plain(sum((match.cost for match in matches), _ZERO)),
        realized_pnl=plain(sum((match.realized_pnl for match in matches), _ZERO)),
        commission=plain(sum((match.commission for match in matches), _ZERO)),
        other_commissions=others,
    )


async def lots(
    log: EventLog,
    position_id: UUID,
    *,
    method: LotMethod = LotMethod.FIFO,
    chosen: Chosen | None = None,
    through: Bound | None = None,
) -> Lots:
    """Return the lots of a position. See `EventStore.lots`."""
    lot_method(method, chosen)
    with log.server.steady():
        read = await _read(log, [position_id], through)
    if position_id not in read:
        raise PositionNotFoundError(position_id, category="position")
    _check_chosen(chosen, read.values())
    return await _lots_of(read[position_id], method, chosen)


async def _lots_of(position: LotsOfPosition, method: LotMethod, chosen: Chosen | None) -> Lots:
    """Return the lots of a position, those of a long one in a thread: 100,000 executions take seconds."""
    if len(position.steps.steps) <= _EXECUTIONS_AT_ONCE:
        return position.lots(method, chosen)
    return await asyncio.to_thread(position.lots, method, chosen)


async def tax_lots(
    log: EventLog,
    portfolio_id: UUID,
    *,
    method: LotMethod = LotMethod.FIFO,
    year: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    chosen: Chosen | None = None,
    through: Bound | None = None,
) -> TaxLotReport:
    """Return what a portfolio closed in a time, lot by lot. See `EventStore.tax_lots`."""
    kind = lot_method(method, chosen)
    first, last = _range(year, start, end)
    with log.server.steady():
        through = await log.head() if through is None else bound("through", through)
        opened = Replay(
            log, categories=["position"], types=with_derived(PositionOpened, PositionAmended), through=through
        )
        positions = {
            part.stream_id
            async for recorded in opened
            for part in recorded.upcast_events
            if getattr(part.event, "portfolio_id", None) == portfolio_id
        }
        read = await _read(log, sorted(positions), through) if positions else {}
        if not positions and not await _exists(log, portfolio_id, through):
            raise PortfolioNotFoundError(portfolio_id, category="portfolio")
    own = [position for position in read.values() if position.values["portfolio_id"] == portfolio_id]
    _check_chosen(chosen, own)
    slices, matches = Slices(), list[LotMatch]()
    for position in own:
        found = (await _lots_of(position, kind, chosen)).matches
        matches += [
            match
            for match in found
            if (first is None or match.closed_at >= first) and (last is None or match.closed_at < last)
        ]
        await slices.rest()
    matches = await ordered(
        matches, lambda match: (match.closed_at, match.symbol or "", match.opened_at, match.lot.number)
    )
    return TaxLotReport(portfolio_id, kind, first, last, tuple(matches))


def _range(
    year: int | None, start: datetime | None, end: datetime | None
) -> tuple[datetime | None, datetime | None]:
    if year is None:
        first = None if start is None else bound_in_utc(start)
        last = None if end is None else bound_in_utc(end)
        if first is not None and last is not None and first > last:
            raise ConfigurationError(f"the range ends at {last}, before it starts at {first}")
        return first, last
    if start is not None or end is not None:
        raise ConfigurationError("give either year, or start and end")
    if check_count("year", year) > _YEAR_MAX:
        raise ConfigurationError(f"year must be at most {_YEAR_MAX}, not {year}")
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)


async def _exists(log: EventLog, portfolio_id: UUID, through: Bound) -> bool:
    replay = Replay(log, streams=[portfolio_id], types=[PortfolioCreated], through=through)
    return bool([one async for one in replay])


async def _read(log: EventLog, streams: Sequence[UUID], through: Bound | None) -> dict[UUID, LotsOfPosition]:
    """Return the positions of some streams, read without their marks; those that were never opened are left out."""
    found: dict[UUID, LotsOfPosition] = {}
    wanted = [one for one in with_derived(*Position.event_classes()) if one is not PositionMarked]
    slices = Slices()
    async for recorded in Replay(log, streams=streams, types=wanted, through=through):
        for part in recorded.upcast_events:
            _take(found, part)
        await slices.rest()
    return found


def _take(found: dict[UUID, LotsOfPosition], part: RecordedEvent) -> None:
    if isinstance(part.event, PositionOpened):
        found.setdefault(part.stream_id, LotsOfPosition(part.stream_id))
    if part.stream_id in found:
        found[part.stream_id].take(part.event)


def _check_chosen(chosen: Chosen | None, positions: Iterable[LotsOfPosition]) -> None:
    """Refuse a choice of, or for, an execution that no position has."""
    if not chosen:
        return
    known: set[str] = set()
    for position in positions:
        known |= position.steps.execution_ids
    for closing, opening in chosen.items():
        for execution_id in (closing, *opening):
            if execution_id not in known:
                raise DomainError(
                    "lots.chosen", f"no position has an execution {execution_id!r}: check the ids in `chosen`"
                )
