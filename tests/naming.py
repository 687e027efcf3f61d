"""Names as PostgreSQL allows them, as strategies of Hypothesis, and the quoting that tests do themselves."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["BYTES_MAX", "hostile_names", "identifier", "text_literal"]

BYTES_MAX = 63
"""The longest name that PostgreSQL keeps whole."""

_FRAGMENTS = (
    '"', "'", ";", "$$", "$body$", "$1", "\n", "\t", " ", " USING ", ".", "\\", "%", "%s", "%I", "%1$I", "{schema}",
    "{schema_name}", "{regclass events}", "{}", "--", "/*", "*/", "(", ")", ",", "=", "select", "USER", "Table", "0",
    "9x", "é", "e\u0301", "\u202e", "\u200b", "👩\u200d🚀", "ﬁ", "İ", "\ufeff", "\x1b[2J", "\x7f", "; DROP TABLE canary; --",
)  # fmt: skip


def _cut(text: str) -> str:
    return text.encode()[:BYTES_MAX].decode(errors="ignore")


_letters = st.characters(codec="utf-8", exclude_characters="\0")
_pieces = st.one_of(st.sampled_from(_FRAGMENTS), _letters)
_short = st.lists(_pieces, min_size=1, max_size=6).map("".join)
# All that tell two of these apart are the last bytes that PostgreSQL keeps.
_long = st.tuples(st.sampled_from(["x", "ü", '"', "$"]), st.text("abc$", min_size=1, max_size=2)).map(
    lambda pair: _cut(pair[0] * BYTES_MAX)[: -2 * len(pair[1])] + pair[1]
)


def hostile_names() -> st.SearchStrategy[str]:
    """Names of 1 to 63 bytes that mean something in SQL, in a template, to `format` or to a terminal; no two roles' kind.

    None begins with `pg_`, which PostgreSQL keeps for its own schemas, roles and tablespaces.
    """
    return (
        st.one_of(_short, _long)
        .map(_cut)
        .filter(lambda name: name and not name.startswith("pg_") and name not in ("public", "none"))
    )


def identifier(*names: str) -> str:
    """A name in SQL, with those of what it lies in before it; the tests' own quoting."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def text_literal(text: str) -> str:
    """Text in SQL; the tests' own quoting."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
