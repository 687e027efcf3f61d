"""An event store for code without an event loop: Django, scripts, threads. Needs the extra `sync`.

A thread runs the event loop of the store. The caller's thread hands it calls and waits for their results, so there is no
second class for each class of the library.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from uuid import UUID

from eventstore.database.config import DatabaseConfig, UnsavedChanges
from eventstore.errors import ConfigurationError, ConnectionClosedError
from eventstore.log.records import NO_METADATA
from eventstore.repositories.unit_of_work import PostgreSQLUnitOfWork
from eventstore.store import EventStore

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["BlockingStore"]


class BlockingStore:
    """An open event store that any thread may use, without `await`; `BlockingStore.open` makes one.

    Example:
        with BlockingStore.open("postgresql://trader@localhost/trading") as blocking:
            with blocking.unit_of_work(actor="desk") as uow:
                order = blocking.run(uow.orders.get_order_by_id, order_id)
                order.cancel()
                blocking.run(uow.orders.update_order, order)

    A block that commits, and then leaves, has committed. Calls of several threads run concurrently; a Unit of Work
    belongs to one thread at a time. Objects that the store returns, such as entities, are used directly. The context of
    the caller (its clock, its ids, its metadata) holds in the calls too.

    Attributes:
        store: The event store; hand its coroutine functions to `run`.
    """

    def __init__(self, store: EventStore, portal: BlockingPortal, *, at_close: ExitStack) -> None:
        self.store = store
        self._portal = portal
        self._at_close = at_close
        self._process_id = os.getpid()
        self._is_closed = False

    @classmethod
    def open(
        cls, config: DatabaseConfig | str | None = None, *, workers: bool = True, migrate: bool = False
    ) -> Self:
        """Start the thread and connect. `with` closes at the end of the block; otherwise call `close`.

        In a server that forks its processes, open one in each process.

        Args:
            config: As for `EventStore.open`, as the other arguments.
            workers: Whether this process keeps the read tables up to date.
            migrate: Whether to migrate the schema first.

        Raises:
            ConfigurationError: The extra `sync` is not installed; or as for `EventStore.open`.
            EventStoreError: As for `EventStore.open`.
        """
        try:
            from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - the extra may be missing
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                'BlockingStore needs anyio: pip install "trading-eventstore[sync]"'
            ) from error
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))

            async def open_store() -> EventStore:
                return await EventStore.open(config, workers=workers, migrate=migrate)

            store = portal.call(open_store)
            stack.callback(lambda: portal.call(store.close))
            return cls(store, portal, at_close=stack.pop_all())

    def run(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a coroutine function on the event loop of the store, wait for its end, and return its result.

        An exception in the caller's thread meanwhile, such as KeyboardInterrupt, cancels it and waits for its end, so a
        commit that was sent has its outcome.

        Args:
            work: A coroutine function of the store, or one of your own.
            args: Its arguments.
            kwargs: Its arguments by name.

        Raises:
            ConnectionClosedError: The store was closed.
            ConfigurationError: The process was forked since the store was opened; or the call comes from the event loop
                of the store itself, which would wait for itself.
            Exception: What `work` raised.
        """
        self._require_usable()
        tasks: list[asyncio.Task[Any] | None] = []

        async def call() -> T:
            tasks.append(asyncio.current_task())
            return await work(*args, **kwargs)

        try:
            future = self._portal.start_task_soon(call)
        except RuntimeError as error:
            raise ConfigurationError(
                "this is the event loop of the store, which cannot wait for itself: use `await` here"
            ) from error
        try:
            return future.result()
        except BaseException:
            if not future.done():
                for task in tasks:
                    if task is not None:
                        self._portal.start_task_soon(task.cancel)
                wait([future])
            raise

    def enter(self, context: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """Return an asynchronous context manager, such as `store.as_of(...)`, as one for `with`.

        Raises:
            ConnectionClosedError, ConfigurationError: As for `run`.
        """
        self._require_usable()
        return self._portal.wrap_async_context_manager(context)

    def iterate(self, items: AsyncIterable[T]) -> Iterator[T]:
        """Yield the items of an asynchronous iterable, such as `store.replay()`, one call for each.

        For many events iterate over `store.replay().pages()`: then a call returns a page.

        Raises:
            ConnectionClosedError, ConfigurationError: As for `run`.
            Exception: What the iterable raises.
        """
        iterator = aiter(items)
        end: Any = object()

        async def following() -> T:
            return await anext(iterator, end)

        while (item := self.run(following)) is not end:
            yield item

    def unit_of_work(
        self,
        *,
        metadata: Mapping[str, Any] = NO_METADATA,
        correlation_id: str | UUID | None = None,
        causation_id: str | UUID | None = None,
        actor: str | None = None,
        unsaved: UnsavedChanges | None = None,
    ) -> AbstractContextManager[PostgreSQLUnitOfWork]:
        """Return a Unit of Work for a `with` block: it commits at the end, and rolls back if an error leaves the block.

        Args:
            metadata: As for `EventStore.unit_of_work`, as the other arguments.
            correlation_id: The id of the command that caused its events.
            causation_id: The id of the event, or of the command, that caused its events.
            actor: The person or program that acts.
            unsaved: How a commit treats unsaved changes of an entity.

        Raises:
            ConnectionClosedError, ConfigurationError: As for `run`.
        """
        return self.enter(
            self.store.unit_of_work(
                metadata=metadata,
                correlation_id=correlation_id,
                causation_id=causation_id,
                actor=actor,
                unsaved=unsaved,
            )
        )

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def close(self) -> None:
        """End the workers, close the connections and end the thread; closing twice is safe.

        Raises:
            ConfigurationError: The process was forked since the store was opened.
        """
        if self._is_closed:
            return
        self._require_usable()
        self._is_closed = True
        self._at_close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_usable(self) -> None:
        if self._is_closed:
            raise ConnectionClosedError("this BlockingStore was closed: open another one")
        if os.getpid() != self._process_id:
            raise ConfigurationError(
                "this process was forked after the BlockingStore was opened, and its thread is in the parent: "
                "open one in each process"
            )
