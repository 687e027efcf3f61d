"""What the project depends on: bounds on both sides, and one lock file that developers' environments are made of."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit import house_rules as rules

PROJECT = tomllib.loads((rules.ROOT / "pyproject.toml").read_text())["project"]
LOCK = (rules.ROOT / "requirements-dev.lock").read_text()
OWN = canonicalize_name(PROJECT["name"])
# Its versions are dates: none of them breaks anything.
WITHOUT_END = {"tzdata"}


def requirements(*extras: str) -> list[Requirement]:
    """What the project needs itself, or with these extras and those that they name."""
    found = [Requirement(one) for one in PROJECT["dependencies"]]
    for extra in extras:
        for one in map(Requirement, PROJECT["optional-dependencies"][extra]):
            found += requirements(*one.extras) if canonicalize_name(one.name) == OWN else [one]
    return found


def locked() -> dict[str, list[Version]]:
    """The versions of each package in the lock file: more than one where Pythons need different ones."""
    found: dict[str, list[Version]] = {}
    for name, pinned in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(pinned))
    return found


@pytest.mark.parametrize("named", sorted(set(map(str, requirements(*PROJECT["optional-dependencies"])))))
def test_each_dependency_has_both_bounds(named: str):
    """A version that nobody has tried is not taken."""
    requirement = Requirement(named)
    operators = {specifier.operator for specifier in requirement.specifier}
    assert ">=" in operators
    assert "<" in operators or requirement.name in WITHOUT_END


def test_versions_that_make_an_id_twice_are_left_out():
    """Before 0.14 uuid-utils copied its state at a fork, so that parent and child went on with the same ids."""
    (requirement,) = [one for one in requirements() if one.name == "uuid-utils"]
    assert not any(requirement.specifier.contains(one) for one in ("0.10.0", "0.11.1", "0.12.0", "0.13.0"))
    assert requirement.specifier.contains("0.14.0")


def test_the_lock_has_every_dependency_within_its_bounds():
    """So `make lock` was run after the last change of pyproject.toml."""
    pins = locked()
    missing = []
    for requirement in requirements("dev"):
        versions = pins.get(canonicalize_name(requirement.name), [])
        if not versions or not all(map(requirement.specifier.contains, versions)):
            missing.append(f"{requirement}: {', '.join(map(str, versions)) or 'none'}")
    assert missing == []


def test_the_lock_names_no_place():
    """No index, no file of a machine; and each version with the digests of its files."""
    assert re.findall(r"\S*(?:://|file:|index-url|find-links| @ )\S*", LOCK) == []
    lines = LOCK.replace("\\\n", " ").splitlines()
    assert [line for line in lines if "==" in line and "--hash=sha256:" not in line] == []
