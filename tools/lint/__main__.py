"""Run every rule and print the findings; end with status 1 if there are any."""

from __future__ import annotations

import sys

from tools.lint import (
    dependency_rules,
    document_rules,
    python_rules,
    reference_rules,
    sql_rules,
    wording_rules,
)

RULES = (
    *python_rules.RULES,
    *sql_rules.RULES,
    *document_rules.RULES,
    *reference_rules.RULES,
    *dependency_rules.RULES,
    *wording_rules.RULES,
)


def main() -> int:
    """Run every rule and return the exit status."""
    findings = sorted({finding for rule in RULES for finding in rule()})
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{len(RULES)} rules of the project: {len(findings) or 'no'} findings\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
