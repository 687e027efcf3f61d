"""Exceptions that can be pickled and copied, with constructors of any signature: `PortableError`."""

from __future__ import annotations

import copy
import pickle
from inspect import getattr_static, isgetsetdescriptor, ismemberdescriptor
from typing import Any, Self, TypeVar

E = TypeVar("E", bound=BaseException)

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: set on classes made by a class statement
_PLAIN = (str, int, float, bytes, type(None))


class PortableError(Exception):
    """An exception that can be pickled and copied with its attributes.

    Python rebuilds an exception by calling its class with `args`. If the constructor takes arguments other
    than `args`, that fails or changes the message, and a process pool that receives such an exception hangs.
    So this class and its subclasses are rebuilt without their constructor, with the same `args`, attributes
    and notes.

    An attribute that cannot be pickled, such as a connection, becomes its `repr`. As with all exceptions of
    Python, the cause, the context and the traceback are not pickled.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        args = tuple(_portable(value) for value in self.args)
        state = {name: _portable(value) for name, value in _state(self).items()}
        return (_rebuild, (type(self), args), state)

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            if _is_slot(getattr_static(type(self), name, None)):
                object.__setattr__(self, name, value)
            else:
                self.__dict__[name] = value  # bypasses properties and __setattr__ of subclasses

    def __copy__(self) -> Self:
        made = _rebuild(type(self), self.args)
        made.__setstate__(_state(self))
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = _rebuild(type(self), ())
        memo[id(self)] = made
        object.__setattr__(made, "args", tuple(_deep_copy(value, memo) for value in self.args))
        made.__setstate__({name: _deep_copy(value, memo) for name, value in _state(self).items()})
        return made


def _rebuild(kind: type[E], args: tuple[Any, ...]) -> E:
    """Create an exception with `args` by the `__new__` of Python's own base class, without a constructor."""
    base: Any = kind
    while base.__flags__ & _HEAP_TYPE:
        base = base.__base__
    error: E = base.__new__(kind, *args)
    object.__setattr__(error, "args", args)  # bypasses a `__setattr__` of the class
    return error


def _state(error: BaseException) -> dict[str, Any]:
    """Return the attributes of an exception: its own, those in slots, those of built-in classes, such as `errno`."""
    state: dict[str, Any] = {}
    for kind in type(error).__mro__:
        if kind.__module__ != "builtins" or kind in {BaseException, Exception, object}:
            continue
        for name, attribute in vars(kind).items():
            is_ours = _is_slot(attribute) and getattr_static(type(error), name) is attribute
            if is_ours and (value := getattr(error, name, None)) is not None:
                state[name] = value
    own: Any = error.__getstate__()
    parts = own if isinstance(own, tuple) else (own,)
    for part in parts:
        state |= part or {}
    return state


def _is_slot(attribute: object) -> bool:
    """Whether an attribute of a class stores its value outside `__dict__`."""
    return ismemberdescriptor(attribute) or isgetsetdescriptor(attribute)


def _portable(value: Any) -> Any:
    """Return a value that can be pickled and read back: the value itself, or its `repr`."""
    if type(value) in _PLAIN:
        return value
    try:
        pickle.loads(pickle.dumps(value))  # noqa: S301 - made in this line
    except Exception:  # noqa: BLE001 - pickling may fail in any way
        return repr(value)
    return value


def _deep_copy(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy of a value; the value itself if it cannot be copied, such as a connection."""
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - copying may fail in any way
        return value
