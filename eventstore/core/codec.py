"""Decoding of stored JSON and of table rows into models, without validating them a second time.

Validation costs several times as much as decoding, and a replay decodes every event of the log. So
each field's type is compiled once into a reader of its JSON form. A type that has no reader here,
or that has a custom serializer, is read by pydantic's validator in JSON mode.

The types come from pydantic's core schema. It contains everything that determines the JSON form:
annotations with their metadata, decorators, and the configuration of nested models. Pydantic reads
any kind of schema that is unknown here, and the values are checked when they are written. So a new
version of pydantic costs time at worst.
"""

from __future__ import annotations

import enum
import operator
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache, partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic_core import PydanticUndefined, SchemaSerializer, SchemaValidator, from_json, to_json

from eventstore.errors import ConfigurationError
from eventstore.private_names.pydantic_names import (
    only_checks_bounds,
    only_sets_private_attributes,
    set_extra,
    set_given,
    set_private,
    set_state,
)

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])
Converter = Callable[[Any], Any]
Schema = Mapping[str, Any]

_SHAPES_MAX = 1_000  # per model: an amendment may contain any of its fields
_REMEMBERED_MAX = 10_000  # per type: one or two MB


def keeps_type(function: F) -> F:
    """Mark a validator that returns its argument, or another value of exactly the same type."""
    function.__reads_back__ = "as given"  # type: ignore[attr-defined]
    return function


def comes_back(function: F) -> F:
    """Mark a validator or default factory whose results come back from JSON equal.

    They are equal in value and type.
    """
    function.__reads_back__ = "always"  # type: ignore[attr-defined]
    return function


