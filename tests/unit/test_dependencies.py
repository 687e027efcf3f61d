"""What the project depends on, and what the lint rules find in it."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tools.lint.dependency_rules import locked, missing_bound, pins_without_digest, places, requirements


def test_versions_that_make_an_id_twice_are_left_out():
    """Before 0.14 uuid-utils copied its state at a fork, so that parent and child went on with the same ids."""
    (requirement,) = [one for one in requirements() if one.name == "uuid-utils"]
    assert not any(requirement.specifier.contains(one) for one in ("0.10.0", "0.11.1", "0.12.0", "0.13.0"))
    assert requirement.specifier.contains("0.14.0")


@pytest.mark.parametrize(
    ("named", "missing"),
    [("x>=1,<2", None), ("x<2", "lower"), ("x>=1", "upper"), ("x==1", "lower"), ("tzdata>=2024", None)],
)
def test_a_missing_bound(named: str, missing: str | None):
    """Each side is asked for, but for what has versions that are dates."""
    assert missing_bound(Requirement(named)) == missing


def test_faults_of_a_lock_file():
    """An index and a pin without a digest are found; two pins of one package are read."""
    good = "x==1 ; python_version < '3.12' \\\n    --hash=sha256:0\nx==2 \\\n    --hash=sha256:1\n"
    assert locked(good) == {"x": [Version("1"), Version("2")]}
    assert (places(good), pins_without_digest(good)) == ([], [])
    assert places("--index-url https://example.org\n") != []
    assert pins_without_digest("x==1\n") == ["x==1"]
