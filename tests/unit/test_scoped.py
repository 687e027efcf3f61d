"""What is set for a block may be entered in one task and left in another."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from eventstore import caused_by, context_metadata, use_clock, use_ids
from eventstore.core.causation import current_metadata
from eventstore.core.context import decimal_arithmetic, in_decimal_arithmetic, new_id, now
from eventstore.core.event import RecordedEvent
from eventstore.core.scoped import Scoped
from tests.entities import StrategyStarted

NINE = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)
ONE = UUID(int=1)
EVENT = RecordedEvent(1, ONE, 1, ONE, StrategyStarted(occurred_at=NINE, name="A"), {}, NINE)

BLOCKS: dict[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[], bool]]] = {
    "context_metadata": (lambda: context_metadata(actor="ada"), lambda: "actor" in current_metadata()),
    "caused_by": (lambda: caused_by(EVENT), lambda: "causation_id" in current_metadata()),
    "use_clock": (lambda: use_clock(lambda: NINE), lambda: now() == NINE),
    "use_ids": (lambda: use_ids(lambda: ONE), lambda: new_id() == ONE),
    "decimal_arithmetic": (decimal_arithmetic, in_decimal_arithmetic),
}


@pytest.fixture(params=BLOCKS, name="block")
def each_block(
    request: pytest.FixtureRequest,
) -> tuple[Callable[[], AbstractContextManager[Any]], Callable[[], bool]]:
    """A kind of block, and whether it counts now."""
    return BLOCKS[request.param]


async def _entered(block: AbstractContextManager[Any]) -> AsyncIterator[None]:
    with block:
        yield


async def _next(generator: AsyncIterator[None]) -> None:
    await anext(generator)


async def _close(generator: Any) -> None:
    await generator.aclose()


async def test_a_block_may_be_left_in_another_task(block):
    """As a dependency of a web framework is; the task that leaves it is as it was, and so is this one."""
    make, counts = block
    generator = _entered(make())
    await asyncio.create_task(_next(generator))
    assert not counts()

    async def leave() -> bool:
        await _close(generator)
        return bool(counts())

    assert not await asyncio.create_task(leave())
    assert not counts()


async def test_the_task_that_entered_is_free_of_a_block_that_another_left(block):
    """The block has ended for the task that goes on after it."""
    make, counts = block
    generator = _entered(make())
    await anext(generator)
    assert counts()
    await asyncio.create_task(_close(generator))
    assert not counts()


async def test_a_task_that_inherited_the_block_may_leave_it(block):
    """A task that was started inside the block, and that ends it, is outside of it."""
    make, counts = block
    generator = _entered(make())
    await anext(generator)

    async def leave() -> bool:
        assert counts()
        await _close(generator)
        return bool(counts())

    assert not await asyncio.create_task(leave())


async def test_an_error_that_leaves_the_block_is_the_one_that_is_seen(block):
    """What went wrong inside is not hidden by how the block was left."""
    make, _ = block
    generator: Any = _entered(make())
    await asyncio.create_task(_next(generator))
    with pytest.raises(LookupError, match="mine"):
        await asyncio.create_task(generator.athrow(LookupError("mine")))


async def test_an_own_block_of_the_task_that_leaves_stays(block):
    """A task that leaves a foreign block inside a block of its own keeps its own."""
    make, counts = block
    if make is decimal_arithmetic:
        pytest.skip("nothing may be awaited in it")
    generator = _entered(make())
    await asyncio.create_task(_next(generator))

    async def leave() -> tuple[bool, bool]:
        with make():
            await _close(generator)
            return counts(), counts()

    assert await asyncio.create_task(leave()) == (True, True)


async def test_a_task_that_was_started_inside_keeps_the_value():
    """However the block is left: what a task was started with is its own."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        started.set()
        await ended.wait()
        return str(current_metadata()["actor"])

    for leave_elsewhere in (False, True):
        started.clear()
        ended.clear()
        generator = _entered(context_metadata(actor="ada"))
        await anext(generator)
        task = asyncio.create_task(work())
        await started.wait()
        await (asyncio.create_task(_close(generator)) if leave_elsewhere else _close(generator))
        ended.set()
        assert await task == "ada"
        assert current_metadata() == {}


def test_blocks_may_be_left_in_any_order():
    """Two generators of one task, the outer one closed first: each block counts until it is left, and no longer."""
    scoped = Scoped("test", 0)

    def entered(value: int) -> Generator[None, None, None]:
        with scoped.set(value):
            yield

    one, two = entered(1), entered(2)
    next(one)
    next(two)
    one.close()
    assert scoped.get() == 2
    two.close()
    assert scoped.get() == 0


async def test_foreign_exits_of_several_blocks_are_put_right():
    """The second of three blocks is left elsewhere, then the third, then the first."""
    scoped = Scoped("test", 0)
    generators = [_entered(scoped.set(value)) for value in (1, 2, 3)]
    for generator in generators:
        await anext(generator)
    await asyncio.create_task(_close(generators[1]))
    assert scoped.get() == 3
    await _close(generators[2])
    assert scoped.get() == 1
    await asyncio.create_task(_close(generators[0]))
    assert scoped.get() == 0


async def test_folding_that_is_left_elsewhere_gives_back_the_arithmetic():
    """Neither task is left with the library's digits."""
    with decimal.localcontext(prec=5):
        generator = _entered(decimal_arithmetic())
        await anext(generator)
        await asyncio.create_task(_close(generator))
        assert Decimal(1) / 3 == Decimal("0.33333")


def test_folding_undoes_what_its_block_did_to_the_decimal_context():
    """A fold that changes the decimal context changes nobody else's."""
    before = decimal.getcontext()
    with decimal_arithmetic():
        decimal.setcontext(decimal.Context(prec=2))
    assert decimal.getcontext() is before


def test_a_block_that_was_left_holds_nothing():
    """A value is let go with its block, without the garbage collector."""
    scoped: Scoped[Any] = Scoped("test", None)

    class Value:
        pass

    value = Value()
    kept = weakref.ref(value)
    gc.disable()
    try:
        with scoped.set(value):
            del value
            assert scoped.get() is kept()
        assert kept() is None
    finally:
        gc.enable()


async def test_a_fixture_may_be_torn_down_in_another_task():
    """An exit stack that one task fills and another one closes raises nothing."""
    stack = contextlib.ExitStack()

    async def fill() -> None:
        for make, _ in BLOCKS.values():
            stack.enter_context(make())

    async def close() -> None:
        stack.close()

    await asyncio.create_task(fill())
    await asyncio.create_task(close())
    assert not any(counts() for _, counts in BLOCKS.values())
