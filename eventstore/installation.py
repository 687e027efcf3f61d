"""The check that no module of the user hides one of the two packages of the library."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent


def hidden(package: str) -> str | None:
    """Return one line that names the module which hides a package of the library; None if none does.

    Args:
        package: `eventstore` or `projections`.
    """
    own = _FOLDER / package
    if not (own / "__init__.py").is_file():
        return None  # not installed as files, so there is nothing to compare
    origin = _origin(package)
    if origin is None or Path(origin).resolve() == own / "__init__.py":
        return None
    return (
        f"{origin} hides the package {package!r} of trading-eventstore ({own}): "
        "rename it, or remove its folder from sys.path"
    )


def hidden_by_us(module: str, folder: Path) -> str | None:
    """Return one line that names the user's file which a package of the library hides; None if none.

    Args:
        module: The name of the user's module.
        folder: The folder of the module. The library is imported already, so its package comes first.
    """
    package = module.partition(".")[0]
    own = _FOLDER / package / "__init__.py"
    if package not in ("eventstore", "projections"):
        return None
    for file in (folder / f"{package}.py", folder / package / "__init__.py"):
        if file.is_file() and file.resolve() != own:
            return f"{file} has the name of a package of trading-eventstore, which hides it: rename it"
    return None


def require_package(package: str) -> None:
    """Check that a package of the library is the one that an import finds.

    Raises:
        ImportError: A module of the user has the same name and comes first on the path; the message names
            its file.
    """
    told = hidden(package)
    if told is not None:
        raise ImportError(told, name=package, path=_origin(package))


def _origin(package: str) -> str | None:
    """Return the file that an import of a package finds or has found."""
    module = sys.modules.get(package)
    if module is not None:
        return getattr(module, "__file__", None)
    try:
        spec: ModuleSpec | None = find_spec(package)
    except (ImportError, ValueError):
        return None
    return None if spec is None or not spec.has_location else spec.origin
