"""The garbage collector's part in decoding and folding many events."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECT_AFTER_OBJECTS = 500_000

_collectors: list[tuple[int, int, int]] = []


@contextmanager
def unhurried_collection() -> Iterator[None]:
    """Put the collector of reference cycles off to the end of a block without `await`.

    Decoding makes thousands of objects that live on and have no cycles; looking through them again and again takes about a
    third of a rebuild's time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let the collector look less often during a block that makes a great many objects that all stay.

    Each look costs time in proportion to them, and finds nothing: it takes as long as the fold itself.
    """
    _collectors.append(gc.get_threshold())
    gc.set_threshold(max(_COLLECT_AFTER_OBJECTS, gc.get_threshold()[0]), *gc.get_threshold()[1:])
    try:
        yield
    finally:
        before = _collectors.pop()
        if not _collectors:  # the last of several that overlap
            gc.set_threshold(*before)
