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
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

__all__ = ["construct", "converter", "converters", "fill"]

M = TypeVar("M", bound=BaseModel)
Converter = Callable[[Any], Any]

_set_attribute = object.__setattr__
_MISSING: Any = object()


@cache
def converters(model: type[BaseModel]) -> Mapping[str, Converter | None]:
    """Return for each field of `model` what turns its JSON form into its value; None: they are the same."""
    return {
        name: converter(field.annotation, field.rebuild_annotation())
        for name, field in model.model_fields.items()
    }


@dataclass(frozen=True, slots=True)
class _Template:
    """What `fill` needs to know of a model.

    Attributes:
        fields: The fields in their order with their plain defaults.
        made: The fields whose default is made anew each time.
        required: The fields without a default.
        converters: What turns the JSON form of each field into its value; None: they are the same.
        private: The private attributes with their plain defaults; None: pydantic's own method sets them.
        private_made: The private attributes whose default is made anew each time.
    """

    fields: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    required: frozenset[str]
    converters: Mapping[str, Converter | None]
    private: Mapping[str, Any] | None
    private_made: tuple[tuple[str, Callable[[], Any]], ...]


@cache
def _template(model: type[BaseModel]) -> _Template:
    attributes = model.__private_attributes__
    # A model with a `model_post_init` of its own is left to it.
    is_plain = getattr(model.model_post_init, "__name__", "") == "init_private_attributes" and not any(
        attribute.default_factory_takes_validated_data for attribute in attributes.values()
    )
    return _Template(
        fields={
            name: _MISSING if field.default is PydanticUndefined else field.default
            for name, field in model.model_fields.items()
        },
        made=tuple(
            (name, typing.cast("Callable[[], Any]", field.default_factory))
            for name, field in model.model_fields.items()
            if field.default_factory is not None
        ),
        required=frozenset(name for name, field in model.model_fields.items() if field.is_required()),
        converters=converters(model),
        private={
            name: attribute.default
            for name, attribute in attributes.items()
            if attribute.default is not PydanticUndefined
        }
        if is_plain
        else None,
        private_made=tuple(
            (name, typing.cast("Callable[[], Any]", attribute.default_factory))
            for name, attribute in attributes.items()
            if attribute.default_factory is not None
        ),
    )


def construct(model: type[M], data: Mapping[str, Any], **known: Any) -> M:
    """Make a `model` of its parsed JSON; `known` are values that have their Python type already.

    Raises:
        KeyError: `data` has a key that is no field, or lacks a field without a default.
        ValueError: A value cannot be turned into its field's type.
    """
    template = _template(model)
    convert = template.converters
    fields = dict(template.fields)
    for name, value in data.items():
        function = convert[name]
        fields[name] = value if function is None or value is None else function(value)
    fields.update(known)
    given = set(data)
    given.update(known)
    return _finished(model, template, fields, given)


def fill(model: type[M], values: dict[str, Any]) -> M:
    """Make a `model` of values that have their Python types; defaults fill in what is missing.

    Raises:
        KeyError: A field without a default is missing.
    """
    template = _template(model)
    return _finished(model, template, {**template.fields, **values}, set(values))


def _finished(model: type[M], template: _Template, fields: dict[str, Any], given: set[str]) -> M:
    if not given >= template.required:
        raise KeyError(", ".join(sorted(template.required - given)))
    for name, factory in template.made:
        if fields[name] is _MISSING:
            fields[name] = factory()
    made_model = model.__new__(model)
    _set_attribute(made_model, "__dict__", fields)
    _set_attribute(made_model, "__pydantic_fields_set__", given)
    _set_attribute(made_model, "__pydantic_extra__", None)
    if template.private is None:
        _set_attribute(made_model, "__pydantic_private__", None)
        if model.__private_attributes__:
            made_model.model_post_init(None)
        return made_model
    private = dict(template.private)
    for name, factory in template.private_made:
        private[name] = factory()
    _set_attribute(made_model, "__pydantic_private__", private)
    return made_model


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
        return typing.cast("Converter", annotation)
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
