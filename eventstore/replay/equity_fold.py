"""The fold of a curve of equity, from columns of the log instead of events.

A curve needs little of an event: of a mark its price, of a fill what was traded, of a trade its result and commission. So
the server sends these as columns, a page in one row, and the fold keeps four values for each position. What it does with
them is the arithmetic of the domain. A stream with any other event, or with one that was reported late, is folded from its
events by the fold of the domain itself.
"""

from __future__ import annotations

import decimal
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate, chain, compress
from operator import le, lt, ne
from struct import iter_unpack
from typing import Any

from eventstore.core.context import CONTEXT, decimal_arithmetic, plain
from eventstore.domain.average_cost import Open, traded
from eventstore.domain.division import exponent_of
from eventstore.portable import PortableError

MARKED, MARKED_BY_VENUE, BOUGHT, SOLD, CREATED, TRADED, MOVED = 1, 2, 3, 4, 5, 6, 7
"""What an event is, as `replay/read_equity` says; 0 for one that is folded as an event."""

_FILLS = (BOUGHT, SOLD)
_ZERO, _ONE = Decimal(0), Decimal(1)
_STREAM = "16s"
_ORDERED_AT_A_TIME = 5_000  # takes some milliseconds; then other tasks of the event loop may run
_EPOCH_NS = 946_684_800 * 10**9  # of times: the year 2000
_FIRST_US = -62_135_596_800 * 10**6 - _EPOCH_NS // 1000
_LAST_US = 253_402_300_800 * 10**6 - _EPOCH_NS // 1000  # the year 10000
_QUIET = CONTEXT.copy()  # its flags say nothing: zeros that are dropped on purpose are no rounding
NEVER_NS = -(2**100)
"""A moment before every mark."""
NO_TIME = -(2**62)
"""A time before every event, in microseconds."""

Summands = tuple[Decimal, ...]
"""What is summed up to an amount."""


class NotInColumns(PortableError):  # noqa: N818 - no error: the events are folded one by one
    """The columns do not tell all that the fold needs."""


class _Amounts(dict[str, Decimal]):
    """Decimals by their text; most prices of a market come again and again."""

    def __missing__(self, text: str) -> Decimal:
        try:
            amount = Decimal(text)
        except decimal.InvalidOperation:
            raise NotInColumns from None
        if not amount.is_finite() or str(plain(amount)) != str(amount):
            raise NotInColumns
        self[text] = amount
        return amount