# ---- what a type is in JSON ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """How the JSON form of one type becomes a value again.

    Attributes:
        read: Turns the parsed JSON into the value; None if the parsed JSON already is the value.
        read_given: The same for JSON that is not null, where that is faster; None if `read` is it.
        is_exact: Whether every value that passes validation comes back equal, in value and type.
        keeps_none: Whether nothing is lost if every None inside is left out of the JSON.
        is_wide: Whether the JSON may contain integers beyond 64 bits.
        may_be_none: Whether None may be a value.
        is_opaque: Whether the JSON form alone does not determine the value, so that validators have
            to make it.
        types: The types that values can have; empty if unknown.
        item_types: The types that the items of a tuple of any length can have; empty if unknown, or if it is none.
    """

    read: Converter | None = None
    read_given: Converter | None = None
    is_exact: bool = False
    keeps_none: bool = True
    is_wide: bool = False
    may_be_none: bool = False
    is_opaque: bool = False
    types: frozenset[type] = frozenset()
    item_types: frozenset[type] = frozenset()


@dataclass(frozen=True, slots=True)
class Form:
    """How one model is written as JSON and read again.

    Attributes:
        readers: The reader of each field.
        defaults: The default of each field that has a constant one, as pydantic returns it.
        made: For other fields with a default, the function that computes it from the fields before
            it.
        extras: The reader of values that are not fields; None if the model accepts no such values.
        is_root: Whether the JSON is that of the single field `root`.
        has_serializer: Whether the model has a custom serializer, so that pydantic has to read it.
        is_exact: Whether every instance that passes validation comes back equal, in value and type.
        keeps_none: Whether nothing is lost if fields that are None are left out of the JSON.
        is_wide: Whether the JSON may contain integers beyond 64 bits.
        unstorable: For each field whose values are known to be unreadable from JSON, the reason.
    """

    readers: Mapping[str, Reader] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Converter] = field(default_factory=dict)
    extras: Reader | None = None
    is_root: bool = False
    has_serializer: bool = False
    is_exact: bool = False
    keeps_none: bool = True
    is_wide: bool = False
    unstorable: Mapping[str, str] = field(default_factory=dict)


def require_complete(model: type[BaseModel]) -> None:
    """Resolve the forward references of a model.

    Pydantic resolves them only when the first instance is created.

    Raises:
        ConfigurationError: A name is not defined.
    """
    if model.__pydantic_complete__:
        return
    try:
        # Without an explicit namespace, pydantic would also look names up among local variables.
        model.model_rebuild(_types_namespace={})
    except PydanticUndefinedAnnotation as error:
        raise ConfigurationError(
            f"{model.__name__} refers to {error.name}, which is not defined: define it in {model.__module__}, "
            f"or call {model.__name__}.model_rebuild() where it is defined"
        ) from error


@cache
def form_of(model: type[BaseModel]) -> Form:
    """Return how a model is written and read.

    Raises:
        ConfigurationError: It refers to a name that is not defined.
    """
    return _form(model, frozenset())


def reader_of(adapter: TypeAdapter[Any], config: ConfigDict | None = None) -> Reader:
    """Return how the JSON form of a type becomes a value again.

    Args:
        adapter: The type.
        config: The configuration that the adapter was made with.
    """
    return _Compiler({}, dict(config or {}), frozenset()).reader(adapter.core_schema)


_TIMES = ("datetime", "date")
_FUNCTIONS = ("function-before", "function-after", "function-wrap")
# Types of enum values whose JSON does not depend on the configuration.
_WRITTEN_ALIKE = frozenset({str, int, bool, Decimal, UUID})
_USUAL_CONFIGS: tuple[Mapping[str, Any], ...] = (
    {"ser_json_bytes": "base64", "ser_json_inf_nan": "strings"},  # the configuration of `Event`
    {},
)
# The range that orjson reads as an integer.
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1


def _form(model: type[BaseModel], within: frozenset[type]) -> Form:
    require_complete(model)
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    keeps_instance = not model.__private_attributes__ and is_made_plainly(model)
    while schema["type"] != "model":
        if "serialization" in schema:
            return Form(has_serializer=True)
        if schema["type"] == "definitions":
            definitions.update((each["ref"], each) for each in schema["definitions"])
            schema = schema["schema"]
        elif schema["type"] == "definition-ref":
            schema = definitions[schema["schema_ref"]]
        elif schema["type"] in _FUNCTIONS:
            keeps_instance &= schema["type"] == "function-before" or _reads_back(schema) is not None
            schema = schema["schema"]
        else:  # other versions of pydantic may wrap a model differently
            return Form(has_serializer=True)
    if "serialization" in schema:
        return Form(has_serializer=True)
    compiler = _Compiler(definitions, schema.get("config") or {}, within | {model})
    if schema.get("root_model"):
        root = compiler.reader(schema["schema"])
        return Form(
            {"root": root},
            is_root=True,
            is_exact=root.is_exact and keeps_instance,
            keeps_none=root.keeps_none and not root.may_be_none,
            is_wide=root.is_wide,
        )
    schema = schema["schema"]
    while schema["type"] != "model-fields":
        if schema["type"] not in _FUNCTIONS:
            return Form(has_serializer=True)
        keeps_instance &= schema["type"] == "function-before"
        schema = schema["schema"]
    return _form_of_fields(model, schema, compiler, keeps_instance=keeps_instance)


def is_made_plainly(model: type[BaseModel]) -> bool:
    """Whether only validators run user code when an instance is created.

    Other code could put anything into a field.
    """
    return all(
        (getattr(model, name).__module__ or "").startswith(
            ("pydantic.", "eventstore.core.", "eventstore.domain.")
        )
        for name in ("__init__", "model_post_init")
    )


def _form_of_fields(
    model: type[BaseModel], schema: Schema, compiler: _Compiler, *, keeps_instance: bool
) -> Form:
    readers, defaults, made, unstorable = {}, {}, {}, {}
    for name, node in schema["fields"].items():
        reader = compiler.reader(node["schema"])
        default = compiler.default(node["schema"])
        if default is not None:
            value = defaults[name] = default.value
            if default.make is not None:
                del defaults[name]
                made[name] = default.make
            if not default.is_validated and not _fits(reader, default, value):
                reader = replace(reader, is_exact=False)
        if node.get("serialization_exclude") is True:
            unstorable[name] = (
                "it is excluded from the JSON, so its value would be lost: include it, or make it a property"
            )
        elif (why := _unstorable(node["schema"])) is not None:
            unstorable[name] = why
        elif _has_secret(model.model_fields[name].annotation, frozenset()):
            unstorable[name] = _STARS
        if "serialization_exclude" in node or "serialization_exclude_if" in node:
            reader = replace(reader, is_exact=False)
        readers[name] = reader
    extras = None
    if compiler.config.get("extra_fields_behavior") == "allow":
        extras = compiler.reader(schema.get("extras_schema") or {"type": "any"})
    return Form(
        readers,
        defaults,
        made,
        extras,
        is_exact=keeps_instance and extras is None and all(reader.is_exact for reader in readers.values()),
        keeps_none=extras is None
        and all(
            reader.keeps_none and (not reader.may_be_none or defaults.get(name, PydanticUndefined) is None)
            for name, reader in readers.items()
        ),
        is_wide=extras is not None or any(reader.is_wide for reader in readers.values()),
        unstorable=unstorable,
    )


@dataclass(frozen=True, slots=True)
class _Default:
    """A field's default: a constant, or a function of the fields before it.

    Attributes:
        value: The constant; meaningless if the default is computed each time.
        make: The function that computes it; None for a constant.
        is_validated: Whether it has passed the field's validators, like a value that is passed in.
        is_exact: Whether the function is known to return only values that come back from JSON
            equal.
    """

    value: Any
    make: Converter | None = None
    is_validated: bool = False
    is_exact: bool = False


def _fits(reader: Reader, default: _Default, value: Any) -> bool:
    """Whether an unvalidated default comes back from JSON equal, if validated values do."""
    if default.make is not None:
        return default.is_exact
    if value is None:
        return reader.may_be_none
    has_parts = isinstance(value, BaseModel) or (hasattr(value, "__len__") and not isinstance(value, str))
    return type(value) in reader.types and not (has_parts and value)


def _reads_back(schema: Schema) -> str | None:
    """Return what is known about a validator function: `as given`, `always`, or None."""
    function = schema["function"]["function"]
    function = getattr(function, "func", function)  # the function behind a partial
    if only_checks_bounds(function):
        return "as given"
    mark: str | None = getattr(function, "__reads_back__", None)
    return mark


_NEVER_READ = {
    "generator": "an iterator can be read only once: use a tuple",
    "callable": "a function cannot be kept as JSON: keep its name",
    "is-subclass": "a class cannot be kept as JSON: keep its name",
}
_STARS = (
    "a secret is written as asterisks, so it could not be read back, and the log keeps its events for ever: "
    "store the secret elsewhere, and keep only its name"
)


def _unstorable(schema: Schema) -> str | None:
    """Return why no value of a schema can be read back; None if no reason is known."""
    if "serialization" in schema:
        return None
    why = _NEVER_READ.get(schema["type"])
    inner = schema.get("schema")
    if why is None and isinstance(inner, Mapping) and schema["type"] in (*_FUNCTIONS, "default", "nullable"):
        return _unstorable(inner)
    return why


def _has_secret(annotation: Any, seen: frozenset[Any]) -> bool:
    if isinstance(annotation, type):
        if issubclass(annotation, SecretStr | SecretBytes | Secret):
            return True
        if issubclass(annotation, BaseModel) and annotation not in seen and annotation.__pydantic_complete__:
            seen |= {annotation}
            return any(_has_secret(each.annotation, seen) for each in annotation.model_fields.values())
    parts = (typing.get_origin(annotation), *typing.get_args(annotation))
    return any(_has_secret(part, seen) for part in parts if part is not None and part is not annotation)


class _Compiler:
    """Compiles the core schemas of one model into readers.

    Args:
        definitions: The schemas that others refer to.
        config: The model's configuration, as pydantic-core holds it.
        within: This model and the models that contain it.
    """

    def __init__(
        self, definitions: dict[str, Schema], config: Mapping[str, Any], within: frozenset[type]
    ) -> None:
        self.config = config
        self._known = definitions
        self._within = within
        self._open: frozenset[str] = frozenset()

    def reader(self, schema: Schema, bounds: Mapping[str, Any] | None = None) -> Reader:
        """Return the reader of a schema.

        Args:
            schema: The schema.
            bounds: The bounds that validators around the schema impose on a number.
        """
        kind = "serialization" if "serialization" in schema else schema["type"]
        if kind in _FUNCTIONS:
            return self._validated(schema, bounds or {})
        if kind == "int":
            return _integer({**schema, **(bounds or {})})
        if kind == "default":
            return self.reader(schema["schema"], bounds)
        if kind in _TIMES and self.config.get("ser_json_temporal", "iso8601") != "iso8601":
            return self._by_pydantic(schema)  # as numbers, which pydantic may take for others
        if kind in _PLAIN:
            return _PLAIN[kind]
        return self._READERS.get(kind, _Compiler._by_pydantic)(self, schema)

    def default(self, schema: Schema) -> _Default | None:
        """Return the default of a field's schema; None if the field is required."""
        node = schema
        while node["type"] in (*_FUNCTIONS, "nullable"):
            node = node["schema"]
        if node["type"] != "default":
            return None
        validates = bool(node.get("validate_default", self.config.get("validate_default")))
        factory = node.get("default_factory")
        if factory is None:
            return self._plain_default(node["schema"], node["default"], validates=validates)
        is_exact = getattr(factory, "__reads_back__", None) == "always"
        make = factory if node.get("default_factory_takes_data") else lambda _: factory()
        if validates:
            validate = self._validator(node["schema"]).validate_python
            return _Default(None, lambda fields: validate(make(fields)), is_validated=True)
        return _Default(None, make, is_exact=is_exact)

    def _plain_default(self, schema: Schema, value: Any, *, validates: bool) -> _Default:
        if validates and value is not None:
            validate = self._validator(schema).validate_python
            try:
                value = validate(value)
            except Exception:  # noqa: BLE001 - raised when an instance lacks the field
                return _Default(None, lambda _: validate(value), is_validated=True)
        try:
            hash(value)
        except TypeError:
            return _Default(None, lambda _: deepcopy(value), is_validated=validates)
        return _Default(value, is_validated=validates)

    def _by_pydantic(self, schema: Schema) -> Reader:
        validator = self._validator(schema)
        return Reader(
            lambda value: validator.validate_json(to_json(value), **_BY_NAME),
            keeps_none=False,
            is_wide=True,
            may_be_none=True,
            is_opaque=True,
        )

    def _validator(self, schema: Schema) -> SchemaValidator:
        whole: Any = schema
        if self._known:
            whole = {"type": "definitions", "schema": schema, "definitions": [*self._known.values()]}
        return SchemaValidator(whole, typing.cast("Any", self.config) or None)

    def _validated(self, schema: Schema, bounds: Mapping[str, Any]) -> Reader:
        """Return the reader of the type that a validator function validates."""
        function, mark = schema["function"]["function"], _reads_back(schema)
        is_before = schema["type"] == "function-before"
        if mark == "as given" and isinstance(function, partial):
            bounds = {**bounds, **function.keywords}
        inner = self.reader(schema["schema"], bounds)
        # A class as a validator returns its own instances, and `attrgetter` returns something else
        # as well.
        if inner.is_opaque or (not is_before and isinstance(function, type | operator.attrgetter)):
            return self._by_pydantic(schema)
        if is_before or mark == "as given":
            return inner
        if mark == "always":
            return replace(inner, is_exact=True)
        return replace(inner, is_exact=False, may_be_none=True, types=frozenset())

    def _nullable(self, schema: Schema) -> Reader:
        inner = self.reader(schema["schema"])
        read, types = inner.read, inner.types
        return replace(
            inner,
            read=None if read is None else lambda value: None if value is None else read(value),
            read_given=inner.read_given or read,
            may_be_none=True,
            types=types | {type(None)} if types else types,
        )

    def _any(self, schema: Schema) -> Reader:  # noqa: ARG002 - the signature of all readers
        return Reader(keeps_none=False, is_wide=True, may_be_none=True, is_opaque=True)

    def _decimal(self, schema: Schema) -> Reader:
        # NaN equals nothing, not even the value read back.
        is_finite = not schema.get("allow_inf_nan", self.config.get("allow_inf_nan", False))
        return Reader(_remembered(Decimal).__getitem__, is_exact=is_finite, types=frozenset({Decimal}))

    def _list(self, schema: Schema) -> Reader:
        return self._items(schema, list)

    def _set(self, schema: Schema) -> Reader:
        return self._items(schema, set)

    def _frozenset(self, schema: Schema) -> Reader:
        return self._items(schema, frozenset)

    def _items(self, schema: Schema, kind: type) -> Reader:
        item = self.reader(schema.get("items_schema") or {"type": "any"})
        read_item = item.read
        read: Converter | None = None if kind is list else kind
        if read_item is not None:
            read = lambda values: kind([read_item(value) for value in values])  # noqa: E731
        return Reader(
            read,
            # A list or a set may have been changed since it was validated.
            is_exact=item.is_exact and kind is frozenset,
            keeps_none=item.keeps_none,
            is_wide=item.is_wide,
            types=frozenset({kind}),
        )

    def _tuple(self, schema: Schema) -> Reader:
        items = [self.reader(each) for each in schema["items_schema"]]
        variadic = schema.get("variadic_item_index")
        reads = [item.read for item in items]
        if all(read is None for read in reads):
            read: Converter = tuple
        elif variadic is None:
            whole = tuple(read or _same for read in reads)
            read = lambda values: tuple(one(value) for one, value in zip(whole, values, strict=True))  # noqa: E731
        elif len(items) == 1:
            one = typing.cast("Converter", reads[0])
            read = lambda values: tuple([one(value) for value in values])  # noqa: E731
        else:
            return self._by_pydantic(schema)
        return Reader(
            read,
            is_exact=all(item.is_exact for item in items),
            keeps_none=all(item.keeps_none for item in items),
            is_wide=any(item.is_wide for item in items),
            types=frozenset({tuple}),
            item_types=frozenset() if variadic is None or len(items) > 1 else items[0].types,
        )

    def _dict(self, schema: Schema) -> Reader:
        keys_schema = schema.get("keys_schema") or {"type": "any"}
        keys = self.reader(keys_schema)
        values = self.reader(schema.get("values_schema") or {"type": "any"})
        read_value = values.read or _same
        read: Converter | None = None
        if keys.types != {str} or keys.read is not None:
            # JSON keys are text; pydantic converts them to their type.
            of_keys = self._validator({"type": "dict", "keys_schema": keys_schema}).validate_json
            read = lambda found: dict(  # noqa: E731
                zip(
                    of_keys(to_json(dict.fromkeys(found)), **_BY_NAME),
                    map(read_value, found.values()),
                    strict=True,
                )
            )
        elif values.read is not None:
            read = lambda found: {key: read_value(value) for key, value in found.items()}  # noqa: E731
        return Reader(
            read,
            keeps_none=values.keeps_none and not values.may_be_none,
            is_wide=values.is_wide,
            types=frozenset({dict}),
        )

    def _literal(self, schema: Schema) -> Reader:
        values = {value: value for value in schema["expected"] if type(value) in (str, int, bool)}
        if len(values) < len(schema["expected"]):
            return self._by_pydantic(schema)
        validate = self._validator(schema).validate_python  # its error lists the allowed values
        return Reader(
            lambda value: (
                values[value] if type(value) in (str, int, bool) and value in values else validate(value)
            ),
            is_exact=True,
            is_wide=any(type(value) is int and not _INTEGER_MIN <= value <= _INTEGER_MAX for value in values),
            types=frozenset(map(type, values)),
        )

    def _enum(self, schema: Schema) -> Reader:
        kind: type[enum.Enum] = schema["cls"]
        if issubclass(kind, enum.Flag):
            return self._by_pydantic(schema)
        texts = self._texts_of_members(schema)
        if len(set(texts.values())) < len(kind):
            return self._by_pydantic(schema)
        try:
            members = {from_json(text): member for text, member in texts.items()}
        except TypeError:  # a list, from a tuple
            return Reader(lambda value: texts[to_json(value)], is_wide=True, types=frozenset({kind}))
        return Reader(
            members.__getitem__,
            is_exact=all(type(member.value) in _WRITTEN_ALIKE for member in kind)
            and all(type(value) in (str, int, bool) for value in members),
            is_wide=any(
                type(value) is int and not _INTEGER_MIN <= value <= _INTEGER_MAX for value in members
            ),
            types=frozenset({kind}),
        )

    def _texts_of_members(self, schema: Schema) -> dict[bytes, enum.Enum]:
        """Return the JSON texts that pydantic may write for the members of an enum.

        The configuration of the outermost model determines how bytes, times and infinities are
        written. It is unknown here.
        """
        texts: dict[bytes, enum.Enum] = {}
        for config in (self.config, *_USUAL_CONFIGS):
            serializer = SchemaSerializer(typing.cast("Any", schema), typing.cast("Any", config) or None)
            for member in schema["cls"]:
                with suppress(Exception):  # the append reports it if a member is written this way
                    texts.setdefault(serializer.to_json(member), member)
        return texts

    def _model(self, schema: Schema) -> Reader:
        model: type[BaseModel] = schema["cls"]
        if model in self._within:  # the model contains itself
            return Reader(
                _model_reader(model),
                keeps_none=False,
                is_wide=True,
                types=frozenset({model}),
            )
        try:
            form = _form(model, self._within | {model})
        except ConfigurationError:  # a name that can be resolved only within the outer model
            return self._by_pydantic(schema)
        if form.has_serializer:
            return self._by_pydantic(schema)
        config = model.model_config
        return Reader(
            _root_reader(model, form.readers["root"].read) if form.is_root else _model_reader(model),
            # Otherwise the value may be an instance of a subclass, or one that was changed after
            # validation.
            is_exact=form.is_exact
            and bool(config.get("frozen"))
            and config.get("revalidate_instances", "never") != "never",
            keeps_none=form.keeps_none,
            is_wide=form.is_wide,
            types=frozenset({model}),
        )

    def _definitions(self, schema: Schema) -> Reader:
        self._known.update((each["ref"], each) for each in schema["definitions"])
        return self.reader(schema["schema"])

    def _definition_ref(self, schema: Schema) -> Reader:
        name = schema["schema_ref"]
        found = self._known.get(name)
        if found is None or name in self._open:  # the schema contains itself
            return self._by_pydantic(schema)
        before, self._open = self._open, self._open | {name}
        try:
            return self.reader(found)
        finally:
            self._open = before

    _READERS: typing.ClassVar[Mapping[str, Callable[[_Compiler, Schema], Reader]]] = {
        "any": _any,
        "decimal": _decimal,
        "definition-ref": _definition_ref,
        "definitions": _definitions,
        "dict": _dict,
        "enum": _enum,
        "frozenset": _frozenset,
        "list": _list,
        "literal": _literal,
        "model": _model,
        "nullable": _nullable,
        "set": _set,
        "tuple": _tuple,
    }


