"""Exceptions cross the border of a process, and are copied, with all that they say."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import pytest

import eventstore
import migrations
import projections
from eventstore import errors
from eventstore.portable import PortableError

ID = UUID(int=7)
GIVEN: dict[str, Any] = {
    "actual": 2,
    "broken": [],
    "category": "order",
    "changes": [("order", ID, ("OrderSubmitted", "OrderFilled")), ("position", ID, ("PositionMarked",))],
    "cause": "no worker runs",
    "constraint": "events_pkey",
    "end": 9,
    "entity_id": ID,
    "expected": 1,
    "field": "legs[0].price",
    "found": "a row that differs",
    "keys": ["a", "b"],
    "lag_events": 11_000,
    "lag_events_max": 10_000,
    "law": "interleavings",
    "log": [],
    "message": "what happened",
    "name": "limit",
    "outcome": "unknown",
    "position": 3,
    "preconditions": ["sequence"],
    "projection": "orders",
    "reason": "would not be read back",
    "readers": ["orders"],
    "rule": "order.overfill",
    "statements": ["ALTER SEQUENCE events_position_seq CACHE 1"],
    "stream_id": ID,
    "type": "OrderFilled",
    "types": ["jsonb", "numeric"],
}


def _modules() -> Iterator[str]:
    for package in (eventstore, projections, migrations):
        yield package.__name__
        for module in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
            if not module.name.endswith("__main__"):
                yield module.name


def _exceptions() -> list[type[BaseException]]:
    """Return every class of exceptions that the library defines, public or not."""
    found: dict[str, type[BaseException]] = {}
    for name in _modules():
        for kind in vars(importlib.import_module(name)).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, BaseException)
                and kind.__module__.split(".")[0] in {"eventstore", "projections"}
            ):
                found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return [found[name] for name in sorted(found)]


def _made(kind: type[BaseException]) -> BaseException:
    """Make an exception by its own constructor, from the table above."""
    owner = next(parent for parent in kind.__mro__ if "__init__" in vars(parent))
    if owner.__module__ == "builtins":
        return kind("what happened")
    parameters = [
        one for one in inspect.signature(kind).parameters.values() if one.kind is not one.VAR_KEYWORD
    ]
    named = {one.name: GIVEN[one.name] for one in parameters if one.kind is one.KEYWORD_ONLY}
    return kind(*(GIVEN[one.name] for one in parameters if one.kind is not one.KEYWORD_ONLY), **named)


def _shallow(error: Any) -> Any:
    return copy.copy(error)


def _deep(error: Any) -> Any:
    return copy.deepcopy(error)


def _pickled(protocol: int) -> Callable[[Any], Any]:
    def travel(error: Any) -> Any:
        return pickle.loads(pickle.dumps(error, protocol))

    travel.__name__ = f"pickled_{protocol}"
    return travel


WAYS = [_shallow, _deep, *(_pickled(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))]


def _same(back: Any, error: Any) -> bool:
    return (
        back is not error
        and type(back) is type(error)
        and (str(back), repr(back), back.args, vars(back))
        == (str(error), repr(error), error.args, vars(error))
    )


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
@pytest.mark.parametrize("kind", _exceptions(), ids=lambda kind: kind.__name__)
def test_each_exception_of_the_library_arrives_as_it_was(kind, way):
    """Class, message, args, attributes and notes are the same; a cause changes nothing of it."""
    error = _made(kind)
    error.add_note("seen by the desk")
    if isinstance(error, errors.EventStoreError):
        error.sqlstate = "40001"
    error.__cause__ = OSError("no pickle needed")
    assert _same(way(error), error)


def test_each_exception_that_users_may_see_is_portable():
    """A public exception is of the class that can travel: a new one with a constructor needs no thought."""
    public = [kind for kind in _exceptions() if not kind.__name__.startswith("_")]
    assert len(public) > len(errors.__all__)
    assert [kind.__name__ for kind in public if not issubclass(kind, PortableError)] == []


class BrokerRefusedError(errors.DomainError):
    """A user's own, with a constructor of another shape, a slot and a property."""

    __slots__ = ("venue",)

    def __init__(self, venue: str, *, code: int) -> None:
        super().__init__("broker.refused", f"{venue} refused with {code}")
        self.venue = venue
        self.code = code

    @property
    def rule_and_code(self) -> str:
        """Both in one."""
        return f"{self.rule}/{self.code}"


