"""Files that are whole or not there: what was under their name stays until the new content is complete."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from eventstore.errors import ConfigurationError

NEW_FILE_MODE = 0o600
"""The mode of a file that was not there before: what the log holds is for its owner alone."""

_LINKS_MAX = 40  # as many as Linux follows
_ACCESS_LIST = "system.posix_acl_access"


class NewFile(Protocol):
    """What a new content is written to."""

    def open(self, mode: str = "wb") -> IO[Any]:
        """Open it for writing."""


@contextmanager
def replacing(path: Path | str, *, mode: int = NEW_FILE_MODE) -> Iterator[NewFile]:
    """Give a new file beside a path, to be written in the block; it takes the path's place when the block ends well.

    A file that is there keeps its mode, its owner and its access list. Where the block raises, the new file is removed, and
    what was at the path is as it was. The new file has a name that nobody can know before, and is never opened through a
    link. A symbolic link at the path is followed if it belongs to this user or to root, and stays a link. A path that is
    no file, such as a pipe or a terminal, is written to as it is.

    Args:
        path: The path.
        mode: The mode of a file that is not there yet.

    Raises:
        ConfigurationError: The path is a link of another user, or its owner cannot be kept.
        OSError: The new file cannot be made, written or put in its place.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        yield _Device(path)
        return
    target = _followed(path)
    try:
        before = target.lstat()
    except FileNotFoundError:
        before = None
    descriptor, name = tempfile.mkstemp(prefix=".eventstore-", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        if before is not None:
            _give_to(descriptor, before, target)
        yield _Part(descriptor)
        _set_mode(descriptor, target, mode if before is None else stat.S_IMODE(before.st_mode), before)
        os.fsync(descriptor)
        if not os.path.samestat(os.fstat(descriptor), part.lstat()):
            raise ConfigurationError(
                f"{part} was exchanged while it was written: use a folder that is yours alone"
            )
        part.replace(target)
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)
    _sync(target.parent)


@dataclass(frozen=True)
class _Device:
    """A pipe, a terminal or the like."""

    path: Path

    def open(self, mode: str = "wb") -> IO[Any]:
        return self.path.open(mode)


class _Part:
    """A file that is open already: whatever happens to its name, this one is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self, mode: str = "wb") -> IO[Any]:
        return os.fdopen(os.dup(self._descriptor), mode)


def _followed(path: Path) -> Path:
    """Return where a path leads, by links of this user and of root alone."""
    for _ in range(_LINKS_MAX):
        if not path.is_symlink():
            return path.parent.resolve() / path.name
        owner = path.lstat().st_uid
        if hasattr(os, "geteuid") and owner not in (os.geteuid(), 0):
            raise ConfigurationError(
                f"{path} is a symbolic link of the user with the number {owner}, to {path.readlink()}: "
                "name the file itself"
            )
        path = path.parent / path.readlink()
    raise ConfigurationError(f"{path} is a symbolic link that leads round in a circle: name the file itself")


def _give_to(descriptor: int, before: os.stat_result, target: Path) -> None:
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) == (before.st_uid, before.st_gid):
        return
    try:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    except PermissionError as error:
        raise ConfigurationError(
            f"{target} belongs to the user {before.st_uid} and the group {before.st_gid}, which this user cannot give a "
            "new file to: name another file, or remove this one"
        ) from error


def _set_mode(descriptor: int, target: Path, mode: int, before: os.stat_result | None) -> None:
    os.fchmod(descriptor, mode)
    if before is None or not hasattr(os, "getxattr"):
        return
    # With an access list, the mode's bits of the group are a mask: without the list they would be the group's rights.
    try:
        access = os.getxattr(target, _ACCESS_LIST)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
    else:
        os.setxattr(descriptor, _ACCESS_LIST, access)


def _sync(folder: Path) -> None:
    """Have the new name on the disk too, where folders can be synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
