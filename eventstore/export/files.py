"""Replacing a file as a whole: the old file stays until the new content is complete."""

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
"""The mode of a new file: only its owner may read the contents of the log."""

_LINKS_MAX = 40  # the limit of Linux
_ACCESS_LIST = "system.posix_acl_access"


class NewFile(Protocol):
    """The file to which the new content is written."""

    def open(self, mode: str = "wb") -> IO[Any]:
        """Open the file for writing."""


@contextmanager
def replacing(path: Path | str, *, mode: int = NEW_FILE_MODE) -> Iterator[NewFile]:
    """Yield a new file beside a path; it replaces the file at the path if the block succeeds.

    The new file takes over the mode, the owner and the access list of the old one. If the block
    raises, the new file is removed and the old one stays unchanged. The new file has an unpredictable
    name, and is never opened through a link. A symbolic link at the path is followed if it belongs to
    this user or to root, and stays a link. If the path is not a regular file, such as a pipe or a
    terminal, the content is written to it directly.

    Args:
        path: The path.
        mode: The mode if no file exists at the path.

    Raises:
        ConfigurationError: The path is a link of another user, or the owner cannot be kept.
        OSError: The new file cannot be created, written or renamed.
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
                f"{part} was replaced by another file while it was written: use a folder that only you can write"
            )
        part.replace(target)
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)
    _sync(target.parent)


@dataclass(frozen=True)
class _Device:
    """A path that is not a regular file, such as a pipe or a terminal."""

    path: Path

    def open(self, mode: str = "wb") -> IO[Any]:
        return self.path.open(mode)


class _Part:
    """An open file: writes reach it even if another file takes its name."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self, mode: str = "wb") -> IO[Any]:
        return os.fdopen(os.dup(self._descriptor), mode)


def _followed(path: Path) -> Path:
    """Return the target of a path, following only links of this user and of root."""
    for _ in range(_LINKS_MAX):
        if not path.is_symlink():
            return path.parent.resolve() / path.name
        owner = path.lstat().st_uid
        if hasattr(os, "geteuid") and owner not in (os.geteuid(), 0):
            raise ConfigurationError(
                f"{path} is a symbolic link to {path.readlink()} that belongs to the user {owner}: "
                "name the file itself"
            )
        path = path.parent / path.readlink()
    raise ConfigurationError(f"{path} is a symbolic link that leads back to itself: name the file itself")


def _give_to(descriptor: int, before: os.stat_result, target: Path) -> None:
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) == (before.st_uid, before.st_gid):
        return
    try:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    except PermissionError as error:
        raise ConfigurationError(
            f"{target} belongs to the user {before.st_uid} and the group {before.st_gid}, and this user cannot give them "
            "the new file: name another file, or remove this one"
        ) from error


def _set_mode(descriptor: int, target: Path, mode: int, before: os.stat_result | None) -> None:
    os.fchmod(descriptor, mode)
    if before is None or not hasattr(os, "getxattr"):
        return
    # With an access list, the group bits of the mode are the list's mask. Without the list they would be
    # the rights of the group, so the list is copied too.
    try:
        access = os.getxattr(target, _ACCESS_LIST)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
    else:
        os.setxattr(descriptor, _ACCESS_LIST, access)


def _sync(folder: Path) -> None:
    """Write the new name to disk, if the system can sync folders."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
