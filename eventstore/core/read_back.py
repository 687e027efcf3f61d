"""Whether JSON gives back the value that it was written for, after PostgreSQL has kept it as jsonb.

jsonb keeps a document's values and not its text: keys are sorted and come once, a number loses its exponent (1e16 is
read as an integer) and the sign of zero. So what is compared is what jsonb would give back.
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
        path: Where it is, such as `legs[0].price`.
        written: What is there in the value that was written.
        read: What is there in the one that was read.
    """

    path: str
    written: Any
    read: Any

    def __str__(self) -> str:
        if isinstance(self.written, float | Decimal) and Decimal(self.written).is_nan():
            return (
                f"{self.path} is {self.written}, which is equal to nothing, so not to what is read: give None"
            )
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
    """Return what a JSON text holds; integers stay integers, whatever their size.

    Raises:
        ValueError, RecursionError: It is no JSON, or is nested too deep.
    """
    try:
        return from_json(text)
    except ValueError:  # also for what is nested more than 200 deep
        return json.loads(text)


# ---- jsonb -----------------------------------------------------------------------------------------------------------

# A number that jsonb would give back as another one. In a text it does no harm.
_CHANGED_NUMBER = re.compile(r"[0-9][eE]\+?[0-9]|-0(?:\.0+)?(?![0-9.eE])")
_INTEGER_DIGITS = 18  # any integer of so many digits has 64 bits at most


def forms_for_jsonb(text: str) -> Iterator[str]:
    """Yield JSON texts to try for one value, the best first, and the text itself last.

    A float is written without an exponent and with a point, so that it is read as a float. -0.0 is written as a text,
    which a field that is a float is read from; and then, for fields that take anything, as the 0.0 that jsonb makes of it.
    """
    if _CHANGED_NUMBER.search(text) is not None:
        with suppress(TypeError, ValueError, RecursionError):  # it is deeper than orjson writes
            yield orjson.dumps(_texts_for_zeros.decode(text)).decode()
        yield without_exponents(text)
    yield text


def without_exponents(text: str) -> str:
    """Return a JSON text whose floats jsonb gives back as floats."""
    if _CHANGED_NUMBER.search(text) is None:
        return text
    try:
        return orjson.dumps(_same_zeros.decode(text)).decode()
    except (TypeError, ValueError, RecursionError):  # deeper than orjson writes
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
    """Return what is read of a JSON text that PostgreSQL has kept as jsonb.

    Raises:
        ValueError: It is no JSON: it has NaN or infinity as a number.
        RecursionError: It is nested too deep.
    """
    return _as_jsonb.decode(text)


def _number(token: str) -> int | float:
    number = Decimal(token)
    exponent = number.as_tuple().exponent
    # It is written out in full, with the digits after the point that it came with.
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
    raise ValueError(f"{constant} is no number of JSON")


_as_jsonb = json.JSONDecoder(parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)


# ---- the comparison --------------------------------------------------------------------------------------------------


def first_difference(written: Any, read: Any, path: str) -> Difference | None:
    """Return the first place where two values differ: in value, in type, or in the digits of a decimal; None: nowhere.

    Args:
        written: The value that was written.
        read: The value that was read.
        path: What to call the values.
    """
    kind = type(written)
    if kind is not type(read):
        # An id is the same id, whoever's class it is of: the driver has one of its own.
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
    except Exception:  # noqa: BLE001 - what cannot be compared is not known to be equal
        same = False
    return None if same else Difference(path, written, read)


def _of_float(written: float, read: float, path: str) -> Difference | None:
    # 0.0 is equal to -0.0, which jsonb does not have: see `forms_for_jsonb`.
    return None if written == read else Difference(path, written, read)


def _of_decimal(written: Decimal, read: Decimal, path: str) -> Difference | None:
    same = not written.is_nan() and not written.compare_total(read)  # which tells 1.0 from 1.00
    return None if same else Difference(path, written, read)


def _of_time(written: datetime | time, read: datetime | time, path: str) -> Difference | None:
    # Of a time without an offset, `fold` tells which of two points in time it is.
    same = written == read and written.utcoffset() == read.utcoffset() and written.fold == read.fold
    return None if same else Difference(path, written, read)


def _of_model(written: BaseModel, read: BaseModel, path: str) -> Difference | None:
    fields, others = written.__dict__, read.__dict__
    for name in type(written).model_fields:
        if name not in fields:  # of an instance that was made without validation
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
        # A key may be equal to one of another type, 1 to True, or have other digits.
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
    except Exception:  # noqa: BLE001 - it is only shown
        text = f"a {type(value).__name__}"
    return printable(text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}...")


def _name(value: Any) -> str:
    return type(value).__name__
