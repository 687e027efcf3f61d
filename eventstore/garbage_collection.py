"""Python's garbage collector, while the library decodes and folds many events.

Decoding makes thousands of objects that have no cycles and stay alive. The collector looks through them again and again and
finds nothing. But it belongs to the process, which may hold much else, so it is left alone unless the process allows
otherwise: by `DatabaseConfig.postpone_gc` for as long as such a connection is open, or because the process is the library's
own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECT_AFTER_OBJECTS = 500_000

_allowed = 0
_thresholds: list[tuple[int, int, int]] = []


def allow() -> None:
    """Let the library postpone collections in this process until `forbid` is called as often."""
    global _allowed  # noqa: PLW0603 - there is one collector in a process
    _allowed += 1


def forbid() -> None:
    """Undo one `allow`."""
    global _allowed  # noqa: PLW0603
    _allowed -= 1


@contextmanager
def allowed() -> Iterator[None]:
    """Let the library postpone collections during a block."""
    allow()
    try:
        yield
    finally:
        forbid()


@contextmanager
def collecting_later() -> Iterator[None]:
    """Put the collector off to the end of a block without `await`, if the process allows it."""
    if not _allowed or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let the collector look less often during a block, if the process allows it; other tasks may run in the block."""
    if not _allowed:
        yield
        return
    _thresholds.append(gc.get_threshold())
    gc.set_threshold(max(_COLLECT_AFTER_OBJECTS, gc.get_threshold()[0]), *gc.get_threshold()[1:])
    try:
        yield
    finally:
        before = _thresholds.pop()
        if not _thresholds:  # the last of several that overlap
            gc.set_threshold(*before)