def _same(value: Any) -> Any:
    return value


def _integer(schema: Schema) -> Reader:
    lowest = max((schema[name] for name in ("ge", "gt") if name in schema), default=None)
    highest = min((schema[name] for name in ("le", "lt") if name in schema), default=None)
    is_narrow = (
        lowest is not None and lowest >= _INTEGER_MIN and highest is not None and highest <= _INTEGER_MAX
    )
    return Reader(is_exact=True, is_wide=not is_narrow, types=frozenset({int}))


def _model_reader(model: type[BaseModel]) -> Converter:
    constructors: Any = None

    def read(value: Any) -> BaseModel:
        nonlocal constructors
        if constructors is None:  # not before: a model may contain itself
            constructors = maker(model).constructors
        made: BaseModel = constructors[tuple(value)](value)
        return made

    return read


def _root_reader(model: type[BaseModel], read: Converter | None) -> Converter:
    private, _ = _private_defaults(model)

    def make(value: Any) -> BaseModel:
        made = model.__new__(model)
        set_state(made, {"root": value if read is None or value is None else read(value)})
        set_given(made, {"root"})
        set_extra(made, None)
        set_private(made, None)
        if model.__private_attributes__ or private is None:
            made.model_post_init(None)
        return made

    return make


class Remembered(dict[Any, Any]):
    """Immutable values by their text, because prices, quantities and ids repeat often."""

    def __init__(self, make: Converter) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: Any) -> Any:
        if type(text) is float:  # from a serializer that writes numbers: use the shortest digits
            text = repr(text)
            return self._make(text)
        value = self._make(text)
        if type(text) is str:  # a number would share the entry of an equal number: 1.0 and 1
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[text] = value
        return value


