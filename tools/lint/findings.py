"""The findings of rules, and the files that rules check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, order=True)
class Finding:
    """One violation of a rule."""

    path: str
    """The file, below the root of the project."""
    line: int
    message: str
    """What is wrong, and what to do."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the project, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def shown(path: Path) -> str:
    """A path below the root of the project, as a finding shows it."""
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """The dotted name of a module of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def line_of(text: str, part: str) -> int:
    """The number of the first line that contains a text, from 1; 1 if no line contains it."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if part in line), 1)
