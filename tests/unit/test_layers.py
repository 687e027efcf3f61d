"""The layers: what each room of the library may load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eventstore import __all__ as public_names

_LOADED = "import sys, {module}; print(*sorted(name for name in sys.modules if name.startswith(('eventstore', 'projections'))))"


def loaded_with(module: str) -> set[str]:
    """The library's modules that a new process has after one import."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(module=module)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["eventstore", "eventstore.core", "eventstore.database", "eventstore.log"])
def test_the_kernel_and_the_log_load_no_trading_model(module: str):
    """Whoever uses them for another domain has none of orders, positions and portfolios, and no projection."""
    loaded = loaded_with(module)
    assert module in loaded
    assert not {
        name
        for name in loaded
        if name.startswith(("eventstore.domain", "eventstore.repositories", "projections"))
    }


def test_the_kernel_loads_neither_the_log_nor_the_database():
    """Events and entities are pure: no input, no output."""
    loaded = loaded_with("eventstore.core")
    assert not {
        name
        for name in loaded
        if name.startswith(("eventstore.database", "eventstore.log", "eventstore.sql"))
    }


def test_a_name_of_the_top_brings_the_events_of_the_trading_model():
    """A program that only reads knows the library's own events, whichever name it begins with."""
    code = "import eventstore; eventstore.EventLog; from eventstore.core.registry import registry; print(len(list(registry)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20


def test_each_public_name_is_there():
    """Names are imported when they are asked for; each of them can be."""
    import eventstore

    for name in public_names:
        assert getattr(eventstore, name) is not None
    assert set(public_names) <= set(dir(eventstore))
    with pytest.raises(AttributeError, match="no attribute 'Ordre'"):
        _ = eventstore.Ordre