@cache
def _remembered(kind: Converter) -> Remembered:
    return Remembered(kind)


def _date(value: Any) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value  # a date that an upcaster made


_PLAIN: Mapping[str, Reader] = {
    "str": Reader(is_exact=True, types=frozenset({str})),
    "bool": Reader(is_exact=True, types=frozenset({bool})),
    "uuid": Reader(_remembered(UUID).__getitem__, is_exact=True, types=frozenset({UUID})),
    # PostgreSQL returns 1e16 as an integer. NaN, infinity and -0.0 are stored as text.
    "float": Reader(float, is_wide=True, types=frozenset({float})),
    # A time zone is stored as its offset only. Both types may be a subclass, such as pandas'
    # Timestamp.
    "datetime": Reader(datetime.fromisoformat, types=frozenset({datetime})),
    "date": Reader(_date, types=frozenset({date})),
}


def _names_are_given() -> Mapping[str, bool]:
    try:
        SchemaValidator({"type": "int"}).validate_json("1", by_name=True)
    except TypeError:  # pydantic before 2.11: each model with aliases says whether it accepts names
        return {}
    return {"by_alias": False, "by_name": True}


_BY_NAME: Any = _names_are_given()
"""Fields are written and read by their names, whatever aliases they have."""


# ---- making models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shape:
    """How to create instances of one model from values for certain fields.

    Attributes:
        defaults: Every field in order, with its constant default if it is not given.
        made: For missing fields without a constant default, the function that computes the default
            from the other fields.
        conversions: For given fields whose JSON form is not the value, the function that converts
            it; it is not called for None.
        given: The names of the given fields, as pydantic keeps them.
        shares_given: Whether instances may share that set, because nothing adds to it later.
        extras: The given names that are not fields, if the model accepts such names.
    """

    defaults: Mapping[str, Any]
    made: tuple[tuple[str, Converter], ...]
    conversions: tuple[tuple[str, Converter], ...]
    given: set[str]
    shares_given: bool
    extras: tuple[str, ...]


