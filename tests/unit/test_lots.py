"""Lots: which lot a trade closes, what that realises, and how costs and commissions are divided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore.domain.executions import Execution, ExecutionStatus, OrderSide, SplitRatio
from eventstore.domain.lots import Holding, LotMethod, Lots, LotStep, fold_lots
from eventstore.errors import DomainError

DAY_1 = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def traded(
    side: str,
    quantity: str,
    price: str,
    execution_id: str | None,
    *,
    day: int,
    commission: str = "0",
    **more: Any,
) -> Execution:
    """One execution, at a day of the test."""
    return Execution(
        side=OrderSide(side),
        quantity=Decimal(quantity),
        price=Decimal(price),
        execution_id=execution_id,
        commission=Decimal(commission),
        occurred_at=DAY_1 + timedelta(days=day - 1),
        **more,
    )


BOUGHT_THREE_TIMES: list[LotStep] = [
    traded("BUY", "100", "10", "b1", day=1, commission="1"),
    traded("BUY", "100", "14", "b2", day=2, commission="2"),
    traded("BUY", "100", "12", "b3", day=3, commission="4"),
]


def matched(lots: Lots) -> list[tuple[str | None, str | None, Decimal, Decimal]]:
    """Who closed whom, how much, and what it realised."""
    return [
        (match.lot.execution_id, match.execution_id, match.quantity, match.realized_pnl)
        for match in lots.matches
    ]


def numbers(*rows: tuple[str, str, str, str]) -> list[tuple[str, str, Decimal, Decimal]]:
    """The rows with decimals."""
    return [(opened, closed, Decimal(quantity), Decimal(result)) for opened, closed, quantity, result in rows]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (LotMethod.FIFO, numbers(("b1", "s", "100", "500"), ("b2", "s", "50", "50"))),
        (LotMethod.LIFO, numbers(("b3", "s", "100", "300"), ("b2", "s", "50", "50"))),
        (LotMethod.HIGHEST_COST, numbers(("b2", "s", "100", "100"), ("b3", "s", "50", "150"))),
    ],
)
def test_each_method_closes_its_lots(
    method: LotMethod, expected: list[tuple[str, str, Decimal, Decimal]]
) -> None:
    """FIFO closes the first lot first, LIFO the last, HIGHEST_COST the dearest."""
    lots = fold_lots([*BOUGHT_THREE_TIMES, traded("SELL", "150", "15", "s", day=4)], method=method)

    assert matched(lots) == expected
    assert lots.quantity == Decimal(150)


def test_lots_are_chosen_by_id() -> None:
    """BY_ID closes the lots that the caller chose, in that order; the rest as FIFO, and the match says so."""
    lots = fold_lots(
        [*BOUGHT_THREE_TIMES, traded("SELL", "250", "15", "s", day=4)],
        method=LotMethod.BY_ID,
        chosen={"s": ["b3", "nothing"]},
    )

    assert matched(lots) == numbers(
        ("b3", "s", "100", "300"), ("b1", "s", "100", "500"), ("b2", "s", "50", "50")
    )
    assert [match.is_chosen for match in lots.matches] == [True, False, False]


def test_lots_chosen_for_another_method_are_refused() -> None:
    """A choice that would not be heeded is an error, and so is a method that there is not."""
    with pytest.raises(DomainError, match=r"chosen with LotMethod\.BY_ID, not with FIFO"):
        fold_lots(BOUGHT_THREE_TIMES, chosen={"s": ["b1"]})
    with pytest.raises(DomainError, match="one of FIFO, LIFO, HIGHEST_COST, BY_ID, not 'HIFO'"):
        fold_lots(BOUGHT_THREE_TIMES, method="HIFO")  # type: ignore[arg-type]


def test_a_short_lot_realises_what_was_sold_less_what_was_bought() -> None:
    """Proceeds are the sale's and cost the purchase's, whichever came first; HIGHEST_COST closes the cheapest sale."""
    lots = fold_lots(
        [
            traded("SELL", "10", "50", "s1", day=1),
            traded("SELL", "10", "40", "s2", day=2),
            traded("BUY", "10", "30", "b", day=3),
        ],
        method=LotMethod.HIGHEST_COST,
        multiplier=Decimal(5),
    )

    (match,) = lots.matches
    assert match.lot.execution_id == "s2"
    assert [match.proceeds, match.cost, match.realized_pnl] == [2000, 1500, 500]
    assert [lots.quantity, lots.cost] == [-10, -500]
    assert match.holding_period == timedelta(days=1)


def test_commissions_go_with_the_quantity() -> None:
    """A match has its share of both commissions, in the position's currency or apart; the shares sum to the whole."""
    lots = fold_lots(
        [
            traded("BUY", "3", "10", "b", day=1, commission="1"),
            traded("SELL", "1", "11", "s1", day=2, commission="0.001", commission_currency="BNB"),
            traded("SELL", "2", "12", "s2", day=3, commission="0.50", commission_currency="USD"),
        ],
        currency="USD",
    )

    first, last = lots.matches
    assert first.lot.commission + last.lot.commission == 1
    assert first.commission == first.lot.commission == Decimal("0.333333333333333333333333")
    assert [(one.currency, one.amount) for one in first.other_commissions] == [("BNB", Decimal("0.001"))]
    assert last.commission == last.lot.commission + Decimal("0.50")
    assert last.net_pnl == 4 - last.commission


