"""Pydantic's verdict as one clear `DomainError`, for entities and events alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from eventstore.domain.types import Amount, Computed
from eventstore.errors import DomainError

__all__ = ["Validated", "domain_error", "number"]

_AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
_COMPUTED: TypeAdapter[Decimal] = TypeAdapter(Computed)


def domain_error(model: type[BaseModel], error: ValidationError) -> DomainError:
    """Return the first of pydantic's complaints as a `DomainError` that names model, field and value.

    The rule is `category.field`, such as `order.quantity`, for an entity and its events alike; a model
    without a category gives its own name.
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DomainError):
        return cause
    field = ".".join(str(part) for part in first["loc"]) or "value"
    given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    rule = f"{getattr(model, 'category', '') or model.__name__}.{field}"
    return DomainError(rule, f"{model.__name__}: {field} {message[:1].lower()}{message[1:]}{given}")


def number(rule: str, value: Any, *, wide: bool = False) -> Decimal:
    """Return `value` as the fields of the domain take it, for values that are no field.

    Args:
        rule: The rule to name, `category.field`.
        value: What was given.
        wide: Take what the library's arithmetic gives: 34 significant digits at any exponent.

    Raises:
        DomainError: It is no decimal number, or too wide.
    """
    try:
        return (_COMPUTED if wide else _AMOUNT).validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DomainError(rule, f"{rule.partition('.')[2]}: {message}") from error


class Validated(BaseModel):
    """A model whose constructor raises `DomainError` for bad values."""

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise domain_error(type(self), error) from error
