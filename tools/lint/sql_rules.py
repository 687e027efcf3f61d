"""Rules for SQL: the header of each statement, one statement a file, qualified names, and the golden files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.lint import sql_header
from tools.lint.findings import Finding, python_files, shown
from tools.statements import COMPOSED, GOLDEN, OF_ORDERS, SQL, STATEMENTS, TABLE_TEMPLATES, golden, path_of

# Words that the grammar of SQL itself reads before a parenthesis or as a type name, so no object can replace them.
GRAMMAR = frozenset(
    [
        "all",
        "and",
        "any",
        "array",
        "as",
        "bit",
        "by",
        "case",
        "check",
        "coalesce",
        "conflict",
        "cross",
        "distinct",
        "else",
        "exists",
        "extract",
        "filter",
        "from",
        "given",
        "grouping",
        "greatest",
        "in",
        "insert",
        "into",
        "is",
        "join",
        "key",
        "lateral",
        "least",
        "like",
        "limit",
        "materialized",
        "not",
        "nullif",
        "numeric",
        "on",
        "or",
        "over",
        "partition",
        "primary",
        "returning",
        "row",
        "select",
        "set",
        "then",
        "unique",
        "unnest",
        "using",
        "values",
        "when",
        "where",
        "with",
        "within",
    ]
)
# DDL on roles, privileges and databases, which have no schema; and a statement that is shown and never sent.
MAY_COMPOSE_SQL = (
    "eventstore/database/grants.py",
    "eventstore/examples/",
    "eventstore/testing/",
    "projections/check/audit.py",
)
_STATEMENT = re.compile(
    r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|LOCK TABLE|DROP|CREATE|ALTER|TRUNCATE|SET|COPY|ANALYZE|GRANT|REVOKE)\s"
)
GRAMMAR_TYPES = frozenset(
    ["bigint", "bit", "boolean", "double", "integer", "interval", "numeric", "real", "smallint"]
)


def unqualified(statement: str) -> list[str]:
    """Return the functions, types and relations that a statement names without a schema."""
    code = re.sub(r"--.*", "", statement)
    code = re.sub(r"E?'(?:[^']|'')*'", "''", code)
    own = set(re.findall(r"([a-z_]+)(?: \([a-z_, ]+\))? AS (?:NOT )?(?:MATERIALIZED )?\(", code))  # of WITH
    aliases = set(re.findall(r"\bAS ([a-z_]+) \(", code))
    columns = set(re.findall(r"(?:INTO|TABLE) \{schema\}\.([a-z_]+)(?: AS ([a-z_]+))? \(", code))
    tables = {name for pair in columns for name in pair}
    found = [
        f"{name}()"
        for name in re.findall(r"(?<![\w.])([a-z_][a-z_0-9]*) ?\(", code)
        if name.lower() not in GRAMMAR | own | aliases | tables
    ]
    found += [
        f"::{name}"
        for name in re.findall(r"::\s*([a-z_][a-z_0-9]*)(?!\w*\.)", code)
        if name not in GRAMMAR_TYPES and name != "pg_catalog"
    ]
    found += [
        f"{place} {name}"
        for place, name in re.findall(r"\b(FROM|JOIN|INTO|UPDATE|TABLE) ([a-z_][a-z_0-9]*)\b(?!\.|\()", code)
        if name not in own and name != "unnest"
    ]
    return found


def not_one_statement(name: str, text: str) -> list[str]:
    """What is wrong with a file of one statement, apart from its header."""
    found = []
    if ";" in re.sub(r"'[^']*'", "''", re.sub(r"--.*", "", text)):
        found.append("has a semicolon: one statement a file, without one")
    if "\t" in text:
        found.append("has a tab: indent with spaces")
    if not re.fullmatch(r"[a-z][a-z0-9_]*\.sql", name):
        found.append("is not named in snake case: rename it")
    return found


def header_faults(text: str) -> list[str]:
    """What is wrong with the header of a statement."""
    try:
        header = sql_header.parse(text)
    except ValueError as error:
        return [f"the header is not as CONTRIBUTING.md says: {error}"]
    used = sql_header.numbers_used(header.statement)
    listed = {parameter.number for parameter in header.parameters}
    return [
        *(f"${number} is used and not in the header: add its line" for number in sorted(used - listed)),
        *(f"${number} is in the header and not used: remove its line" for number in sorted(listed - used)),
    ]


def each_file_is_one_statement() -> Iterator[Finding]:
    """One statement, without a semicolon; no tab; the name is in snake case."""
    files = sorted(SQL.rglob("*.sql"))
    if not files:
        yield Finding(shown(SQL), 1, "there is no SQL file: has the folder moved?")
    for path in files:
        for fault in not_one_statement(path.name, path.read_text()):
            yield Finding(shown(path), 1, fault)


def each_statement_has_its_header() -> Iterator[Finding]:
    """The header has the right format, and its parameters are those of the statement."""
    for name, text in STATEMENTS.items():
        for fault in header_faults(text):
            yield Finding(shown(path_of(name)), 1, fault)


def every_name_is_qualified() -> Iterator[Finding]:
    """Functions, types and relations are named with their schema, so that no search path decides their meaning."""
    for name, text in STATEMENTS.items():
        for fault in unqualified(text):
            yield Finding(
                shown(path_of(name)),
                1,
                f"{fault} is named without its schema: write {{schema}}. or pg_catalog.",
            )


def what_a_template_makes_is_kept() -> Iterator[Finding]:
    """The golden files show every statement that a change of a template, a class or a field changes."""
    made = COMPOSED | OF_ORDERS
    for name, text in made.items():
        path = golden(name)
        if not path.exists() or path.read_text() != f"{text}\n":
            yield Finding(
                shown(path), 1, "is not what the template makes now: run `make goldens` and review it"
            )
    kept = {golden(name) for name in made}
    for path in sorted(set(GOLDEN.glob("*.sql")) - kept):
        yield Finding(shown(path), 1, "is made by no template: run `make goldens`")
    shown_for_orders = {name.split("/")[1] for name in OF_ORDERS}
    for path in sorted(TABLE_TEMPLATES.glob("*.sql")):
        if path.stem not in shown_for_orders:
            yield Finding(shown(path), 1, "has no golden file: add it to `OF_ORDERS` in tools/statements.py")


def no_statement_is_an_f_string() -> Iterator[Finding]:
    """Statements are in files, and only `eventstore/sql/render.py` puts text into SQL."""
    for path in python_files("eventstore", "projections"):
        if shown(path).startswith(MAY_COMPOSE_SQL):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            first = next(iter(node.values), None)
            if isinstance(first, ast.Constant) and _STATEMENT.match(str(first.value)):
                yield Finding(
                    shown(path), node.lineno, "puts text into a statement: write a template, and use `filled`"
                )


RULES = (
    no_statement_is_an_f_string,
    each_file_is_one_statement,
    each_statement_has_its_header,
    every_name_is_qualified,
    what_a_template_makes_is_kept,
)