class Maker(Generic[M]):
    """Creates instances of one model class. The function `maker` returns it.

    It remembers a function for each set of given fields, which knows what to convert and what is
    missing. Stored events of one class have few such sets.

    Attributes:
        constructors: By the names that parsed JSON has, in its order: the function that creates an
            instance from such JSON, and from the value of the `known` field if there is one.
        fillers: By the names of given fields, in order: the function that creates an instance from
            a mapping of their values; defaults fill missing fields.

    Raises:
        ConfigurationError: The class refers to a name that is not defined.
    """

    __slots__ = ("_form", "_known", "_model", "_private", "_private_made", "constructors", "fillers")

    def __init__(self, model: type[M], known: str | None = None) -> None:
        self._model = model
        self._form = form_of(model)
        self._known = known
        self._private, self._private_made = _private_defaults(model)
        self.constructors: Mapping[tuple[str, ...], Callable[..., M]] = _ByNames(self._constructor)
        self.fillers: Mapping[tuple[str, ...], Callable[[Mapping[str, Any]], M]] = _ByNames(self._filler)

    def construct(self, data: Mapping[str, Any], *known: Any) -> M:
        """Create an instance from its parsed JSON and from the value of the `known` field."""
        return self.constructors[tuple(data)](data, *known)

    def fill(self, values: Mapping[str, Any]) -> M:
        """Create an instance from values of their Python types; defaults fill missing fields."""
        return self.fillers[tuple(values)](values)

    def of_all_fields(self) -> Callable[[dict[str, Any]], M]:
        """Return a function that creates an instance from a dict of all fields in order.

        The dict becomes the state of the instance.
        """
        return self.given(tuple(self._model.model_fields))

    def given(self, names: tuple[str, ...]) -> Callable[[dict[str, Any]], M]:
        """As `of_all_fields`, but only the fields of these names count as given, and not as defaults."""
        return self._finisher(replace(self._shape(names), made=()))

    def defaults_besides(self, names: Iterable[str]) -> Mapping[str, Any] | None:
        """Return every field in order, with its default unless it is one of these names.

        Returns:
            None if a field that is missing has no constant default.
        """
        shape = self._shape(tuple(names))
        return None if shape.made else shape.defaults

    def _constructor(self, names: tuple[str, ...]) -> Callable[..., M]:
        shape = self._shape(names)
        defaults, conversions, finish = shape.defaults, shape.conversions, self._finisher(shape)

        def construct(data: Mapping[str, Any]) -> M:
            fields = {**defaults, **data}
            for name, convert in conversions:
                value = fields[name]
                if value is not None:
                    fields[name] = convert(value)
            return finish(fields)

        if self._known is None:
            return construct
        known = self._known

        def construct_with(data: Mapping[str, Any], value_of_known: Any) -> M:
            # Written out once more: a call of `construct` would take a tenth of the time.
            fields = {**defaults, **data, known: value_of_known}
            for name, convert in conversions:
                value = fields[name]
                if value is not None:
                    fields[name] = convert(value)
            return finish(fields)

        return construct_with

    def _filler(self, names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], M]:
        shape = self._shape(names)
        defaults, finish = shape.defaults, self._finisher(shape)
        return lambda values: finish({**defaults, **values})

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        form, fields, known = self._form, self._model.model_fields, self._known
        given = {*names, *(() if known is None else (known,))}
        extras = tuple(name for name in names if name not in fields)
        if extras and form.extras is None:
            raise KeyError(", ".join(sorted(map(str, extras))))
        missing = [name for name in fields if name not in given]
        if required := [name for name in missing if name not in form.defaults and name not in form.made]:
            raise KeyError(", ".join(sorted(required)))
        readers = {name: form.readers[name] if name in fields else form.extras for name in names}
        return _Shape(
            defaults={name: form.defaults.get(name) for name in fields},
            made=tuple((name, form.made[name]) for name in missing if name in form.made),
            conversions=tuple(
                (name, reader.read_given or reader.read)
                for name, reader in readers.items()
                if name != known and reader is not None and reader.read is not None
            ),
            given=given,
            shares_given=bool(self._model.model_config.get("frozen")) or not missing,
            extras=extras,
        )

    def _finisher(self, shape: _Shape) -> Callable[[dict[str, Any]], M]:
        """Return the function that makes an instance of a dict of all fields, which becomes its state."""
        model, new = self._model, self._model.__new__
        made, given, shares_given, extras = shape.made, shape.given, shape.shares_given, shape.extras
        private, private_made = self._private, self._private_made
        has_extras, initializes = (
            self._form.extras is not None,
            private is None and model.__private_attributes__,
        )

        def finish(fields: dict[str, Any]) -> M:
            for name, make in made:
                fields[name] = make(fields)
            instance = new(model)
            set_extra(instance, {name: fields.pop(name) for name in extras} if has_extras else None)
            set_state(instance, fields)
            set_given(instance, given if shares_given else given.copy())
            if private is None:
                set_private(instance, None)
                if initializes:
                    instance.model_post_init(None)
                return instance
            own = private.copy()
            for name, factory in private_made:
                own[name] = factory()
            set_private(instance, own)
            return instance

        def finish_plain(fields: dict[str, Any]) -> M:
            instance = new(model)
            set_state(instance, fields)
            set_given(instance, given)
            set_extra(instance, None)
            set_private(instance, None)
            return instance

        is_plain = not (made or has_extras or initializes) and private is None and shares_given
        return finish_plain if is_plain else finish


