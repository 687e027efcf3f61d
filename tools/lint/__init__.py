"""The rules of this project that ruff and mypy do not know: `python -m tools.lint`, a part of `make lint`.

    python_rules       public names, documentation, layers, tests
    sql_rules          headers, one statement a file, qualified names, golden files
    document_rules     blocks, commands and links of the documentation
    reference_rules    what tables of the documentation must list
    dependency_rules   bounds in pyproject.toml, and the lock file
    wording_rules      phrases that are hard to read, in the rooms whose text is edited

A rule takes no arguments and yields findings. Each finding names its file and line, what is wrong and what to do.
"""
