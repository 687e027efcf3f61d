"""How the events of one class are written as JSON and read again.

Every appended event can be read back equal, in value and type. An event that cannot is refused
before anything is written. For most classes the types of the fields guarantee this. An event of any
other class is read back from its JSON when it is written, in the form in which PostgreSQL would
return it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from eventstore.core import codec
from eventstore.core.plain_writer import writer_of
from eventstore.core.read_back import Difference, after_jsonb, first_difference, forms_for_jsonb, parse_json
from eventstore.errors import ConfigurationError, EventEncodingError
from eventstore.printable import printable, text_of_error

if TYPE_CHECKING:
    from eventstore.core.event import Event

_ERROR_CHARACTERS_MAX = 500  # of an error of pydantic or of a user's validator
_INTEGER_DIGITS_MAX = 640  # the lowest limit that `sys.set_int_max_str_digits` takes
_NUMERIC_DIGITS_MAX = 131_072  # before the point, of any number in jsonb
_LONG_NUMBER = re.compile(rf"\d{{{_NUMERIC_DIGITS_MAX + 1}}}")
_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_OCCURRED_AT = {"occurred_at"}  # stored in the envelope

# The escape of NUL. After an odd number of other backslashes, it would be six characters of text.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class EventCodec:
    """How the events of one class are written and read. Get one from `event_codecs`.

    Attributes:
        category: The category of the class.
        type: The type of the class.
        schema_version: The schema version of the class.
        encode: Returns an event's fields as UTF-8 JSON.
        loads: Parses such JSON.
        construct: Creates an event from parsed JSON and its `occurred_at`.
        constructors: By the names in parsed JSON: the function that does so.
        is_exact: Whether every event of the class can be read back equal, so that no event has to
            be checked when it is written.

    Raises:
        ConfigurationError: A field can never be read back, or refers to a name that is not defined.
    """

    __slots__ = (
        "_event_class",
        "_write",
        "category",
        "construct",
        "constructors",
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
        # A mutable event may have been changed after validation.
        self.is_exact = form.is_exact and bool(event_class.model_config.get("frozen"))
        self.loads: Callable[[str | bytes], Any] = parse_json if form.is_wide else orjson.loads
        made = codec.maker(event_class, "occurred_at")
        self.construct: Callable[[Mapping[str, Any], datetime], Event] = made.construct
        self.constructors: Mapping[tuple[str, ...], Callable[..., Event]] = made.constructors
        self._write = self._writer(form)
        self.encode: Callable[[Event], bytes] = self._encode_checked
        if self.is_exact:
            self.encode = self._encode_wide if form.is_wide else self._write

    def restored(self, event: Event) -> Event:
        """Return an event as it would be read after PostgreSQL has stored it.

        Raises:
            EventEncodingError: It could not be read back equal.
        """
        encoded = self.encode(event)
        data = self.loads(encoded) if self.is_exact else after_jsonb(encoded.decode())
        return self.construct(data, event.occurred_at)

    def _writer(self, form: codec.Form) -> Callable[[Event], bytes]:
        """Return the function that writes an event as JSON, or raises `EventEncodingError`."""
        keeps_none = form.keeps_none
        # An instance that was created without validation may have a value of another type than its
        # field. If the class is exact, this setting refuses it. Otherwise each event is checked
        # anyway.
        warns: Literal["none", "error"] = "error" if self.is_exact else "none"
        to_json, refusal = self._event_class.__pydantic_serializer__.to_json, self._refusal
        is_amendment = not self._event_class.stores_unset_fields
        left_out = _left_out(form)
        plain = None
        if self.is_exact and not is_amendment:
            plain = writer_of(self._event_class, envelope="occurred_at")

        def write(event: Event) -> bytes:
            encoded = None if plain is None else plain(event.__dict__)
            if encoded is None:
                encoded = write_any(event)
            # The plain search costs a tenth of `has_nul`, and almost never finds anything.
            if b"\\u0000" in encoded and has_nul(encoded):
                raise refusal("contains the character NUL, which PostgreSQL cannot store")
            return encoded

        def write_any(event: Event) -> bytes:
            try:
                return (
                    # An amendment stores only the fields that are set, each completely.
                    to_json(
                        event,
                        include=event.model_fields_set - _OCCURRED_AT,
                        by_alias=False,
                        round_trip=True,
                        warnings=warns,
                    )
                    if is_amendment
                    # `round_trip` leaves out computed fields, because they cannot be read back.
                    else to_json(
                        event,
                        exclude=left_out(event.__dict__),
                        exclude_none=keeps_none,
                        by_alias=False,
                        round_trip=True,
                        warnings=warns,
                    )
                )
            except Exception as error:
                raise refusal(f"cannot be written as JSON: {reason_of(error)}") from error

        return write

    def _encode_wide(self, event: Event) -> bytes:
        """Return an event's fields as JSON, for a class whose integers may be of any size.

        Raises:
            EventEncodingError: The event cannot be written as JSON, or an integer is too long for
                Python to parse.
        """
        encoded = self._write(event)
        return encoded if len(encoded) < _INTEGER_DIGITS_MAX else self._encode_checked(event)

    def _encode_checked(self, event: Event) -> bytes:
        """Return an event's fields as JSON from which the event can be read back equal.

        Raises:
            EventEncodingError: There is no such JSON.
        """
        text = self._write(event).decode()
        if len(text) > _NUMERIC_DIGITS_MAX and _has_long_number(text):
            raise self._refusal(
                f"has an integer of more than {_NUMERIC_DIGITS_MAX:,} digits, which PostgreSQL cannot store: "
                "store it as text"
            )
        problems: list[Exception | Difference] = []
        for form in forms_for_jsonb(text):
            found = self._found(event, form)
            if found is None:
                return form.encode()
            problems.append(found)
        first = problems[0]
        if isinstance(first, Difference):
            raise self._refusal(f"would not be read back equal: {first}", field=first.path)
        raise self._refusal(f"could not be read back: {reason_of(first)}") from first

    def _found(self, event: Event, text: str) -> Exception | Difference | None:
        """Return the error of reading an event from JSON, or a difference; None if it is equal."""
        try:
            read = self.construct(after_jsonb(text), event.occurred_at)
            return first_difference(event, read, "")
        except Exception as error:  # noqa: BLE001 - also errors of a user's validators
            return error

    def _refusal(self, why: str, *, field: str | None = None) -> EventEncodingError:
        return EventEncodingError.of(self.category, self.type, why, field=field)


def _left_out(form: codec.Form) -> Callable[[Mapping[str, Any]], set[str]]:
    """Return the function that says which fields of an event its JSON does without.

    They are the time of the envelope, and each field whose default and value are False or `()`. Reading gives it back, and
    the check of schema changes refuses another default.
    """
    flags = tuple(name for name, default in form.defaults.items() if default is False)
    tuples = tuple(name for name, default in form.defaults.items() if default == ())
    if not flags and not tuples:
        return lambda _: _OCCURRED_AT

    usual = {*flags, *tuples, *_OCCURRED_AT}

    def names(state: Mapping[str, Any]) -> set[str]:
        # Not merely what counts as false, such as None. A list is faster here than a generator.
        if all([state[name] is False for name in flags]) and all([state[name] == () for name in tuples]):  # noqa: C419
            return usual
        found = {name for name in flags if state[name] is False}
        found.update(name for name in tuples if state[name] == ())
        found.add("occurred_at")
        return found

    return names


def require_storable_fields(model: type[BaseModel]) -> None:
    """Check that the values of every field of an event or entity can be read back.

    Raises:
        ConfigurationError: The class refers to a name that is not defined, the values of a field
            can never be read back, or the class has a custom serializer. The message says what to
            do instead.
    """
    form = codec.form_of(model)
    for name, why in form.unstorable.items():
        raise ConfigurationError(f"field {name} of {model.__name__}: {why}")
    if form.has_serializer:
        raise ConfigurationError(
            f"{model.__name__} has a custom serializer, but the log stores the JSON of its fields: remove the "
            "serializer, and give single fields a serializer and a matching validator"
        )


def _has_long_number(text: str) -> bool:
    """Whether JSON has a number that is too long for jsonb; digits in strings do not count."""
    return _LONG_NUMBER.search(text) is not None and _LONG_NUMBER.search(_TEXT.sub("", text)) is not None


class _Codecs(dict["type[Event]", EventCodec]):
    def __missing__(self, event_class: type[Event]) -> EventCodec:
        made = self[event_class] = EventCodec(event_class)
        return made


event_codecs: Mapping[type[Event], EventCodec] = _Codecs()
"""The codec of each event class; the first access may raise the errors of `EventCodec`."""


def reason_of(error: BaseException) -> str:
    """Return in one short line why a value could not be written or read."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f" at {'.'.join(map(str, first['loc']))}" for _ in first["loc"][:1])
        return printable(f"{first['msg']}{place}"[:_ERROR_CHARACTERS_MAX])
    return printable(text_of_error(error)[:_ERROR_CHARACTERS_MAX])


def has_nul(encoded: bytes) -> bool:
    """Whether a string in the JSON contains the character NUL, which PostgreSQL cannot store."""
    return b"\\u0000" in encoded and _NUL.search(encoded) is not None