@dataclass(slots=True)
class Columns:
    """What a curve needs of the events of a portfolio and its positions, in the order of positions of the log.

    Attributes:
        numbers: For each event the number of its stream.
        times: When it counts, in microseconds since 2000.
        occurred: When it happened.
        kinds: What it is.
        firsts: A price, a result or an amount.
        seconds: A quantity, a commission, or the venue's time of a mark.
        ascends: Whether each time is known to be after the one before it.
    """

    numbers: list[int] = field(default_factory=list)
    times: array[int] = field(default_factory=lambda: array("q"))
    occurred: array[int] = field(default_factory=lambda: array("q"))
    kinds: array[int] = field(default_factory=lambda: array("h"))
    firsts: list[str] = field(default_factory=list)
    seconds: list[str] = field(default_factory=list)
    ascends: bool = False

    @classmethod
    def of(
        cls, row: Mapping[str, Any], number_of: Mapping[bytes, int], *, since: int | None = None
    ) -> Columns:
        """Return a page, as `replay/read_equity` sends it.

        Args:
            row: The row.
            number_of: The number of each stream, by the bytes of its id.
            since: If times are those of recording: the last one before. No event counts before one that precedes it.

        Raises:
            NotInColumns: A text has a comma, or a time is infinite.
        """
        streams = chain.from_iterable(iter_unpack(_STREAM, row["streams"]))
        numbers = [*map(number_of.__getitem__, streams)]
        times = _integers("q", row["times"])
        occurred = times if row["occurred"] is None else _integers("q", row["occurred"])
        if since is not None:
            times = array("q", accumulate(times, max, initial=since))[1:]
        ascends = all(map(lt, times, times[1:]))
        first, last = (times[0], times[-1]) if ascends else (min(times), max(times))
        if first < _FIRST_US or last >= _LAST_US:
            raise NotInColumns
        page = cls(
            numbers,
            times,
            occurred,
            _integers("h", row["kinds"]),
            row["firsts"].split(","),
            row["seconds"].split(","),
            ascends,
        )
        if not len(page.firsts) == len(page.seconds) == len(numbers):
            raise NotInColumns
        return page

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_in_order(self) -> bool:
        """Whether its events are in the order of their times."""
        return self.ascends or all(map(le, self.times, self.times[1:]))

    def begins_after(self, time: int) -> bool:
        """Whether its first event, in the order of time, is not before a time."""
        return not self.times or self.times[0] >= time

    def add(self, page: Columns) -> None:
        """Append a page."""
        self.ascends = False
        self.numbers += page.numbers
        self.times += page.times
        self.occurred += page.occurred
        self.kinds += page.kinds
        self.firsts += page.firsts
        self.seconds += page.seconds

    def in_order_of_time(self, late: set[int]) -> Iterator[Columns]:
        """Yield the events by time and position, some at a time.

        Args:
            late: Receives the numbers of streams of which an event was reported late.
        """
        times, numbers = self.times, self.numbers
        order = sorted(range(len(times)), key=times.__getitem__)  # stable, so by position too
        last: dict[int, int] = {}
        for start in range(0, len(order), _ORDERED_AT_A_TIME):
            places = order[start : start + _ORDERED_AT_A_TIME]
            for place in places:
                number = numbers[place]
                if last.get(number, -1) > place:
                    late.add(number)
                last[number] = place
            yield Columns(
                [numbers[place] for place in places],
                array("q", [times[place] for place in places]),
                array("q", [self.occurred[place] for place in places]),
                array("h", [self.kinds[place] for place in places]),
                [self.firsts[place] for place in places],
                [self.seconds[place] for place in places],
            )


def _integers(kind: str, encoded: bytes) -> array[int]:
    values = array(kind, encoded)
    if sys.byteorder == "little":
        values.byteswap()
    return values


@dataclass(slots=True)
class Result:
    """The open result of a position, in the currency of the curve.

    Attributes:
        amount: What closing it would realise; 0 if it is closed or was never marked.
        exponent: The exponent of `amount`.
    """

    amount: Decimal = field(default=_ZERO, init=False)
    exponent: int = field(default=0, init=False)


@dataclass(slots=True)
class Held(Result):
    """What the fold keeps of a position.

    Attributes:
        open: What is open, and what it cost.
        price: The price of the latest mark; None if it was never marked.
        moment_ns: When that was, in nanoseconds since 2000.
        multiplier: The multiplier.
        rate: The rate of the position's currency; None if it is that of the curve.
    """

    open: Open
    price: Decimal | None
    moment_ns: int
    multiplier: Decimal
    rate: Decimal | None = None

    def unrealized(self) -> Decimal:
        """Return what closing it would realise, in the currency of the curve; 0 if it is closed or was never marked."""
        quantity, cost = self.open
        if not quantity:
            return _ZERO
        price = self.price
        value = _ZERO if price is None else (quantity * price - cost) * self.multiplier or _ZERO
        return value if self.rate is None else value * self.rate  # also a zero has the decimals of the rate


