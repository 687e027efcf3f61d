"""Imported before everything else in this package, which needs the library's own `eventstore`.

It repeats the check of `eventstore.installation`, which cannot be imported if that package is hidden.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_OWN = Path(__file__).resolve().parent.parent / "eventstore" / "__init__.py"


def _origin() -> str | None:
    module = sys.modules.get("eventstore")
    if module is not None:
        return getattr(module, "__file__", None)
    spec = find_spec("eventstore")
    return None if spec is None or not spec.has_location else spec.origin


_found = _origin()
if _OWN.is_file() and _found is not None and Path(_found).resolve() != _OWN:
    raise ImportError(
        f"{_found} hides the package 'eventstore' of trading-eventstore ({_OWN.parent}): "
        "rename it, or remove its folder from sys.path",
        name="eventstore",
        path=_found,
    )
