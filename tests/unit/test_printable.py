"""Text from outside in a form that can be shown and stored: every character seen, on one line."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, strategies as st

from eventstore.printable import printable, printable_json, storable, text_of_error, traceback_of

# What moves a cursor, breaks a line, turns text round or is not seen: never as it is.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
TEXTS = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, \u65e5\u672c \u00e9 [/x] \\x1b", "plain, \u65e5\u672c \u00e9 [/x] \\x1b"),
        ("\x1b[31m\x07\x00\x7f", r"\x1b[31m\x07\x00\x7f"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x85\x9b", r"\x85\x9b"),
        ("\u202egnp\u2066\u200f", r"\u202egnp\u2066\u200f"),
        ("a\u2028b\u200b\ufeff\u2060", r"a\u2028b\u200b\ufeff\u2060"),
        ("\u3164\u034f\ufe0f\U000e0041\U000e0100", r"\u3164\u034f\ufe0f\U000e0041\U000e0100"),
        ("\ud800", r"\ud800"),
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str):
    """Each such character is shown as Python writes it; all others stay."""
    assert printable(text) == shown


@given(TEXTS)
def test_it_is_one_line_of_visible_characters(text: str):
    """Whatever the text: one line, nothing hidden, and the same again where it is escaped twice."""
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(one) for one in shown} & HIDDEN
    assert printable(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@given(st.recursive(TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_json_means_the_same(value: object):
    """Parsed, it gives the same value, with and without characters beyond ASCII, on one line or on several."""
    for indent in (None, 1):
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        for ascii_only in (False, True):
            shown = printable_json(text, ascii_only=ascii_only)
            assert json.loads(shown) == value
            assert not {unicodedata.category(one) for one in shown.replace("\n", "")} & HIDDEN
            assert shown.isascii() or not ascii_only


class HostileError(Exception):
    """An error whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError(self)

    __repr__ = __str__


class HostileMeta(type):
    """A class whose name cannot be had."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class NamelessError(Exception, metaclass=HostileMeta):
    """An error of such a class."""


class NotedError(Exception):
    """An error whose notes cannot be had."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        HostileError(),
        KeyError(HostileError()),
        NamelessError("x"),
        NotedError("y"),
        ValueError("\x00\ud800"),
        ExceptionGroup("g", [HostileError()]),
    ],
)
def test_every_error_has_a_text_and_a_traceback(error: Exception):
    """Also one whose own code fails; and PostgreSQL takes both."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - any of them
        texts = (text_of_error(caught), traceback_of(caught))
    assert texts[0]
    assert "test_every_error_has_a_text_and_a_traceback" in texts[1]
    for text in texts:
        assert "\x00" not in storable(text, characters_max=1_000)
        storable(text, characters_max=1_000).encode()


def test_of_a_long_text_the_ends_are_stored():
    """How much is left out is said; the beginning and the end stay, where a traceback names the error."""
    stored = storable("a" * 10_000_000 + "z", characters_max=100)
    assert len(stored) < 200
    assert stored.startswith("aaa")
    assert stored.endswith("az")
    assert "9,999,901 characters are left out" in stored