class _Sum:
    """The sum of the open results of all positions, with the digits that `sum` would give it.

    A sum has as many decimals as the finest of its parts, also if these are zeros. So it counts how many results there are
    of each exponent.

    Attributes:
        amount: The sum.
        finest: The lowest exponent that a result has had.
        largest: The highest power of ten that a result has had.
    """

    def __init__(self, results: int) -> None:
        self.amount = _ZERO
        self.finest = self.largest = 0
        self._counts = Counter({0: results + 1})  # and the zero that `sum` begins with

    def change(self, one: Result, amount: Decimal) -> None:
        """Replace the open result of a position.

        Raises:
            NotInColumns: The sum has more digits than the arithmetic holds.
        """
        before = one.amount
        one.amount = amount
        if (power := amount.adjusted()) > self.largest:
            self.largest = power
        if amount.same_quantum(before):
            self.amount += amount - before
            return
        counts = self._counts
        counts[one.exponent] -= 1
        if not counts[one.exponent]:
            del counts[one.exponent]
        try:
            others = (self.amount - before).quantize(_ONE.scaleb(min(counts)), context=_QUIET)
        except decimal.InvalidOperation:
            raise NotInColumns from None
        one.exponent = exponent_of(amount)
        self.finest = min(self.finest, one.exponent)
        counts[one.exponent] += 1
        self.amount = others + amount


