"""The reference pages of the database name every error, field, default and SQLSTATE that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eventstore import errors
from eventstore.database import DatabaseConfig
from eventstore.database.config import _VARIABLES
from eventstore.database.error_mapping import _BY_SQLSTATE, _LOST

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def rows(page: str) -> list[list[str]]:
    """The cells of every line of every table of a page."""
    lines = (REFERENCE / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "EventStoreError"])
def test_each_error_is_in_the_table(name: str):
    """With whether it may be retried, its cause and what to do."""
    kind = getattr(errors, name)
    if issubclass(kind, errors.EntityNotFoundError):
        name = "EntityNotFoundError"
    (row,) = [row for row in rows("errors.md") if row[0].startswith(f"`{name}`") and len(row) == 4]
    assert row[1] == ("yes" if kind.retryable else "no")
    assert all(row)


def test_each_sqlstate_is_in_the_table():
    """Each that is told apart stands with the error that it becomes."""
    told = {}
    for cells in rows("errors.md"):
        if len(cells) == 2:
            for code in re.findall(r"`([0-9A-Z]{2,5})(?:\.\.\.)?`", cells[0]):
                told[code] = cells[1]
    for code, (kind, _) in _BY_SQLSTATE.items():
        if "/" not in code:  # a case within a code, told by asyncpg's class
            assert f"`{kind.__name__}`" in told.get(code, told.get(code[:2], "")), code
    assert set(_LOST) <= told.keys()


def test_each_field_is_in_the_table():
    """With its variable and its default."""
    listed = {row[0].strip("`"): row for row in rows("configuration.md") if len(row) == 4}
    for name, field in DatabaseConfig.model_fields.items():
        _, variable, default, allowed = listed[name]
        assert variable == f"`{_VARIABLES[name][0]}`"
        assert allowed
        shown = (
            "none"
            if field.default is None
            else str(field.default).lower()
            if isinstance(field.default, bool)
            else f"{field.default:g}"
            if not isinstance(field.default, str)
            else field.default
        )
        assert default.strip("`").split()[0] == shown
