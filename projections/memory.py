"""The garbage collector's part in folding many events."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unhurried_collection"]


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