@dataclass(slots=True)
class Points:
    """The points of a curve as columns.

    Attributes:
        times: In microseconds since 2000.
        amounts: The equity from each time on.
        last: The time of the last event, which makes no point as long as there is no portfolio.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    amounts: list[Decimal] = field(default_factory=list)
    last: int = NO_TIME

    def add(self, times: array[int], amounts: list[Any], *, are_points: bool) -> None:
        """Append what the equity was after each of some events; of several at one time, the last one counts.

        Args:
            times: When the events count, in order.
            amounts: The equity after each; None while there is no portfolio.
            are_points: Whether all times are different and no amount is None.
        """
        self.last = times[-1]
        if self.times and self.times[-1] == times[0]:
            del self.times[-1:], self.amounts[-1:]
        if not are_points:
            is_last = (*map(ne, times, times[1:]), True)
            count = [one and amount is not None for one, amount in zip(is_last, amounts, strict=True)]
            times, amounts = array("q", compress(times, count)), [*compress(amounts, count)]
        self.times += times
        self.amounts += amounts


class EquityFold:
    """Folds columns to points.

    Args:
        held: What is held of each position when it is opened, by the number of its stream.
        portfolio: The number of the portfolio's stream.
        begin: What sums up to the equity of the portfolio when it is created.
        whole: For each stream that is folded from its events: a function that takes the next event and returns the open
            result of a position, or what sums up to the equity of the portfolio without open results; None for a
            portfolio that does not exist.
        points: Where the points go.
        rate: The rate of the portfolio's currency; None if it is that of the curve.
    """

    def __init__(
        self,
        held: Mapping[int, Held],
        portfolio: int,
        begin: Summands,
        whole: Mapping[int, Callable[[], Summands | None]],
        points: Points,
        *,
        rate: Decimal | None = None,
    ) -> None:
        self._held = held
        self._portfolio = portfolio
        self._begin = begin
        self._whole = whole
        self._points = points
        self._rate = rate
        self._amounts = _Amounts()
        self._results = {number: Result() for number in whole if number != portfolio}
        self._sum = _Sum(len(held) + len(self._results))
        self._rest: Decimal | None = None
        self._moved = _ZERO  # commissions and movements of cash, without their signs
        self._most = _ZERO  # the highest equity, without its sign
        self._booked = _ZERO  # the most that was summed up at once, without signs
        self._finest = 0  # the lowest exponent of what was booked
        self._open = self._open_max = len(self._results)
        self._flags = decimal.getcontext().flags

    def add(self, page: Columns, start: int, end: int) -> None:
        """Take in some events of a page, which follow those before in the order of their times.

        Raises:
            NotInColumns: A value is none that the domain writes, or a sum has more digits than its arithmetic holds.
        """
        with decimal_arithmetic():
            self._flags = decimal.getcontext().flags
            self._flags[decimal.Rounded] = False
            self._add(page, start, end)
            self._require_unrounded()

    def _require_unrounded(self) -> None:
        # Also a zero may have been rounded away.
        if self._flags[decimal.Rounded]:
            raise NotInColumns

    def _require_room(self, equities: list[Any], *, has_gaps: bool) -> None:
        """Check that the fold of the domain, which sums up in another order, has rounded no sum.

        A sum of some open results is at most that of all of them without their signs. Any other sum is at most that, the
        equity here, what the portfolio began with and what was moved together. Results of trades are what is between these.

        Raises:
            NotInColumns: A sum may have had more digits than the arithmetic holds.
        """
        if known := [one for one in equities if one is not None] if has_gaps else equities:
            highest, lowest = max(known), min(known)
            self._most = max(self._most, highest, -lowest)
        if self._rest is not None:
            self._finest = min(self._finest, exponent_of(self._rest))
        results = self._open_max * 10 ** (self._sum.largest + 1)
        bound = results + sum(int(one) + 1 for one in (self._most, self._booked, self._moved))
        if len(str(bound)) - min(self._finest, self._sum.finest) > CONTEXT.prec:
            raise NotInColumns

    def _add(self, page: Columns, start: int, end: int) -> None:
        held, whole, amounts, open_sum = self._held, self._whole, self._amounts, self._sum
        equities: list[Any] = []
        has_gaps = False
        for number, occurred, kind, first, second in zip(
            page.numbers[start:end],
            page.occurred[start:end],
            page.kinds[start:end],
            page.firsts[start:end],
            page.seconds[start:end],
            strict=True,
        ):
            one = held.get(number)
            if one is None:
                if number in whole:
                    self._add_whole(number, whole[number])
                else:
                    self._add_of_portfolio(kind, first, second)
            else:
                if kind in _FILLS:
                    self._fill(one, kind, first, second)
                elif kind == CREATED:
                    self._note_open(1)
                else:
                    moment_ns = occurred * 1000 if kind == MARKED else int(second) - _EPOCH_NS
                    if moment_ns >= one.moment_ns:
                        one.moment_ns, one.price = moment_ns, amounts[first]
                open_sum.change(one, one.unrealized())
            rest = self._rest
            if rest is None:
                has_gaps = True
                equities.append(None)
            else:
                equities.append(rest + open_sum.amount)
        self._require_room(equities, has_gaps=has_gaps)
        self._points.add(page.times[start:end], equities, are_points=page.ascends and not has_gaps)

    def _add_whole(self, number: int, next_summands: Callable[[], Summands | None]) -> None:
        self._require_unrounded()
        summands = next_summands()
        self._flags[decimal.Rounded] = False
        if number == self._portfolio:
            self._rest = None if summands is None else self._sum_of(summands)
        else:
            self._sum.change(self._results[number], sum(summands or (), _ZERO))

    def _sum_of(self, summands: Summands) -> Decimal:
        self._booked = max(self._booked, sum(map(abs, summands), _ZERO))
        self._finest = min(self._finest, *map(exponent_of, summands))
        return sum(summands, _ZERO)

    def _add_of_portfolio(self, kind: int, first: str, second: str) -> None:
        rest = self._sum_of(self._begin) if kind == CREATED else self._rest
        if rest is None:
            raise NotInColumns
        if first and kind != CREATED and (amount := self._amounts[first]):
            amount = amount if self._rate is None else amount * self._rate
            rest += amount
            if kind != TRADED:
                self._moved += abs(amount)
        if second and (amount := self._amounts[second]):
            amount = amount if self._rate is None else amount * self._rate
            rest -= amount
            self._moved += abs(amount)
        self._rest = rest

    def _fill(self, one: Held, kind: int, price: str, quantity: str) -> None:
        signed = self._amounts[quantity]
        self._require_unrounded()
        was_open = bool(one.open.quantity)
        one.open, _ = traded(one.open, signed if kind == BOUGHT else -signed, self._amounts[price])
        self._flags[decimal.Rounded] = False  # an average may be rounded
        if bool(one.open.quantity) is not was_open:
            self._note_open(-1 if was_open else 1)

    def _note_open(self, more: int) -> None:
        self._open += more
        self._open_max = max(self._open_max, self._open)
