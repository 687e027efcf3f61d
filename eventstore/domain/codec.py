"""From stored JSON or a table's row to a model, without validating again what was validated when written.

Validation costs several times what decoding does, and a replay decodes every event of the log. So each field's
annotation is turned once into a converter from its JSON form; what no converter is known for, goes through
pydantic's own validator of that annotation.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

__all__ = ["Maker", "construct", "converter", "converters", "fill", "maker"]

M = TypeVar("M", bound=BaseModel)
Converter = Callable[[Any], Any]

_SHAPES_MAX = 1_000  # of a model: an amendment may name any of its fields
_REMEMBERED_MAX = 10_000  # of a type: one or two MB

# What a model consists of, set without pydantic's `__setattr__` in between.
_set_fields: Callable[[Any, Any], None] = vars(BaseModel)["__dict__"].__set__
_set_given: Callable[[Any, Any], None] = vars(BaseModel)["__pydantic_fields_set__"].__set__
_set_extra: Callable[[Any, Any], None] = vars(BaseModel)["__pydantic_extra__"].__set__
_set_private: Callable[[Any, Any], None] = vars(BaseModel)["__pydantic_private__"].__set__


@cache
def converters(model: type[BaseModel]) -> Mapping[str, Converter | None]:
    """Return for each field of `model` what turns its JSON form into its value; None: they are the same."""
    return {
        name: converter(field.annotation, field.rebuild_annotation())
        for name, field in model.model_fields.items()
    }


@dataclass(frozen=True, slots=True)
class _Shape:
    """How to make one model of values for certain fields.

    Attributes:
        defaults: Every field in its order: the plain default of those that are not given.
        made: What makes the default of those that are not given and have no plain one.
        conversions: What turns the JSON form of a given field into its value, where they are not the same.
        given: The names of the given fields, as pydantic keeps them.
        shares_given: Whether models may share that set, since nothing adds to it later.
    """

    defaults: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    conversions: tuple[tuple[str, Converter], ...]
    given: set[str]
    shares_given: bool


class Maker(Generic[M]):
    """Makes models of one class; `maker` gives it.

    It keeps how to do so for each set of fields that is given: stored events of one class have few of them.
    """

    __slots__ = ("_known", "_model", "_private", "_private_made", "_shapes")

    def __init__(self, model: type[M], known: tuple[str, ...] = ()) -> None:
        self._model = model
        self._known = known
        self._private, self._private_made = _private_defaults(model)
        self._shapes = _Shapes(self._shape)

    def construct(self, data: Mapping[str, Any], known: Mapping[str, Any]) -> M:
        """Make a model of its parsed JSON, and of the values of those fields that the maker was told to be known."""
        shape = self._shapes[tuple(data)]
        fields = {**shape.defaults, **data, **known}
        for name, convert in shape.conversions:
            value = fields[name]
            if value is not None:
                fields[name] = convert(value)
        return self._make(shape, fields)

    def fill(self, values: Mapping[str, Any]) -> M:
        """Make a model of values that have their Python types; defaults fill in what is missing."""
        shape = self._shapes[tuple(values)]
        return self._make(shape, {**shape.defaults, **values})

    def of_all_fields(self) -> Callable[[dict[str, Any]], M]:
        """Return what makes a model of a value for each of its fields, in their order; they become its state as they are."""
        return partial(self._make, self._shapes[tuple(self._model.model_fields)])

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        fields, convert = self._model.model_fields, converters(self._model)
        given = {*names, *self._known}
        if unknown := given - fields.keys():
            raise KeyError(", ".join(sorted(map(str, unknown))))
        missing = {name: field for name, field in fields.items() if name not in given}
        if required := [name for name, field in missing.items() if field.is_required()]:
            raise KeyError(", ".join(sorted(required)))
        return _Shape(
            defaults={name: field.default for name, field in fields.items()},
            made=tuple(
                (name, typing.cast("Callable[[], Any]", field.default_factory))
                for name, field in missing.items()
                if field.default_factory is not None
            ),
            conversions=tuple(
                (name, function)
                for name in names
                if name not in self._known and (function := convert[name]) is not None
            ),
            given=given,
            shares_given=bool(self._model.model_config.get("frozen")) or not missing,
        )

    def _make(self, shape: _Shape, fields: dict[str, Any]) -> M:
        for name, factory in shape.made:
            fields[name] = factory()
        model = self._model
        made_model = model.__new__(model)
        _set_fields(made_model, fields)
        _set_given(made_model, shape.given if shape.shares_given else shape.given.copy())
        _set_extra(made_model, None)
        if self._private is None:
            _set_private(made_model, None)
            if model.__private_attributes__:
                made_model.model_post_init(None)
            return made_model
        private = self._private.copy()
        for name, factory in self._private_made:
            private[name] = factory()
        _set_private(made_model, private)
        return made_model


def _private_defaults(
    model: type[BaseModel],
) -> tuple[dict[str, Any] | None, tuple[tuple[str, Callable[[], Any]], ...]]:
    """Return the plain defaults of private attributes and what makes the others; None: pydantic's own method sets them."""
    attributes = model.__private_attributes__
    # A model with a `model_post_init` of its own is left to it.
    is_plain = getattr(model.model_post_init, "__name__", "") == "init_private_attributes" and not any(
        attribute.default_factory_takes_validated_data for attribute in attributes.values()
    )
    if not is_plain:
        return None, ()
    plain = {
        name: attribute.default
        for name, attribute in attributes.items()
        if attribute.default is not PydanticUndefined
    }
    made = tuple(
        (name, typing.cast("Callable[[], Any]", attribute.default_factory))
        for name, attribute in attributes.items()
        if attribute.default_factory is not None
    )
    return plain, made