def _private_defaults(
    model: type[BaseModel],
) -> tuple[dict[str, Any] | None, tuple[tuple[str, Callable[[], Any]], ...]]:
    """Return the constant defaults of private attributes and the factories of the others.

    The constants are None if pydantic must set the attributes.
    """
    attributes = model.__private_attributes__
    # A model that defines `model_post_init` must set up its attributes itself.
    is_plain = only_sets_private_attributes(model) and not any(
        getattr(attribute, "default_factory_takes_validated_data", False) for attribute in attributes.values()
    )
    if not is_plain:
        return None, ()
    plain: dict[str, Any] = {}
    made: list[tuple[str, Callable[[], Any]]] = []
    for name, attribute in attributes.items():
        if attribute.default_factory is not None:
            made.append((name, typing.cast("Callable[[], Any]", attribute.default_factory)))
        elif attribute.default is not PydanticUndefined:
            try:
                hash(attribute.default)
            except TypeError:
                made.append((name, partial(deepcopy, attribute.default)))
            else:
                plain[name] = attribute.default
    return plain, tuple(made)


class _ByNames(dict[tuple[str, ...], F]):
    """Functions by the names that they take."""

    def __init__(self, make: Callable[[tuple[str, ...]], F]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, names: tuple[str, ...]) -> F:
        made = self._make(names)
        if len(self) >= _SHAPES_MAX:
            self.clear()
        self[names] = made
        return made


@cache
def _maker(model: type[BaseModel], known: str | None) -> Any:
    return Maker(model, known)


def maker(model: type[M], known: str | None = None) -> Maker[M]:
    """Return the maker of this class; `known` names the field whose value is passed besides the JSON.

    Raises:
        ConfigurationError: The class refers to a name that is not defined.
    """
    found: Maker[M] = _maker(model, known)
    return found


def construct(model: type[M], data: Mapping[str, Any], **known: Any) -> M:
    """Create a `model` from its parsed JSON; `known` is the value of one more field, which needs no conversion.

    Raises:
        KeyError: `data` has a key that is not a field, or lacks a field without a default.
        ValueError: A value cannot be turned into its field's type.
    """
    return maker(model, *known).construct(data, *known.values())


def fill(model: type[M], values: Mapping[str, Any]) -> M:
    """Create a `model` from values with their Python types; defaults fill in missing fields.

    Raises:
        KeyError: `values` has a key that is not a field, or lacks a field without a default.
    """
    return maker(model).fill(values)
