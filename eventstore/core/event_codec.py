"""How the events of one class are written as JSON and read again.

An event that is appended can be read, equal, type and all, or it is refused before anything is written. Of most classes
that is known once and for all, by the types of their fields. An event of any other class is read back from its own JSON,
as PostgreSQL would give it back, when it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from eventstore.core import codec
from eventstore.core.read_back import Difference, after_jsonb, first_difference, forms_for_jsonb, parse_json
from eventstore.errors import ConfigurationError, EventEncodingError
from eventstore.printable import printable, text_of_error

if TYPE_CHECKING:
    from eventstore.core.event import Event

_ERROR_CHARACTERS_MAX = 500  # of pydantic's, or of a user's validator
_INTEGER_DIGITS_MAX = 640  # the lowest limit that `sys.set_int_max_str_digits` takes
_NUMERIC_DIGITS_MAX = 131_072  # before the point, of any number in jsonb
_LONG_NUMBER = re.compile(rf"\d{{{_NUMERIC_DIGITS_MAX + 1}}}")
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_OCCURRED_AT = {"occurred_at"}  # the envelope has it

# The escape of NUL; after an odd number of other backslashes these would be six characters of text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class EventCodec:
    """How the events of one class are written and read; `event_codecs` has it.

    Attributes:
        category: The category of the class.
        type: The type of the class.
        schema_version: The schema version of the class.
        encode: Returns an event's fields as UTF-8 JSON.
        loads: Parses such JSON.
        construct: Makes an event of parsed JSON, and of `{"occurred_at": ...}`.
        is_exact: Whether each event of the class can be read back, so that none has to be when it is written.

    Raises:
        ConfigurationError: A field can never be read back, or refers to a name that is not defined.
    """

    __slots__ = (
        "_event_class",
        "_write",
        "category",
        "construct",
        "encode",
        "is_exact",
        "loads",
        "schema_version",
        "type",
    )

    def __init__(self, event_class: type[Event]) -> None:
        require_storable_fields(event_class)
        form = codec.form_of(event_class)
        self._event_class = event_class
        self.category = event_class.category
        self.type = event_class.type
        self.schema_version = event_class.schema_version
        # An event that can be changed may have been since it was validated.
        self.is_exact = form.is_exact and bool(event_class.model_config.get("frozen"))
        self.loads: Callable[[str | bytes], Any] = parse_json if form.is_wide else orjson.loads
        self.construct: Callable[[dict[str, Any], Mapping[str, Any]], Event] = codec.maker(
            event_class, "occurred_at"
        ).construct
        self._write = self._writer(form)
        self.encode: Callable[[Event], bytes] = self._encode_checked
        if self.is_exact:
            self.encode = self._encode_wide if form.is_wide else self._write

    def restored(self, event: Event) -> Event:
        """Return an event as it is read once PostgreSQL has kept it.

        Raises:
            EventEncodingError: It would not be read back.
        """
        encoded = self.encode(event)
        data = self.loads(encoded) if self.is_exact else after_jsonb(encoded.decode())
        return self.construct(data, {"occurred_at": event.occurred_at})

    def _writer(self, form: codec.Form) -> Callable[[Event], bytes]:
        """Return what writes an event's fields as JSON, or raises an `EventEncodingError`."""
        keeps_none = form.keeps_none
        # A value of another type than its field, of an instance that was made without validation, is refused. Else each
        # event is looked at anyway.
        warns: Literal["none", "error"] = "error" if self.is_exact else "none"
        to_json, refusal = self._event_class.__pydantic_serializer__.to_json, self._refusal
        is_amendment = not self._event_class.stores_unset_fields

        def write(event: Event) -> bytes:
            try:
                encoded = (
                    # Of an amendment, the fields that are set; what these hold is whole.
                    to_json(
                        event,
                        include=event.model_fields_set - _OCCURRED_AT,
                        by_alias=False,
                        round_trip=True,
                        warnings=warns,
                    )
                    if is_amendment
                    # `round_trip` leaves out computed fields, which are no fields to be read.
                    else to_json(
                        event,
                        exclude=_OCCURRED_AT,
                        exclude_none=keeps_none,
                        by_alias=False,
                        round_trip=True,
                        warnings=warns,
                    )
                )
            except Exception as error:
                raise refusal(f"cannot be written as JSON: {reason_of(error)}") from error
            # The plain search costs a tenth of the other, and nearly always says no.
            if b"\\u0000" in encoded and has_nul(encoded):
                raise refusal("holds the character NUL, which PostgreSQL cannot store")
            return encoded

        return write

    def _encode_wide(self, event: Event) -> bytes:
        """Return the event's fields as JSON that gives them back, of a class whose integers may be of any size.

        Raises:
            EventEncodingError: An integer is longer than Python parses.
        """
        encoded = self._write(event)
        return encoded if len(encoded) < _INTEGER_DIGITS_MAX else self._encode_checked(event)

    def _encode_checked(self, event: Event) -> bytes:
        """Return the event's fields as JSON that gives them back.

        Raises:
            EventEncodingError: There is none.
        """
        text = self._write(event).decode()
        if len(text) > _NUMERIC_DIGITS_MAX and _has_long_number(text):
            raise self._refusal(
                f"holds an integer of more than {_NUMERIC_DIGITS_MAX:,} digits, which PostgreSQL cannot store: give it as text"
            )
        problems: list[Exception | Difference] = []
        for form in forms_for_jsonb(text):
            found = self._found(event, form)
            if found is None:
                return form.encode()
            problems.append(found)
        first = problems[0]
        if isinstance(first, Difference):
            raise self._refusal(f"would not be read back as it is: {first}", field=first.path)
        raise self._refusal(f"could not be read back: {reason_of(first)}") from first

    def _found(self, event: Event, text: str) -> Exception | Difference | None:
        """Return what is wrong with a JSON text for an event: the error of reading it, or where another event is read."""
        try:
            read = self.construct(after_jsonb(text), {"occurred_at": event.occurred_at})
            return first_difference(event, read, "")
        except Exception as error:  # noqa: BLE001 - of a user's validators too
            return error

    def _refusal(self, why: str, *, field: str | None = None) -> EventEncodingError:
        return EventEncodingError.of(self.category, self.type, why, field=field)


