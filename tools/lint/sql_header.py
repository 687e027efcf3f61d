"""The parser for the header of a SQL file; CONTRIBUTING.md describes the format."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELDS = ("Purpose", "Parameters", "Result", "Locks", "Index")

_PARAMETER = re.compile(r"\$(\d+) ([a-z][a-z0-9_]*) (\S.*)")
# Names that PostgreSQL understands but never prints; the header must use the names of format_type.
_ALIASES = re.compile(
    r"(?:int2|int4|int8|int|timestamptz|bool|float4|float8|varchar|decimal|char)(?:\[\])?(?:\s|$)|smallserial|bigserial|serial"
)


@dataclass(frozen=True)
class Parameter:
    """One line `$n name type unit`; only the server knows where the type ends and the unit begins."""

    number: int
    name: str
    rest: str

    def is_of(self, type_name: str) -> bool:
        """Whether the line names this type, as `format_type` prints it."""
        return self.rest == type_name or self.rest.startswith(type_name + " ")


@dataclass(frozen=True)
class Header:
    """The five fields, and the statement below them."""

    fields: dict[str, str]
    parameters: tuple[Parameter, ...]
    statement: str


def parse(text: str) -> Header:
    """Parse one SQL file.

    Raises:
        ValueError: The header is wrong, or there is no statement below it.
    """
    lines = text.splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    fields: dict[str, list[str]] = {}
    for line in lines[:length]:
        start = re.match(r"-- ([A-Z][a-z]+):(?: (.*))?$", line)
        if start:
            if start[1] in fields:
                raise ValueError(f"{start[1]} comes twice")
            fields[start[1]] = [start[2] or ""]
        elif re.match(r"--   +\S", line) and fields:
            fields[next(reversed(fields))].append(line.removeprefix("--").strip())
        else:
            raise ValueError(f"neither a field nor a continued line: {line!r}")
    if tuple(fields) != FIELDS:
        raise ValueError(f"the fields are {', '.join(fields) or 'none'}; they must be {', '.join(FIELDS)}")
    empty = [name for name, values in fields.items() if not "".join(values).strip()]
    if empty:
        raise ValueError(f"nothing is said in {', '.join(empty)}")
    statement = "\n".join(lines[length:]).strip()
    if not statement:
        raise ValueError("no statement below the header")
    return Header(
        {name: " ".join(values).strip() for name, values in fields.items()},
        _parameters(fields["Parameters"]),
        statement,
    )


def _parameters(lines: list[str]) -> tuple[Parameter, ...]:
    if lines == ["none"]:
        return ()
    if lines[0]:
        raise ValueError("Parameters is followed by `none`, or by one line for each")
    found: list[Parameter] = []
    for line in lines[1:]:
        match = _PARAMETER.fullmatch(line)
        if not match:
            raise ValueError(f"not `$n name type unit`: {line!r}")
        if int(match[1]) != len(found) + 1:
            raise ValueError(f"${len(found) + 1} is missing: {line!r}")
        if _ALIASES.match(match[3]):
            raise ValueError(f"not the name that format_type prints: {line!r}")
        found.append(Parameter(int(match[1]), match[2], match[3]))
    return tuple(found)


def numbers_used(statement: str) -> set[int]:
    """The parameters that a statement uses, outside of comments."""
    return {int(number) for number in re.findall(r"\$(\d+)", re.sub(r"--.*", "", statement))}
