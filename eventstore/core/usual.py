"""Creation of frozen models, such as events, from usual values without pydantic's validator.

A value is usual if its field's validators return it as it is, such as ASCII text, a decimal of few
digits, a member of the field's enum or a time in UTC. If all given values are usual, an instance is
created from them and the defaults in half the time. Otherwise pydantic validates, and raises its
errors.

The conditions come from pydantic's core schema. If a part of a field's schema is unknown here, no
value of the field is usual.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from eventstore.core import codec
from eventstore.errors import ConfigurationError
from eventstore.private_names.pydantic_names import set_extra, set_given, set_private, set_state

F = TypeVar("F", bound=Callable[..., Any])
Condition = Callable[[Any], bool]
Create = Callable[[BaseModel, dict[str, Any]], bool]
Schema = Mapping[str, Any]

_SHAPES_MAX = 1_000  # per model: an amendment may set any of its fields
_OWN_MODULES = ("eventstore.core.", "eventstore.domain.")
# Other settings, such as `str_to_lower`, may change a usual value.
_NEUTRAL_SETTINGS = frozenset(
    (
        "allow_inf_nan",
        "extra_fields_behavior",
        "frozen",
        "revalidate_instances",
        "ser_json_bytes",
        "ser_json_inf_nan",
        "strict",
        "title",
        "val_json_bytes",
        "validate_by_alias",
        "validate_by_name",
        "validate_default",
    )
)


def returns_usual(is_usual: Condition) -> Callable[[F], F]:
    """Mark a validator that returns a value as it is if `is_usual` is true for the value.

    A validator around others (`WrapValidator`) then calls none of them. Any other validator is
    asked only for values that the validators inside it return as they are.
    """

    def mark(function: F) -> F:
        function.__usual__ = is_usual  # type: ignore[attr-defined]
        return function

    return mark


class _Usual(NamedTuple):
    """When a value of a field is usual.

    Attributes:
        types: Types of which every instance is usual.
        holds: Whether a value of another type is usual; None if no such value is.
    """

    types: frozenset[type] = frozenset()
    holds: Condition | None = None


_NEVER = _Usual()


class _Conditions:
    """Finds when the values of a schema are usual.

    Args:
        definitions: The schemas that others refer to.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._open: list[str] = []

    def usual(self, schema: Schema) -> _Usual:
        """Return when a value that is given for a schema is usual."""
        find = self._BY_TYPE.get(schema["type"])
        return _NEVER if find is None else find(self, schema)

    def keeps_default(self, schema: Schema) -> bool:
        """Return whether a field's default stays as it is where no value is given.

        A validator of the user may refuse it, change it, or look at other fields; a factory may look at other fields.
        """
        if schema["type"] != "default":
            return self._is_own_only(schema)
        if schema.get("default_factory_takes_data"):
            return False
        is_none = "default" in schema and schema["default"] is None
        return self._is_own_only(schema["schema"], is_none=is_none)

    def _is_own_only(self, schema: Schema, *, is_none: bool = False) -> bool:
        """Return whether all validator functions that see a value of a schema are the library's."""
        kind = schema["type"]
        if is_none and kind == "nullable":
            return True  # what is inside does not see None
        if kind.startswith("function-") and not _is_known(schema["function"]["function"]):
            return False
        if kind == "definition-ref":
            name = schema["schema_ref"]
            if name in self._open or name not in self._definitions:
                return False
            self._open.append(name)
            try:
                return self._is_own_only(self._definitions[name], is_none=is_none)
            finally:
                self._open.pop()
        if kind == "model":
            return True  # an instance is kept as it is
        inner = (value for name, value in schema.items() if name not in ("metadata", "serialization"))
        return all(self._is_own_only(each, is_none=is_none) for value in inner for each in _schemas_in(value))

    def _inner(self, schema: Schema) -> _Usual:
        return self.usual(schema["schema"])

    def _nullable(self, schema: Schema) -> _Usual:
        types, holds = self.usual(schema["schema"])
        return _Usual(types | {type(None)}, holds)

    def _reference(self, schema: Schema) -> _Usual:
        name = schema["schema_ref"]
        if name in self._open or name not in self._definitions:  # the schema contains itself
            return _NEVER
        self._open.append(name)
        try:
            return self.usual(self._definitions[name])
        finally:
            self._open.pop()

    def _wrapped(self, schema: Schema) -> _Usual:
        return _Usual(holds=_condition_of(schema))

    def _checked(self, schema: Schema) -> _Usual:
        """Return when a value is usual for a validator function and for the schema inside it."""
        check, (types, holds) = _condition_of(schema), self.usual(schema["schema"])
        if check is None:
            return _NEVER
        if holds is None:
            return _Usual(holds=lambda value: type(value) in types and check(value))
        if not types:
            return _Usual(holds=lambda value: holds(value) and check(value))
        return _Usual(holds=lambda value: (type(value) in types or holds(value)) and check(value))

    def _text(self, schema: Schema) -> _Usual:
        if not _has_only(schema, "min_length", "max_length"):
            return _NEVER
        least, most = schema.get("min_length", 0), schema.get("max_length", math.inf)
        # ASCII, because half of a surrogate pair is not valid.
        return _Usual(
            holds=lambda value: type(value) is str and value.isascii() and least <= len(value) <= most
        )

    def _integer(self, schema: Schema) -> _Usual:
        if not _has_only(schema, "ge", "le"):
            return _NEVER
        least, most = schema.get("ge", -math.inf), schema.get("le", math.inf)
        return _Usual(holds=lambda value: type(value) is int and least <= value <= most)

    def _float(self, schema: Schema) -> _Usual:
        if not _has_only(schema):
            return _NEVER
        return _Usual(holds=lambda value: type(value) is float and math.isfinite(value))

    def _time(self, schema: Schema) -> _Usual:
        return _Usual(frozenset({datetime})) if _has_only(schema, "microseconds_precision") else _NEVER

    def _uuid(self, schema: Schema) -> _Usual:
        return _Usual(frozenset({UUID})) if _has_only(schema) else _NEVER

    def _boolean(self, schema: Schema) -> _Usual:
        return _Usual(frozenset({bool})) if _has_only(schema) else _NEVER

    def _member(self, schema: Schema) -> _Usual:
        return _Usual(frozenset({schema["cls"]}))

    def _tuple(self, schema: Schema) -> _Usual:
        if schema.get("variadic_item_index") != 0 or not _has_only(
            schema, "items_schema", "variadic_item_index"
        ):
            return _NEVER
        (items,) = schema["items_schema"]
        types, holds = self.usual(items)
        return _Usual(
            holds=lambda value: (
                type(value) is tuple
                and all(type(one) in types or (holds is not None and holds(one)) for one in value)
            )
        )

    def _instance(self, schema: Schema) -> _Usual:
        config = schema.get("config") or {}
        # Pydantic returns an instance of exactly this class as it is.
        is_kept = config.get("revalidate_instances") != "always" and not schema.get("root_model")
        return _Usual(frozenset({schema["cls"]})) if is_kept else _NEVER

    _BY_TYPE: Mapping[str, Callable[[_Conditions, Schema], _Usual]] = {
        "bool": _boolean,
        "datetime": _time,
        "default": _inner,
        "definition-ref": _reference,
        "enum": _member,
        "float": _float,
        "function-after": _checked,
        "function-before": _checked,
        "function-wrap": _wrapped,
        "int": _integer,
        "model": _instance,
        "nullable": _nullable,
        "str": _text,
        "tuple": _tuple,
        "uuid": _uuid,
    }