def require_storable_fields(model: type[BaseModel]) -> None:
    """Check that no field of an event or an entity is one whose values can never be read back.

    Raises:
        ConfigurationError: There is one; the message says what to do instead. Or the class refers to a name that is not
            defined.
    """
    form = codec.form_of(model)
    for name, why in form.unstorable.items():
        raise ConfigurationError(f"field {name} of {model.__name__}: {why}")
    if form.has_serializer:
        raise ConfigurationError(
            f"{model.__name__} has a serializer of its own, so its JSON would not be that of its fields, which the log "
            "keeps: remove it, and give single fields a serializer and a validator that fit each other"
        )


def _has_long_number(text: str) -> bool:
    """Whether JSON has a number that is longer than jsonb takes, and not only a text with so many digits."""
    return _LONG_NUMBER.search(text) is not None and _LONG_NUMBER.search(_TEXT.sub("", text)) is not None


class _Codecs(dict["type[Event]", EventCodec]):
    def __missing__(self, event_class: type[Event]) -> EventCodec:
        made = self[event_class] = EventCodec(event_class)
        return made


event_codecs: Mapping[type[Event], EventCodec] = _Codecs()
"""How the events of each class are written and read; a class that was not asked for before raises as `EventCodec` does."""


def reason_of(error: BaseException) -> str:
    """Return in one line, and not too long, why a value could not be written or read."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f" at {'.'.join(map(str, first['loc']))}" for _ in first["loc"][:1])
        return printable(f"{first['msg']}{place}"[:_ERROR_CHARACTERS_MAX])
    return printable(text_of_error(error)[:_ERROR_CHARACTERS_MAX])


def has_nul(encoded: bytes) -> bool:
    """Whether a text in some JSON has the character NUL, which PostgreSQL cannot store."""
    return b"\\u0000" in encoded and _NUL.search(encoded) is not None
