"""The curve in the terminal."""

from __future__ import annotations

import pytest

from eventstore.cli.plot import plot

BLANK = "\u2800"


def test_a_rising_line():
    """It goes from the lower left to the upper right, without a gap."""
    assert plot([(0, 0), (1, 1)], width=2, height=1) == ["⡠⠊"]
    lines = plot([(0, 0), (1, 1)], width=10, height=10)
    assert [line.index(next(c for c in line if c != BLANK)) for line in lines] == list(range(9, -1, -1))


def test_steep_parts_are_joined():
    """A jump is drawn through all the lines between."""
    lines = plot([(0, 0), (0.5, 0), (0.5, 9), (1, 9)], width=8, height=4)
    assert all(set(line) != {BLANK} for line in lines)


def test_the_highest_and_the_lowest_are_at_the_edges():
    """The first line has the maximum, the last one the minimum."""
    lines = plot([(0, 5), (1, -3), (2, 17), (3, 4)], width=20, height=5)
    assert len(lines) == 5
    assert {len(line) for line in lines} == {20}
    assert set(lines[0]) != {BLANK}
    assert set(lines[-1]) != {BLANK}


@pytest.mark.parametrize("points", [[(0, 7)], [(0, 7), (1, 7)], [(3, 7), (3, 7)]])
def test_a_flat_line(points: list[tuple[float, float]]):
    """One point, one value or one point in time is a level line."""
    lines = plot(points, width=4, height=3)
    assert [set(line) == {BLANK} for line in lines] == [True, False, True]


def test_one_character():
    """The smallest plot there is."""
    (line,) = plot([(0, 0), (1, 1)], width=1, height=1)
    assert line != BLANK