def _schemas_in(value: Any) -> Iterator[Schema]:
    """Yield the schemas that a part of a schema consists of."""
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield value
        else:
            for each in value.values():
                yield from _schemas_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _schemas_in(each)


def _is_known(function: Any) -> bool:
    """Whether a validator function is the library's or pydantic's, or marked by `returns_usual`."""
    if isinstance(function, partial):
        function = function.func
    module = str(getattr(function, "__module__", ""))
    return hasattr(function, "__usual__") or module.startswith((*_OWN_MODULES, "pydantic."))


def _has_only(schema: Schema, *constraints: str) -> bool:
    """Whether a schema has no other constraints than these."""
    return schema.keys() <= {"type", "metadata", "ref", *constraints}


def _condition_of(schema: Schema) -> Condition | None:
    """Return when a validator function returns its argument, as `returns_usual` has marked it."""
    found: Condition | None = getattr(schema["function"]["function"], "__usual__", None)
    return found


def _never(instance: BaseModel, given: dict[str, Any]) -> bool:  # noqa: ARG001 - the signature of all
    return False


class _Shapes(dict[tuple[str, ...], Create]):
    """For each set of given fields of one model, the function that sets up an instance.

    Raises:
        ConfigurationError: The class refers to a name that is not defined.
    """

    def __init__(
        self, model: type[BaseModel], fields: Mapping[str, Any], definitions: Mapping[str, Schema]
    ) -> None:
        super().__init__()
        form, conditions = codec.form_of(model), _Conditions(definitions)
        self._defaults = {name: form.defaults.get(name) for name in fields}
        self._made = form.made
        self._usual = {name: conditions.usual(field["schema"]) for name, field in fields.items()}
        self._required = {
            name
            for name, field in fields.items()
            if (name not in form.defaults and name not in form.made)
            or not conditions.keeps_default(field["schema"])
        }

    def __missing__(self, names: tuple[str, ...]) -> Create:
        if len(self) >= _SHAPES_MAX:
            self.clear()
        create = self[names] = self._creator(names)
        return create

    def _creator(self, names: tuple[str, ...]) -> Create:
        given_names = set(names)
        if not self._required <= given_names <= self._usual.keys():
            return _never
        conditions = [(name, *self._usual[name]) for name in names]
        defaults = self._defaults
        made = [(name, make) for name, make in self._made.items() if name not in given_names]

        def create(instance: BaseModel, given: dict[str, Any]) -> bool:
            for name, types, holds in conditions:
                value = given[name]
                if type(value) not in types and (holds is None or not holds(value)):
                    return False
            state = defaults.copy()
            state.update(given)
            for name, make in made:
                state[name] = make(state)
            set_state(instance, state)
            set_given(instance, given_names.copy())
            set_extra(instance, None)
            set_private(instance, None)
            return True

        return create


