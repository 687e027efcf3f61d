"""Rules for dependencies: bounds on both sides, and one lock file for the environments of developers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.lint.findings import ROOT, Finding, line_of

PYPROJECT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(PYPROJECT)["project"]
LOCK = (ROOT / "requirements-dev.lock").read_text()
OWN = canonicalize_name(PROJECT["name"])
# Its versions are dates, so a new version does not announce an incompatibility.
WITHOUT_END = {"tzdata"}


def requirements(*extras: str) -> list[Requirement]:
    """The requirements of the project, or of these extras and the extras that they name."""
    found = [Requirement(one) for one in PROJECT["dependencies"]]
    for extra in extras:
        for one in map(Requirement, PROJECT["optional-dependencies"][extra]):
            found += requirements(*one.extras) if canonicalize_name(one.name) == OWN else [one]
    return found


def locked(lock: str) -> dict[str, list[Version]]:
    """The versions of each package in a lock file: several if Python versions need different ones."""
    found: dict[str, list[Version]] = {}
    for name, pinned in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(pinned))
    return found


def missing_bound(requirement: Requirement) -> str | None:
    """The bound that a requirement lacks; None if it has both."""
    operators = {specifier.operator for specifier in requirement.specifier}
    if ">=" not in operators:
        return "lower"
    return None if "<" in operators or requirement.name in WITHOUT_END else "upper"


def places(lock: str) -> list[str]:
    """The parts of a lock file that name an index or a file of one machine."""
    return re.findall(r"\S*(?:://|file:|index-url|find-links| @ )\S*", lock)


def pins_without_digest(lock: str) -> list[str]:
    """The pins of a lock file without the digests of their files."""
    lines = lock.replace("\\\n", " ").splitlines()
    return [line for line in lines if "==" in line and "--hash=sha256:" not in line]


def dependencies_have_both_bounds() -> Iterator[Finding]:
    """No dependency may resolve to a version that nobody has tried."""
    for named in sorted(set(map(str, requirements(*PROJECT["optional-dependencies"])))):
        requirement = Requirement(named)
        bound = missing_bound(requirement)
        if bound:
            line = line_of(PYPROJECT, requirement.name)
            yield Finding("pyproject.toml", line, f"{named} has no {bound} bound: add the one that was tried")


def the_lock_is_up_to_date() -> Iterator[Finding]:
    """Every dependency is in the lock file, within its bounds."""
    pins = locked(LOCK)
    for requirement in requirements("dev"):
        versions = pins.get(canonicalize_name(requirement.name), [])
        if not versions or not all(map(requirement.specifier.contains, versions)):
            has = ", ".join(map(str, versions)) or "nothing"
            line = line_of(LOCK, f"{requirement.name}==")
            yield Finding("requirements-dev.lock", line, f"has {has} for {requirement}: run `make lock`")


def the_lock_names_no_place() -> Iterator[Finding]:
    """The lock file names no index and no file of a machine, and has the digests of each version's files."""
    for place in places(LOCK):
        yield Finding(
            "requirements-dev.lock", line_of(LOCK, place), f"names a place, {place}: run `make lock`"
        )
    for pin in pins_without_digest(LOCK):
        yield Finding(
            "requirements-dev.lock", line_of(LOCK, pin[:40]), f"has no digest for {pin}: run `make lock`"
        )


RULES = (dependencies_have_both_bounds, the_lock_is_up_to_date, the_lock_names_no_place)
