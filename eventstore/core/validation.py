"""Pydantic's validation errors as one clear `DomainError`, for entities and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError

from eventstore.core.types import Amount, Computed
from eventstore.core.usual import creates
from eventstore.errors import ConfigurationError, DomainError
from eventstore.private_names.pydantic_names import set_given
from eventstore.suggestions import suggestion

SHOWN_CHARACTERS_MAX = 200
"""How many characters of a value an error shows at most."""

_AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
_COMPUTED: TypeAdapter[Decimal] = TypeAdapter(Computed)


def domain_error(model: type[BaseModel], error: ValidationError) -> DomainError:
    """Return the first of pydantic's errors as a `DomainError` that names model, field and value.

    The rule is `category.field`, such as `order.quantity`, for an entity and for its events. A
    model without a category uses its class name instead.
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DomainError):
        return cause
    field = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return _unknown_keyword(model, field, model.__name__, model.model_fields)
    given = "" if first["type"] in ("missing", "value_error") else f", not {shown(first['input'])}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    rule = f"{getattr(model, 'category', '') or model.__name__}.{field}"
    return DomainError(rule, f"{model.__name__}: {field} {message[:1].lower()}{message[1:]}{given}")


def shown(value: Any) -> str:
    """Return a value as an error shows it: its repr, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."


def word(value: Any) -> str:
    """Return a value as a short repr shows it: a number, a member or an id without the name of its class."""
    return str(value) if isinstance(value, Decimal | Enum | UUID | datetime) else shown(value)


def _unknown_keyword(model: type[BaseModel], name: str, called: str, known: Iterable[str]) -> DomainError:
    rule = f"{getattr(model, 'category', '') or model.__name__}.{name}"
    return DomainError(rule, f"{called} takes no extra keyword {name!r}: {suggestion(name, known)}")


def refuse_keywords(
    model: type[BaseModel], called: str, given: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Refuse keywords that a factory does not know.

    Args:
        model: The class that the factory creates.
        called: The name of the factory, for the error.
        given: The keywords that it was called with.
        known: The keywords that it takes.

    Raises:
        DomainError: `category.keyword`, for the first unknown keyword.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise _unknown_keyword(model, name, called, names)


def refuse_class_keywords(cls: type, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keywords of a `class` statement that the base class does not know.

    Raises:
        ConfigurationError: A keyword is unknown; the message names it.
    """
    for name in given:
        raise ConfigurationError(f"class {cls.__name__} has no keyword {name!r}: {suggestion(name, known)}")


def require_free_names(cls: type[BaseModel], base: type[BaseModel]) -> None:
    """Check that no field hides an attribute that a class inherits from the library or its parents.

    Pydantic only warns, and the field would hide an attribute that the library uses, such as the
    `type` of an event.

    Args:
        cls: The class that is being defined.
        base: `Event` or `Entity`.

    Raises:
        ConfigurationError: A field has such a name.
    """
    parents = [parent for parent in cls.__mro__[1:] if issubclass(parent, base)]
    for name in cls.model_fields:
        for parent in parents:
            if name in {*vars(parent), *parent.__class_vars__} and name not in parent.model_fields:
                raise name_taken(cls, name, parent.__name__)


def name_taken(cls: type, name: str, parent: str) -> ConfigurationError:
    """Return the error of a field whose name the library needs."""
    return ConfigurationError(
        f"{cls.__name__} has a field {name!r}, but every {parent} has an attribute of that name: rename the field"
    )


def number(rule: str, value: Any, *, wide: bool = False) -> Decimal:
    """Return `value` as a decimal, validated like the fields of the domain.

    Args:
        rule: The rule that an error names, `category.field`.
        value: The value.
        wide: Also accept results of the library's arithmetic: 34 significant digits, exponents up
            to 999.

    Raises:
        DomainError: It is not a decimal number, or has too many digits.
    """
    try:
        return (_COMPUTED if wide else _AMOUNT).validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DomainError(rule, f"{rule.partition('.')[2]}: {message}") from error


class Validated(BaseModel):
    """A model whose constructor raises `DomainError` for bad values."""

    def __init__(self, /, **data: Any) -> None:
        if creates[self.__class__](self, data):
            return
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise domain_error(type(self), error) from error

    @classmethod
    def model_construct(  # type: ignore[override]  # pydantic's plug-in has another signature
        cls, _fields_set: set[str] | None = None, **values: Any
    ) -> Self:
        """Return a model with validated values, like the constructor and unlike pydantic's method.

        Raises:
            DomainError: A value is not of its field's type, or there is no such field.
        """
        made = cls(**values)
        if _fields_set is not None:
            set_given(made, set(_fields_set))
        return made
