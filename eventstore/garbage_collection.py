"""Python's garbage collector, while the library decodes and folds many events.

Decoding creates thousands of objects that have no cycles and stay alive. The collector scans them again and
again and frees nothing. But the collector belongs to the process, which may hold many other objects. So the
library postpones collections only if the process allows it: with `DatabaseConfig.postpone_gc`, as long as
such a connection is open, or because it is a process of the library itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECT_AFTER_OBJECTS = 50_000  # looking at so many new objects takes some milliseconds
_COLLECT_OLDER_AFTER = 10_000  # such collections: those that look at all objects take a second or more

_allowed = 0
_thresholds: list[tuple[int, int, int]] = []


def allow() -> None:
    """Let the library postpone collections in this process, until `forbid` has been called equally often."""
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
    """Postpone collections to the end of a block without `await`, if the process allows it."""
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
    """Let the collector run less often during a block, if the process allows it; the block may await."""
    if not _allowed:
        yield
        return
    _thresholds.append(gc.get_threshold())
    new, older, oldest = gc.get_threshold()
    gc.set_threshold(max(_COLLECT_AFTER_OBJECTS, new), max(_COLLECT_OLDER_AFTER, older), oldest)
    try:
        yield
    finally:
        before = _thresholds.pop()
        if not _thresholds:  # the last of several overlapping blocks
            gc.set_threshold(*before)
