"""What the library asks of a connection is what the driver has: asyncpg has no types, so mypy cannot see that."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.cursor import CursorFactory as DriverCursorFactory
from asyncpg.pool import PoolConnectionProxy
from asyncpg.prepared_stmt import PreparedStatement as DriverStatement
from asyncpg.transaction import Transaction as DriverTransaction

from eventstore.database import protocols
from eventstore.database.plain import PlainConnection
from eventstore.database.pooled import PooledConnection
from eventstore.errors import RepositoryError

ROOT = Path(__file__).parents[2]

MAY_HAVE_ANY = {
    "eventstore/database/plain.py",  # what the driver, or a user, gives
    "eventstore/database/pooled.py",
    "eventstore/database/server.py",
    "eventstore/database/session.py",
    "eventstore/log/event_log.py",
    "eventstore/metrics.py",  # a pool
    "eventstore/private_names/asyncpg_names.py",  # what the driver keeps to itself
}
"""Modules in which a connection has no type, since they use what only some connections have."""


def methods(protocol: type[Any]) -> list[str]:
    """The methods that a protocol itself asks for."""
    return [
        name
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("__")
    ]


@pytest.mark.parametrize(
    ("protocol", "driver"),
    [
        (protocols.Connection, asyncpg.Connection),
        (protocols.Connection, PoolConnectionProxy),
        (protocols.Connection, PooledConnection),
        (protocols.Connection, PlainConnection),
        (protocols.Transaction, DriverTransaction),
        (protocols.CursorFactory, DriverCursorFactory),
        (protocols.PreparedStatement, DriverStatement),
        (protocols.Record, asyncpg.Record),
    ],
)
def test_the_driver_has_what_is_asked_for(protocol, driver):
    """Each method is there, takes the arguments that the protocol names, and is awaited or not as the protocol says."""
    for name in methods(protocol):
        method = inspect.getattr_static(driver, name, None)
        if driver is PlainConnection and method is None:
            method = inspect.getattr_static(asyncpg.Connection, name)  # which it passes on
        assert method is not None, name
        asked = getattr(protocol, name)
        if driver is asyncpg.Record:
            continue  # made in C, without signatures
        method = inspect.unwrap(method)
        takes = inspect.signature(method).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in takes.values()):
            continue  # it passes on whatever asyncpg takes
        assert [each for each in inspect.signature(asked).parameters if each not in takes] == [], name
        assert inspect.iscoroutinefunction(asked) is inspect.iscoroutinefunction(method), name


def test_special_methods_are_there():
    """Rows are read by name and place; a transaction is a block; a cursor is awaited or iterated over."""
    assert {"__getitem__", "__iter__", "__len__", "__contains__"} <= {*dir(asyncpg.Record)}
    assert {"__aenter__", "__aexit__"} <= {*dir(DriverTransaction)}
    assert {"__await__", "__aiter__"} <= {*dir(DriverCursorFactory)}


def test_connections_have_a_type():
    """No function takes a connection of any type, beside those that use what only some connections have."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("eventstore", "projections")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.arg)
        and node.arg == "connection"
        and isinstance(node.annotation, ast.Name)
        and node.annotation.id == "Any"
    }
    assert found <= MAY_HAVE_ANY


def test_a_row_that_must_be_there():
    """A statement that always gives a row and gave none is an error that says so."""
    with pytest.raises(RepositoryError, match="returned none"):
        protocols.the_row(None)