class _Shapes(dict[tuple[str, ...], _Shape]):
    def __init__(self, make: Callable[[tuple[str, ...]], _Shape]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, names: tuple[str, ...]) -> _Shape:
        shape = self._make(names)
        if len(self) >= _SHAPES_MAX:
            self.clear()
        self[names] = shape
        return shape


@cache
def _maker(model: type[BaseModel], *known: str) -> Any:
    return Maker(model, known)


def maker(model: type[M], *known: str) -> Maker[M]:
    """Return what makes models of this class; `known` are the fields that it is given beside their JSON."""
    found: Maker[M] = _maker(model, *known)
    return found


def construct(model: type[M], data: Mapping[str, Any], **known: Any) -> M:
    """Make a `model` of its parsed JSON; `known` are values that have their Python type already.

    Raises:
        KeyError: `data` has a key that is no field, or lacks a field without a default.
        ValueError: A value cannot be turned into its field's type.
    """
    return maker(model, *known).construct(data, known)


def fill(model: type[M], values: Mapping[str, Any]) -> M:
    """Make a `model` of values that have their Python types; defaults fill in what is missing.

    Raises:
        KeyError: `values` has a key that is no field, or lacks a field without a default.
    """
    return maker(model).fill(values)


class _Remembered(dict[Any, Any]):
    """Values by their text: prices, quantities and ids come again and again, and are immutable."""

    def __init__(self, make: Converter) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: Any) -> Any:
        value = self._make(text)
        if type(text) is str:  # a number would be found under another that is equal: 1.0 under 1
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[text] = value
        return value


@cache
def _remembered(kind: Converter) -> _Remembered:
    return _Remembered(kind)


def converter(annotation: Any, full_annotation: Any = None) -> Converter | None:  # noqa: PLR0911 - a table of types
    """Return what turns the JSON form of a value of this type into the value; None: they are the same."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return converter(typing.get_args(annotation)[0], annotation)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(annotation) if option is not types.NoneType]
        if len(options) == 1:
            return converter(options[0])
    if annotation in (str, int, bool):
        return None
    if annotation in (Decimal, UUID):
        return _remembered(annotation).__getitem__
    if annotation is datetime:
        return datetime.fromisoformat
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {member.value: member for member in annotation}.__getitem__
    if origin is tuple and len(arguments := typing.get_args(annotation)) == 2 and arguments[1] is ...:  # noqa: PLR2004 - tuple[X, ...]
        item = converter(arguments[0])
        return tuple if item is None else lambda values: tuple(item(value) for value in values)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return lambda value: construct(annotation, value)
    validator = TypeAdapter(full_annotation or annotation)
    return validator.validate_python