class BrokerFileError(errors.RepositoryError, builtins.OSError):
    """A user's own that is an error of the system too."""


class SealedError(errors.EventStoreError):
    """A user's own that is made in a way of its own and forbids changes."""

    def __new__(cls, *, key: str) -> Self:
        """Keep the key where no assignment reaches it."""
        made = super().__new__(cls)
        made.__dict__["key"] = key
        return made

    def __init__(self, *, key: str) -> None:
        super().__init__(f"sealed: {key}")

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__"):
            raise TypeError(name)
        super().__setattr__(name, value)


@dataclass
class LimitReachedError(errors.EventStoreError):
    """A user's own, as a dataclass: it has no args and a message of its own."""

    account: str
    limit: int

    def __str__(self) -> str:
        return f"{self.account} reached {self.limit}"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
@pytest.mark.parametrize(
    "make",
    [
        lambda: BrokerRefusedError("XEUR", code=5),
        lambda: SealedError(key="k"),
        lambda: LimitReachedError("A-1", 3),
        lambda: BrokerFileError(2, "no such file", "orders.csv"),
        lambda: errors.ConnectionError(111, "refused"),
    ],
    ids=["constructor", "frozen", "dataclass", "os error", "errno"],
)
def test_a_users_own_exceptions_arrive_as_they_were(make, way):
    """Whatever its constructor takes, and wherever its attributes are kept."""
    error = make()
    back = way(error)
    assert _same(back, error)
    for name in ("venue", "errno", "strerror", "filename", "rule_and_code"):
        assert getattr(back, name, None) == getattr(error, name, None)


def test_an_attribute_that_cannot_travel_arrives_as_its_text():
    """A lock or a loop in an attribute keeps the error from no process; a copy has the very same one."""
    lock = threading.Lock()
    error = errors.ConcurrencyError(ID, expected=1, actual=2)
    error.connection = lock  # type: ignore[attr-defined]
    error.args = (*error.args, lock)
    back = pickle.loads(pickle.dumps(error))
    assert (back.connection, back.args[1], back.expected) == (repr(lock), repr(lock), 1)
    assert copy.copy(error).connection is lock  # type: ignore[attr-defined]
    assert copy.deepcopy(error).connection is lock  # type: ignore[attr-defined]


def test_a_deep_copy_shares_nothing_that_can_change():
    """Attributes are copied too, one that refers to the error itself among them."""
    error = errors.ProjectionError("lists")
    error.keys = [["a"]]  # type: ignore[attr-defined]
    error.itself = error  # type: ignore[attr-defined]
    back: Any = copy.deepcopy(error)
    assert back.keys == [["a"]]
    assert back.keys[0] is not error.keys[0]  # type: ignore[attr-defined]
    assert back.itself is back


def test_errors_in_a_group_arrive():
    """As from a TaskGroup that failed in another process."""
    group = ExceptionGroup(
        "two", [errors.ConcurrencyError(ID, expected=1, actual=None), asyncio.QueueFull("x")]
    )
    back = pickle.loads(pickle.dumps(group))
    assert [str(error) for error in back.exceptions] == [str(error) for error in group.exceptions]


def _fail(error: Exception) -> None:
    raise error


def test_process_pools_give_the_error_and_do_not_hang():
    """Both kinds of pool raise the very error where the result is taken."""
    context = multiprocessing.get_context("spawn")
    error = errors.ConcurrencyError(ID, expected=1, actual=2)
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor, pytest.raises(type(error)) as one:
        executor.submit(_fail, error).result(timeout=60)
    with context.Pool(1) as pool, pytest.raises(type(error)) as other:
        pool.apply_async(_fail, (error,)).get(timeout=60)
    assert (one.value.actual, other.value.actual, str(one.value)) == (2, 2, str(error))
