"""A value that is set for a block of code: `Scoped`.

`ContextVar.reset` works only in the context that set the variable. But one task may enter a block
and another task may leave it, if the block is in an async generator such as a dependency of a web
framework or a fixture of a test.
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
        value: The value that the block sets.
        entered: The token that resets the variable, only in the context that entered the block;
            None after the reset.
        is_left: Whether the block was left in a context other than the one that entered it.
    """

    __slots__ = ("entered", "is_left", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self.entered: Token[tuple[_Block[T], ...]] | None = None
        self.is_left = False


class Scoped(Generic[T]):
    """A value that is set for a block, in the task that enters it and in tasks started inside it.

    Any task may leave the block, and blocks may be left in any order. After that, the value holds
    neither in the task that entered the block nor in the task that left it. A task that was started
    inside the block keeps the value.

    Args:
        name: The name of the context variable.
        default: The value outside all blocks.
    """

    def __init__(self, name: str, default: T) -> None:
        self._default = default
        self._blocks: ContextVar[tuple[_Block[T], ...]] = ContextVar(name, default=())

    def get(self) -> T:
        """Return the value of the innermost block, or the default outside all blocks."""
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
        """Drop the blocks that this context has entered and another context has left."""
        rest = tuple(one for one in blocks if not (one.is_left and self._is_of_this_context(one)))
        self._blocks.set(rest)
        return rest

    def _is_of_this_context(self, block: _Block[Any]) -> bool:
        """Whether this context entered the block. If so, reset the variable.

        The next call for the same block returns False.
        """
        if block.entered is None:
            return False
        try:
            self._blocks.reset(block.entered)
        except ValueError:
            return False
        block.entered = None
        return True