def test_a_trade_through_zero_closes_and_opens() -> None:
    """A late report may cross zero inside a stream: it closes every lot, and the rest opens on the other side."""
    lots = fold_lots(
        [traded("BUY", "10", "5", "b", day=1), traded("SELL", "15", "6", "s", day=2, commission="3")]
    )

    assert matched(lots) == numbers(("b", "s", "10", "10"))
    (lot,) = lots.open
    assert lot.execution_id == "s"
    assert [lot.quantity, lot.price, lot.commission] == [-5, 6, 1]
    assert lots.matches[0].closing_commission == 2


def test_a_late_report_takes_its_own_place() -> None:
    """The lots follow the times of the trades: a purchase that is reported late is closed first, as it came first."""
    reported_late = [
        traded("BUY", "10", "5", "b2", day=2),
        traded("SELL", "10", "9", "s", day=3),
        traded("BUY", "10", "4", "b1", day=1),
    ]

    lots = fold_lots(reported_late)

    assert matched(lots) == numbers(("b1", "s", "10", "50"))
    assert lots.open[0].execution_id == "b2"


def test_what_was_taken_back_does_not_count() -> None:
    """Without the busted execution the lots are as if it had never been reported."""
    busted = [
        BOUGHT_THREE_TIMES[0].model_copy(update={"status": ExecutionStatus.BUSTED}),  # type: ignore[union-attr]
        *BOUGHT_THREE_TIMES[1:],
        traded("SELL", "150", "15", "s", day=4),
    ]

    assert fold_lots(busted) == fold_lots(busted[1:])


def test_a_split_leaves_the_cost() -> None:
    """A split changes how many there are and their price; cost, proceeds and what they realise do not change."""
    lots = fold_lots(
        [
            *BOUGHT_THREE_TIMES,
            SplitRatio(new=2, old=1),
            traded("SELL", "300", "7", "s", day=5),
        ]
    )

    assert matched(lots) == numbers(("b1", "s", "200", "400"), ("b2", "s", "100", "0"))
    assert [lot.execution_id for lot in lots.open] == ["b2", "b3"]
    assert [[lot.quantity, lot.cost, lot.price] for lot in lots.open] == [[100, 700, 7], [200, 1200, 6]]


def test_lots_sum_to_the_whole_after_an_uneven_split() -> None:
    """Lots of a third of a share sum to what the whole position has after the split."""
    ratio = SplitRatio(new=1, old=3)
    lots = fold_lots([traded("BUY", "1", "10", f"b{day}", day=day) for day in (1, 2)] + [ratio])

    assert lots.quantity == ratio.quantity(Decimal(2))
    assert lots.cost == 20


def test_what_was_adopted_is_a_lot_without_an_execution() -> None:
    """A holding takes the place of the lots; its parts sum to its cost though its price has no end."""
    lots = fold_lots(
        [
            traded("BUY", "1", "1", "b", day=1),
            Holding(Decimal(3), Decimal(10), DAY_1, Decimal(1)),
            traded("SELL", "1", "4", "s1", day=2),
            traded("SELL", "2", "4", "s2", day=3),
        ]
    )

    assert [match.lot.execution_id for match in lots.matches] == [None, None]
    assert sum(match.cost for match in lots.matches) == 10
    assert lots.realized_pnl == 2
    assert lots.open == ()


def test_an_execution_names_its_order() -> None:
    """A lot and a match have the orders of their executions."""
    bought, sold = UUID(int=1), UUID(int=2)
    lots = fold_lots(
        [
            traded("BUY", "1", "1", "x", day=1, order_id=bought),
            traded("SELL", "1", "2", "x", day=2, order_id=sold),
        ]
    )

    (match,) = lots.matches
    assert (match.lot.order_id, match.order_id) == (bought, sold)
    assert (match.opened_at, match.closed_at) == (DAY_1, DAY_1 + timedelta(days=1))