def _create_of(model: type[BaseModel]) -> Create:
    """Return the function that sets up an instance of a model if all given values are usual.

    It returns whether it has done so; otherwise pydantic has to set up the instance.

    Raises:
        ConfigurationError: The class refers to a name that is not defined.
    """
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    before: list[Callable[[Any], Any]] = []
    after: list[Callable[[Any], Any]] = []
    settings: Mapping[str, Any] = {}
    while schema["type"] != "model-fields":
        kind = schema["type"]
        if kind == "definition-ref":
            schema = definitions[schema["schema_ref"]]
            continue
        if kind == "definitions":
            definitions.update((each["ref"], each) for each in schema["definitions"])
        elif kind == "model":
            settings = schema.get("config") or {}
            if schema.get("root_model") or schema.get("post_init"):
                return _never
        elif kind in ("function-before", "function-after") and _is_own(schema["function"]):
            (before if kind == "function-before" else after).append(schema["function"]["function"])
        else:
            return _never
        schema = schema["schema"]
    if (
        not settings.keys() <= _NEUTRAL_SETTINGS
        or settings.get("extra_fields_behavior") != "forbid"
        or any("validation_alias" in field for field in schema["fields"].values())
    ):
        return _never
    return _with_validators(_Shapes(model, schema["fields"], definitions), before, after[::-1])


def _is_own(function: Mapping[str, Any]) -> bool:
    """Whether a validator of a whole model is the library's, so that it may be called twice."""
    module = str(getattr(function["function"], "__module__", ""))
    return function["type"] == "no-info" and module.startswith(_OWN_MODULES)


def _with_validators(
    shapes: _Shapes, before: list[Callable[[Any], Any]], after: list[Callable[[Any], Any]]
) -> Create:
    def create_checked(instance: BaseModel, given: dict[str, Any]) -> bool:
        try:
            for prepare in before:
                given = prepare(given)
            if not shapes[tuple(given)](instance, given):
                return False
            for check in after:
                check(instance)
        except Exception:  # noqa: BLE001 - pydantic meets it again, and raises its error
            return False
        return True

    def create(instance: BaseModel, given: dict[str, Any]) -> bool:
        try:
            return shapes[tuple(given)](instance, given)
        except Exception:  # noqa: BLE001 - as above
            return False

    return create_checked if before or after else create


class _Creates(dict[type[BaseModel], Create]):
    def __missing__(self, model: type[BaseModel]) -> Create:
        if not model.__pydantic_complete__:
            return _never  # pydantic completes it now
        create: Create = _never
        if (
            model.model_config.get("frozen")
            and not model.__private_attributes__
            and codec.is_made_plainly(model)
            and type(model.__pydantic_validator__) is SchemaValidator  # not one that a plug-in observes
        ):
            try:
                create = _create_of(model)
            except ConfigurationError:
                return _never
        self[model] = create
        return create


creates: Mapping[type[BaseModel], Create] = _Creates()
"""For each model, the function that sets up an instance if all given values are usual.

It takes the instance and the given values by name, and returns whether it has set the instance up.
"""
