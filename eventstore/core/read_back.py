"""Whether a value can be read back from its JSON after PostgreSQL has stored the JSON as jsonb.

jsonb stores a document's values and not its text. Keys are sorted and unique. A number loses its
exponent (1e16 is read as an integer) and a zero loses its sign. So the comparison uses the JSON
that jsonb would return.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import orjson
from pydantic import BaseModel
from pydantic_core import from_json

from eventstore.printable import printable

_SHOWN_CHARACTERS_MAX = 100


class Difference(NamedTuple):
    """The first place where a value that was read is not the value that was written.

    Attributes:
        path: The place, such as `legs[0].price`.
        written: The part of the written value at that place.
        read: The part of the read value at that place.
    """

    path: str
    written: Any
    read: Any

    def __str__(self) -> str:
        if isinstance(self.written, float | Decimal) and Decimal(self.written).is_nan():
            return f"{self.path} is {self.written}, which does not equal any value, not even itself: use None instead"
        written, read = _shown(self.written), _shown(self.read)
        if written == read or type(self.written) is not type(self.read):
            written = f"{written} ({_name(self.written)})"
            read = f"{read} ({_name(self.read)})"
        return f"{self.path} is {written}, and would be read back as {read}; {self._advice}"

    @property
    def _advice(self) -> str:
        kind, other = _name(self.written), _name(self.read)
        if type(self.written) is type(self.read):
            return "JSON does not tell the two apart, so give the field another type"
        if isinstance(self.written, type(self.read)):
            return f"declare the field as {kind}, or give a plain {other}"
        return f"declare the field as {kind} alone, or give a {other}"


def parse_json(text: str | bytes) -> Any:
    """Return the parsed value of a JSON text. Integers of any size stay integers.

    Raises:
        ValueError, RecursionError: The text is not JSON, or is nested too deeply.
    """
    try:
        return from_json(text)
    except ValueError:  # also raised for more than 200 levels of nesting
        return json.loads(text)


# ---- jsonb -----------------------------------------------------------------------------------------------------------

# A number that jsonb would return as a different one. A match inside a string is harmless.
_CHANGED_NUMBER = re.compile(r"[0-9][eE]\+?[0-9]|-0(?:\.0+)?(?![0-9.eE])")
_INTEGER_DIGITS = 18  # an integer with this many digits fits in 64 bits


def forms_for_jsonb(text: str) -> Iterator[str]:
    """Yield JSON texts to try for one value: the best first, the text itself last.

    A float is written with a point and without an exponent, so that it is read as a float. The
    first text has -0.0 as a string, which a float field accepts. The second has the 0.0 that jsonb
    makes of it, for fields that accept any type.
    """
    if _CHANGED_NUMBER.search(text) is not None:
        with suppress(TypeError, ValueError, RecursionError):  # nested too deeply for orjson
            yield orjson.dumps(_texts_for_zeros.decode(text)).decode()
        yield without_exponents(text)
    yield text


def without_exponents(text: str) -> str:
    """Return a JSON text whose floats come back from jsonb as floats."""
    if _CHANGED_NUMBER.search(text) is None:
        return text
    try:
        return orjson.dumps(_same_zeros.decode(text)).decode()
    except (TypeError, ValueError, RecursionError):  # nested too deeply for orjson
        return text


def _float_without_exponent(token: str) -> Any:
    number = Decimal(token)
    digits = f"{number:f}"
    return orjson.Fragment(digits if "." in digits else f"{digits}.0")


def _zero_as_text(token: str) -> Any:
    return "-0.0" if token.startswith("-") and not Decimal(token) else _float_without_exponent(token)


def _integer(token: str) -> Any:
    return int(token) if len(token) <= _INTEGER_DIGITS else orjson.Fragment(token)


_same_zeros = json.JSONDecoder(parse_float=_float_without_exponent, parse_int=_integer)
_texts_for_zeros = json.JSONDecoder(parse_float=_zero_as_text, parse_int=_integer)


def after_jsonb(text: str) -> Any:
    """Return the value of a JSON text after PostgreSQL has stored it as jsonb.

    Raises:
        ValueError: The text is not JSON, such as one with NaN or infinity as a number.
        RecursionError: It is nested too deeply.
    """
    return _as_jsonb.decode(text)


def _number(token: str) -> int | float:
    number = Decimal(token)
    exponent = number.as_tuple().exponent
    # jsonb writes the number in full, with its original digits after the point.
    if isinstance(exponent, int) and exponent >= 0:
        return int(number)
    return float(token) if number else 0.0


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) < 2:  # noqa: PLR2004 - nothing to sort
        return dict(pairs)
    latest = dict(pairs)
    keys = sorted(latest, key=lambda key: (len(encoded := key.encode("utf-8", "surrogatepass")), encoded))
    return {key: latest[key] for key in keys}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


_as_jsonb = json.JSONDecoder(parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)


# ---- the comparison --------------------------------------------------------------------------------------------------


def first_difference(written: Any, read: Any, path: str) -> Difference | None:
    """Return the first place where two values differ; None if they are equal.

    They may differ in value, in type, or in the digits of a decimal.

    Args:
        written: The value that was written.
        read: The value that was read.
        path: The name of the values in the result.
    """
    kind = type(written)
    if kind is not type(read):
        # The driver has its own subclass of UUID. Ids of both classes are equal.
        same = isinstance(written, UUID) and isinstance(read, UUID) and written == read
        return None if same else Difference(path, written, read)
    if kind in _COMPARED_BY_VALUE:
        return None if written == read else Difference(path, written, read)
    return _comparison_of(kind)(written, read, path)  # type: ignore[arg-type]  # a class is hashable


_COMPARED_BY_VALUE = frozenset({type(None), str, int, bool, bytes})


@lru_cache(maxsize=1_000)
def _comparison_of(kind: type) -> Callable[[Any, Any, str], Difference | None]:
    found = next((one for base, one in _COMPARISONS if issubclass(kind, base)), None)
    if found is not None:
        return found
    return _of_dataclass if dataclasses.is_dataclass(kind) else _equal


def _equal(written: Any, read: Any, path: str) -> Difference | None:
    try:
        same = bool(written == read)
    except Exception:  # noqa: BLE001 - values that cannot be compared count as different
        same = False
    return None if same else Difference(path, written, read)


def _of_float(written: float, read: float, path: str) -> Difference | None:
    # 0.0 equals -0.0, which jsonb cannot store: see `forms_for_jsonb`.
    return None if written == read else Difference(path, written, read)


def _of_decimal(written: Decimal, read: Decimal, path: str) -> Difference | None:
    same = not written.is_nan() and not written.compare_total(read)  # distinguishes 1.0 from 1.00
    return None if same else Difference(path, written, read)


def _of_time(written: datetime | time, read: datetime | time, path: str) -> Difference | None:
    # A time without an offset may be one of two points in time; `fold` says which.
    same = written == read and written.utcoffset() == read.utcoffset() and written.fold == read.fold
    return None if same else Difference(path, written, read)


def _of_model(written: BaseModel, read: BaseModel, path: str) -> Difference | None:
    fields, others = written.__dict__, read.__dict__
    for name in type(written).model_fields:
        if name not in fields:  # the instance was created without validation
            continue
        found = first_difference(fields[name], others.get(name), _attribute(path, name))
        if found is not None:
            return found
    for ours, theirs in (
        (written.__pydantic_extra__, read.__pydantic_extra__),
        (written.__pydantic_private__, read.__pydantic_private__),
    ):
        if not ours and not theirs:
            continue
        for name in {**(ours or {}), **(theirs or {})}:
            one, other = (ours or {}).get(name), (theirs or {}).get(name)
            found = first_difference(one, other, _attribute(path, name))
            if found is not None:
                return found
    return None


def _of_dataclass(written: Any, read: Any, path: str) -> Difference | None:
    for each in dataclasses.fields(written):
        found = first_difference(
            getattr(written, each.name, None), getattr(read, each.name, None), _attribute(path, each.name)
        )
        if found is not None:
            return found
    return _equal(written, read, path)


def _of_items(written: Sequence[Any], read: Sequence[Any], path: str) -> Difference | None:
    for number, (one, other) in enumerate(zip(written, read, strict=False)):
        found = first_difference(one, other, f"{path}[{number}]")
        if found is not None:
            return found
    limits = [getattr(each, "maxlen", None) for each in (written, read)]  # of a deque
    same = len(written) == len(read) and limits[0] == limits[1]
    return None if same else Difference(path, written, read)


def _of_mapping(written: Mapping[Any, Any], read: Mapping[Any, Any], path: str) -> Difference | None:
    keys = {key: key for key in read}
    for key, value in written.items():
        # Equal keys may differ in type, as 1 and True do, or in the digits of a decimal.
        if key not in keys or first_difference(key, keys[key], path) is not None:
            return Difference(path, written, read)
        found = first_difference(value, read[key], f"{path}[{_shown(key)}]")
        if found is not None:
            return found
    same = len(written) == len(read) and (not isinstance(written, OrderedDict) or list(written) == list(read))
    if isinstance(written, defaultdict):
        same &= written.default_factory is getattr(read, "default_factory", None)
    return None if same else Difference(path, written, read)


def _of_set(
    written: frozenset[Any] | set[Any], read: frozenset[Any] | set[Any], path: str
) -> Difference | None:
    found = _of_mapping(dict.fromkeys(written), dict.fromkeys(read), path)
    return None if found is None else Difference(path, written, read)


def _of_enum(written: Enum, read: Enum, path: str) -> Difference | None:
    return None if written is read else _equal(written, read, path)


_COMPARISONS: tuple[tuple[type | tuple[type, ...], Callable[[Any, Any, str], Difference | None]], ...] = (
    (Enum, _of_enum),
    (float, _of_float),
    (Decimal, _of_decimal),
    ((datetime, time), _of_time),
    (BaseModel, _of_model),
    (Mapping, _of_mapping),
    ((set, frozenset), _of_set),
    ((list, tuple, deque), _of_items),
)


def _attribute(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the value is only for display
        text = f"a {type(value).__name__}"
    return printable(text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}...")


def _name(value: Any) -> str:
    return type(value).__name__
