"""A curve in the terminal, drawn with Braille characters of two by four dots."""

from __future__ import annotations

from collections.abc import Sequence

_BLANK = 0x2800
# The bit of each dot of a Braille character: left column then right, from top to bottom.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def plot(points: Sequence[tuple[float, float]], *, width: int, height: int) -> list[str]:
    """Draw a curve as lines of text, the top line first; between two points it is a straight line.

    Args:
        points: At least one point (x, y), by ascending x.
        width: Characters in a line; at least 1.
        height: Lines; at least 1.
    """
    columns, rows = 2 * width, 4 * height
    cells = [[_BLANK] * width for _ in range(height)]
    before: int | None = None
    for column, value in enumerate(_resampled(points, columns)):
        dot = rows - 1 - round(value * (rows - 1))
        # Each column continues where the previous one ended, so that steep parts have no gaps.
        came_from = dot if before is None or before == dot else before + (1 if dot > before else -1)
        for row in range(min(came_from, dot), max(came_from, dot) + 1):
            cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
        before = dot
    return ["".join(map(chr, line)) for line in cells]


def _resampled(points: Sequence[tuple[float, float]], columns: int) -> list[float]:
    """Return the curve's height at each column, from 0 (its lowest) to 1 (its highest)."""
    lowest = min(y for _, y in points)
    span = max(y for _, y in points) - lowest
    first, last = points[0][0], points[-1][0]
    heights = []
    index = 0
    for column in range(columns):
        x = first + (last - first) * column / max(1, columns - 1)
        while index + 1 < len(points) - 1 and points[index + 1][0] < x:
            index += 1
        x0, y0 = points[index]
        x1, y1 = points[min(index + 1, len(points) - 1)]
        share = 0.0 if x1 == x0 else min(1.0, max(0.0, (x - x0) / (x1 - x0)))
        heights.append((y0 + (y1 - y0) * share - lowest) / span if span else 0.5)
    return heights
