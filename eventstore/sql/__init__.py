"""The library's SQL statements, one file each, loaded by name."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["load"]


@cache
def load(name: str) -> str:
    """Return the statement of a file of this package.

    Args:
        name: The file's path without `.sql`, such as `log/append`.

    Returns:
        The statement without the comment lines at its top, so that no header travels to the server.

    Raises:
        FileNotFoundError: No such file.
    """
    lines = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("--")), 0)
    return "\n".join(lines[start:]).strip()
