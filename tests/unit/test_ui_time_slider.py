"""The points of the equity curve that a plot gets."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from eventstore.replay.equity import EquityCurve, EquityPoint
from eventstore.ui.time_slider import points_of

BEGAN_AT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("length", [0, 1, 2_000, 2_001, 12_345])
def test_a_plot_gets_few_points_with_the_peaks_and_the_end(length: int):
    """However long the curve is: in order, with the highest, the lowest and the last point."""
    draw = random.Random(3)
    points = [
        EquityPoint(BEGAN_AT + timedelta(seconds=number), Decimal(draw.randint(0, 10**6)) / 100)
        for number in range(length)
    ]
    given = points_of(EquityCurve(UUID(int=1), "occurred_at", tuple(points)))
    assert len(given["at"]) == len(given["equity"]) <= 2_001
    assert given["at"] == sorted(given["at"])
    assert given["points"] == length
    if points:
        exact = [float(point.equity) for point in points]
        assert (max(given["equity"]), min(given["equity"])) == (max(exact), min(exact))
        assert given["equity"][-1] == exact[-1]
