"""A value that is set for a block of code: `Scoped`.

`ContextVar.reset` works only in the context in which the variable was set. But a block in an async generator, such as a
dependency of a web framework or a fixture of a test, may be entered by one task and left by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Block(Generic[T]):
    """A block that has been entered.

    Attributes:
        value: What is set in it.
        entered: Resets the variable, in the context that entered the block and in no other; None once it has.
        is_left: Whether the block was left, in another context than the one that entered it.
    """

    __slots__ = ("entered", "is_left", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self.entered: Token[tuple[_Block[T], ...]] | None = None
        self.is_left = False


class Scoped(Generic[T]):
    """A value that is set for a block, in the task that enters it and in the tasks that are started inside.

    The block may be left in any task, and blocks may be left in any order. Once a block is left, its value counts neither
    in the task that entered it nor in the task that left it. A task that was started inside the block keeps the value.

    Args:
        name: The name of the context variable.
        default: The value outside of all blocks.
    """

    def __init__(self, name: str, default: T) -> None:
        self._default = default
        self._blocks: ContextVar[tuple[_Block[T], ...]] = ContextVar(name, default=())

    def get(self) -> T:
        """Return the value of the innermost block; outside of all blocks the default."""
        blocks = self._blocks.get()
        if not blocks:
            return self._default
        if blocks[-1].is_left:
            blocks = self._without_left(blocks)
        return blocks[-1].value if blocks else self._default

    @contextmanager
    def set(self, value: T) -> Iterator[None]:
        """Set the value for a block."""
        block = _Block(value)
        block.entered = self._blocks.set((*self._blocks.get(), block))
        try:
            yield
        finally:
            self._leave(block)

    def _leave(self, block: _Block[T]) -> None:
        blocks = self._blocks.get()
        if not self._is_of_this_context(block):
            block.is_left = True
        rest = tuple(one for one in blocks if one is not block)
        if self._blocks.get() != rest:
            self._blocks.set(rest)

    def _without_left(self, blocks: tuple[_Block[T], ...]) -> tuple[_Block[T], ...]:
        """Drop the blocks that this context has entered and another one has left."""
        rest = tuple(one for one in blocks if not (one.is_left and self._is_of_this_context(one)))
        self._blocks.set(rest)
        return rest

    def _is_of_this_context(self, block: _Block[Any]) -> bool:
        """Whether this context entered the block; if so, the variable is as it was before, and this is not asked again."""
        if block.entered is None:
            return False
        try:
            self._blocks.reset(block.entered)
        except ValueError:
            return False
        block.entered = None
        return True
