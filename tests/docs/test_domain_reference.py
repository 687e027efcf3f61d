"""The pages of docs/domain and docs/reference list fields, methods and rules, with the signatures and defaults of the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from eventstore import EventStore
from eventstore.domain import Instrument, Order, Portfolio, Position
from eventstore.repositories.booking import Book
from tools import snippets
from tools.lint.findings import ROOT

PAGES = sorted((ROOT / "docs" / "domain").glob("*.md"))
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
_FIELDS = re.compile(r"<!-- fields of (?P<name>\S+) -->\n\n(?P<table>(?:\|.*\n)+)")
_EVENTS = re.compile(r"<!-- events of (?P<name>\S+) -->\n\n(?P<table>(?:\|.*\n)+)(?P<below>(?:.*\n){0,8})")
_ENVELOPE = {"id", "version"}
_RULE = re.compile(r"(?:order|position|portfolio|instrument|money|report)\.[a-z_]+")


def _named(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


@cache
def _parsed(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def _signatures_of(owner: Any, name: str) -> list[list[str]]:
    """The signature of a function of a class or a module in the source; several if it is overloaded."""
    if inspect.ismodule(owner):
        module = getattr(owner, name).__module__
        scope: Any = _parsed(module)
    else:
        defining = next(kind for kind in owner.__mro__ if name in vars(kind))
        module = defining.__module__
        scope = next(
            node
            for node in ast.walk(_parsed(module))
            if isinstance(node, ast.ClassDef) and node.name == defining.__name__
        )
    found = [
        node
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    constants = vars(importlib.import_module(module))
    return [_signature(one, constants) for one in (found if len(found) == 1 else found[:-1])]


def _signature(function: Any, constants: Mapping[str, Any]) -> list[str]:
    """What a caller has to know, as text: kind, arguments, types, defaults (a constant by its value), result."""
    arguments = function.args
    by_place = [one for one in (*arguments.posonlyargs, *arguments.args) if one.arg not in ("self", "cls")]
    defaults = [None] * (len(by_place) - len(arguments.defaults)) + arguments.defaults[-len(by_place) :]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    told = [
        type(function).__name__,
        *(_argument("", *one, constants) for one in zip(by_place, defaults, strict=True)),
        *(_argument("* ", *one, constants) for one in named),
    ]
    if arguments.vararg is not None:
        told.append(_argument("*", arguments.vararg, None, constants))
    if arguments.kwarg is not None:
        told.append(_argument("** ", arguments.kwarg, None, constants))
    return [*told, ast.unparse(function.returns)]


def _argument(kind: str, argument: ast.arg, default: ast.expr | None, constants: Mapping[str, Any]) -> str:
    assert argument.annotation is not None, argument.arg
    value = "" if default is None else f" = {_value(default, constants)}"
    return f"{kind}{argument.arg}: {ast.unparse(argument.annotation)}{value}"


def _value(default: ast.expr, constants: Mapping[str, Any]) -> str:
    if isinstance(default, ast.Name):
        constant = constants[default.id]
        if isinstance(constant, Decimal):
            return f"Decimal({constant})"
        return repr(dict(constant) if isinstance(constant, Mapping) else constant)
    return ast.unparse(default)


def _listed() -> Iterator[tuple[str, Any]]:
    """The owner and the text of each function that a page lists."""
    for path in (*PAGES, *REFERENCE):
        for block in snippets.blocks(path.read_text()):
            reason = block.markers.get("not executed", "")
            if reason.startswith("signatures of "):
                for function in ast.parse(block.code).body:
                    yield reason.removeprefix("signatures of "), function


@pytest.mark.parametrize(
    ("owner", "shown"), [pytest.param(*one, id=f"{one[0]}.{one[1].name}") for one in _listed()]
)
def test_a_signature_is_that_of_the_code(owner: str, shown: Any):
    """Arguments, types, defaults and result are those of the code."""
    found: Any = importlib.import_module(owner) if owner == "eventstore.domain" else _named(owner)
    assert _signature(shown, {}) in _signatures_of(found, shown.name)


@pytest.mark.parametrize("kind", [Order, Position, Portfolio, Instrument, Book, EventStore])
def test_each_method_is_listed(kind: type):
    """No public method is missing on the pages, and no property."""
    listed = {function.name for owner, function in _listed() if owner.rpartition(".")[2] == kind.__name__}
    text = "".join(path.read_text() for path in (*PAGES, *REFERENCE))
    public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    methods = {
        name
        for name, value in public.items()
        if (inspect.isfunction(value) or isinstance(value, classmethod))
        and value.__module__ == kind.__module__
    }
    properties = {name for name, value in public.items() if isinstance(value, property)}
    assert methods - listed == set()
    assert {name for name in properties if f"`{name}`" not in text} == set()


def _tables() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        for found in _FIELDS.finditer(path.read_text()):
            yield found["name"], found["table"]


@pytest.mark.parametrize(("owner", "table"), [pytest.param(*one, id=one[0]) for one in _tables()])
def test_each_field_is_listed_with_its_default(owner: str, table: str):
    """A table of fields has each field once, and its default."""
    listed: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        names, _, default, _ = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`([a-z_]+)`", names):
            assert name not in listed, name
            listed[name] = default
    assert listed == dict(_fields_of(_named(owner)))


def _fields_of(kind: Any) -> Iterator[tuple[str, str]]:
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            yield (
                field.name,
                _told(field.default, is_made=False, is_missing=field.default is dataclasses.MISSING),
            )
        return
    assert issubclass(kind, BaseModel)
    for name, info in kind.model_fields.items():
        if name not in _ENVELOPE:
            is_missing = info.default is PydanticUndefined
            yield name, _told(info.default, is_made=info.default_factory is not None, is_missing=is_missing)


def _told(default: Any, *, is_made: bool, is_missing: bool) -> str:
    if is_made:
        return "now"
    if is_missing:
        return "required"
    if default == ():
        return "empty"
    return str(default.value if isinstance(default, StrEnum) else default)


def _event_tables() -> Iterator[tuple[str, str, str]]:
    for path in PAGES:
        for found in _EVENTS.finditer(path.read_text()):
            yield found["name"], found["table"], found["below"]


@pytest.mark.parametrize(
    ("owner", "table", "below"), [pytest.param(*one, id=one[0]) for one in _event_tables()]
)
def test_each_event_is_listed_with_its_fields(owner: str, table: str, below: str):
    """A table of events has each event of the entity, and the fields that it has besides those of its base class."""
    kind = _named(owner)
    listed: dict[str, set[str]] = {}
    for line in table.splitlines()[2:]:
        events, cell = (one.strip() for one in line.strip("|").split("|"))
        fields = set(re.findall(r"`([a-z_]+)`", cell))
        for base in re.findall(r"those of `(\w+)`", cell):
            shared = {name for parent in kind.event_classes() for name in _shared(parent, base)}
            assert {name for name in shared if f"`{name}`" not in below} == set(), base
            fields |= shared
        if "fields of a" in cell:
            fields |= kind.model_fields.keys() - _ENVELOPE
        listed |= dict.fromkeys(re.findall(r"`(\w+)`", events), fields)
    expected = {one.type: one.model_fields.keys() - {"occurred_at"} for one in kind.event_classes()}
    assert listed == expected


def _shared(event: Any, base: str) -> set[str]:
    return {
        name
        for parent in event.__mro__
        if parent.__name__ == base
        for name in parent.model_fields.keys() - {"occurred_at"}
    }


def _rules() -> Iterator[str]:
    """The rules that the source of the domain and of its booking names in errors."""
    files = [
        *(ROOT / "eventstore" / "domain").glob("*.py"),
        ROOT / "eventstore" / "repositories" / "booking.py",
    ]
    for path in files:
        if path.name.startswith("lot"):
            continue  # docs/reference/lots_and_reconciliation.md has them
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            name, first = ast.unparse(node.func), node.args[0].value
            if name == "DomainError" and isinstance(first, str) and _RULE.fullmatch(first):
                yield first
            elif name == "self._refusal" and isinstance(first, str):
                yield f"order.{first}"


def test_each_rule_is_listed():
    """A rule that the code names in an error is on the pages."""
    text = "".join(path.read_text() for path in PAGES)
    rules = set(_rules())
    assert len(rules) > 40
    assert {rule for rule in rules if f"`{rule}`" not in text} == set()
