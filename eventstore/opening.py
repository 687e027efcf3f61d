"""What is opened by `await`, to be closed by hand, or by `async with`, to be closed at the end of the block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from eventstore.errors import ConfigurationError

T_co = TypeVar("T_co", covariant=True)


class Opening(Generic[T_co]):
    """Opens something when it is awaited or entered, and not before.

    What was opened does not depend on this object: it stays open until it is closed.

    Args:
        called: The call that returned this, such as `EventStore.open(...)`, for errors.
        open: Opens it.
        close: Closes it.
    """

    def __init__(
        self, called: str, open: Callable[[], Awaitable[T_co]], close: Callable[[Any], Awaitable[None]]
    ) -> None:
        self._called = called
        self._open = open
        self._close = close
        self._opened: list[T_co] = []

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._open().__await__()

    async def __aenter__(self) -> T_co:
        if self._opened:
            raise ConfigurationError(f"{self._called} was entered already: call it again for another block")
        opened = await self._open()
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(self._opened.pop())

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{self._called} is not open yet, so it has no {name!r}: write `await {self._called}`, or "
            f"`async with {self._called} as ...:`"
        )
