"""Keys as text, and the lane of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson

__all__ = ["key_text", "lane_of"]


def key_text(key: Sequence[Any]) -> str:
    """Return a key as text, the same in every process and version: a JSON list."""
    return orjson.dumps(list(key), default=str).decode()


def lane_of(key: Sequence[Any], lanes: int) -> int:
    """Return the lane of a key: CRC-32 of its text, modulo the number of lanes."""
    return 0 if lanes == 1 else crc32(key_text(key).encode()) % lanes
