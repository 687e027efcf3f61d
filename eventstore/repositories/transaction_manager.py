"""Running operations in Units of Work: once, with retries, or several as one."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from eventstore.errors import ConcurrencyError, ConfigurationError, EventStoreError
from eventstore.limits import check_count
from eventstore.metrics import metrics
from eventstore.repositories.interfaces import IUnitOfWork, IUnitOfWorkFactory
from eventstore.repositories.stream_queues import StreamQueues, current_queues

T = TypeVar("T")
Operation = Callable[[IUnitOfWork], Awaitable[T]]

_logger = logging.getLogger(__name__)

_RETRY_DELAY_FIRST_S = 0.02  # a conflict ends with the other writer's single statement
_RETRY_DELAY_MAX_S = 5.0
_DOUBLINGS_MAX = 64  # reaches the limit from any useful factor, and fits a float


class PostgreSQLTransactionManager:
    """Runs operations, each an async function that takes a Unit of Work.

    Args:
        factory: Makes the Units of Work; a new one for each attempt.
    """

    def __init__(self, factory: IUnitOfWorkFactory) -> None:
        self._factory = factory

    async def execute_in_transaction(self, operation: Operation[T]) -> T:
        """Run an operation in a new Unit of Work, commit, and return what the operation returned.

        Raises:
            Exception: What the operation raised; nothing was written.
            EventStoreError: As for `PostgreSQLUnitOfWork.commit`.
        """
        async with await self._factory.create_unit_of_work_async() as unit_of_work:
            return await operation(unit_of_work)

    async def execute_with_retry(
        self, operation: Operation[T], max_retries: int = 3, backoff_factor: float = 1.0
    ) -> T:
        """Run an operation as `execute_in_transaction` does; run it again if it is known not to have been applied.

        Only errors that are `retryable` are retried: a conflict, a serialisation failure, a deadlock, a
        connection lost before anything was sent. The delay doubles from 20 ms x `backoff_factor` to at most
        5 s, with full jitter, so that conflicting writers do not retry in lockstep. After a conflict with
        another operation of this process there is no delay: operations on one stream queue, and each starts
        from the state that its predecessor committed, without a load. An operation that holds the stream
        for more than a second loses its place to the next one, and goes on without it.

        Args:
            operation: The operation. It must load what it changes, since it may run more than once, and it must
                leave the commit to this method: what it commits itself stays when it runs again.
            max_retries: How often it may run again; 0 or more.
            backoff_factor: The factor of the delays; 0 or more.

        Raises:
            LimitError: `max_retries` is below 0, or not a whole number.
            ConfigurationError: `backoff_factor` is below 0, or infinite.
            EventStoreError: The last attempt's error.
            Exception: What the operation raised, at once and unchanged.
        """
        check_count("max_retries", max_retries, least=0)
        if not 0 <= backoff_factor < math.inf:
            raise ConfigurationError(
                f"backoff_factor must be a finite number, 0 or more, not {backoff_factor}"
            )
        attempt = 0
        queues = current_queues() or StreamQueues()
        wanted: UUID | None = None
        while True:
            queued = False
            try:
                async with queues.attempt():
                    if wanted is not None:
                        await queues.take(wanted)
                    try:
                        return await self.execute_in_transaction(operation)
                    except ConcurrencyError as error:
                        # If this operation holds the stream, its rival is another process: only a delay helps.
                        queued = not queues.holds(error.stream_id)
                        wanted = error.stream_id
                        raise
            except EventStoreError as error:
                if not error.retryable or attempt == max_retries:
                    raise
                delay_s = min(
                    _RETRY_DELAY_FIRST_S * backoff_factor * 2.0 ** min(attempt, _DOUBLINGS_MAX),
                    _RETRY_DELAY_MAX_S,
                )
                delay_s *= random.random()  # noqa: S311 - not for secrets
                attempt += 1
                counted = metrics()
                if counted is not None:
                    counted.retried("operation")
                _logger.info("retrying an operation", extra={"attempt": attempt, "error": str(error)})
                await asyncio.sleep(0 if queued else delay_s)

    async def execute_batch(self, operations: Iterable[Operation[Any]]) -> list[Any]:
        """Run operations one after the other in one Unit of Work, and return their results in order.

        Raises:
            Exception: What an operation raised; nothing was written.
            EventStoreError: As for `PostgreSQLUnitOfWork.commit`.
        """
        async with await self._factory.create_unit_of_work_async() as unit_of_work:
            return [await operation(unit_of_work) for operation in operations]
