"""The lint rule for the wording finds its phrases in docstrings, comments, errors and pages, and nothing in code."""

from __future__ import annotations

from tools.lint.wording_rules import complaints, prose_of_page, prose_of_python


def lines_of(text: str) -> list[int]:
    """Return the lines with a refused phrase."""
    return [line for line, _ in complaints(text)]


def test_a_docstring_a_comment_and_an_error():
    """Each is searched, and the finding has its line."""
    source = (
        '"""None: there is none."""\n\nx = 1  # the caller is told\n\n'
        'raise ValueError("the file is as it was, nothing more")\n'
    )
    assert sorted(lines_of(prose_of_python(source))) == [1, 3, 5]


def test_a_phrase_over_two_lines():
    """A comment that continues on the next line is one text."""
    assert lines_of("# an answer where there\n# is none") == [1]


def test_code_is_not_searched():
    """A name of code, a block of a page and text between backticks are not prose."""
    assert lines_of(prose_of_python("is_told = 1\n")) == []
    assert lines_of(prose_of_page("```text\nthe caller is told\n```\nand `it is told`\n")) == []


def test_plain_sentences_pass():
    """What the advice asks for is not refused itself."""
    assert lines_of("None if there is none. The callback receives the position. There is no table.") == []
