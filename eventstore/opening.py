"""The result of calls such as `EventStore.open`: use `await`, and close it yourself, or `async with`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from eventstore.errors import ConfigurationError

T_co = TypeVar("T_co", covariant=True)


class Opening(Generic[T_co]):
    """Opens an object when it is awaited or entered, and not before.

    The opened object does not depend on this one: it stays open until it is closed.

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
