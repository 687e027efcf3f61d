"""Rules for reference pages: their tables list every error, SQLSTATE, field and precondition."""

from __future__ import annotations

import re
from collections.abc import Iterator

from eventstore import errors
from eventstore.database import DatabaseConfig
from eventstore.database.config import _VARIABLES
from eventstore.database.error_mapping import _BY_SQLSTATE, _LOST
from eventstore.database.preconditions import PRECONDITIONS
from tools.lint.findings import ROOT, Finding, line_of

ERRORS = "docs/reference/errors.md"
CONFIGURATION = "docs/reference/configuration.md"
PRECONDITIONS_PAGE = "docs/preconditions.md"


def rows(text: str) -> list[list[str]]:
    """The cells of every line of every table of a page."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def errors_are_listed() -> Iterator[Finding]:
    """Each error has one row: whether it may be retried, its cause and what to do."""
    text = (ROOT / ERRORS).read_text()
    table = [row for row in rows(text) if len(row) == 4]  # noqa: PLR2004 - name, retry, cause, remedy
    for exported in errors.__all__:
        kind = getattr(errors, exported)
        if kind is errors.EventStoreError:
            continue
        name = "EntityNotFoundError" if issubclass(kind, errors.EntityNotFoundError) else exported
        found = [row for row in table if row[0].startswith(f"`{name}`")]
        line = line_of(text, f"`{name}`")
        if len(found) != 1:
            yield Finding(ERRORS, line, f"{name} has {len(found)} rows: give it one")
        elif found[0][1] != ("yes" if kind.retryable else "no"):
            yield Finding(ERRORS, line, f"whether {name} may be retried is not what the class says")
        elif not all(found[0]):
            yield Finding(ERRORS, line, f"the row of {name} has an empty cell: fill it")


def sqlstates_are_listed() -> Iterator[Finding]:
    """Each SQLSTATE that the library distinguishes is listed with its error."""
    text = (ROOT / ERRORS).read_text()
    listed = {
        code: cells[1]
        for cells in rows(text)
        if len(cells) == 2  # noqa: PLR2004 - SQLSTATE, error
        for code in re.findall(r"`([0-9A-Z]{2,5})(?:\.\.\.)?`", cells[0])
    }
    for code, (kind, _) in _BY_SQLSTATE.items():
        # A slash: a case within a code, told by asyncpg's class.
        if "/" not in code and f"`{kind.__name__}`" not in listed.get(code, listed.get(code[:2], "")):
            yield Finding(ERRORS, line_of(text, code), f"SQLSTATE {code} is not listed with {kind.__name__}")
    for code in sorted(set(_LOST) - listed.keys()):
        yield Finding(ERRORS, 1, f"SQLSTATE {code} is not listed: add it")


def fields_are_listed() -> Iterator[Finding]:
    """Each field of the configuration is listed with its variable, its default and what is allowed."""
    text = (ROOT / CONFIGURATION).read_text()
    listed = {row[0].strip("`"): row for row in rows(text) if len(row) == 4}  # noqa: PLR2004
    for name, field in DatabaseConfig.model_fields.items():
        line = line_of(text, f"`{name}`")
        if name not in listed:
            yield Finding(CONFIGURATION, 1, f"the field {name} is not listed: add its row")
            continue
        _, variable, default, allowed = listed[name]
        if variable != f"`{_VARIABLES[name][0]}`":
            yield Finding(CONFIGURATION, line, f"the variable of {name} is {_VARIABLES[name][0]}")
        if not allowed:
            yield Finding(CONFIGURATION, line, f"what {name} may be is missing")
        if [*default.strip("`").split(), ""][0] != _shown(field.default):
            yield Finding(CONFIGURATION, line, f"the default of {name} is {_shown(field.default)}")


def _shown(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, int | float) else str(default)


def preconditions_are_listed() -> Iterator[Finding]:
    """Each precondition has one row, in order: its name, its risk, and the reaction of the library."""
    text = (ROOT / PRECONDITIONS_PAGE).read_text()
    listed = [line for line in text.splitlines() if line.startswith("| ")][1:]
    known = [one.row for one in PRECONDITIONS.values()]
    for row in known:
        if row not in listed:
            yield Finding(PRECONDITIONS_PAGE, 1, f"this row is missing: {row}")
    for row in listed:
        if row not in known:
            yield Finding(PRECONDITIONS_PAGE, line_of(text, row), "the library has no such precondition")
    if sorted(listed) == sorted(known) and listed != known:
        yield Finding(PRECONDITIONS_PAGE, 1, "the rows are not in the order of PRECONDITIONS: sort them")


RULES = (errors_are_listed, sqlstates_are_listed, fields_are_listed, preconditions_are_listed)
