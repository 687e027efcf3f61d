"""Migration files: their names, their parts and their checksums."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9][a-z0-9_]*)\.sql")
_MARKER = re.compile(r"--\s*migrate:([a-z-]+)(?::\s*(.*?))?\s*")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_WITH_VALUE = {"creates", "requires-empty", "irreversible"}


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the folder `migrations`.

    Attributes:
        version: The number at the start of the file's name, from 1.
        name: The rest of the name.
        checksum: SHA-256 of the content with Unix line ends, hexadecimal.
        up: The statements that apply it.
        down: The statements that undo it; None if it cannot be undone.
        irreversible: Why it cannot be undone; None if it can.
        creates: The names that it creates: tables, sequences, types, functions.
        requires_empty: The tables that must be empty to undo it.
    """

    version: int
    name: str
    checksum: str
    up: str
    down: str | None
    irreversible: str | None
    creates: tuple[str, ...]
    requires_empty: tuple[str, ...]

    @property
    def label(self) -> str:
        """The file's name without `.sql`, such as `0001_event_log`."""
        return f"{self.version:04d}_{self.name}"


def packaged_directory() -> Path:
    """Return the folder of the library's own migrations: in the package, or beside it in a source checkout.

    Raises:
        MigrationError: The folder is missing: the installation is damaged.
    """
    package = Path(str(files("eventstore")))
    for folder in (package / "migrations", package.parent / "migrations"):
        if folder.is_dir():
            return folder
    raise MigrationError("the library's migrations are missing: install it again")


def load_migrations(directory: Path) -> tuple[Migration, ...]:
    """Read all files `NNNN_name.sql` of a folder, in order of their versions.

    Raises:
        MigrationError: The name or the format of a file is wrong, or two files have the same version.
    """
    if not directory.is_dir():
        raise MigrationError(f"{directory} is not a folder: name the folder of the migrations")
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        migration = _parse(path)
        if migration.version in found:
            raise MigrationError(
                f"{path.name} and {found[migration.version].label}.sql have the same version: renumber one of them"
            )
        found[migration.version] = migration
    return tuple(found[version] for version in sorted(found))


def _parse(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if not match or not int(match[1]):
        raise MigrationError(f"{path.name} is not a name of a migration: name it like 0001_lower_case.sql")
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise MigrationError(f"{path.name} is not UTF-8: save it as UTF-8") from error
    parts = {"header": "", "up": "", "down": ""}
    values: dict[str, str] = {}
    markers: list[str] = []
    part = "header"
    for line in text.splitlines(keepends=True):
        marker = _MARKER.fullmatch(line.rstrip("\n"))
        if marker is None:
            parts[part] += line
            continue
        name, value = marker[1], marker[2]
        if name in markers or name not in {"up", "down", *_WITH_VALUE}:
            raise MigrationError(f"{path.name}: `migrate:{name}` is unknown or repeated: remove it")
        if (name in _WITH_VALUE) != bool(value):
            raise MigrationError(
                f"{path.name}: `migrate:{name}` has {'too much' if value else 'nothing'} after it"
            )
        markers.append(name)
        values[name] = value or ""
        part = name if name in {"up", "down"} else part
    _check(path, markers, parts)
    return Migration(
        version=int(match[1]),
        name=match[2],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        up=parts["up"].strip(),
        down=parts["down"].strip() if "down" in markers else None,
        irreversible=values.get("irreversible"),
        creates=tuple(_names(path, values.get("creates", ""))),
        requires_empty=tuple(_names(path, values.get("requires-empty", ""))),
    )


def _check(path: Path, markers: list[str], parts: dict[str, str]) -> None:
    if "up" not in markers or not _has_statement(parts["up"]):
        raise MigrationError(f"{path.name} has no statements after `-- migrate:up`")
    if "down" in markers and "irreversible" in markers:
        raise MigrationError(
            f"{path.name} has both `-- migrate:down` and `-- migrate:irreversible`: keep one"
        )
    if "down" not in markers and "irreversible" not in markers:
        raise MigrationError(
            f"{path.name} has neither `-- migrate:down` nor `-- migrate:irreversible: reason`: add one"
        )
    if "down" in markers and not _has_statement(parts["down"]):
        raise MigrationError(f"{path.name} has no statements after `-- migrate:down`")
    if "down" in markers and markers.index("down") < markers.index("up"):
        raise MigrationError(f"{path.name}: `-- migrate:down` comes before `-- migrate:up`")
    if _has_statement(parts["header"]):
        raise MigrationError(f"{path.name} has statements before `-- migrate:up`")


def _has_statement(part: str) -> bool:
    return any(line.strip() and not line.strip().startswith("--") for line in part.splitlines())


def _names(path: Path, value: str) -> Iterator[str]:
    for name in filter(None, (one.strip() for one in value.split(","))):
        if not _NAME.fullmatch(name):
            raise MigrationError(f"{path.name}: {name!r} is not a lower-case name")
        yield name
