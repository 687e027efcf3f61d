"""Pydantic's verdict as one clear `DomainError`, for entities and events alike."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from eventstore.errors import DomainError

__all__ = ["Validated", "domain_error"]


def domain_error(model: str, error: ValidationError) -> DomainError:
    """Return the first of pydantic's complaints as a `DomainError` that names model, field and value."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DomainError):
        return cause
    field = ".".join(str(part) for part in first["loc"]) or "value"
    given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return DomainError(f"{model}.{field}", f"{model}: {field} {message[:1].lower()}{message[1:]}{given}")


class Validated(BaseModel):
    """A model whose constructor raises `DomainError` for bad values."""

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise domain_error(type(self).__name__, error) from error
