"""The page on preconditions has every one of them, as the library knows it."""

from __future__ import annotations

from pathlib import Path

from eventstore.database.preconditions import PRECONDITIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "preconditions.md"


def test_each_precondition_is_in_the_table():
    """One row each, in the same order: its name, what may happen without it, and what the library does."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert lines[1:] == [one.row for one in PRECONDITIONS.values()]
