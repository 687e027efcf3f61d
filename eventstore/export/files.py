"""Files that are whole or not there: what was under their name stays until the new content is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give the name of a new file beside a path, to be written in the block; it takes its place when the block ends well.

    Where the block raises, the new file is removed, and what was at the path is as it was. A path that is no file, such
    as a pipe, is given as it is.

    Raises:
        OSError: The new file cannot be put in its place.
    """
    target = Path(path).resolve()  # of a link: where it leads, so that it stays a link
    if target.exists() and not target.is_file():
        yield target
        return
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
